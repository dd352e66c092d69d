// Pool acts on what PoolCore decides: it owns the connections, carries calls to them and their
// replies back, and keeps every promise about time.
//
// Threads: everything here runs on the loop thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/call.h"
#include "pool/call_limits.h"
#include "pool/caller_figures.h"
#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/exemplars.h"
#include "pool/histogram.h"
#include "pool/inspection.h"
#include "pool/lru_cache.h"
#include "pool/notification_hub.h"
#include "pool/observer.h"
#include "pool/pool_core.h"
#include "pool/session.h"
#include "pool/statement_figures.h"

namespace dbsidecar::pool {

struct PoolOptions {
  std::string name = "default";
  PoolConfig core;
  // From arrival to answer, or to the first part of a stream; 0 = none.
  Duration query_timeout = std::chrono::seconds(30);
  // How long a call whose time is up waits for the database to confirm the cancel, so that its
  // error can say whether the statement took effect.
  Duration answer_grace = std::chrono::milliseconds(50);
  // How long a connection may take to confirm a cancel before it is closed.
  Duration cancel_grace = std::chrono::seconds(5);
  Duration health_check_interval = std::chrono::minutes(5);  // 0 = none.
  // A session without a call for so long, and a transaction that is open for so long, are rolled
  // back; 0 = no limit.
  Duration session_idle_timeout = std::chrono::minutes(1);
  Duration transaction_timeout = std::chrono::minutes(5);
  // A session that has been open for so long is told of (Observer::OnSessionHeld); 0 = never.
  Duration session_warn_after = std::chrono::seconds(30);
  // Every connection that a session had is looked at before and after its reset, even if it needs
  // none (Observer::OnSessionAudited).
  bool session_audit = false;
  // A caller that leaves its stream's sink full, or its source empty, for so long loses the stream;
  // 0 = no limit.
  Duration stream_stall_timeout = std::chrono::minutes(1);
  size_t listen_backlog_max = 1000;  // Notifications that may wait for a subscriber.
  // Statement shapes and callers that are counted apart; 0 = none.
  size_t statements_max = 0;
  size_t callers_max = 0;
  bool keeps_statement_texts = false;  // Without their constants, to be shown to people.
  Duration slow_statement{};  // One that ran for so long is told of; 0 = none. See Observer.
  CallLimitOptions limits;
  uint64_t seed = 1;  // For back-off and jitter.
};

// What one lane of the pool is doing; where callers share connections, those are a lane apart.
struct LaneStats {
  std::string_view name;
  size_t total = 0;  // Its connections, in every state.
  size_t idle = 0;
  size_t in_use = 0;
  size_t max = 0;
  size_t waiting = 0;       // Calls.
  size_t in_flight = 0;     // Calls that have a connection and no answer.
  uint64_t statements = 0;  // Answered.
};

// A snapshot of the pool's figures. Counters count from the start of the process.
struct PoolStats {
  std::string name;
  std::string driver;
  DatabaseFacts facts;
  size_t min = 0;
  size_t max = 0;
  size_t total = 0;
  std::array<size_t, kConnectionStates> connections{};  // By ConnectionState.
  // Leased, or carrying pipelined statements.
  size_t in_use() const {
    return connections[static_cast<size_t>(ConnectionState::kLeased)] +
           connections[static_cast<size_t>(ConnectionState::kShared)];
  }
  size_t waiting = 0;
  size_t waiters_max = 0;
  size_t running = 0;  // Calls whose statement the database is working on.
  PoolCounters counters;
  size_t sessions = 0;                               // Open.
  size_t sessions_idle = 0;                          // Of those: no statement runs.
  Duration longest_idle_session{};                   // 0 = none is idle.
  std::optional<Duration> oldest_transaction;        // Of a session.
  std::map<std::string, uint64_t> sessions_revoked;  // By the reason why we ended them.
  uint64_t statements = 0;                           // Answered, well or badly.
  uint64_t errors = 0;                               // Answered with an error.
  uint64_t outcomes_unknown = 0;                // Of those: it is not known whether it took effect.
  std::array<uint64_t, kLimitKinds> limited{};  // Calls that met a limit, by LimitKind.
  uint64_t retries = 0;  // Runs after one that failed for a reason that may pass.
  std::string last_error;
  std::optional<Duration> last_error_age;
  std::string last_connect_error;
  std::optional<Duration> last_connect_error_age;
  Duration status_age{};                     // Since `database_up` became what it is.
  std::optional<Duration> last_success_age;  // Since the database last answered anything.
  uint32_t connect_failures_in_a_row = 0;    // While it is not 0, connects back off.
  bool database_up = false;
  bool warm = false;  // `min` connections have been open, and the facts been asked for.
  bool draining = false;
  bool paused = false;  // By an operator.
  Histogram queue;
  Histogram connect;
  Histogram execute;
  Histogram head_of_line;  // The part spent behind others on a shared connection.
  Histogram total_time;
  // Of the histograms of these names.
  Exemplars queue_exemplars;
  Exemplars execute_exemplars;
  Exemplars total_exemplars;
  std::vector<LaneStats> lanes;
  std::optional<Duration> oldest_lease;
  std::optional<Duration> oldest_wait;
};

class Pool final : public ConnectionEvents, public TimerHandler {
 public:
  // All are borrowed and outlive the pool.
  Pool(EventLoop& loop, Driver& driver, PoolOptions options, Observer& observer);
  ~Pool() override;

