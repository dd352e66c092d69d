// The invariants, checked from outside by tests/simulation:
//
//  1. Budget: connections that are not yet let go of, and reserved places, never exceed `max`.
//  2. A connection is in one state and has one owner: it is granted only while idle, and to one
//     waiter.
//  3. No fresh idle connection stands by while a waiter waits.
//  4. Progress: while a waiter waits and the budget has room, a connection is being opened or
//     checked, or a back-off that ends is being waited out.
//  5. A waiter gets one answer at most: one grant or one refusal, and none after it left.
//  6. A waiter is answered by its deadline or the wait timeout, whichever is sooner.
//  7. Waiters are granted in the order in which they came.
//  8. After a drain nothing is left.
//  9. The gauges and counters agree with what happened.
// 10. A connection that is dirty is reset, and one in an unknown state is closed, before anyone
//     gets it.
// 11. The floor: until it drains, the pool holds `min` connections or is opening them, as far as
//     budget and back-off allow.
// 12. An idle connection retires when its lifetime is over, or when it has been idle for the idle
//     timeout and is above the floor; not sooner.
// 13. A place that is asked for outside the pool is given as soon as the budget has room, which is
//     made by closing an idle connection. It goes before the waiters, but not twice in a row.
#include "pool/pool_core.h"

#include <algorithm>

#include "pool/check.h"

