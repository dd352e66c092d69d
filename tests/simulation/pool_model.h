// PoolModel judges PoolCore from outside. It sees the events that went in, the actions that came
// out and the gauges, keeps its own idea of every connection and waiter, and names the invariant
// (by its number at the top of pool_core.cc) that does not hold.
//
// It is written against the invariants, not after PoolCore's code: where the core is free to
// choose, the model accepts every choice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "pool/pool_core.h"
#include "tests/simulation/event.h"

namespace dbsidecar::simulation {

struct Violation {
  int invariant = 0;
  std::string what;
};

class PoolModel {
 public:
  explicit PoolModel(const pool::PoolConfig& config) : config_(config) {}

  // To be called after every event. The first violation is kept, and nothing is judged after it.
  void Observe(const Event& event, const pool::Actions& actions, const Readings& readings);
  // To be called when faults are off and the world has come to rest.
  void ExpectGranted(pool::WaiterId waiter);
  void ExpectDatabaseUp(const Readings& readings);
  void ExpectNothingLeft(const Readings& readings);
  // To be called when far more happens than the world gives cause for.
  void ReportLivelock() { Fail(4, "events without end, and nothing comes of them"); }

  const std::optional<Violation>& violation() const { return violation_; }

 private:
  enum class State {
    kConnecting,
    kIdle,
    kPinging,
    kLeased,
    kShared,
    kMustReset,  // Released dirty; the core has not asked for the reset yet.
    kResetting,
    kMustClose,  // In an unknown state; the core has not closed it yet.
    kClosing,
  };
  struct Connection {
    State state = State::kConnecting;
    pool::Instant since{};
    pool::Instant opened_at{};
    // kShared:
    size_t callers = 0;
    pool::Instant progress_at{};
    pool::Instant evicted_at{};
    pool::Condition worst = pool::Condition::kClean;
    bool maybe_leaving = false;  // The core may have decided to take it back.
  };
  struct Waiter {
    pool::WaiterId id;
    pool::Instant expires_at;
    bool bounded = true;
    bool shares = false;
    uint64_t caller = 0;
  };
  // Callers take turns among waiters of a kind.
  using Queue = std::pair<uint64_t, bool>;
  static Queue QueueOf(const Waiter& waiter) { return {waiter.caller, waiter.shares}; }
  enum class Fate { kWaiting, kGranted, kRefused, kAbandoned };

  void Apply(const Event& event);
  void ApplyArrive(const Event& event);
  void ApplyAbandon(const Event& event);
  void ApplyConnected(const Event& event);
  void ApplyConnectFailed(const Event& event);
  void ApplyAnswer(const Event& event, State expected);
  void ApplyReleased(const Event& event);
  void ApplyHandedBack(const Event& event);
  void ApplyBroke(const Event& event);
  void ApplyLost(const Event& event);
  void ApplyReconfigure(const Event& event);
  void NoteFailure(pool::Instant now);
  void NoteSuccess();

  void Apply(const Event& event, const pool::Action& action);
  void ApplyOpen(const Event& event, const pool::Action& action);
  void ApplyClose(const Event& event, const pool::Action& action);
  void ApplyGrant(const Event& event, const pool::Action& action);
  void CheckTurn(const Event& event, const pool::Action& action, const Waiter& waiter);
  void CheckCallersTurn(const pool::Action& action, const Waiter& waiter);
  void CheckQueueFull(const Event& event, const pool::Action& action, const Waiter& refused);
  void ApplyEvict(const Event& event, const pool::Action& action);
  void GrantShared(const Event& event, const pool::Action& action, Connection& connection);
  void ApplyRefuse(const Event& event, const pool::Action& action);
  void ApplyReserved();
  bool MayRefuse(const Event& event, const Waiter& waiter, pool::RefuseReason reason) const;
  void Expect(const pool::Action& action, State from, State to, int invariant, pool::Instant now);

  void CheckWhatIsDue(const Event& event, const Readings& readings);
  void CheckUnknownStates();
  void CheckPause();
  void CheckShrinking();
  void CheckAnsweredInTime(pool::Instant now);
  void CheckNoIdleStandsBy(pool::Instant now);
  void CheckProgress(const Event& event, const Readings& readings);
  void CheckNextTick(const Event& event, const Readings& readings);
  void CheckFloor(const Event& event);
  void CheckRetirement(const Event& event);
  void CheckPlace();
  void CheckSharing(const Event& event, const Readings& readings);
  void CheckEviction(const Event& event, const Readings& readings);
  void NoteTakeBack();
  void CheckDrain(const Readings& readings);
  void CheckGauges(const Readings& readings);
  void CheckCounters(const pool::PoolCounters& counters);

  bool WaitsOutBackoff(pool::Instant now) const;
  size_t ConnectingMax() const;
  bool HasRoom() const { return connections_.size() + reserved_ < config_.max; }
  // Above a `max` that was lowered.
  bool HasTooMany() const { return Staying() + reserved_ > config_.max; }
  void CheckJoin(const pool::Action& action);
  bool WaiterGoesFirst() const { return waiter_goes_first_ && !waiters_.empty(); }
  size_t Count(State state) const;
  // On its way to whoever waits.
  size_t Arriving() const;
  // Open or about to be: neither reserved nor on its way out.
  size_t Staying() const;
  bool Fresh(const Connection& connection, pool::Instant now) const;
  size_t Waiting(bool shares) const;
  // Connections that more callers may join, or may have been meant to.
  size_t UsableShared(pool::Instant now) const;
  // Whoever came to share goes on waiting for that, even if nobody may share any more.
  size_t SharedMax() const {
    return std::max<size_t>(config_.shared_max, Waiting(true) > 0 ? 1 : 0);
  }
  // The core may have decided that nobody joins any more: to take it back, or for its age.
  bool MaybeLeaving(const Connection& connection, pool::Instant now) const;
  bool Stalled(const Connection& connection, pool::Instant now) const;
  // When whoever runs on it must be evicted; kNever = nobody waits behind.
  pool::Instant EvictionDueAt(const Connection& connection) const;
  // Waiters that need a connection which is not there.
  size_t Wanting(pool::Instant now) const;
  pool::Duration LifetimeMin() const;
  // Bounded waiters.
  size_t Weight(Queue queue) const;
  std::optional<Waiter> TakeWaiter(pool::WaiterId id, Fate fate);
  Connection* Find(pool::ConnectionId id);
  void Move(Connection& connection, State state, pool::Instant now);
  void Fail(int invariant, std::string what);

  pool::PoolConfig config_;
  std::map<pool::ConnectionId, Connection> connections_;  // Ordered: reports must not vary.
  std::list<Waiter> waiters_;                             // In order of arrival.
  std::map<pool::WaiterId, Fate> fates_;
  // Of each that waits: who had a turn since its own last one, or since it began to wait.
  std::map<Queue, std::set<uint64_t>> went_since_;
  pool::WaiterId newcomer_ = 0;  // Arrives by the present event, after others may have left.
  bool shared_last_ = false;     // An idle connection went to one who shares.
  pool::ConnectionId last_opened_ = 0;
  size_t reserved_ = 0;
  size_t places_wanted_ = 0;
  bool waiter_goes_first_ = false;
  bool started_ = false;
  bool draining_ = false;
  bool paused_ = false;
  std::set<pool::ConnectionId> joined_;  // While there are too many.
  bool failing_ = false;                 // No success since the last failed connect.
  pool::Instant last_failure_ = pool::Instant::min();
  pool::PoolCounters counters_;
  std::optional<Violation> violation_;
};

}  // namespace dbsidecar::simulation
