// Runs what can only be done blocking (name resolution, connects, cancels, waiting for a close),
// each task on a thread of its own, so that none waits behind another. PoolCore's limits bound
// how many there are: one connect, cancel or close for each connection.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

#include "pool/time.h"

namespace dbsidecar::pool {

class BlockingThreads {
 public:
  BlockingThreads() = default;
  // Waits for the tasks under way.
  ~BlockingThreads();
  BlockingThreads(const BlockingThreads&) = delete;
  BlockingThreads& operator=(const BlockingThreads&) = delete;

  void Run(std::function<void()> task);

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  int running_ = 0;  // Guarded by mutex_.
};

// Waits until the peer of `fd` has closed its side, or `limit` has passed; then closes `fd`. A
// server process is gone from pg_stat_activity only then.
void AwaitPeerClose(int fd, Duration limit);

}  // namespace dbsidecar::pool