namespace dbsidecar::pool {

PoolCore::PoolCore(PoolConfig config, uint64_t seed, ConnectionId first_id, ConnectionId stride)
    : config_(config), random_(seed), next_id_(first_id), stride_(stride) {}

void PoolCore::Start(Instant now, Actions& actions) {
  probe_wanted_ = true;
  Serve(now, actions);
}

void PoolCore::Arrive(Instant now, WaiterId waiter, Instant deadline, bool bounded,
                      Actions& actions) {
  ++counters_.arrived;
  // Whoever gave up by now takes no place in the queue.
  ExpireWaiters(now, actions);
  const Instant expires_at = EarlierDeadline(deadline, now, config_.wait_timeout);
  const RefuseReason on_expiry =
      expires_at == deadline ? RefuseReason::kDeadline : RefuseReason::kWaitTimeout;
  if (draining_) {
    Refuse(waiter, RefuseReason::kDraining, actions);
  } else if (expires_at <= now) {
    Refuse(waiter, on_expiry, actions);
  } else if (bounded && bounded_waiters_ >= config_.waiters_max && idle_.empty()) {
    Refuse(waiter, RefuseReason::kQueueFull, actions);
  } else {
    waiters_.push_back({waiter, expires_at, on_expiry, bounded});
    bounded_waiters_ += bounded ? 1 : 0;
    waiter_by_id_.emplace(waiter, std::prev(waiters_.end()));
    expiries_.emplace(expires_at, waiter);
  }
  Serve(now, actions);
}

void PoolCore::Abandon(Instant now, WaiterId waiter, Actions& actions) {
  const auto it = waiter_by_id_.find(waiter);
  if (it != waiter_by_id_.end()) {
    ++counters_.abandoned;
    RemoveWaiter(it->second);
  }
  Serve(now, actions);
}

void PoolCore::Connected(Instant now, ConnectionId id, Actions& actions) {
  if (Connection* connection = Find(id, ConnectionState::kConnecting)) {
    ++counters_.opened;
    NoteSuccess();
    connection->opened_at = now;
    // Roll the jitter once per connection. Rolling at every check would retire connections at the
    // earliest possible moment, because a connection is checked hundreds of times in its life.
    connection->retire_at =
        RetireAt(now, config_.lifetime, config_.lifetime_jitter_percent, random_());
    MakeIdle(now, id, actions);
  }
  Serve(now, actions);
}

void PoolCore::ConnectFailed(Instant now, ConnectionId id, bool permanent, Actions& actions) {
  const auto it = connections_.find(id);
  if (it != connections_.end()) {
    DBSIDECAR_CHECK(it->second.state == ConnectionState::kConnecting ||
                    it->second.state == ConnectionState::kClosing);
    if (it->second.state == ConnectionState::kConnecting) {
      ++counters_.connect_failures;
      NoteFailure(now);
    }
    Remove(it);
    if (permanent && OpenCount() == 0) RefuseAll(RefuseReason::kConnectRejected, actions);
  }
  Serve(now, actions);
}

void PoolCore::Pinged(Instant now, ConnectionId id, bool ok, Actions& actions) {
  if (Find(id, ConnectionState::kPinging) != nullptr) {
    if (ok) {
      NoteSuccess();
      MakeIdle(now, id, actions);
    } else {
      Close(now, id, CloseReason::kPingFailed, actions);
    }
  }
  Serve(now, actions);
}

void PoolCore::ResetDone(Instant now, ConnectionId id, bool ok, Actions& actions) {
  if (Find(id, ConnectionState::kResetting) != nullptr) {
    if (ok) {
      MakeIdle(now, id, actions);
    } else {
      Close(now, id, CloseReason::kResetFailed, actions);
    }
  }
  Serve(now, actions);
}

void PoolCore::Released(Instant now, ConnectionId id, Condition condition, Actions& actions) {
  Connection* connection = Find(id, ConnectionState::kLeased);
  DBSIDECAR_CHECK(connection != nullptr);
  switch (condition) {
    case Condition::kClean:
      MakeIdle(now, id, actions);
      break;
    case Condition::kDirty:
      Move(now, *connection, ConnectionState::kResetting);
      actions.push_back({.kind = Action::Kind::kReset, .connection = id});
      break;
    case Condition::kBroken:
      Close(now, id, CloseReason::kBroken, actions);
      break;
  }
  Serve(now, actions);
}

void PoolCore::Lost(Instant now, ConnectionId id, Actions& actions) {
  const auto it = connections_.find(id);
  if (it != connections_.end() && it->second.state != ConnectionState::kClosing) {
    DBSIDECAR_CHECK(it->second.state != ConnectionState::kLeased);
    // Taken and dropped at once is as good as refused.
    const bool refused = now - it->second.opened_at < config_.backoff_cap;
    Close(now, id, CloseReason::kLost, actions);
    if (refused) NoteFailure(now);
  }
  Serve(now, actions);
}

void PoolCore::Closed(Instant now, ConnectionId id, Actions& actions) {
  const auto it = connections_.find(id);
  if (it != connections_.end()) {
    DBSIDECAR_CHECK(it->second.state == ConnectionState::kClosing);
    Remove(it);
  }
  Serve(now, actions);
}

void PoolCore::Check(Instant now, Actions& actions) {
  if (draining_) {
    // On the way out nobody asks.
  } else if (!idle_.empty()) {
    Ping(now, idle_.front(), actions);
  } else if (OpenCount() == 0) {
    probe_wanted_ = true;
  }
  Serve(now, actions);
}

void PoolCore::Reserve(Instant now, Actions& actions) {
  DBSIDECAR_CHECK(!place_wanted_);
  place_wanted_ = !draining_;
  Serve(now, actions);
}

void PoolCore::Unreserve(Instant now, Actions& actions) {
  DBSIDECAR_CHECK(reserved_ > 0);
  --reserved_;
  Serve(now, actions);
}

void PoolCore::Drain(Instant now, Actions& actions) {
  draining_ = true;
  place_wanted_ = false;
  Serve(now, actions);
}

void PoolCore::Tick(Instant now, Actions& actions) {
  ExpireWaiters(now, actions);
  CloseOverdue(now, actions);
  RetireIdle(now, actions);
  Serve(now, actions);
}

void PoolCore::Serve(Instant now, Actions& actions) {
  ExpireWaiters(now, actions);
  MaybeReserve(now, actions);
  while (!waiters_.empty() && !idle_.empty() && ServeFront(now, idle_.back(), actions)) {
  }
  MaybeReserve(now, actions);
  MaybeOpen(now, actions);
  MaybeCloseForDrain(now, actions);
}

// Before any waiter, because under load there is always one; but not twice in a row.
void PoolCore::MaybeReserve(Instant now, Actions& actions) {
  if (!place_wanted_ || (waiter_goes_first_ && !waiters_.empty())) return;
  if (total() < config_.max) {
    place_wanted_ = false;
    waiter_goes_first_ = true;
    ++reserved_;
    actions.push_back({.kind = Action::Kind::kReserved});
  } else if (!idle_.empty() && count(ConnectionState::kClosing) == 0) {
    Close(now, idle_.front(), CloseReason::kMakeRoom, actions);
  }
}

bool PoolCore::ServeFront(Instant now, ConnectionId id, Actions& actions) {
  Connection& connection = connections_[id];
  if (now >= connection.retire_at) {
    Close(now, id, CloseReason::kLifetime, actions);
  } else if (WorthPinging(now, connection)) {
    if (count(ConnectionState::kPinging) >= waiters_.size()) return false;
    Ping(now, id, actions);
  } else {
    idle_.pop_back();
    Move(now, connection, ConnectionState::kLeased);
    ++counters_.granted;
    waiter_goes_first_ = false;
    actions.push_back(
        {.kind = Action::Kind::kGrant, .connection = id, .waiter = waiters_.front().id});
    RemoveWaiter(waiters_.begin());
  }
  return true;
}

bool PoolCore::WorthPinging(Instant now, const Connection& connection) const {
  return config_.ping_after != Duration::zero() && now - connection.since > config_.ping_after;
}

void PoolCore::MaybeOpen(Instant now, Actions& actions) {
  if (now < connect_not_before_) {
    // The database refused us a moment ago; wait out the back-off.
  } else {
    for (size_t i = WantedConnections(); i > 0; --i) Open(now, actions);
  }
}

size_t PoolCore::WantedConnections() const {
  const size_t connecting = count(ConnectionState::kConnecting);
  // A database that refused the last connection is asked by one at a time.
  const size_t connecting_max = connect_failures_in_a_row_ > 0 ? 1 : config_.connecting_max;
  return ConnectionsToOpen({.total = total(),
                            .arriving = connecting + count(ConnectionState::kPinging) +
                                        count(ConnectionState::kResetting),
                            .connecting = connecting,
                            .staying = StayingCount(),
                            .waiting = waiters_.size(),
                            .floor = Floor(),
                            .max = config_.max,
                            .connecting_max = connecting_max});
}

void PoolCore::MaybeCloseForDrain(Instant now, Actions& actions) {
  if (!draining_ || !waiters_.empty()) return;
  std::vector<ConnectionId> unneeded;
  for (const auto& [id, connection] : connections_) {
    const bool in_use = connection.state == ConnectionState::kLeased ||
                        connection.state == ConnectionState::kClosing;
    if (!in_use) unneeded.push_back(id);
  }
  // The table has no order of its own; the same events must give the same actions.
  std::sort(unneeded.begin(), unneeded.end());
  for (const ConnectionId id : unneeded) Close(now, id, CloseReason::kDrain, actions);
}

void PoolCore::Open(Instant now, Actions& actions) {
  const ConnectionId id = next_id_;
  next_id_ += stride_;
  connections_[id] = {.state = ConnectionState::kConnecting, .since = now};
  ++counts_[static_cast<size_t>(ConnectionState::kConnecting)];
  actions.push_back({.kind = Action::Kind::kOpen, .connection = id});
}

void PoolCore::Close(Instant now, ConnectionId id, CloseReason reason, Actions& actions) {
  Connection& connection = connections_[id];
  if (connection.state == ConnectionState::kIdle) std::erase(idle_, id);
  if (connection.state != ConnectionState::kConnecting) {
    ++counters_.closed[static_cast<size_t>(reason)];
  } else if (reason == CloseReason::kConnectTimeout) {
    ++counters_.connect_failures;
  }
  Move(now, connection, ConnectionState::kClosing);
  actions.push_back({.kind = Action::Kind::kClose, .connection = id, .close_reason = reason});
  const bool bad_sign = reason == CloseReason::kLost || reason == CloseReason::kPingFailed ||
                        reason == CloseReason::kBroken || reason == CloseReason::kResetFailed;
  if (bad_sign && OpenCount() == 0) {
    // The last connection went without our wish: find out whether the database is still there.
    database_up_ = false;
    probe_wanted_ = true;
  }
}

void PoolCore::Ping(Instant now, ConnectionId id, Actions& actions) {
  std::erase(idle_, id);
  Connection& connection = connections_[id];
  Move(now, connection, ConnectionState::kPinging);
  actions.push_back({.kind = Action::Kind::kPing, .connection = id});
}

void PoolCore::MakeIdle(Instant now, ConnectionId id, Actions& actions) {
  Connection& connection = connections_[id];
  if (now >= connection.retire_at) {
    Close(now, id, CloseReason::kLifetime, actions);
    return;
  }
  Move(now, connection, ConnectionState::kIdle);
  idle_.push_back(id);
}

void PoolCore::Move(Instant now, Connection& connection, ConnectionState state) {
  --counts_[static_cast<size_t>(connection.state)];
  ++counts_[static_cast<size_t>(state)];
  connection.state = state;
  connection.since = now;
}

void PoolCore::Remove(Connections::iterator it) {
  --counts_[static_cast<size_t>(it->second.state)];
  connections_.erase(it);
}

void PoolCore::NoteFailure(Instant now) {
  // Connects that were in progress together fail together: one bad sign, not several.
  if (now >= connect_not_before_) ++connect_failures_in_a_row_;
  connect_not_before_ = now + ConnectBackoff(connect_failures_in_a_row_, config_.backoff_base,
                                             config_.backoff_cap, random_());
  if (OpenCount() == 0) {
    database_up_ = false;
    probe_wanted_ = true;
  }
}

void PoolCore::NoteSuccess() {
  connect_failures_in_a_row_ = 0;
  connect_not_before_ = Instant{};
  database_up_ = true;
  probe_wanted_ = false;
}

void PoolCore::Refuse(WaiterId waiter, RefuseReason reason, Actions& actions) {
  ++counters_.refused[static_cast<size_t>(reason)];
  actions.push_back({.kind = Action::Kind::kRefuse, .waiter = waiter, .refuse_reason = reason});
}

void PoolCore::RefuseAll(RefuseReason reason, Actions& actions) {
  while (!waiters_.empty()) {
    Refuse(waiters_.front().id, reason, actions);
    RemoveWaiter(waiters_.begin());
  }
}

void PoolCore::RemoveWaiter(Waiters::iterator it) {
  expiries_.erase({it->expires_at, it->id});
  waiter_by_id_.erase(it->id);
  bounded_waiters_ -= it->bounded ? 1 : 0;
  waiters_.erase(it);
}

void PoolCore::ExpireWaiters(Instant now, Actions& actions) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    const Waiters::iterator it = waiter_by_id_.at(expiries_.begin()->second);
    Refuse(it->id, it->on_expiry, actions);
    RemoveWaiter(it);
  }
}

