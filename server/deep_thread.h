// A thread with a large stack, because the statement parser recurses as deeply as a statement
// nests; pages that are never reached cost nothing.
#pragma once

#include <pthread.h>

#include <functional>

namespace dbsidecar::server {

class DeepThread {
 public:
  // Starts it. `name` is the thread's, for tools such as top; under 16 bytes.
  DeepThread(const char* name, std::function<void()> run);
  // Waits until `run` has returned.
  ~DeepThread();
  DeepThread(const DeepThread&) = delete;
  DeepThread& operator=(const DeepThread&) = delete;

 private:
  const std::function<void()> run_;
  pthread_t thread_;
};

}  // namespace dbsidecar::server
