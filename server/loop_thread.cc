#include "server/loop_thread.h"

#include "pool/check.h"

namespace dbsidecar::server {
namespace {

constexpr size_t kLoopStackBytes = size_t{512} * 1024 * 1024;

void* Run(void* loop) {
  static_cast<pool::EventLoop*>(loop)->Run();
  return nullptr;
}

}  // namespace

LoopThread::LoopThread(pool::EventLoop& loop, const char* name) : loop_(loop) {
  pthread_attr_t attributes;
  DBSIDECAR_CHECK(pthread_attr_init(&attributes) == 0);
  DBSIDECAR_CHECK(pthread_attr_setstacksize(&attributes, kLoopStackBytes) == 0);
  DBSIDECAR_CHECK(pthread_create(&thread_, &attributes, &Run, &loop_) == 0);
  pthread_attr_destroy(&attributes);
  pthread_setname_np(thread_, name);
}

LoopThread::~LoopThread() {
  loop_.Stop();
  pthread_join(thread_, nullptr);
}

}  // namespace dbsidecar::server