  // Opens `min` connections.
  void Start();
  // REQUIRES: call.id is not in the pool. The call is answered exactly once, always.
  void Submit(Call& call);
  // Whether it knows the session of this token, or what became of it.
  bool KnowsSession(std::string_view token) const;
  // The caller of `id` left; nothing happens if it is answered already.
  void Cancel(CallId id);
  // The sink of `id`, which was full, takes more, or its source has more; nothing happens if the
  // call is over.
  void Resume(CallId id);
  // Notifications; see Subscriber.
  void Subscribe(Subscriber& subscriber);
  void Unsubscribe(SubscriberId id);
  void SubscriberCaughtUp();
  // Ends every session that was opened by this owner (SessionUse::owner), with a rollback.
  void EndSessionsOf(uint64_t owner);
  // A client process and the end of it, with which its sessions (SessionUse::client_id) are rolled
  // back.
  void Attach(AttachedClient& client);
  void Detach(AttachedClient& client);

  // What operators do; pool_operator.cc.
  //
  // Grants no connection and closes those that are free, until Unpause; calls wait as long as they
  // may, and sessions that are open go on. What hears notifications keeps its connection.
  void Pause();
  void Unpause();
  bool paused() const;
  // No call and no session has a connection, and none is left that could be had.
  bool at_rest() const { return connections_.empty(); }
  // From now on: for what is there as well, but for calls and sessions that have begun, which keep
  // their limits of time. `name`, `seed` and `listen_backlog_max` stay as they are. The reason, if
  // it cannot be done; then nothing has changed.
  std::optional<Error> Reconfigure(const PoolOptions& options);
  Listing<RunningStatement> Statements(const ListFilter& filter) const;
  Listing<OpenSession> Sessions(const ListFilter& filter) const;
  // `done` is called once, when the statement is over and its cancel can hit no other. The
  // connection is closed for it after `terminate_after`, which holds besides `cancel_grace`.
  void CancelStatement(CallId id, std::optional<Duration> terminate_after,
                       std::function<void(CancelVerdict)> done);
  // `done` is called once, when the session has ended.
  void CancelSession(uint64_t id, const std::function<void(SessionVerdict)>& done);

  // Ends all subscriptions and refuses new calls; those accepted are finished, in open sessions
  // too, then the connections are closed.
  void Drain();
  // Gives up every call that is still unanswered, and every session.
  void CancelAll();

  // No call is unanswered and no session open.
  bool quiet() const { return calls_.empty() && sessions_.empty(); }
  // No connection and no call is left.
  bool empty() const;
  bool warm() const { return warm_; }
  bool database_up() const { return database_up_; }
  PoolStats Stats() const;
  // Not part of Stats, because they take longer to copy.
  StatementsReport ReportStatements() const { return statement_table_.Report(); }
  std::vector<CallerFigures> ReportCallers() const { return caller_table_.Report(); }
  // As PoolOptions::slow_statement, from now on.
  void SetSlowStatement(Duration limit) { slow_statement_ = limit; }

  // ConnectionEvents.
  void OnConnected(ConnectionId id) override;
  void OnConnectFailed(ConnectionId id, Error error, bool permanent) override;
  void OnPinged(ConnectionId id, bool ok) override;
  void OnReset(ConnectionId id, bool ok) override;
  void OnAudited(ConnectionId id, const AuditFindings& findings) override;
  void OnReply(ConnectionId id, Call& call, Outcome outcome, Condition condition) override;
  [[nodiscard]] bool OnPart(ConnectionId id, Call& call, Part part) override;
  void OnStarved(ConnectionId id, Call& call) override;
  void OnWrongLane(ConnectionId id, Call& call, size_t lane) override;
  void OnHandedBack(ConnectionId id, Call& call) override;
  void OnLost(ConnectionId id, Error error) override;
  void OnClosed(ConnectionId id) override;
  void OnCatalogChanged() override;

  // TimerHandler.
  Instant NextTick() const override;
  void OnTick(Instant now) override;

 private:
  // What a place in the budget outside the cores is for.
  enum class PlaceFor { kFacts, kListener };
  // Why a call that the database works on is no longer waited for.
  enum class GiveUp { kNone, kDeadline, kStalled, kCancelled, kOperator, kDraining };

