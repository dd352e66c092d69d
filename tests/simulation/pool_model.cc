#include "tests/simulation/pool_model.h"

#include <algorithm>
#include <array>
#include <utility>

namespace dbsidecar::simulation {

using pool::Action;
using pool::CloseReason;
using pool::Condition;
using pool::ConnectionState;
using pool::Duration;
using pool::Instant;
using pool::kNever;
using pool::RefuseReason;

namespace {

// The instant `limit` after `since`; a limit of 0 never comes.
Instant DueAt(Instant since, Duration limit) {
  return limit == Duration::zero() ? kNever : since + limit;
}

std::string ConnectionText(pool::ConnectionId id) { return "connection " + std::to_string(id); }
std::string WaiterText(pool::WaiterId id) { return "waiter " + std::to_string(id); }

}  // namespace

void PoolModel::Observe(const Event& event, const pool::Actions& actions,
                        const Readings& readings) {
  if (violation_) return;
  newcomer_ = event.kind == Event::Kind::kArrive ? event.waiter : 0;
  Apply(event);
  for (const Action& action : actions) Apply(event, action);
  // The gauges come last: they disagree after any other fault too, and say less about it.
  CheckWhatIsDue(event, readings);
  CheckGauges(readings);
  CheckCounters(readings.counters);
}

void PoolModel::ExpectGranted(pool::WaiterId waiter) {
  const auto it = fates_.find(waiter);
  if (it == fates_.end() || it->second != Fate::kGranted) {
    Fail(4, WaiterText(waiter) + " got no connection although nothing stood in the way");
  }
}

void PoolModel::ExpectDatabaseUp(const Readings& readings) {
  if (!readings.database_up) Fail(9, "the database answers, yet is reported down");
}

void PoolModel::ExpectNothingLeft(const Readings& readings) {
  if (!connections_.empty()) {
    Fail(8, ConnectionText(connections_.begin()->first) + " is left after the drain");
  }
  if (!waiters_.empty()) Fail(8, WaiterText(waiters_.front().id) + " is left after the drain");
  if (!readings.empty) Fail(8, "the drained pool does not report that it is empty");
  if (readings.next_tick != kNever) Fail(8, "the drained pool still wants to be woken");
}

// --- Events ---

void PoolModel::Apply(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kStart:
      started_ = true;
      break;
    case Event::Kind::kArrive:
      ApplyArrive(event);
      break;
    case Event::Kind::kAbandon:
      ApplyAbandon(event);
      break;
    case Event::Kind::kConnected:
      ApplyConnected(event);
      break;
    case Event::Kind::kConnectFailed:
      ApplyConnectFailed(event);
      break;
    case Event::Kind::kPinged:
      ApplyAnswer(event, State::kPinging);
      break;
    case Event::Kind::kResetDone:
      ApplyAnswer(event, State::kResetting);
      break;
    case Event::Kind::kReleased:
      ApplyReleased(event);
      break;
    case Event::Kind::kHandedBack:
      ApplyHandedBack(event);
      break;
    case Event::Kind::kBroke:
      ApplyBroke(event);
      break;
    case Event::Kind::kLost:
      ApplyLost(event);
      break;
    case Event::Kind::kClosed:
      connections_.erase(event.connection);
      break;
    case Event::Kind::kReserve:
      ++places_wanted_;
      break;
    case Event::Kind::kUnreserve:
      --reserved_;
      break;
    case Event::Kind::kPause:
      paused_ = true;
      break;
    case Event::Kind::kUnpause:
      paused_ = false;
      break;
    case Event::Kind::kReconfigure:
      ApplyReconfigure(event);
      break;
    case Event::Kind::kDrain:
      draining_ = true;
      paused_ = false;
      places_wanted_ = 0;
      break;
    case Event::Kind::kCheck:
    case Event::Kind::kTick:
      break;
  }
}

void PoolModel::ApplyArrive(const Event& event) {
  ++counters_.arrived;
  waiters_.push_back({.id = event.waiter,
                      .expires_at = std::min(event.deadline, DueAt(event.at, config_.wait_timeout)),
                      .bounded = event.bounded,
                      .shares = event.shares && config_.shared_max > 0,
                      .caller = event.caller});
  fates_[event.waiter] = Fate::kWaiting;
}

