// PoolCore decides who gets which connection and when connections are opened, checked and closed.
//
// It is a plain state machine: no locks, no I/O, no clock. Callers pass the time in and carry out
// the actions that come back, in order. The Pool does that with real connections; the simulation
// does it for tests. The invariants it keeps are numbered at the top of pool_core.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/driver.h"
#include "pool/fair_queue.h"
#include "pool/policy.h"
#include "pool/time.h"

namespace dbsidecar::pool {

using WaiterId = uint64_t;

struct PoolConfig {
  size_t min = 2;             // Connections held open without demand.
  size_t max = 10;            // Never exceeded, closing connections included.
  size_t connecting_max = 4;  // Connects in progress at once.
  size_t waiters_max = 1000;  // Longer queues are refused.
  size_t shared_max = 0;      // Connections that several callers may share; 0 = none.
  size_t shared_depth = 64;   // Callers on a shared connection at once.
  size_t shared_spread = 8;   // Beyond so many an idle connection is shared as well.
  // A shared connection on which nothing was finished for so long takes no more callers.
  Duration stalled_after = std::chrono::milliseconds(20);
  // And after so long, whoever holds the others up is to go on elsewhere; 0 = never.
  Duration evict_after = std::chrono::milliseconds(50);
  Duration wait_timeout = std::chrono::seconds(10);
  Duration idle_timeout = std::chrono::seconds(60);  // Above `min`; 0 = keep for ever.
  Duration lifetime = std::chrono::minutes(30);      // 0 = no limit.
  uint32_t lifetime_jitter_percent = 10;
  Duration connect_timeout = std::chrono::seconds(10);  // 0 = the driver's own limit alone.
  Duration ping_after = std::chrono::seconds(10);  // Idle longer: pinged before use. 0 = never.
  Duration ping_timeout = std::chrono::seconds(2);
  // Between two times that idle connections are all pinged because another one went by itself.
  Duration doubt_interval = std::chrono::seconds(1);
  Duration reset_timeout = std::chrono::seconds(5);
  Duration backoff_base = std::chrono::milliseconds(100);
  Duration backoff_cap = std::chrono::seconds(2);
};

// Every connection is in exactly one state; the gauges are the sizes of these sets.
enum class ConnectionState {
  kConnecting,  // The driver is opening it.
  kIdle,        // Ready; newest first, so that unneeded ones grow old and retire.
  kPinging,     // Idle for long; being proved alive before use.
  kLeased,      // One caller owns it.
  kShared,      // Several callers' statements are on it, one after another.
  kResetting,   // Returned dirty; reset is running.
  kClosing,     // Still counts against `max` until the driver has let go.
};
inline constexpr size_t kConnectionStates = 7;

enum class CloseReason {
  kConnectTimeout,
  kIdleTimeout,
  kLifetime,
  kPingFailed,
  kResetFailed,
  kBroken,  // Released in an unknown state.
  kLost,    // The server closed it.
  kDrain,
  kMakeRoom,  // For a connection outside the pool, see Reserve.
  kResize,    // One too many for a lowered `max`.
  kPause,
};
inline constexpr size_t kCloseReasons = 11;

enum class RefuseReason {
  kQueueFull,
  kWaitTimeout,  // Waited as long as the wait timeout allows.
  kDeadline,     // Its own deadline came first.
  kDraining,
  kConnectRejected,  // The database refuses every connection, and none is open.
};
inline constexpr size_t kRefuseReasons = 5;

struct Action {
  enum class Kind { kOpen, kPing, kReset, kClose, kGrant, kEvict, kRefuse, kReserved };

  Kind kind;
  ConnectionId connection = 0;                           // kOpen to kEvict.
  WaiterId waiter = 0;                                   // kGrant, kRefuse.
  bool shared = false;                                   // kGrant: together with others.
  CloseReason close_reason = CloseReason::kBroken;       // kClose.
  RefuseReason refuse_reason = RefuseReason::kDeadline;  // kRefuse.
};
using Actions = std::vector<Action>;

struct PoolCounters {
  uint64_t opened = 0;            // Connections that came up.
  uint64_t connect_failures = 0;  // Attempts that did not, timeouts included.
  std::array<uint64_t, kCloseReasons> closed{};
  uint64_t arrived = 0;
  uint64_t granted = 0;
  std::array<uint64_t, kRefuseReasons> refused{};
  uint64_t abandoned = 0;  // Waiters whose caller left.
  uint64_t evictions = 0;  // Asked for; see Action::Kind::kEvict.
};

struct Arrival {
  WaiterId waiter = 0;
  Instant deadline = kNever;
  // Counts for `waiters_max` and is refused beyond it; the others are held back by flow control.
  bool bounded = true;
  // May be on a connection together with others.
  bool shares = false;
  // Who it is for: callers take turns, however much each asks for.
  uint64_t caller = 0;
  // When it came first, if it comes back from a connection that has not served it: its time to wait
  // runs from then, and no drain that began since refuses it.
  std::optional<Instant> came_first{};
};

class PoolCore {
 public:
  // `first_id` numbers the connections, so that several cores can share one id space: ids are
  // first_id, first_id + stride, ...
  PoolCore(PoolConfig config, uint64_t seed, ConnectionId first_id = 1, ConnectionId stride = 1);