  struct CallState {
    Call* call = nullptr;
    size_t lane = 0;
    bool shareable = false;
    bool alone = false;           // Never on a connection together with others.
    ConnectionId connection = 0;  // 0 = waiting for one.
    bool shares = false;          // That connection with others.
    Instant arrived;
    Instant granted;
    Instant deadline;  // The sooner of the caller's and, before a first part, the query timeout.
    Session* session = nullptr;  // In which it runs, or waits to.
    GiveUp gave_up = GiveUp::kNone;
    bool answered = false;
    bool parts_went_out = false;
    bool stalled = false;  // Its sink is full, or its source has nothing.
    int runs = 0;
    bool has_run = false;    // And failed, and is to run again.
    bool backs_off = false;  // It waits for its timer before it comes back.
    // A run that was lost may have done what the call is for.
    bool may_have_taken_effect = false;
    Instant timer = kNever;         // Its entry in timers_.
    Instant terminate_at = kNever;  // By an operator's wish, if it does not end before.
    Duration connect{};
    std::shared_ptr<StatementHistory> history;
    // Where it is counted; null = nowhere.
    std::shared_ptr<StatementFigures> figures;
    std::vector<std::shared_ptr<StatementFigures>> step_figures;  // Of a batch, one for each step.
    CallerFigures* caller_figures = nullptr;
    std::unique_ptr<LimitKeys> limit_keys;  // Of its places, or of those it waits for.
    std::optional<LimitKind> held_by;       // It waits for its turn by this limit.
    uint64_t rows_in_parts = 0;
    Instant first_part_at;  // If parts_went_out.
  };
  struct OpenConnection {
    std::unique_ptr<Connection> handle;
    Instant open_started;
    Instant replied_at;  // The last reply.
    Instant opened_at = kNever;
    CloseReason close_reason = CloseReason::kConnectTimeout;
    Session* session = nullptr;           // Whose it is.
    std::optional<SessionAudit> audit{};  // Of the session that has just ended.
  };

  // Somebody waits to hear what became of a cancelled call.
  struct CancelWatch {
    std::function<void(CancelVerdict)> done;
    CancelVerdict verdict{};
  };

  PoolCore& CoreOf(ConnectionId id) { return *lanes_[(id - 1) % lanes_.size()]; }
  size_t LaneOf(ConnectionId id) const { return (id - 1) % lanes_.size(); }

  // Carries out what the cores decided, until nothing is left to do.
  void Act();
  void Carry(const Action& action);
  void Open(ConnectionId id);
  void Close(ConnectionId id, CloseReason reason);
  std::optional<Error> Unserved(const Call& call) const;
  void Grant(CallId waiter, ConnectionId id, bool shared);
  Instant TimeToRun(const CallState& state) const;
  void RefuseWaiter(CallId waiter, RefuseReason reason);

  void Stall(CallState& state);
  void Arrive(CallState& state, std::optional<Instant> came_first);
  void ComeBack(CallState& state, Instant since);
  void RunAgainLater(CallState& state, Instant when);
  void StopWaitingFor(CallState& state, GiveUp why);
  void OnCallTimer(CallState& state);
  void SetTimer(CallState& state, Instant at);
  void Finish(CallState& state, Outcome outcome);
  void Answer(CallState& state, Outcome outcome);
  void Forget(CallId id);
  void FinishAllOn(ConnectionId id);
  Outcome Judge(const CallState& state, Outcome outcome) const;
  Error Judge(const CallState& state, Error error) const;

  // What is counted; pool_figures.cc.
  void CountArrival(CallState& state);
  void NoteStatement(CallState& state, StatementFiguresPlace* place);
  void CountAnswer(CallState& state, const Outcome& outcome);
  void CountStatement(const CallState& state, const Outcome& outcome);
  static void CountSteps(const CallState& state, const Outcome& outcome);
  void NoteExemplars(const CallState& state, const Timing& timing);
  void TellIfSlow(const CallState& state, const Outcome& outcome);
  void AddLanes(PoolStats& stats) const;
  // Of an operator's doings; pool_operator.cc.
  static std::string_view TextOf(const Call& call);
  std::string LaneNameOf(const CallState& state) const;
  int32_t ServerPidOf(ConnectionId id) const;
  RunningStatement ShownOf(const CallState& state) const;
  OpenSession ShownOf(const Session& session) const;
  void NoteAnswer(CallId id, const Outcome& outcome);
  void NoteTerminated(CallId id);
  void TellWatches(CallId id);