void PoolModel::ApplyAbandon(const Event& event) {
  if (TakeWaiter(event.waiter, Fate::kAbandoned)) ++counters_.abandoned;
}

void PoolModel::ApplyConnected(const Event& event) {
  Connection* connection = Find(event.connection);
  if (connection == nullptr || connection->state != State::kConnecting) return;
  ++counters_.opened;
  connection->opened_at = event.at;
  Move(*connection, State::kIdle, event.at);
  NoteSuccess();
}

void PoolModel::ApplyConnectFailed(const Event& event) {
  Connection* connection = Find(event.connection);
  if (connection == nullptr) return;
  if (connection->state == State::kConnecting) {
    ++counters_.connect_failures;
    NoteFailure(event.at);
  }
  connections_.erase(event.connection);
}

void PoolModel::ApplyAnswer(const Event& event, State expected) {
  Connection* connection = Find(event.connection);
  if (connection == nullptr || connection->state != expected) return;
  Move(*connection, event.ok ? State::kIdle : State::kMustClose, event.at);
  if (event.ok && expected == State::kPinging) NoteSuccess();
}

void PoolModel::ApplyReleased(const Event& event) {
  Connection& connection = connections_.at(event.connection);
  if (connection.state == State::kClosing) return;
  Condition condition = event.condition;
  if (connection.state == State::kShared) {
    --connection.callers;
    connection.progress_at = event.at;
    connection.worst = std::max(connection.worst, condition);
    if (connection.callers > 0) return;
    condition = connection.worst;
  }
  switch (condition) {
    case Condition::kClean:
      Move(connection, State::kIdle, event.at);
      break;
    case Condition::kDirty:
      Move(connection, State::kMustReset, event.at);
      break;
    case Condition::kBroken:
      Move(connection, State::kMustClose, event.at);
      break;
  }
}

void PoolModel::ApplyHandedBack(const Event& event) {
  Connection& connection = connections_.at(event.connection);
  if (connection.state != State::kShared) return;
  --connection.callers;
  connection.progress_at = std::min(connection.progress_at, event.at - config_.stalled_after);
}

void PoolModel::ApplyBroke(const Event& event) {
  Connection* connection = Find(event.connection);
  if (connection == nullptr) return;
  if (connection->state != State::kLeased && connection->state != State::kShared) return;
  Move(*connection, State::kMustClose, event.at);
}

void PoolModel::ApplyLost(const Event& event) {
  Connection* connection = Find(event.connection);
  if (connection == nullptr || connection->state == State::kClosing) return;
  if (event.at < connection->opened_at + config_.backoff_cap) NoteFailure(event.at);
  Move(*connection, State::kMustClose, event.at);
}

void PoolModel::ApplyReconfigure(const Event& event) {
  const bool fewer = event.config.max < config_.max || event.config.shared_max < config_.shared_max;
  for (auto& [id, connection] : connections_) {
    // By what held until now.
    connection.maybe_leaving = fewer || MaybeLeaving(connection, event.at);
  }
  config_ = event.config;
  joined_.clear();
}

void PoolModel::NoteFailure(Instant now) {
  failing_ = true;
  last_failure_ = now;
}

void PoolModel::NoteSuccess() { failing_ = false; }

// --- Actions ---

void PoolModel::Apply(const Event& event, const Action& action) {
  switch (action.kind) {
    case Action::Kind::kOpen:
      ApplyOpen(event, action);
      break;
    case Action::Kind::kPing:
      Expect(action, State::kIdle, State::kPinging, 2, event.at);
      break;
    case Action::Kind::kReset:
      Expect(action, State::kMustReset, State::kResetting, 2, event.at);
      break;
    case Action::Kind::kClose:
      ApplyClose(event, action);
      break;
    case Action::Kind::kGrant:
      ApplyGrant(event, action);
      break;
    case Action::Kind::kEvict:
      ApplyEvict(event, action);
      break;
    case Action::Kind::kRefuse:
      ApplyRefuse(event, action);
      break;
    case Action::Kind::kReserved:
      ApplyReserved();
      break;
  }
}

