// What passes between PoolCore and the world in a simulation, as plain data, so that it can be
// printed, distorted by a canary and judged by the model.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "pool/driver.h"
#include "pool/pool_core.h"
#include "pool/time.h"

namespace dbsidecar::simulation {

struct Event {
  enum class Kind {
    kStart,
    kArrive,
    kAbandon,
    kConnected,
    kConnectFailed,
    kPinged,
    kResetDone,
    kReleased,
    kHandedBack,
    kBroke,
    kLost,
    kClosed,
    kCheck,
    kReserve,
    kUnreserve,
    kPause,
    kUnpause,
    kReconfigure,
    kDrain,
    kTick,
  };

  Kind kind = Kind::kTick;
  pool::Instant at{};
  pool::ConnectionId connection = 0;
  pool::WaiterId waiter = 0;
  pool::Instant deadline = pool::kNever;                // kArrive.
  bool ok = true;                                       // kPinged, kResetDone.
  bool permanent = false;                               // kConnectFailed.
  bool bounded = true;                                  // kArrive.
  bool shares = false;                                  // kArrive.
  uint64_t caller = 0;                                  // kArrive.
  pool::Condition condition = pool::Condition::kClean;  // kReleased.
  pool::PoolConfig config{};                            // kReconfigure.
};

// Everything that PoolCore tells about itself.
struct Readings {
  std::array<size_t, pool::kConnectionStates> counts{};
  size_t total = 0;
  size_t waiting = 0;
  bool draining = false;
  bool paused = false;
  bool empty = false;
  bool database_up = false;
  pool::Instant next_tick = pool::kNever;
  pool::Instant oldest_lease = pool::kNever;
  pool::PoolCounters counters;
};

Readings Read(const pool::PoolCore& core);
// Hands the event to the core and returns what it wants done.
pool::Actions Deliver(const Event& event, pool::PoolCore& core);

std::string Describe(const Event& event);
std::string Describe(const pool::Action& action);

}  // namespace dbsidecar::simulation
