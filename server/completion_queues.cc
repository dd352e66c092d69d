#include "server/completion_queues.h"

namespace dbsidecar::server {
namespace {

void Drive(grpc::ServerCompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Step*>(tag)->Run(ok);
}

}  // namespace

CompletionQueues::CompletionQueues(grpc::ServerBuilder& builder, int count) {
  for (int i = 0; i < count; ++i) queues_.push_back(builder.AddCompletionQueue());
}

void CompletionQueues::Start() {
  for (const auto& queue : queues_) threads_.emplace_back(&Drive, queue.get());
}

CompletionQueues::~CompletionQueues() {
  for (const auto& queue : queues_) queue->Shutdown();
  for (std::thread& thread : threads_) thread.join();
  for (const auto& queue : queues_) {
    // Without Start there was no thread to empty them.
    if (threads_.empty()) Drive(queue.get());
  }
}

}  // namespace dbsidecar::server