void PoolModel::ApplyOpen(const Event& event, const Action& action) {
  if (action.connection <= last_opened_) Fail(2, "an id was used twice: " + Describe(action));
  if (!HasRoom()) Fail(1, Describe(action) + " goes over the budget");
  if (paused_) Fail(17, Describe(action) + " during a pause");
  if (draining_ && Arriving() >= waiters_.size()) {
    Fail(8, Describe(action) + " while draining, for nobody");
  }
  if (WaitsOutBackoff(event.at) && event.at < last_failure_ + config_.backoff_base / 2) {
    Fail(4, Describe(action) + " during the back-off");
  }
  if (Count(State::kConnecting) >= config_.connecting_max) {
    Fail(1, Describe(action) + " is one connect too many at once");
  }
  last_opened_ = action.connection;
  connections_[action.connection] = {.state = State::kConnecting, .since = event.at};
}

void PoolModel::ApplyClose(const Event& event, const Action& action) {
  Connection* connection = Find(action.connection);
  if (connection == nullptr || connection->state == State::kClosing ||
      connection->state == State::kLeased || connection->state == State::kShared) {
    Fail(2, Describe(action) + ", which is not the core's to close");
    return;
  }
  const bool was_open = connection->state != State::kConnecting;
  if (action.close_reason == CloseReason::kLifetime &&
      event.at < connection->opened_at + LifetimeMin()) {
    Fail(12, Describe(action) + " before its time");
  }
  if (action.close_reason == CloseReason::kIdleTimeout &&
      (event.at < connection->since + config_.idle_timeout ||
       Staying() <= (draining_ ? 0 : config_.min))) {
    Fail(12, Describe(action) + " without need");
  }
  if (action.close_reason == CloseReason::kMakeRoom &&
      (places_wanted_ == 0 || HasRoom() || Count(State::kClosing) > 0)) {
    Fail(13, Describe(action) + " although no room is missing");
  }
  if (action.close_reason == CloseReason::kResize && !HasTooMany()) {
    Fail(18, Describe(action) + " although there are not too many");
  }
  if (action.close_reason == CloseReason::kPause && !paused_) {
    Fail(17, Describe(action) + " without a pause");
  }
  if (was_open) {
    ++counters_.closed[static_cast<size_t>(action.close_reason)];
  } else if (action.close_reason == CloseReason::kConnectTimeout) {
    ++counters_.connect_failures;
    NoteFailure(event.at);
  }
  Move(*connection, State::kClosing, event.at);
}

void PoolModel::ApplyGrant(const Event& event, const Action& action) {
  ++counters_.granted;
  waiter_goes_first_ = false;
  if (paused_) Fail(17, Describe(action) + " during a pause");
  const auto it = std::find_if(waiters_.begin(), waiters_.end(),
                               [&](const Waiter& waiter) { return waiter.id == action.waiter; });
  if (it == waiters_.end()) {
    Fail(5, Describe(action) + ", who has its answer or left");
    return;
  }
  CheckTurn(event, action, *it);
  const Waiter waiter = *TakeWaiter(action.waiter, Fate::kGranted);
  if (action.shared && !waiter.shares) Fail(14, Describe(action) + ", who must be alone");
  Connection* connection = Find(action.connection);
  if (connection == nullptr) {
    Fail(2, Describe(action) + ": no such connection");
    return;
  }
  const bool unclean =
      connection->state == State::kMustReset || connection->state == State::kMustClose ||
      connection->state == State::kResetting ||
      (connection->state == State::kShared && connection->worst != Condition::kClean);
  if (unclean) Fail(10, Describe(action) + " in an unclean state");
  if (waiter.expires_at <= event.at) Fail(6, Describe(action) + " after its time");
  if (connection->state == State::kShared) {
    GrantShared(event, action, *connection);
    return;
  }
  if (connection->state != State::kIdle) Fail(2, Describe(action) + ", which is not idle");
  if (!Fresh(*connection, event.at)) Fail(2, Describe(action) + " without the ping it needs");
  Move(*connection, waiter.shares ? State::kShared : State::kLeased, event.at);
  connection->callers = 1;
  connection->progress_at = event.at;
  connection->worst = Condition::kClean;
  connection->maybe_leaving = false;
}