  // Limits by caller, route and statement; pool_limits.cc.
  LimitKeys LimitKeysOf(const CallState& state) const;
  bool PassLimits(CallState& state);
  void FinishHeld(CallState& state, RefuseReason reason);
  void OnHeldTimer(CallState& state);
  void StopHolding(CallState& state);
  void LeaveLimits(std::unique_ptr<LimitKeys> keys);
  void FillPlaces();
  void LetOn(const std::vector<CallId>& calls);

  // Calls with several statements; pool_batch.cc.
  Classification ClassifyMany(CallState& state);
  Classification ClassifyBatch(CallState& state);
  static std::optional<Error> RefusalInSession(const Call& call, const Session& session);

  // Sessions; pool_sessions.cc.
  static Error SessionLost();
  Error NoSession(std::string_view token) const;
  SessionReport ReportOf(const Session& session) const;
  void FitToSession(const Call& call, Classification& classification) const;
  void SubmitToSession(CallState& state);
  void StartInSession(Session& session, CallState& state);
  void StartNextIn(Session& session);
  void ReplyInSession(ConnectionId id, CallState& state, Outcome outcome, Condition condition);
  bool OpensSession(const CallState& state, const Outcome& outcome, Condition condition) const;
  Session& BeginSession(ConnectionId id, CallState& state);
  static void NoteText(Session& session, const Call& call);
  static bool IsDone(const Session& session, const Call& call, const Outcome& outcome);
  void NoteTransaction(Session& session) const;
  void FillSessions(PoolStats& stats) const;
  void EndSession(Session& session, Condition condition);
  static void Reset(const OpenConnection& connection);
  void ForgetSession(Session& session, const Error& error_of_those_behind);
  void Revoke(Session& session, std::string_view reason);
  void NoteRevoked(const Session& session, std::string_view reason);
  bool ClientIsGone(std::string_view client_id) const;
  void OnSessionTimers(Instant now);
  Instant NextSessionTimer() const;

  static PoolConfig LaneConfig(const PoolConfig& config, const LaneShape& shape);
  void ScheduleCheck();
  void NoteStatus(std::string_view reason);
  void MaybeWarm();
  void AskForFacts();
  void AskForPlace(PlaceFor purpose);
  void GivePlaceBack();
  void TakePlace();
  void RefreshFacts();
  Error RefusalError(RefuseReason reason) const;
  std::string Diagnosis() const;
  bool HasConnections() const;
  size_t Count(ConnectionState state) const;

  EventLoop& loop_;
  Driver& driver_;
  PoolOptions options_;
  Observer& observer_;

  std::vector<std::unique_ptr<PoolCore>> lanes_;
  std::vector<bool> all_share_;  // By lane: whatever a statement's history.
  absl::flat_hash_map<ConnectionId, OpenConnection> connections_;
  absl::flat_hash_map<CallId, CallState> calls_;
  std::set<std::pair<Instant, CallId>> timers_;
  absl::flat_hash_map<std::string, std::unique_ptr<Session>> sessions_;  // By token.
  std::map<std::string, uint64_t> sessions_revoked_;
  absl::flat_hash_map<CallId, std::vector<CancelWatch>> watches_;
  // Why sessions that we ended are no more, for whoever comes with their token: the last ones.
  LruCache<std::string> revoked_{1000, 64 * 1024};
  absl::flat_hash_map<std::string, AttachedClient*> clients_;  // By id.
  std::deque<Action> to_do_;
  Actions actions_;
  bool acting_ = false;

  std::deque<PlaceFor> places_asked_for_;  // And not given yet.
  std::unique_ptr<NotificationHub> hub_;

  bool draining_ = false;
  bool warm_ = false;
  bool database_up_ = false;
  Instant status_since_;
  // What is known of the database: to be asked for, waiting for a place, being asked.
  bool facts_wanted_ = true;
  bool place_for_facts_wanted_ = false;
  bool refreshing_facts_ = false;
  Instant next_check_ = kNever;
  Instant last_success_ = Instant::min();

  uint64_t statements_ = 0;
  uint64_t errors_ = 0;
  uint64_t outcomes_unknown_ = 0;
  uint64_t retries_ = 0;
  std::mt19937_64 random_;
  std::string last_error_;
  Instant last_error_at_;
  std::optional<Error> last_connect_error_;
  Instant last_connect_error_at_;
  Histogram queue_;
  Histogram connect_;
  Histogram execute_;
  Histogram head_of_line_;
  Histogram total_;
  Exemplars queue_exemplars_;
  Exemplars execute_exemplars_;
  Exemplars total_exemplars_;
  // By lane: answered on connections that a call had alone, and on shared ones.
  std::vector<std::array<uint64_t, 2>> lane_statements_;
  std::vector<std::string_view> lane_names_;
  StatementTable statement_table_;
  CallerTable caller_table_;
  CallLimits limits_;
  std::vector<LimitKeys> places_left_;  // And not given to others yet.
  Duration slow_statement_;
};

}  // namespace dbsidecar::pool
