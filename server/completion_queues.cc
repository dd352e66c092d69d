#include "server/completion_queues.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace dbsidecar::server {

// gRPC is not built with ThreadSanitizer, which therefore has to be told.
void* Step::Tag() {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(this);
#endif
  return this;
}

Step& Step::Of(void* tag) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(tag);
#endif
  return *static_cast<Step*>(tag);
}

namespace {

void Drive(grpc::ServerCompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) Step::Of(tag).Run(ok);
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