  // --- Events. Each appends what is to be done. ---

  // Opens `min` connections, and at least one, to learn whether the database is there.
  void Start(Instant now, Actions& actions);
  // A caller wants a connection. REQUIRES: `arrival.waiter` is not waiting.
  void Arrive(Instant now, const Arrival& arrival, Actions& actions);
  // The caller left. Nothing happens unless it waits; it gets no answer.
  void Abandon(Instant now, WaiterId waiter, Actions& actions);
  void Connected(Instant now, ConnectionId id, Actions& actions);
  // The driver has let go of a connection that did not come up. REQUIRES: it was not Connected.
  void ConnectFailed(Instant now, ConnectionId id, bool permanent, Actions& actions);
  void Pinged(Instant now, ConnectionId id, bool ok, Actions& actions);
  void ResetDone(Instant now, ConnectionId id, bool ok, Actions& actions);
  // Whoever was granted a connection gives it back; on a shared one the others go on. Nothing
  // happens if it is closing already. REQUIRES: one grant for each release.
  void Released(Instant now, ConnectionId id, Condition condition, Actions& actions);
  // A caller leaves a shared connection with nothing done, because another on it takes long: none
  // joins until that one is finished.
  void HandedBack(Instant now, ConnectionId id, Actions& actions);
  // A granted connection is of no use any more, whoever else is on it; their releases may follow.
  void Broke(Instant now, ConnectionId id, Actions& actions);
  // The server closed a connection that nobody owns. For a leased one, release it kBroken.
  void Lost(Instant now, ConnectionId id, Actions& actions);
  // The driver has let go of a connection that was told to close.
  void Closed(Instant now, ConnectionId id, Actions& actions);
  // Pings the longest-idle connection, or opens one where there is none: a health check.
  void Check(Instant now, Actions& actions);
  // Asks for a place in the budget for a connection outside the pool, and gets it by kReserved:
  // now, or once a connection has been closed to make room. Places are given in the order in which
  // they were asked for, and held until Unreserve.
  void Reserve(Instant now, Actions& actions);
  void Unreserve(Instant now, Actions& actions);
  // Grants, opens and reserves nothing until Unpause; connections close as soon as they are free.
  // Callers go on waiting, as long as they may.
  void Pause(Instant now, Actions& actions);
  void Unpause(Instant now, Actions& actions);
  // New limits and times, for what is there as well as for what comes; only how long whoever waits
  // already may go on stays as it was. Under a lower `max` connections close as they become free.
  // REQUIRES: max > 0.
  void Reconfigure(Instant now, const PoolConfig& config, Actions& actions);
  // Refuses newcomers; waiters are still served, and a pause ends. Connections close once no one
  // waits.
  void Drain(Instant now, Actions& actions);
  // Due whenever NextTick() has come.
  void Tick(Instant now, Actions& actions);

  // --- What it knows. ---

  Instant NextTick() const;
  size_t count(ConnectionState state) const { return counts_[static_cast<size_t>(state)]; }
  size_t total() const { return connections_.size() + reserved_; }
  size_t waiting() const { return alone_.size() + sharing_.size(); }
  bool draining() const { return draining_; }
  bool paused() const { return paused_; }
  // Nothing is left: no connection, no waiter.
  bool empty() const { return total() == 0 && waiting() == 0; }
  // The latest evidence says that the database accepts and answers connections.
  bool database_up() const { return database_up_; }
  const PoolConfig& config() const { return config_; }
  // Connects that failed since one last came up; while it is not 0, connects back off.
  uint32_t connect_failures_in_a_row() const { return connect_failures_in_a_row_; }
  const PoolCounters& counters() const { return counters_; }
  // When the longest-held lease was granted; kNever without leases.
  Instant OldestLease() const;

 private:
  struct Connection {
    ConnectionState state = ConnectionState::kConnecting;
    Instant since;  // In this state.
    Instant opened_at = kNever;
    Instant retire_at = kNever;  // Rolled once, when it comes up.
    // Of a shared one:
    size_t callers = 0;
    Instant progress_at{};                    // The first caller came, or one finished.
    Instant evicted_at{};                     // The last attempt.
    bool leaving = false;                     // Takes no more callers.
    Condition condition = Condition::kClean;  // The worst that a caller reported.
  };
  struct Waiter {
    WaiterId id;
    Instant expires_at;
    RefuseReason on_expiry;
    bool bounded;
    bool shares;
  };
  using Connections = absl::flat_hash_map<ConnectionId, Connection>;
  // Only bounded ones weigh.
  using Waiters = FairQueue<Waiter>;

