#include "tests/simulation/swarm.h"

#include <chrono>

namespace dbsidecar::simulation {
namespace {

using std::chrono::milliseconds;

// Off in half of the runs.
double Weight(Dice& dice, double most) {
  if (dice.Chance(0.5)) return 0;
  return most * static_cast<double>(dice.Below(1000)) / 1000;
}

pool::Duration Maybe(Dice& dice, double off, uint64_t low, uint64_t high) {
  return dice.Chance(off) ? pool::Duration::zero() : dice.Millis(low, high);
}

}  // namespace

Swarm DrawSwarm(Dice& dice) {
  Swarm swarm;
  swarm.abandon = Weight(dice, 0.5);
  swarm.no_deadline = Weight(dice, 1);
  swarm.past_deadline = Weight(dice, 0.1);
  swarm.connect_fails = Weight(dice, 0.8);
  swarm.permanent = Weight(dice, 0.5);
  swarm.never_connects = Weight(dice, 0.4);
  swarm.ping_fails = Weight(dice, 0.6);
  swarm.never_pings = Weight(dice, 0.4);
  swarm.reset_fails = Weight(dice, 0.5);
  swarm.never_resets = Weight(dice, 0.4);
  swarm.dirty = Weight(dice, 0.6);
  swarm.broken = Weight(dice, 0.3);
  swarm.slow_close = Weight(dice, 0.6);
  swarm.stale = Weight(dice, 1);
  swarm.late_tick = Weight(dice, 0.5);
  swarm.lost = Weight(dice, 0.1);
  swarm.jump = Weight(dice, 0.03);
  swarm.reserve = Weight(dice, 0.1);
  swarm.unbounded = Weight(dice, 0.5);
  swarm.shares = Weight(dice, 1);
  swarm.check = Weight(dice, 0.1);
  swarm.outage = Weight(dice, 0.02);
  swarm.drain = Weight(dice, 0.6);
  swarm.burst = dice.Chance(0.5) ? 1 : dice.Between(2, 12);
  swarm.arrival_gap = dice.Millis(1, dice.Chance(0.3) ? 2000 : 60);
  swarm.deadline = dice.Millis(5, 2000);
  swarm.hold = dice.Millis(1, dice.Chance(0.3) ? 1500 : 100);
  swarm.connect_time = dice.Millis(1, 200);
  swarm.answer_time = dice.Millis(1, 50);
  swarm.grid = dice.Chance(0.4) ? 1 : dice.Chance(0.5) ? 10 : 50;
  swarm.handed_back = Weight(dice, 0.5);
  swarm.vain_evictions = Weight(dice, 1);
  swarm.callers = dice.Chance(0.3) ? 1 : dice.Between(2, 5);
  swarm.pause = Weight(dice, 0.05);
  swarm.reconfigure = Weight(dice, 0.05);
  return swarm;
}

pool::PoolConfig DrawConfig(Dice& dice) {
  pool::PoolConfig config;
  config.max = dice.Between(1, 10);
  config.min = dice.Below(config.max + 1);
  config.connecting_max = dice.Between(1, 5);
  config.waiters_max = dice.Chance(0.3) ? dice.Between(1, 5) : dice.Between(10, 40);
  config.shared_max = dice.Below(4);
  config.shared_depth = dice.Between(1, 8);
  config.shared_spread = dice.Between(1, 4);
  config.stalled_after = dice.Millis(5, 200);
  config.evict_after = Maybe(dice, 0.2, 5, 300);
  config.wait_timeout = Maybe(dice, 0.2, 300, 3000);
  config.idle_timeout = Maybe(dice, 0.2, 100, 2000);
  config.lifetime = Maybe(dice, 0.3, 300, 5000);
  config.lifetime_jitter_percent = static_cast<uint32_t>(dice.Below(51));
  config.connect_timeout = Maybe(dice, 0.2, 50, 1000);
  config.ping_after = Maybe(dice, 0.3, 20, 1000);
  config.ping_timeout = dice.Millis(20, 500);
  config.reset_timeout = dice.Millis(20, 500);
  config.backoff_base = dice.Millis(2, 100);
  config.backoff_cap = config.backoff_base * dice.Between(1, 20);
  return config;
}

pool::PoolConfig DrawOtherConfig(const pool::PoolConfig& config, Dice& dice) {
  pool::PoolConfig other = DrawConfig(dice);
  other.backoff_base = config.backoff_base;
  other.backoff_cap = config.backoff_cap;
  if (dice.Chance(0.5)) return other;
  pool::PoolConfig resized = config;
  resized.min = other.min;
  resized.max = other.max;
  return resized;
}

}  // namespace dbsidecar::simulation