void PoolModel::CheckTurn(const Event& event, const Action& action, const Waiter& waiter) {
  const Connection* connection = Find(action.connection);
  const bool idle = connection != nullptr && connection->state == State::kIdle;
  const auto certain =
      std::count_if(connections_.begin(), connections_.end(), [&](const auto& entry) {
        return entry.second.state == State::kShared && !Stalled(entry.second, event.at) &&
               !MaybeLeaving(entry.second, event.at);
      });
  if (idle && waiter.shares && static_cast<size_t>(certain) >= SharedMax()) {
    Fail(14, Describe(action) + ": one shared connection too many");
  }
  // Whoever may share joins others past those who cannot.
  const bool rivals =
      Waiting(!waiter.shares) > 0 && (waiter.shares || UsableShared(event.at) < SharedMax());
  if (idle && rivals && waiter.shares == shared_last_) {
    Fail(7, Describe(action) + ", although the other kind had its turn");
  }
  if (idle) shared_last_ = waiter.shares;
  CheckCallersTurn(action, waiter);
}

void PoolModel::CheckCallersTurn(const Action& action, const Waiter& waiter) {
  for (const Waiter& earlier : waiters_) {
    if (earlier.id == waiter.id) break;
    if (QueueOf(earlier) == QueueOf(waiter)) Fail(7, Describe(action) + " past an earlier one");
  }
  for (const Waiter& other : waiters_) {
    if (other.shares != waiter.shares || other.caller == waiter.caller) continue;
    std::set<uint64_t>& went = went_since_[QueueOf(other)];
    if (went.contains(waiter.caller)) {
      Fail(7, Describe(action) + ": its second turn while " + WaiterText(other.id) + " waits");
    }
  }
  std::set<Queue> others;
  for (const Waiter& other : waiters_) {
    if (other.shares == waiter.shares) others.insert(QueueOf(other));
  }
  for (const Queue& queue : others) went_since_[queue].insert(waiter.caller);
  went_since_[QueueOf(waiter)].clear();
}

// REQUIRES: the one who was refused is not among the waiters any more, but the newcomer is if it is
// another one.
void PoolModel::CheckQueueFull(const Event& event, const Action& action, const Waiter& refused) {
  const bool newcomer = event.waiter == refused.id;
  const size_t bounded = static_cast<size_t>(std::count_if(
      waiters_.begin(), waiters_.end(), [](const Waiter& waiter) { return waiter.bounded; }));
  if (event.kind != Event::Kind::kArrive || !event.bounded || !refused.bounded ||
      bounded < config_.waiters_max) {
    Fail(16, Describe(action) + ", but the queue is not full");
  }
  const Queue comes = {event.caller, event.shares && config_.shared_max > 0};
  const size_t its_own = Weight(comes) - (newcomer ? 0 : 1);
  const size_t lost = Weight(QueueOf(refused)) + (newcomer ? 0 : 1);
  size_t most = 0;
  for (const Waiter& waiter : waiters_) most = std::max(most, Weight(QueueOf(waiter)));
  if (newcomer && most > its_own + 1) {
    Fail(16, Describe(action) + ", while another caller has more in the queue");
  }
  if (!newcomer && (lost < most || lost <= its_own + 1)) {
    Fail(16, Describe(action) + ", whose caller has not the most in the queue");
  }
}

void PoolModel::GrantShared(const Event& event, const Action& action, Connection& connection) {
  if (connection.callers >= config_.shared_depth) Fail(14, Describe(action) + ", which is full");
  if (Stalled(connection, event.at)) Fail(14, Describe(action) + ", which is stalled");
  if (HasTooMany()) CheckJoin(action);
  if (connection.callers++ == 0) connection.progress_at = event.at;
}