  // The one function that pairs waiting work with connections; every event ends in it.
  void Serve(Instant now, Actions& actions);
  void MaybePingAll(Instant now, Actions& actions);
  void ServeWaiters(Instant now, Actions& actions);
  void MaybeReserve(Instant now, Actions& actions);
  void MaybeOpen(Instant now, Actions& actions);
  void MaybeShrink(Instant now, Actions& actions);
  // Connections that no lowered `max` has room for.
  size_t Excess() const;
  void TakeBackShared(size_t wanted, size_t kept);
  void MaybeCloseUnneeded(Instant now, Actions& actions);
  void RollLifetimes();
  bool WorthPinging(Instant now, const Connection& connection) const;
  // Lets callers join connections that are shared already.
  void ServeSharing(Instant now, Actions& actions);
  // A newcomer to a full queue: someone goes whose caller has more there, or the newcomer must.
  bool MakeRoomFor(const Arrival& arrival, bool shares, Actions& actions);
  // Whose turn it is to have an idle connection; null = nobody's.
  Waiters* NextForIdle(Instant now);
  // False = nothing more can be done for the front waiter now.
  bool ServeFront(Instant now, Waiters& waiters, ConnectionId id, Actions& actions);
  void Grant(Waiters& waiters, ConnectionId id, Actions& actions);
  // The shared connection with the fewest callers, if these are fewer than `callers_max`; else 0.
  ConnectionId SharedWithRoom(Instant now, size_t callers_max) const;
  size_t UsableShared(Instant now) const;
  // Whoever came to share is served so, even if nobody may from now on.
  size_t SharedMax() const {
    return std::max<size_t>(config_.shared_max, sharing_.empty() ? 0 : 1);
  }
  bool Usable(Instant now, const Connection& connection) const;
  void MaybeEvict(Instant now, Actions& actions);
  // kNever = nobody is held up.
  Instant EvictionDueAt(const Connection& connection) const;
  void Join(Instant now, ConnectionId id);
  void Leave(Instant now, ConnectionId id, Condition condition, Actions& actions);
  void MaybeTakeBack();
  void PutBack(Instant now, ConnectionId id, Condition condition, Actions& actions);
  size_t WantedConnections(Instant now) const;

  void Open(Instant now, Actions& actions);
  void Close(Instant now, ConnectionId id, CloseReason reason, Actions& actions);
  void Ping(Instant now, ConnectionId id, Actions& actions);
  void MakeIdle(Instant now, ConnectionId id, Actions& actions);
  void Move(Instant now, Connection& connection, ConnectionState state);
  void Remove(Connections::iterator it);
  void NoteFailure(Instant now);
  void NoteSuccess();

  void Refuse(WaiterId waiter, RefuseReason reason, Actions& actions);
  void RefuseAll(RefuseReason reason, Actions& actions);
  Waiters& WaitersLike(bool shares) { return shares ? sharing_ : alone_; }
  // Takes it off the lists beside the queue.
  void Forget(const Waiter& waiter);
  void RemoveWaiter(Waiters::Place place);
  void ExpireWaiters(Instant now, Actions& actions);
  void CloseOverdue(Instant now, Actions& actions);
  void RetireIdle(Instant now, Actions& actions);
  Instant DueAt(const Connection& connection) const;
  Duration TimeLimit(ConnectionState state) const;
  // Connections to hold without demand.
  size_t Floor() const;
  // Open or being opened: not on its way out.
  size_t StayingCount() const;
  size_t OpenCount() const;
  Connection* Find(ConnectionId id, ConnectionState state);

  PoolConfig config_;
  std::mt19937_64 random_;
  ConnectionId next_id_;
  const ConnectionId stride_;

  Connections connections_;
  std::array<size_t, kConnectionStates> counts_{};
  std::vector<ConnectionId> idle_;  // Newest last.
  size_t reserved_ = 0;
  size_t places_wanted_ = 0;
  bool waiter_goes_first_ = false;

  // For an idle connection the two take turns.
  Waiters alone_;
  Waiters sharing_;
  bool shared_last_ = false;          // An idle connection went to one who shares.
  std::vector<ConnectionId> shared_;  // The longest shared first.
  size_t bounded_waiters_ = 0;
  absl::flat_hash_map<WaiterId, Waiters::Place> waiter_by_id_;
  std::set<std::pair<Instant, WaiterId>> expiries_;

  Instant served_at_{};  // The last event.
  bool started_ = false;
  bool draining_ = false;
  bool paused_ = false;
  bool database_up_ = false;
  bool in_doubt_ = false;      // A connection went without our wish.
  Instant doubted_at_{};       // When idle ones were pinged because of it.
  bool probe_wanted_ = false;  // Hold at least one connection until the database is known to be up.
  uint32_t connect_failures_in_a_row_ = 0;
  Instant connect_not_before_{};  // The steady clock's zero: long past.
  PoolCounters counters_;
};

}  // namespace dbsidecar::pool
