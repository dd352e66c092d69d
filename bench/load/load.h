// The two shapes of load: a fixed number of callers who wait for their answers, and a fixed rate.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "bench/load/caller.h"
#include "bench/load/script.h"
#include "bench/load/tally.h"

namespace dbsidecar::bench {

struct LoadOptions {
  size_t slots = 64;
  double seconds = 5;
  // Rounds per second. 0 = each slot begins its next round when the last one has ended.
  double rate = 0;
};

// One run of a script through a caller.
class Load {
 public:
  Load(Caller& caller, Script& script, LoadOptions options);

  // Blocks until the last round has ended. Returns the seconds that it took.
  double Run();

  Tally& tally() { return tally_; }

 private:
  // Closed loop: everything starts at once.
  void BeginAll();
  // Open loop: rounds are due at random, as of many independent callers (a Poisson process). A
  // round's latency counts from when it was due, so a stall is seen by all that it delayed.
  void BeginAtRate();

  void OnAnswered(size_t slot, const Outcome& outcome);
  // REQUIRES: mutex_, for these.
  void BeginRound(size_t slot, Clock::time_point due);
  void OnRoundEnded(size_t slot);
  void StopIfDone();
  bool Over() const { return given_up_ || Clock::now() >= end_; }

  Caller& caller_;
  Script& script_;
  LoadOptions options_;
  Clock::time_point end_;

  // Recursive: a call that cannot be sent is answered within Send.
  std::recursive_mutex mutex_;
  std::condition_variable_any slot_freed_;
  std::vector<size_t> free_;
  std::vector<Clock::time_point> due_;
  Tally tally_;
  bool all_begun_ = false;
  bool given_up_ = false;
};

}  // namespace dbsidecar::bench