// Of those that are joined none becomes free, so that enough must be left alone.
void PoolModel::CheckJoin(const Action& action) {
  std::erase_if(joined_, [&](pool::ConnectionId id) {
    const Connection* connection = Find(id);
    return connection == nullptr || connection->state != State::kShared;
  });
  joined_.insert(action.connection);
  const size_t shared = Count(State::kShared);
  const size_t excess = Staying() + reserved_ - config_.max;
  if (joined_.size() > std::max<size_t>(1, shared > excess ? shared - excess : 0)) {
    Fail(18, Describe(action) + ", although one must become free");
  }
}

void PoolModel::ApplyEvict(const Event& event, const Action& action) {
  Connection* connection = Find(action.connection);
  if (connection == nullptr || connection->state != State::kShared) {
    Fail(15, Describe(action) + ", which is not shared");
    return;
  }
  if (event.at < EvictionDueAt(*connection)) Fail(15, Describe(action) + " without need");
  connection->evicted_at = event.at;
}

void PoolModel::ApplyRefuse(const Event& event, const Action& action) {
  ++counters_.refused[static_cast<size_t>(action.refuse_reason)];
  const std::optional<Waiter> waiter = TakeWaiter(action.waiter, Fate::kRefused);
  if (!waiter) {
    Fail(5, Describe(action) + ", who has its answer or left");
  } else if (action.refuse_reason == RefuseReason::kQueueFull) {
    CheckQueueFull(event, action, *waiter);
  } else if (!MayRefuse(event, *waiter, action.refuse_reason)) {
    Fail(6, Describe(action) + " without that reason");
  }
}

void PoolModel::ApplyReserved() {
  if (places_wanted_ == 0) Fail(13, "a place was reserved that nobody asked for");
  if (!HasRoom()) Fail(1, "a place was reserved that the budget does not have");
  if (paused_) Fail(17, "a place was reserved during a pause");
  if (WaiterGoesFirst()) Fail(13, "a place was reserved twice past a waiter");
  places_wanted_ -= std::min<size_t>(places_wanted_, 1);
  waiter_goes_first_ = true;
  ++reserved_;
}

bool PoolModel::MayRefuse(const Event& event, const Waiter& waiter, RefuseReason reason) const {
  const bool arriving = event.kind == Event::Kind::kArrive && event.waiter == waiter.id;
  switch (reason) {
    case RefuseReason::kQueueFull:
      return false;  // CheckQueueFull judges it.
    case RefuseReason::kWaitTimeout:
    case RefuseReason::kDeadline:
      return waiter.expires_at <= event.at;
    case RefuseReason::kDraining:
      return arriving && draining_;
    case RefuseReason::kConnectRejected:
      return event.kind == Event::Kind::kConnectFailed && event.permanent &&
             Staying() == Count(State::kConnecting);
  }
  return false;
}

void PoolModel::Expect(const Action& action, State from, State to, int invariant, Instant now) {
  Connection* connection = Find(action.connection);
  if (connection == nullptr || connection->state != from) {
    Fail(invariant, Describe(action) + ", which is in another state");
  } else {
    Move(*connection, to, now);
  }
}

// --- After the event ---

void PoolModel::CheckWhatIsDue(const Event& event, const Readings& readings) {
  CheckUnknownStates();
  CheckAnsweredInTime(event.at);
  CheckPause();
  CheckShrinking();
  CheckNoIdleStandsBy(event.at);
  CheckPlace();
  CheckSharing(event, readings);
  CheckEviction(event, readings);
  CheckProgress(event, readings);
  CheckDrain(readings);
  CheckFloor(event);
  CheckRetirement(event);
  CheckNextTick(event, readings);
}

void PoolModel::CheckUnknownStates() {
  for (const auto& [id, connection] : connections_) {
    if (connection.state == State::kMustReset) Fail(10, ConnectionText(id) + " was not reset");
    if (connection.state == State::kMustClose) Fail(10, ConnectionText(id) + " was not closed");
  }
}

void PoolModel::CheckPause() {
  if (!paused_) return;
  for (const auto& [id, connection] : connections_) {
    if (connection.state != State::kLeased && connection.state != State::kShared &&
        connection.state != State::kClosing) {
      Fail(17, ConnectionText(id) + " stays open in a paused pool");
    }
  }
}