void PoolCore::CloseOverdue(Instant now, Actions& actions) {
  std::vector<std::pair<ConnectionId, CloseReason>> overdue;
  for (const auto& [id, connection] : connections_) {
    const Duration limit = TimeLimit(connection.state);
    if (limit == Duration::zero() || now - connection.since < limit) continue;
    overdue.emplace_back(
        id, connection.state == ConnectionState::kConnecting ? CloseReason::kConnectTimeout
            : connection.state == ConnectionState::kPinging  ? CloseReason::kPingFailed
                                                             : CloseReason::kResetFailed);
  }
  std::sort(overdue.begin(), overdue.end());
  for (const auto& [id, reason] : overdue) {
    Close(now, id, reason, actions);
    if (reason == CloseReason::kConnectTimeout) NoteFailure(now);
  }
}

void PoolCore::RetireIdle(Instant now, Actions& actions) {
  // Oldest first; a copy, because closing takes them out of the list.
  for (const ConnectionId id : std::vector<ConnectionId>(idle_)) {
    const Connection& connection = connections_[id];
    if (now >= connection.retire_at) {
      Close(now, id, CloseReason::kLifetime, actions);
    } else if (config_.idle_timeout != Duration::zero() && StayingCount() > Floor() &&
               now - connection.since >= config_.idle_timeout) {
      Close(now, id, CloseReason::kIdleTimeout, actions);
    }
  }
}

