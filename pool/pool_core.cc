// The invariants, checked from outside by tests/simulation:
//
//  1. Budget: connections that are not yet let go of, and reserved places, never exceed `max`.
//     Above one that was lowered, none is opened or reserved.
//  2. A connection is in one state and has one owner: it is granted only while idle, and to one
//     waiter.
//  3. No fresh idle connection stands by while a waiter waits.
//  4. Progress: while a waiter waits and the budget has room, a connection is being opened or
//     checked, or a back-off that ends is being waited out.
//  5. A waiter gets one answer at most: one grant or one refusal, and none after it left.
//  6. A waiter is answered by its deadline or the wait timeout, whichever is sooner.
//  7. Waiters of one caller that are alike (sharing or not) are granted in the order in which they
//     came. While a caller waits, no other is granted twice among those that are alike; and an idle
//     connection goes to the two kinds in turns.
//  8. After a drain nothing is left.
//  9. The gauges and counters agree with what happened.
// 10. A connection that is dirty is reset, and one in an unknown state is closed, before anyone
//     gets it.
// 11. The floor: until it drains, the pool holds `min` connections or is opening them, as far as
//     budget and back-off allow.
// 12. An idle connection retires when its lifetime is over, or when it has been idle for the idle
//     timeout and is above the floor; not sooner.
// 13. Places that are asked for outside the pool are given as soon as the budget has room, which is
//     made by closing idle connections, one at a time. They go before the waiters, but not twice in
//     a row.
// 14. Only waiters that may share are on a connection together: at most `shared_depth`, on at most
//     `shared_max` connections. None joins where nothing was finished for `stalled_after`, or what
//     is to be reset or closed; and none waits while there is room for it.
// 15. Where callers wait on a shared connection and nothing was finished for `evict_after`, whoever
//     runs is evicted; again after as long, and not otherwise.
// 16. A full queue refuses the newest waiter of whoever has most there: the newcomer, unless a
//     caller has two more of a kind than it.
// 17. While it is paused nothing is granted, opened or reserved, and only connections in use stay.
//     3, 4, 11 and 13 do not hold meanwhile.
// 18. Above a lowered `max` no free connection stays; and of the shared ones as many as there are
//     too many are not joined any more, but for one.
#include "pool/pool_core.h"

#include <algorithm>
#include <utility>

#include "pool/check.h"