void PoolModel::CheckShrinking() {
  if (HasTooMany() && Count(State::kIdle) > 0) {
    Fail(18, "a free connection stays although there are too many");
  }
}

void PoolModel::CheckAnsweredInTime(Instant now) {
  for (const Waiter& waiter : waiters_) {
    if (waiter.expires_at <= now) Fail(6, WaiterText(waiter.id) + " has no answer in time");
  }
}

void PoolModel::CheckNoIdleStandsBy(Instant now) {
  const bool wanted = Waiting(false) > 0 || (Waiting(true) > 0 && UsableShared(now) < SharedMax());
  if (!wanted) return;
  for (const auto& [id, connection] : connections_) {
    if (connection.state != State::kIdle) continue;
    if (Fresh(connection, now)) Fail(3, ConnectionText(id) + " is idle while someone waits");
    if (Count(State::kPinging) < waiters_.size()) {
      Fail(3, ConnectionText(id) + " is not even pinged while someone waits");
    }
  }
}

void PoolModel::CheckProgress(const Event& event, const Readings& readings) {
  const size_t wanting = Wanting(event.at);
  if (wanting == 0 || paused_) return;
  const size_t connecting = Count(State::kConnecting);
  const size_t arriving = Arriving();
  const bool enough = arriving >= wanting || connecting >= ConnectingMax();
  if (HasRoom() && !enough && !WaitsOutBackoff(event.at)) {
    Fail(4, "someone waits, the budget has room, and no connection is on its way");
  }
  if (HasRoom() && arriving == 0 && readings.next_tick > last_failure_ + config_.backoff_cap) {
    Fail(4, "someone waits for the end of a back-off, and nobody will notice it");
  }
}

void PoolModel::CheckSharing(const Event& event, const Readings& readings) {
  NoteTakeBack();
  if (Waiting(true) == 0 || paused_) return;
  for (const auto& [id, connection] : connections_) {
    if (connection.state != State::kShared) continue;
    const bool stalled = Stalled(connection, event.at);
    if (!stalled && readings.next_tick > connection.progress_at + config_.stalled_after) {
      Fail(4, "no tick is due when " + ConnectionText(id) + " stalls");
    }
    const bool aging =
        config_.lifetime != Duration::zero() && event.at >= connection.opened_at + LifetimeMin();
    const bool joinable =
        !stalled && !aging && !connection.maybe_leaving && connection.worst == Condition::kClean;
    if (joinable && connection.callers < config_.shared_depth) {
      Fail(14, ConnectionText(id) + " has room while someone waits to share");
    }
  }
}

void PoolModel::CheckEviction(const Event& event, const Readings& readings) {
  for (const auto& [id, connection] : connections_) {
    if (connection.state != State::kShared) continue;
    if (EvictionDueAt(connection) <= event.at) {
      Fail(15, ConnectionText(id) + " keeps callers waiting, and nobody is evicted");
    }
    if (readings.next_tick > EvictionDueAt(connection)) {
      Fail(4, "no tick is due when whoever runs on " + ConnectionText(id) + " must go");
    }
  }
}

// From outside it cannot be seen which connection is taken back, only when one may be.
void PoolModel::NoteTakeBack() {
  const bool needed = Waiting(false) > 0 || places_wanted_ > 0 || HasTooMany();
  if (!needed || HasRoom()) return;
  for (auto& [id, connection] : connections_) connection.maybe_leaving = true;
}

void PoolModel::CheckNextTick(const Event& event, const Readings& readings) {
  if (event.kind == Event::Kind::kTick && readings.next_tick <= event.at) {
    Fail(4, "a tick is due right after a tick: a busy loop");
  }
  for (const Waiter& waiter : waiters_) {
    if (readings.next_tick > waiter.expires_at) {
      Fail(4, "no tick is due when " + WaiterText(waiter.id) + " expires");
    }
  }
  for (const auto& [id, connection] : connections_) {
    const Instant due =
        connection.state == State::kConnecting  ? DueAt(connection.since, config_.connect_timeout)
        : connection.state == State::kPinging   ? DueAt(connection.since, config_.ping_timeout)
        : connection.state == State::kResetting ? DueAt(connection.since, config_.reset_timeout)
                                                : kNever;
    if (readings.next_tick > due) Fail(4, "no tick is due when " + ConnectionText(id) + " is late");
    if (event.kind == Event::Kind::kTick && due <= event.at) {
      Fail(4, ConnectionText(id) + " is overdue and was not closed");
    }
  }
}