Duration PoolCore::TimeLimit(ConnectionState state) const {
  switch (state) {
    case ConnectionState::kConnecting:
      return config_.connect_timeout;
    case ConnectionState::kPinging:
      return config_.ping_timeout;
    case ConnectionState::kResetting:
      return config_.reset_timeout;
    case ConnectionState::kIdle:
    case ConnectionState::kLeased:
    case ConnectionState::kClosing:
      return Duration::zero();
  }
  return Duration::zero();
}

Instant PoolCore::DueAt(const Connection& connection) const {
  if (connection.state == ConnectionState::kIdle) {
    const bool may_idle_out = config_.idle_timeout != Duration::zero() && StayingCount() > Floor();
    return std::min(connection.retire_at,
                    may_idle_out ? connection.since + config_.idle_timeout : kNever);
  }
  const Duration limit = TimeLimit(connection.state);
  return limit == Duration::zero() ? kNever : connection.since + limit;
}

Instant PoolCore::NextTick() const {
  Instant next = expiries_.empty() ? kNever : expiries_.begin()->first;
  for (const auto& [id, connection] : connections_) next = std::min(next, DueAt(connection));
  if (WantedConnections() > 0) next = std::min(next, connect_not_before_);
  return next;
}

size_t PoolCore::Floor() const {
  if (draining_) return 0;
  return std::min(config_.max, std::max<size_t>(config_.min, probe_wanted_ ? 1 : 0));
}

size_t PoolCore::StayingCount() const {
  return connections_.size() - count(ConnectionState::kClosing);
}

size_t PoolCore::OpenCount() const {
  return count(ConnectionState::kIdle) + count(ConnectionState::kPinging) +
         count(ConnectionState::kLeased) + count(ConnectionState::kResetting);
}

Instant PoolCore::OldestLease() const {
  Instant oldest = kNever;
  for (const auto& [id, connection] : connections_) {
    if (connection.state == ConnectionState::kLeased) oldest = std::min(oldest, connection.since);
  }
  return oldest;
}

PoolCore::Connection* PoolCore::Find(ConnectionId id, ConnectionState state) {
  const auto it = connections_.find(id);
  return it != connections_.end() && it->second.state == state ? &it->second : nullptr;
}

}  // namespace dbsidecar::pool
