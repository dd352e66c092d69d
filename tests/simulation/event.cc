#include "tests/simulation/event.h"

#include <chrono>

namespace dbsidecar::simulation {
namespace {

using pool::Action;
using pool::CloseReason;
using pool::Condition;
using pool::ConnectionState;
using pool::RefuseReason;

std::string Millis(pool::Instant at) {
  if (at == pool::kNever) return "never";
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  return std::to_string(micros / 1000) + "." + std::to_string(micros / 100 % 10) + "ms";
}

std::string Name(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::kStart:
      return "Start";
    case Event::Kind::kArrive:
      return "Arrive";
    case Event::Kind::kAbandon:
      return "Abandon";
    case Event::Kind::kConnected:
      return "Connected";
    case Event::Kind::kConnectFailed:
      return "ConnectFailed";
    case Event::Kind::kPinged:
      return "Pinged";
    case Event::Kind::kResetDone:
      return "ResetDone";
    case Event::Kind::kReleased:
      return "Released";
    case Event::Kind::kHandedBack:
      return "HandedBack";
    case Event::Kind::kBroke:
      return "Broke";
    case Event::Kind::kLost:
      return "Lost";
    case Event::Kind::kClosed:
      return "Closed";
    case Event::Kind::kCheck:
      return "Check";
    case Event::Kind::kReserve:
      return "Reserve";
    case Event::Kind::kUnreserve:
      return "Unreserve";
    case Event::Kind::kPause:
      return "Pause";
    case Event::Kind::kUnpause:
      return "Unpause";
    case Event::Kind::kReconfigure:
      return "Reconfigure";
    case Event::Kind::kDrain:
      return "Drain";
    case Event::Kind::kTick:
      return "Tick";
  }
  return "?";
}

std::string Name(Condition condition) {
  switch (condition) {
    case Condition::kClean:
      return "clean";
    case Condition::kDirty:
      return "dirty";
    case Condition::kBroken:
      return "broken";
  }
  return "?";
}

std::string Name(CloseReason reason) {
  switch (reason) {
    case CloseReason::kConnectTimeout:
      return "connect timeout";
    case CloseReason::kIdleTimeout:
      return "idle timeout";
    case CloseReason::kLifetime:
      return "lifetime";
    case CloseReason::kPingFailed:
      return "ping failed";
    case CloseReason::kResetFailed:
      return "reset failed";
    case CloseReason::kBroken:
      return "broken";
    case CloseReason::kLost:
      return "lost";
    case CloseReason::kDrain:
      return "drain";
    case CloseReason::kMakeRoom:
      return "make room";
    case CloseReason::kResize:
      return "resize";
    case CloseReason::kPause:
      return "pause";
  }
  return "?";
}

std::string Name(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::kQueueFull:
      return "queue full";
    case RefuseReason::kWaitTimeout:
      return "wait timeout";
    case RefuseReason::kDeadline:
      return "deadline";
    case RefuseReason::kDraining:
      return "draining";
    case RefuseReason::kConnectRejected:
      return "connect rejected";
  }
  return "?";
}

}  // namespace

Readings Read(const pool::PoolCore& core) {
  Readings readings;
  for (size_t i = 0; i < pool::kConnectionStates; ++i) {
    readings.counts[i] = core.count(static_cast<ConnectionState>(i));
  }
  readings.total = core.total();
  readings.waiting = core.waiting();
  readings.draining = core.draining();
  readings.paused = core.paused();
  readings.empty = core.empty();
  readings.database_up = core.database_up();
  readings.next_tick = core.NextTick();
  readings.oldest_lease = core.OldestLease();
  readings.counters = core.counters();
  return readings;
}

