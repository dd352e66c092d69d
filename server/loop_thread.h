// The thread that runs an event loop.
#pragma once

#include <pthread.h>

#include "pool/event_loop.h"

namespace dbsidecar::server {

// Its stack is large because the statement parser recurses as deeply as a statement nests; pages
// that are never reached cost nothing.
class LoopThread {
 public:
  // `name` is the thread's, for tools such as top.
  LoopThread(pool::EventLoop& loop, const char* name);
  // Stops the loop and waits for it.
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

 private:
  pool::EventLoop& loop_;
  pthread_t thread_;
};

}  // namespace dbsidecar::server