namespace dbsidecar::pool {

PoolCore::PoolCore(PoolConfig config, uint64_t seed, ConnectionId first_id, ConnectionId stride)
    : config_(config), random_(seed), next_id_(first_id), stride_(stride) {}

void PoolCore::Start(Instant now, Actions& actions) {
  started_ = true;
  probe_wanted_ = true;
  Serve(now, actions);
}

void PoolCore::Arrive(Instant now, const Arrival& arrival, Actions& actions) {
  ++counters_.arrived;
  // Whoever gave up by now takes no place in the queue.
  ExpireWaiters(now, actions);
  const Instant expires_at =
      EarlierDeadline(arrival.deadline, arrival.came_first.value_or(now), config_.wait_timeout);
  const RefuseReason on_expiry =
      expires_at == arrival.deadline ? RefuseReason::kDeadline : RefuseReason::kWaitTimeout;
  const bool shares = arrival.shares && config_.shared_max > 0;
  const bool room =
      !paused_ && (!idle_.empty() || (shares && SharedWithRoom(now, config_.shared_depth) != 0));
  if (draining_ && !arrival.came_first.has_value()) {
    Refuse(arrival.waiter, RefuseReason::kDraining, actions);
  } else if (expires_at <= now) {
    Refuse(arrival.waiter, on_expiry, actions);
  } else if (!room && !MakeRoomFor(arrival, shares, actions)) {
    Refuse(arrival.waiter, RefuseReason::kQueueFull, actions);
  } else {
    const size_t weight = arrival.bounded ? 1 : 0;
    const Waiters::Place place = WaitersLike(shares).Add(arrival.caller,
                                                         {.id = arrival.waiter,
                                                          .expires_at = expires_at,
                                                          .on_expiry = on_expiry,
                                                          .bounded = arrival.bounded,
                                                          .shares = shares},
                                                         weight);
    bounded_waiters_ += weight;
    waiter_by_id_.emplace(arrival.waiter, place);
    expiries_.emplace(expires_at, arrival.waiter);
  }
  Serve(now, actions);
}

bool PoolCore::MakeRoomFor(const Arrival& arrival, bool shares, Actions& actions) {
  if (!arrival.bounded || bounded_waiters_ < config_.waiters_max) return true;
  // Whoever goes must leave its caller with no fewer than the newcomer's then has.
  size_t least = WaitersLike(shares).WeightOf(arrival.caller) + 1;
  const auto bounded = [](const Waiter& waiter) { return waiter.bounded; };
  const Waiter* goes = nullptr;
  for (Waiters* const waiters : {&alone_, &sharing_}) {
    if (const Waiter* waiter = waiters->LatestOfHeaviest(least, bounded)) {
      goes = waiter;
      least = std::max(least, waiters->WeightOf(waiter_by_id_.at(waiter->id).caller->key));
    }
  }
  if (goes == nullptr) return false;
  Refuse(goes->id, RefuseReason::kQueueFull, actions);
  RemoveWaiter(waiter_by_id_.at(goes->id));
  return true;
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
  if (Find(id, ConnectionState::kShared) != nullptr) {
    Leave(now, id, condition, actions);
  } else if (Find(id, ConnectionState::kClosing) == nullptr) {
    DBSIDECAR_CHECK(Find(id, ConnectionState::kLeased) != nullptr);
    PutBack(now, id, condition, actions);
  }
  Serve(now, actions);
}

void PoolCore::HandedBack(Instant now, ConnectionId id, Actions& actions) {
  if (const Connection* connection = Find(id, ConnectionState::kShared)) {
    const Instant stalled = std::min(connection->progress_at, now - config_.stalled_after);
    Leave(now, id, Condition::kClean, actions);
    // Also when its callers see it stall a little sooner than we do: they would be sent back there.
    if (Connection* shared = Find(id, ConnectionState::kShared)) shared->progress_at = stalled;
  }
  Serve(now, actions);
}

void PoolCore::Leave(Instant now, ConnectionId id, Condition condition, Actions& actions) {
  Connection& connection = connections_[id];
  DBSIDECAR_CHECK(connection.callers > 0);
  --connection.callers;
  connection.progress_at = now;
  connection.condition = std::max(connection.condition, condition);
  // All leave a connection that is not clean any more, or too old, before anything happens to it.
  if (connection.condition != Condition::kClean || now >= connection.retire_at) {
    connection.leaving = true;
  }
  if (connection.callers > 0) return;
  std::erase(shared_, id);
  PutBack(now, id, connection.condition, actions);
}

void PoolCore::PutBack(Instant now, ConnectionId id, Condition condition, Actions& actions) {
  switch (condition) {
    case Condition::kClean:
      MakeIdle(now, id, actions);
      break;
    case Condition::kDirty:
      Move(now, connections_[id], ConnectionState::kResetting);
      actions.push_back({.kind = Action::Kind::kReset, .connection = id});
      break;
    case Condition::kBroken:
      Close(now, id, CloseReason::kBroken, actions);
      break;
  }
}

void PoolCore::Broke(Instant now, ConnectionId id, Actions& actions) {
  const bool granted = Find(id, ConnectionState::kLeased) != nullptr ||
                       Find(id, ConnectionState::kShared) != nullptr;
  if (granted) Close(now, id, CloseReason::kBroken, actions);
  Serve(now, actions);
}

void PoolCore::Lost(Instant now, ConnectionId id, Actions& actions) {
  const auto it = connections_.find(id);
  if (it != connections_.end() && it->second.state != ConnectionState::kClosing) {
    DBSIDECAR_CHECK(it->second.state != ConnectionState::kLeased &&
                    it->second.state != ConnectionState::kShared);
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
  if (draining_ || paused_) {
    // On the way out nobody asks; and a pause is for work on the database.
  } else if (!idle_.empty()) {
    Ping(now, idle_.front(), actions);
  } else if (OpenCount() == 0) {
    probe_wanted_ = true;
  }
  Serve(now, actions);
}

void PoolCore::Reserve(Instant now, Actions& actions) {
  if (!draining_) ++places_wanted_;
  Serve(now, actions);
}

void PoolCore::Unreserve(Instant now, Actions& actions) {
  DBSIDECAR_CHECK(reserved_ > 0);
  --reserved_;
  Serve(now, actions);
}

void PoolCore::Pause(Instant now, Actions& actions) {
  paused_ = !draining_;
  Serve(now, actions);
}

void PoolCore::Unpause(Instant now, Actions& actions) {
  paused_ = false;
  Serve(now, actions);
}

void PoolCore::Reconfigure(Instant now, const PoolConfig& config, Actions& actions) {
  DBSIDECAR_CHECK(config.max > 0);
  const bool other_lifetime = config.lifetime != config_.lifetime ||
                              config.lifetime_jitter_percent != config_.lifetime_jitter_percent;
  const bool fewer_shared = config.shared_max < config_.shared_max;
  config_ = config;
  if (other_lifetime) RollLifetimes();
  if (fewer_shared) TakeBackShared(shared_.size(), config_.shared_max);
  Serve(now, actions);
}

// In the order of their ids: the same seed must give the same run.
void PoolCore::RollLifetimes() {
  std::vector<ConnectionId> ids;
  for (const auto& [id, connection] : connections_) {
    if (connection.opened_at != kNever) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  for (const ConnectionId id : ids) {
    Connection& connection = connections_[id];
    connection.retire_at = RetireAt(connection.opened_at, config_.lifetime,
                                    config_.lifetime_jitter_percent, random_());
  }
}

void PoolCore::Drain(Instant now, Actions& actions) {
  draining_ = true;
  paused_ = false;
  places_wanted_ = 0;
  Serve(now, actions);
}

void PoolCore::Tick(Instant now, Actions& actions) {
  ExpireWaiters(now, actions);
  CloseOverdue(now, actions);
  RetireIdle(now, actions);
  Serve(now, actions);
}

void PoolCore::Serve(Instant now, Actions& actions) {
  served_at_ = now;
  ExpireWaiters(now, actions);
  MaybePingAll(now, actions);
  MaybeShrink(now, actions);
  if (!paused_) ServeWaiters(now, actions);
  MaybeEvict(now, actions);
  if (!paused_) {
    MaybeReserve(now, actions);
    MaybeTakeBack();
    MaybeOpen(now, actions);
  }
  MaybeCloseUnneeded(now, actions);
}

void PoolCore::ServeWaiters(Instant now, Actions& actions) {
  MaybeReserve(now, actions);
  ServeSharing(now, actions);
  while (!idle_.empty()) {
    Waiters* const waiters = NextForIdle(now);
    if (waiters == nullptr || !ServeFront(now, *waiters, idle_.back(), actions)) break;
    ServeSharing(now, actions);
  }
}

size_t PoolCore::Excess() const {
  const size_t staying = StayingCount() + reserved_;
  return staying > config_.max ? staying - config_.max : 0;
}

// Those that one caller has, or that are on their way, become free by themselves.
void PoolCore::MaybeShrink(Instant now, Actions& actions) {
  if (total() > config_.max) {
    while (Excess() > 0 && !idle_.empty()) {
      Close(now, idle_.front(), CloseReason::kResize, actions);
    }
    // Callers who may share are to be served all the while, if anyone is.
    TakeBackShared(Excess(), Excess() < StayingCount() ? 1 : 0);
  }
}

// Lets nobody join them any more, so that they become free: `wanted` in all, of which those that
// leave already are a part, but for `kept`.
void PoolCore::TakeBackShared(size_t wanted, size_t kept) {
  const auto leaving =
      static_cast<size_t>(std::count_if(shared_.begin(), shared_.end(), [&](ConnectionId id) {
        return connections_.at(id).leaving;
      }));
  const size_t staying = shared_.size() - leaving;
  size_t more =
      std::min(wanted > leaving ? wanted - leaving : 0, staying > kept ? staying - kept : 0);
  for (const ConnectionId id : shared_) {
    bool& leaves = connections_.at(id).leaving;
    if (leaves || more == 0) continue;
    leaves = true;
    --more;
  }
}

// While few are on a connection the next one joins them; then an idle one is shared as well, if
// there is any that can be had at once.
void PoolCore::ServeSharing(Instant now, Actions& actions) {
  while (!sharing_.empty()) {
    const bool another = !idle_.empty() && UsableShared(now) < SharedMax() &&
                         now < connections_.at(idle_.back()).retire_at &&
                         !WorthPinging(now, connections_.at(idle_.back()));
    const size_t spread = std::min(config_.shared_spread, config_.shared_depth);
    const ConnectionId id = SharedWithRoom(now, another ? spread : config_.shared_depth);
    if (id == 0) return;
    Join(now, id);
    Grant(sharing_, id, actions);
  }
}

PoolCore::Waiters* PoolCore::NextForIdle(Instant now) {
  const bool to_share = !sharing_.empty() && UsableShared(now) < SharedMax();
  if (alone_.empty()) return to_share ? &sharing_ : nullptr;
  if (!to_share) return &alone_;
  return shared_last_ ? &alone_ : &sharing_;
}

// A statement that turned out to be slow holds up those behind it; no more are put there.
bool PoolCore::Usable(Instant now, const Connection& connection) const {
  const bool stalled =
      connection.callers > 0 && now - connection.progress_at >= config_.stalled_after;
  return !connection.leaving && !stalled;
}

void PoolCore::MaybeEvict(Instant now, Actions& actions) {
  for (const ConnectionId id : shared_) {
    Connection& connection = connections_.at(id);
    if (now < EvictionDueAt(connection)) continue;
    connection.evicted_at = now;
    ++counters_.evictions;
    actions.push_back({.kind = Action::Kind::kEvict, .connection = id});
  }
}

Instant PoolCore::EvictionDueAt(const Connection& connection) const {
  if (connection.callers < 2 || config_.evict_after == Duration::zero()) return kNever;
  return std::max(connection.progress_at, connection.evicted_at) + config_.evict_after;
}

size_t PoolCore::UsableShared(Instant now) const {
  return static_cast<size_t>(std::count_if(shared_.begin(), shared_.end(), [&](ConnectionId id) {
    return Usable(now, connections_.at(id));
  }));
}

ConnectionId PoolCore::SharedWithRoom(Instant now, size_t callers_max) const {
  ConnectionId best = 0;
  for (const ConnectionId id : shared_) {
    const Connection& connection = connections_.at(id);
    if (!Usable(now, connection) || connection.callers >= callers_max) continue;
    best = id;
    callers_max = connection.callers;
  }
  return best;
}

void PoolCore::Join(Instant now, ConnectionId id) {
  Connection& connection = connections_[id];
  if (connection.state != ConnectionState::kShared) {
    Move(now, connection, ConnectionState::kShared);
    connection.callers = 0;
    connection.leaving = false;
    connection.condition = Condition::kClean;
    shared_.push_back(id);
  }
  if (connection.callers++ == 0) connection.progress_at = now;
}

void PoolCore::Grant(Waiters& waiters, ConnectionId id, Actions& actions) {
  ++counters_.granted;
  waiter_goes_first_ = false;
  actions.push_back({.kind = Action::Kind::kGrant,
                     .connection = id,
                     .waiter = waiters.front().id,
                     .shared = waiters.front().shares});
  Forget(waiters.front());
  waiters.RemoveFront(waiters.front().bounded ? 1 : 0);
}

// Whoever needs a connection alone, or a place, may have one that was shared, but the last of these
// only where there is just one connection in all.
void PoolCore::MaybeTakeBack() {
  const bool needed = !alone_.empty() || places_wanted_ > 0;
  if (!needed || shared_.empty() || total() < config_.max) return;
  const size_t on_the_way = count(ConnectionState::kConnecting) + count(ConnectionState::kPinging) +
                            count(ConnectionState::kResetting) + count(ConnectionState::kClosing);
  const bool leaving = std::any_of(shared_.begin(), shared_.end(),
                                   [&](ConnectionId id) { return connections_.at(id).leaving; });
  const size_t kept = config_.max > 1 ? 1 : 0;
  if (on_the_way > 0 || leaving || shared_.size() <= kept) return;
  connections_.at(shared_.front()).leaving = true;
}

// Before any waiter, because under load there is always one; but not twice in a row.
void PoolCore::MaybeReserve(Instant now, Actions& actions) {
  const auto its_turn = [&] {
    return places_wanted_ > 0 && !(waiter_goes_first_ && waiting() > 0);
  };
  while (its_turn() && total() < config_.max) {
    --places_wanted_;
    waiter_goes_first_ = true;
    ++reserved_;
    actions.push_back({.kind = Action::Kind::kReserved});
  }
  if (its_turn() && !idle_.empty() && count(ConnectionState::kClosing) == 0) {
    Close(now, idle_.front(), CloseReason::kMakeRoom, actions);
  }
}

bool PoolCore::ServeFront(Instant now, Waiters& waiters, ConnectionId id, Actions& actions) {
  Connection& connection = connections_[id];
  if (now >= connection.retire_at) {
    Close(now, id, CloseReason::kLifetime, actions);
  } else if (WorthPinging(now, connection)) {
    if (count(ConnectionState::kPinging) >= waiting()) return false;
    Ping(now, id, actions);
  } else {
    idle_.pop_back();
    shared_last_ = waiters.front().shares;
    if (shared_last_) {
      Join(now, id);
    } else {
      Move(now, connection, ConnectionState::kLeased);
    }
    Grant(waiters, id, actions);
  }
  return true;
}

// What took one connection may have taken all: the idle ones are asked at once, not only when
// someone needs them. Not at each loss, or a server that ends one after the other keeps us busy.
void PoolCore::MaybePingAll(Instant now, Actions& actions) {
  if (!std::exchange(in_doubt_, false) || draining_) return;
  if (config_.ping_after == Duration::zero()) return;
  if (doubted_at_ != Instant{} && now - doubted_at_ < config_.doubt_interval) return;
  doubted_at_ = now;
  while (!idle_.empty()) Ping(now, idle_.front(), actions);
}

bool PoolCore::WorthPinging(Instant now, const Connection& connection) const {
  return config_.ping_after != Duration::zero() && now - connection.since > config_.ping_after;
}

void PoolCore::MaybeOpen(Instant now, Actions& actions) {
  if (now < connect_not_before_) {
    // The database refused us a moment ago; wait out the back-off.
  } else {
    for (size_t i = WantedConnections(now); i > 0; --i) Open(now, actions);
  }
}

size_t PoolCore::WantedConnections(Instant now) const {
  if (paused_) return 0;
  // Those who share need more connections only as long as fewer are shared than may be.
  const size_t usable = UsableShared(now);
  const size_t to_share = SharedMax() > usable ? SharedMax() - usable : 0;
  const size_t wanting = alone_.size() + std::min(sharing_.size(), to_share);
  const size_t connecting = count(ConnectionState::kConnecting);
  // A database that refused the last connection is asked by one at a time.
  const size_t connecting_max = connect_failures_in_a_row_ > 0 ? 1 : config_.connecting_max;
  return ConnectionsToOpen({.total = total(),
                            .arriving = connecting + count(ConnectionState::kPinging) +
                                        count(ConnectionState::kResetting),
                            .connecting = connecting,
                            .staying = StayingCount(),
                            .waiting = wanting,
                            .floor = Floor(),
                            .max = config_.max,
                            .connecting_max = connecting_max});
}

void PoolCore::MaybeCloseUnneeded(Instant now, Actions& actions) {
  const bool drained = draining_ && waiting() == 0;
  if (!drained && !paused_) return;
  std::vector<ConnectionId> unneeded;
  for (const auto& [id, connection] : connections_) {
    const bool in_use = connection.state == ConnectionState::kLeased ||
                        connection.state == ConnectionState::kShared ||
                        connection.state == ConnectionState::kClosing;
    if (!in_use) unneeded.push_back(id);
  }
  // The table has no order of its own; the same events must give the same actions.
  std::sort(unneeded.begin(), unneeded.end());
  const CloseReason reason = paused_ ? CloseReason::kPause : CloseReason::kDrain;
  for (const ConnectionId id : unneeded) Close(now, id, reason, actions);
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
  if (connection.state == ConnectionState::kShared) std::erase(shared_, id);
  if (connection.state != ConnectionState::kConnecting) {
    ++counters_.closed[static_cast<size_t>(reason)];
  } else if (reason == CloseReason::kConnectTimeout) {
    ++counters_.connect_failures;
  }
  Move(now, connection, ConnectionState::kClosing);
  actions.push_back({.kind = Action::Kind::kClose, .connection = id, .close_reason = reason});
  const bool bad_sign = reason == CloseReason::kLost || reason == CloseReason::kPingFailed ||
                        reason == CloseReason::kBroken || reason == CloseReason::kResetFailed;
  if (bad_sign) in_doubt_ = true;
  if (bad_sign && OpenCount() == 0) {
    // The last connection went without our wish: find out whether the database is still there, but
    // not while a pause is there for work on it.
    database_up_ = database_up_ && paused_;
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
  connect_not_before_ = now + Backoff(connect_failures_in_a_row_, config_.backoff_base,
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
  for (Waiters* const waiters : {&alone_, &sharing_}) {
    while (!waiters->empty()) {
      Refuse(waiters->front().id, reason, actions);
      RemoveWaiter(waiter_by_id_.at(waiters->front().id));
    }
  }
}

void PoolCore::Forget(const Waiter& waiter) {
  expiries_.erase({waiter.expires_at, waiter.id});
  waiter_by_id_.erase(waiter.id);
  bounded_waiters_ -= waiter.bounded ? 1 : 0;
}

void PoolCore::RemoveWaiter(Waiters::Place place) {
  const Waiter& waiter = *place.item;
  Forget(waiter);
  WaitersLike(waiter.shares).Remove(place, waiter.bounded ? 1 : 0);
}

void PoolCore::ExpireWaiters(Instant now, Actions& actions) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    const Waiters::Place place = waiter_by_id_.at(expiries_.begin()->second);
    Refuse(place.item->id, place.item->on_expiry, actions);
    RemoveWaiter(place);
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
    case ConnectionState::kShared:
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
  for (const ConnectionId id : shared_) {
    const Connection& connection = connections_.at(id);
    next = std::min(next, EvictionDueAt(connection));
    const Instant stalls_at = connection.progress_at + config_.stalled_after;
    if (!sharing_.empty() && stalls_at > served_at_) next = std::min(next, stalls_at);
  }
  if (WantedConnections(std::max(served_at_, connect_not_before_)) > 0) {
    next = std::min(next, connect_not_before_);
  }
  return next;
}

size_t PoolCore::Floor() const {
  if (draining_ || !started_) return 0;
  return std::min(config_.max, std::max<size_t>(config_.min, probe_wanted_ ? 1 : 0));
}

size_t PoolCore::StayingCount() const {
  return connections_.size() - count(ConnectionState::kClosing);
}

size_t PoolCore::OpenCount() const {
  return count(ConnectionState::kIdle) + count(ConnectionState::kPinging) +
         count(ConnectionState::kLeased) + count(ConnectionState::kShared) +
         count(ConnectionState::kResetting);
}

Instant PoolCore::OldestLease() const {
  Instant oldest = kNever;
  for (const auto& [id, connection] : connections_) {
    const bool lent = connection.state == ConnectionState::kLeased ||
                      connection.state == ConnectionState::kShared;
    if (lent) oldest = std::min(oldest, connection.since);
  }
  return oldest;
}

PoolCore::Connection* PoolCore::Find(ConnectionId id, ConnectionState state) {
  const auto it = connections_.find(id);
  return it != connections_.end() && it->second.state == state ? &it->second : nullptr;
}

}  // namespace dbsidecar::pool