void PoolModel::CheckFloor(const Event& event) {
  const bool enough = Staying() >= config_.min || Count(State::kConnecting) >= ConnectingMax();
  if (started_ && !draining_ && !paused_ && HasRoom() && !enough && !WaitsOutBackoff(event.at)) {
    Fail(11, "fewer than `min` connections are open, and none is being opened");
  }
}

void PoolModel::CheckRetirement(const Event& event) {
  if (event.kind != Event::Kind::kTick) return;
  for (const auto& [id, connection] : connections_) {
    if (connection.state != State::kIdle) continue;
    if (DueAt(connection.opened_at, config_.lifetime) <= event.at) {
      Fail(12, ConnectionText(id) + " outlived its lifetime");
    }
    // One more than `min` may be held to learn whether the database is there.
    if (DueAt(connection.since, config_.idle_timeout) <= event.at &&
        Staying() > std::max<size_t>(config_.min, 1)) {
      Fail(12, ConnectionText(id) + " is kept although nobody needs it");
    }
  }
}

void PoolModel::CheckPlace() {
  const bool can_make_room = Count(State::kIdle) > 0 && Count(State::kClosing) == 0;
  if (places_wanted_ > 0 && !paused_ && !WaiterGoesFirst() && (HasRoom() || can_make_room))
    Fail(13, "a wanted place is withheld");
}

void PoolModel::CheckDrain(const Readings& readings) {
  if (!draining_ || !waiters_.empty()) return;
  for (const auto& [id, connection] : connections_) {
    if (connection.state != State::kLeased && connection.state != State::kShared &&
        connection.state != State::kClosing) {
      Fail(8, ConnectionText(id) + " stays open in a drained pool");
    }
  }
  if (connections_.empty() && reserved_ == 0 && !readings.empty) {
    Fail(8, "the drained pool does not report that it is empty");
  }
}

void PoolModel::CheckGauges(const Readings& readings) {
  const std::array<size_t, pool::kConnectionStates> expected = {
      Count(State::kConnecting), Count(State::kIdle),   Count(State::kPinging),
      Count(State::kLeased),     Count(State::kShared), Count(State::kResetting),
      Count(State::kClosing)};
  for (size_t i = 0; i < expected.size(); ++i) {
    if (readings.counts[i] != expected[i]) {
      Fail(9, "gauge " + std::to_string(i) + " reads " + std::to_string(readings.counts[i]) +
                  " instead of " + std::to_string(expected[i]));
    }
  }
  if (readings.total != connections_.size() + reserved_) Fail(9, "the total is wrong");
  if (readings.waiting != waiters_.size()) Fail(9, "the number of waiters is wrong");
  if (readings.draining != draining_) Fail(9, "draining is wrong");
  if (readings.paused != paused_) Fail(9, "paused is wrong");
  if (readings.empty != (connections_.empty() && reserved_ == 0 && waiters_.empty())) {
    Fail(9, "empty is wrong");
  }
  Instant oldest = kNever;
  for (const auto& [id, connection] : connections_) {
    const bool lent = connection.state == State::kLeased || connection.state == State::kShared;
    if (lent) oldest = std::min(oldest, connection.since);
  }
  if (readings.oldest_lease != oldest) Fail(9, "the oldest lease is wrong");
}

void PoolModel::CheckCounters(const pool::PoolCounters& counters) {
  if (counters.opened != counters_.opened) Fail(9, "`opened` is wrong");
  if (counters.connect_failures != counters_.connect_failures) {
    Fail(9, "`connect_failures` is wrong");
  }
  if (counters.closed != counters_.closed) Fail(9, "`closed` is wrong");
  if (counters.arrived != counters_.arrived) Fail(9, "`arrived` is wrong");
  if (counters.granted != counters_.granted) Fail(9, "`granted` is wrong");
  if (counters.refused != counters_.refused) Fail(9, "`refused` is wrong");
  if (counters.abandoned != counters_.abandoned) Fail(9, "`abandoned` is wrong");
}

