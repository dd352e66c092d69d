// WatchMetrics: reports again and again, on the completion queues, so that a watch holds no thread.
//
// One thread for all watches makes the reports, because making one waits for the pool's loop, and
// a queue's thread must not. Those that are due together and ask for the same share one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/completion_queues.h"
#include "server/reports.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

class WatchMetricsRpc {
 public:
  // Both borrowed.
  WatchMetricsRpc(RpcContext& rpc, Reports& reports);
  // REQUIRES: the queues have ended.
  ~WatchMetricsRpc();

  // REQUIRES: the server has been started; the queues end before this does.
  void Accept(CompletionQueues& queues);
  // Ends all watches, and those that come later.
  void End();

 private:
  class Watch;
  using Clock = std::chrono::steady_clock;

  // False = all has ended.
  bool Add(Watch& watch);
  void Remove(Watch& watch);

  void Run();
  // Held, and told when they are due next. REQUIRES: mutex_ is held.
  std::vector<Watch*> TakeDue(Clock::time_point now);
  Clock::time_point NextDue() const;
  void Report(const std::vector<Watch*>& watches);

  RpcContext& rpc_;
  Reports& reports_;
  std::mutex mutex_;  // Guards all below, and when watches are due.
  std::condition_variable changed_;
  std::set<Watch*> watches_;
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace dbsidecar::server