pool::Actions Deliver(const Event& event, pool::PoolCore& core) {
  pool::Actions actions;
  switch (event.kind) {
    case Event::Kind::kStart:
      core.Start(event.at, actions);
      break;
    case Event::Kind::kArrive:
      core.Arrive(event.at,
                  {.waiter = event.waiter,
                   .deadline = event.deadline,
                   .bounded = event.bounded,
                   .shares = event.shares,
                   .caller = event.caller},
                  actions);
      break;
    case Event::Kind::kAbandon:
      core.Abandon(event.at, event.waiter, actions);
      break;
    case Event::Kind::kConnected:
      core.Connected(event.at, event.connection, actions);
      break;
    case Event::Kind::kConnectFailed:
      core.ConnectFailed(event.at, event.connection, event.permanent, actions);
      break;
    case Event::Kind::kPinged:
      core.Pinged(event.at, event.connection, event.ok, actions);
      break;
    case Event::Kind::kResetDone:
      core.ResetDone(event.at, event.connection, event.ok, actions);
      break;
    case Event::Kind::kReleased:
      core.Released(event.at, event.connection, event.condition, actions);
      break;
    case Event::Kind::kHandedBack:
      core.HandedBack(event.at, event.connection, actions);
      break;
    case Event::Kind::kBroke:
      core.Broke(event.at, event.connection, actions);
      break;
    case Event::Kind::kLost:
      core.Lost(event.at, event.connection, actions);
      break;
    case Event::Kind::kClosed:
      core.Closed(event.at, event.connection, actions);
      break;
    case Event::Kind::kCheck:
      core.Check(event.at, actions);
      break;
    case Event::Kind::kReserve:
      core.Reserve(event.at, actions);
      break;
    case Event::Kind::kUnreserve:
      core.Unreserve(event.at, actions);
      break;
    case Event::Kind::kPause:
      core.Pause(event.at, actions);
      break;
    case Event::Kind::kUnpause:
      core.Unpause(event.at, actions);
      break;
    case Event::Kind::kReconfigure:
      core.Reconfigure(event.at, event.config, actions);
      break;
    case Event::Kind::kDrain:
      core.Drain(event.at, actions);
      break;
    case Event::Kind::kTick:
      core.Tick(event.at, actions);
      break;
  }
  return actions;
}

std::string Describe(const Event& event) {
  std::string text = Millis(event.at) + "  " + Name(event.kind);
  if (event.connection != 0) text += " connection " + std::to_string(event.connection);
  if (event.waiter != 0) text += " waiter " + std::to_string(event.waiter);
  if (event.kind == Event::Kind::kArrive) text += " deadline " + Millis(event.deadline);
  if (!event.bounded) text += " unbounded";
  if (event.shares) text += " shares";
  if (event.caller != 0) text += " caller " + std::to_string(event.caller);
  if (event.kind == Event::Kind::kReleased) text += " " + Name(event.condition);
  if (event.permanent) text += " for good";
  if (event.kind == Event::Kind::kReconfigure) {
    text += " min " + std::to_string(event.config.min) + " max " +
            std::to_string(event.config.max) + " shared " + std::to_string(event.config.shared_max);
  }
  if (!event.ok) text += " not ok";
  return text;
}

std::string Describe(const Action& action) {
  const std::string connection = " connection " + std::to_string(action.connection);
  const std::string waiter = " waiter " + std::to_string(action.waiter);
  switch (action.kind) {
    case Action::Kind::kOpen:
      return "open" + connection;
    case Action::Kind::kPing:
      return "ping" + connection;
    case Action::Kind::kReset:
      return "reset" + connection;
    case Action::Kind::kClose:
      return "close" + connection + ", " + Name(action.close_reason);
    case Action::Kind::kGrant:
      return "grant" + connection + " to" + waiter;
    case Action::Kind::kEvict:
      return "evict" + connection;
    case Action::Kind::kRefuse:
      return "refuse" + waiter + ", " + Name(action.refuse_reason);
    case Action::Kind::kReserved:
      return "reserved";
  }
  return "?";
}

}  // namespace dbsidecar::simulation
