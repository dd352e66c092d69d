// The thread that runs an event loop.
#pragma once

#include "pool/event_loop.h"
#include "server/deep_thread.h"

namespace dbsidecar::server {

class LoopThread {
 public:
  // `loop` is borrowed.
  LoopThread(pool::EventLoop& loop, const char* name)
      : loop_(loop), thread_(name, [&loop] { loop.Run(); }) {}
  // Stops the loop and waits for it.
  ~LoopThread() { loop_.Stop(); }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

 private:
  pool::EventLoop& loop_;
  DeepThread thread_;  // Joined after the loop was told to stop.
};

}  // namespace dbsidecar::server