// --- Small questions ---

bool PoolModel::WaitsOutBackoff(Instant now) const {
  return failing_ && now < last_failure_ + config_.backoff_cap;
}

size_t PoolModel::ConnectingMax() const { return failing_ ? 1 : config_.connecting_max; }

size_t PoolModel::Count(State state) const {
  return static_cast<size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [&](const auto& entry) { return entry.second.state == state; }));
}

size_t PoolModel::Arriving() const {
  return Count(State::kConnecting) + Count(State::kPinging) + Count(State::kResetting);
}

size_t PoolModel::Staying() const { return connections_.size() - Count(State::kClosing); }

bool PoolModel::Fresh(const Connection& connection, Instant now) const {
  return config_.ping_after == Duration::zero() || now - connection.since <= config_.ping_after;
}

size_t PoolModel::Waiting(bool shares) const {
  return static_cast<size_t>(
      std::count_if(waiters_.begin(), waiters_.end(),
                    [&](const Waiter& waiter) { return waiter.shares == shares; }));
}

Instant PoolModel::EvictionDueAt(const Connection& connection) const {
  if (connection.callers < 2) return kNever;
  return DueAt(std::max(connection.progress_at, connection.evicted_at), config_.evict_after);
}

size_t PoolModel::UsableShared(Instant now) const {
  return static_cast<size_t>(
      std::count_if(connections_.begin(), connections_.end(), [&](const auto& entry) {
        const Connection& connection = entry.second;
        return connection.state == State::kShared && !Stalled(connection, now) &&
               connection.worst == Condition::kClean;
      }));
}

bool PoolModel::MaybeLeaving(const Connection& connection, Instant now) const {
  const bool aging =
      config_.lifetime != Duration::zero() && now >= connection.opened_at + LifetimeMin();
  return aging || connection.maybe_leaving || connection.worst != Condition::kClean;
}

bool PoolModel::Stalled(const Connection& connection, Instant now) const {
  return connection.callers > 0 && now - connection.progress_at >= config_.stalled_after;
}

size_t PoolModel::Wanting(Instant now) const {
  const size_t usable = UsableShared(now);
  const size_t to_share = SharedMax() > usable ? SharedMax() - usable : 0;
  return Waiting(false) + std::min(Waiting(true), to_share);
}

Duration PoolModel::LifetimeMin() const {
  return config_.lifetime - config_.lifetime * config_.lifetime_jitter_percent / 100;
}

std::optional<PoolModel::Waiter> PoolModel::TakeWaiter(pool::WaiterId id, Fate fate) {
  const auto it = std::find_if(waiters_.begin(), waiters_.end(),
                               [&](const Waiter& waiter) { return waiter.id == id; });
  if (it == waiters_.end()) return std::nullopt;
  const Waiter waiter = *it;
  waiters_.erase(it);
  fates_[id] = fate;
  const bool waits_on = std::any_of(waiters_.begin(), waiters_.end(), [&](const Waiter& other) {
    return QueueOf(other) == QueueOf(waiter) && other.id != newcomer_;
  });
  if (!waits_on) went_since_.erase(QueueOf(waiter));
  return waiter;
}

size_t PoolModel::Weight(Queue queue) const {
  return static_cast<size_t>(std::count_if(
      waiters_.begin(), waiters_.end(),
      [&](const Waiter& waiter) { return waiter.bounded && QueueOf(waiter) == queue; }));
}

PoolModel::Connection* PoolModel::Find(pool::ConnectionId id) {
  const auto it = connections_.find(id);
  return it == connections_.end() ? nullptr : &it->second;
}

void PoolModel::Move(Connection& connection, State state, Instant now) {
  connection.state = state;
  connection.since = now;
}

void PoolModel::Fail(int invariant, std::string what) {
  if (!violation_) violation_ = Violation{.invariant = invariant, .what = std::move(what)};
}

}  // namespace dbsidecar::simulation
