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
  for (const auto& queue : queues_) {
    threads_.push_back(
        std::make_unique<DeepThread>("grpc-queue", [queue = queue.get()] { Drive(queue); }));
  }
}

CompletionQueues::~CompletionQueues() {
  for (const auto& queue : queues_) queue->Shutdown();
  const bool started = !threads_.empty();
  threads_.clear();
  for (const auto& queue : queues_) {
    if (!started) Drive(queue.get());
  }
}

}  // namespace dbsidecar::server
