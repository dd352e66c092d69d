// Swarm weights: what one run's world is like. Every run draws its own, and leaves whole kinds of
// trouble out, because faults that always come together hide each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

#include "pool/pool_core.h"
#include "pool/time.h"

namespace dbsidecar::simulation {

// The standard distributions differ between libraries; a seed must not.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  uint64_t Next() { return random_(); }
  // Uniform in [0, n). REQUIRES: n > 0.
  uint64_t Below(uint64_t n) { return random_() % n; }
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  bool Chance(double probability) {
    return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability;
  }
  pool::Duration Millis(uint64_t low, uint64_t high) {
    return std::chrono::milliseconds(Between(low, high));
  }

 private:
  std::mt19937_64 random_;
};

struct Swarm {
  double abandon = 0;
  double no_deadline = 0;
  double past_deadline = 0;
  double connect_fails = 0;
  double permanent = 0;  // Of the failures.
  double never_connects = 0;
  double ping_fails = 0;
  double never_pings = 0;
  double reset_fails = 0;
  double never_resets = 0;
  double dirty = 0;
  double broken = 0;
  double slow_close = 0;
  double stale = 0;      // Answers of connections that were told to close still come.
  double late_tick = 0;  // The loop comes late to its timer.
  double lost = 0;       // The next three: by world event.
  double jump = 0;
  double reserve = 0;
  double unbounded = 0;
  double shares = 0;
  double handed_back = 0;
  double vain_evictions = 0;
  double check = 0;
  double outage = 0;  // The database goes away for a while.
  double pause = 0;
  double reconfigure = 0;
  double drain = 0;  // By run: drained in the middle of the storm.
  uint64_t burst = 1;
  uint64_t callers = 1;
  pool::Duration arrival_gap;
  pool::Duration deadline;
  pool::Duration hold;
  pool::Duration connect_time;
  pool::Duration answer_time;
  uint64_t grid = 1;  // World events fall on multiples of this many milliseconds.
};

Swarm DrawSwarm(Dice& dice);
pool::PoolConfig DrawConfig(Dice& dice);
// Some of `config` anew. The back-off stays, as it does in a reload.
pool::PoolConfig DrawOtherConfig(const pool::PoolConfig& config, Dice& dice);

}  // namespace dbsidecar::simulation
