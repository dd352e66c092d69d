#include "server/deep_thread.h"

#include <utility>

#include "pool/check.h"

namespace dbsidecar::server {
namespace {

constexpr size_t kStackBytes = size_t{512} * 1024 * 1024;

void* Call(void* run) {
  (*static_cast<const std::function<void()>*>(run))();
  return nullptr;
}

}  // namespace

DeepThread::DeepThread(const char* name, std::function<void()> run) : run_(std::move(run)) {
  pthread_attr_t attributes;
  DBSIDECAR_CHECK(pthread_attr_init(&attributes) == 0);
  DBSIDECAR_CHECK(pthread_attr_setstacksize(&attributes, kStackBytes) == 0);
  DBSIDECAR_CHECK(
      pthread_create(&thread_, &attributes, &Call, const_cast<std::function<void()>*>(&run_)) == 0);
  pthread_attr_destroy(&attributes);
  pthread_setname_np(thread_, name);
}

DeepThread::~DeepThread() { pthread_join(thread_, nullptr); }

}  // namespace dbsidecar::server
