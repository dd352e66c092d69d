#include "pool/pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/hash/hash.h"
#include "pool/check.h"
#include "pool/policy.h"

namespace dbsidecar::pool {
namespace {

// Whose turn a call uses up: its caller's, or else its stream's.
uint64_t CallerKey(const Call& call) {
  return call.caller.empty() ? call.session.owner : absl::HashOf(call.caller);
}

// How often a statement may be sent that keeps losing its connection, or its conflicts with others.
constexpr int kRunsMax = 4;
// Before it runs for the second time; then twice as long each time.
constexpr Duration kRetryPauseMin = std::chrono::milliseconds(10);
constexpr Duration kRetryPauseMax = std::chrono::milliseconds(100);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// How long two spans of time overlap.
Duration Overlap(Instant a_begin, Instant a_end, Instant b_begin, Instant b_end) {
  return std::max(Duration::zero(), std::min(a_end, b_end) - std::max(a_begin, b_begin));
}

std::string_view Plural(StatementForm form) {
  switch (form) {
    case StatementForm::kSingle:
      return "statements";
    case StatementForm::kScript:
      return "scripts";
    case StatementForm::kCopyIn:
    case StatementForm::kCopyOut:
      return "COPY FROM STDIN and TO STDOUT";
  }
  return "";
}

Outcome Failure(ErrorKind kind, std::string message, bool outcome_unknown = false) {
  Outcome outcome;
  outcome.error = Error{
      .kind = kind, .message = std::move(message), .sql = {}, .outcome_unknown = outcome_unknown};
  return outcome;
}

}  // namespace

Pool::Pool(EventLoop& loop, Driver& driver, PoolOptions options, Observer& observer)
    : loop_(loop),
      driver_(driver),
      options_(std::move(options)),
      observer_(observer),
      status_since_(loop.now()),
      random_(options_.seed),
      statement_table_(driver, options_.statements_max, options_.keeps_statement_texts),
      caller_table_(options_.callers_max),
      limits_(options_.limits),
      slow_statement_(options_.slow_statement) {
  const std::vector<LaneShape> shapes = driver_.Lanes(options_.core.min, options_.core.max);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const PoolConfig config = LaneConfig(options_.core, shapes[i]);
    lane_names_.push_back(shapes[i].name);
    lane_statements_.push_back({});
    all_share_.push_back(shapes[i].sharing.has_value() && shapes[i].sharing->all);
    lanes_.push_back(std::make_unique<PoolCore>(config, options_.seed + i, i + 1, shapes.size()));
  }
  hub_ = std::make_unique<NotificationHub>(
      loop_, driver_, lanes_[0]->config(), options_.listen_backlog_max, options_.seed, observer_,
      NotificationHub::Places{.ask = [this] { AskForPlace(PlaceFor::kListener); },
                              .give_back = [this] { GivePlaceBack(); }});
  loop_.AddTimer(this);
}

PoolConfig Pool::LaneConfig(const PoolConfig& config, const LaneShape& shape) {
  PoolConfig lane = config;
  lane.min = shape.min;
  lane.max = shape.max;
  if (const std::optional<LaneSharing>& sharing = shape.sharing) {
    lane.shared_max = sharing->shared_max;
    lane.shared_depth = sharing->shared_depth;
    lane.shared_spread = sharing->shared_spread;
    lane.evict_after = Duration::zero();
  }
  return lane;
}

void Pool::ScheduleCheck() {
  const bool none = options_.health_check_interval == Duration::zero();
  next_check_ = none ? kNever : loop_.now() + options_.health_check_interval;
}

Pool::~Pool() { loop_.RemoveTimer(this); }

void Pool::Start() {
  ScheduleCheck();
  // First, while there is a free place.
  AskForFacts();
  for (auto& lane : lanes_) lane->Start(loop_.now(), actions_);
  Act();
}

void Pool::Submit(Call& call) {
  CallState& state = calls_[call.id];
  DBSIDECAR_CHECK(state.call == nullptr);
  state.call = &call;
  state.arrived = loop_.now();
  state.deadline = EarlierDeadline(call.deadline, state.arrived, options_.query_timeout);
  CountArrival(state);
  Classification classification;
  if (ClientIsGone(call.session.client_id)) {
    classification.refusal = OwnError(
        ErrorKind::kClientNotFound,
        "no client with this `client_id` is attached: its Attach stream has ended, or never was");
  } else if (call.description != nullptr) {
    classification.may_write = false;
    classification.refusal = driver_.Describe(call.statement, *call.description);
  } else if (call.batch != nullptr || call.rows != nullptr) {
    classification = ClassifyMany(state);
  } else if (call.session.kind != SessionUse::Kind::kEnd) {
    classification = driver_.Classify(call.statement);
    if (!classification.refusal) NoteStatement(state, classification.figures);
    FitToSession(call, classification);
  }
  if (std::optional<Error> unserved = Unserved(call)) {
    classification.refusal = std::move(unserved);
  }
  if (classification.refusal.has_value()) {
    Outcome outcome;
    outcome.error = std::move(classification.refusal);
    Finish(state, std::move(outcome));
  } else if (call.session.in_session()) {
    SubmitToSession(state);
    Act();
  } else {
    state.history = std::move(classification.history);
    const bool is_short =
        classification.is_short || (state.history != nullptr && state.history->IsShort());
    state.lane = call.session.none() ? classification.lane
                                     : driver_.SessionLane(call.session, classification);
    state.alone = call.session.kind != SessionUse::Kind::kNone || call.sink != nullptr ||
                  call.statement.form != StatementForm::kSingle ||
                  (call.session.auto_pin && classification.transaction_control);
    state.shareable = classification.shareable && is_short && !state.alone;
    if (PassLimits(state)) Arrive(state, std::nullopt);
    Act();
  }
}

// What this database cannot do for anybody.
std::optional<Error> Pool::Unserved(const Call& call) const {
  if (!driver_.has(call.statement.form)) {
    return OwnError(
        ErrorKind::kUnsupported,
        fmt::format("{} are not served on {}", Plural(call.statement.form), driver_.name()));
  }
  if (!driver_.has_settings() && !call.statement.settings.only_statement_timeout()) {
    return OwnError(ErrorKind::kUnsupported,
                    fmt::format("{} has no settings for one call but statement_timeout; leave the "
                                "others of `settings` unset",
                                driver_.name()));
  }
  return std::nullopt;
}

void Pool::Arrive(CallState& state, std::optional<Instant> came_first) {
  state.connection = 0;
  lanes_[state.lane]->Arrive(loop_.now(),
                             {.waiter = state.call->id,
                              .deadline = state.deadline,
                              .bounded = !state.call->flow_controlled,
                              .shares = state.shareable || (all_share_[state.lane] && !state.alone),
                              .caller = CallerKey(*state.call),
                              .came_first = came_first},
                             actions_);
}

void Pool::Cancel(CallId id) {
  const auto it = calls_.find(id);
  if (it != calls_.end()) StopWaitingFor(it->second, GiveUp::kCancelled);
  Act();
}

void Pool::Resume(CallId id) {
  const auto it = calls_.find(id);
  if (it == calls_.end() || !it->second.stalled) return;
  CallState& state = it->second;
  state.stalled = false;
  if (state.gave_up != GiveUp::kNone) return;
  SetTimer(state, state.deadline);
  connections_.at(state.connection).handle->Resume(*state.call);
  Act();
}

void Pool::Subscribe(Subscriber& subscriber) {
  hub_->Subscribe(subscriber);
  Act();
}

void Pool::Unsubscribe(SubscriberId id) {
  hub_->Unsubscribe(id);
  Act();
}

void Pool::SubscriberCaughtUp() {
  hub_->SubscriberCaughtUp();
  Act();
}

void Pool::Drain() {
  draining_ = true;
  place_for_facts_wanted_ = false;
  places_asked_for_.clear();
  hub_->Drain();
  for (auto& lane : lanes_) lane->Drain(loop_.now(), actions_);
  Act();
}

void Pool::CancelAll() {
  std::vector<CallId> ids;
  for (const auto& [id, state] : calls_) ids.push_back(id);
  for (const CallId id : ids) {
    const auto it = calls_.find(id);
    if (it != calls_.end()) StopWaitingFor(it->second, GiveUp::kDraining);
    // Now, because it may refuse calls that come later in the list.
    Act();
  }
  std::vector<std::string> tokens;
  for (const auto& [token, session] : sessions_) tokens.push_back(token);
  for (const std::string& token : tokens) {
    const auto it = sessions_.find(token);
    if (it != sessions_.end()) Revoke(*it->second, "drain");
    Act();
  }
}

bool Pool::empty() const {
  return calls_.empty() && connections_.empty() && !refreshing_facts_ && hub_->empty();
}

// --- Carrying out decisions. ---

void Pool::Act() {
  // A connection may report while it is being told what to do; then the outer Act goes on.
  if (acting_) return;
  acting_ = true;
  while (!actions_.empty() || !to_do_.empty() || !places_left_.empty()) {
    FillPlaces();
    to_do_.insert(to_do_.end(), actions_.begin(), actions_.end());
    actions_.clear();
    if (to_do_.empty()) continue;
    const Action action = to_do_.front();
    to_do_.pop_front();
    Carry(action);
  }
  acting_ = false;
}

void Pool::Carry(const Action& action) {
  switch (action.kind) {
    case Action::Kind::kOpen:
      Open(action.connection);
      break;
    case Action::Kind::kPing:
      connections_.at(action.connection).handle->Ping();
      break;
    case Action::Kind::kReset:
      Reset(connections_.at(action.connection));
      break;
    case Action::Kind::kClose:
      Close(action.connection, action.close_reason);
      break;
    case Action::Kind::kGrant:
      Grant(action.waiter, action.connection, action.shared);
      break;
    case Action::Kind::kEvict:
      connections_.at(action.connection).handle->Evict();
      break;
    case Action::Kind::kRefuse:
      RefuseWaiter(action.waiter, action.refuse_reason);
      break;
    case Action::Kind::kReserved:
      TakePlace();
      break;
  }
}

void Pool::Open(ConnectionId id) {
  OpenConnection& connection = connections_[id];
  connection.open_started = loop_.now();
  connection.handle = driver_.NewConnection(id, LaneOf(id), *this);
  connection.handle->Open();
}

void Pool::Close(ConnectionId id, CloseReason reason) {
  const auto it = connections_.find(id);
  // It failed by itself between the decision and now.
  if (it == connections_.end()) return;
  it->second.close_reason = reason;
  if (reason == CloseReason::kConnectTimeout) {
    last_connect_error_ = Error{.kind = ErrorKind::kNoConnection,
                                .message = fmt::format("no answer to the connect within {:g} s",
                                                       Seconds(options_.core.connect_timeout)),
                                .sql = {},
                                .outcome_unknown = false};
    last_connect_error_at_ = loop_.now();
    observer_.OnConnectFailed(id, *last_connect_error_, false);
  }
  it->second.handle->Close();
  for (const Call* call : it->second.handle->TakeUnsent()) {
    CallState& state = calls_.at(call->id);
    if (call->session.in_session()) {
      Outcome outcome;
      outcome.error = SessionLost();
      Finish(state, std::move(outcome));
    } else {
      ComeBack(state, state.arrived);
    }
  }
}

void Pool::Grant(CallId waiter, ConnectionId id, bool shared) {
  CallState& state = calls_.at(waiter);
  OpenConnection& connection = connections_.at(id);
  state.connection = id;
  state.shares = shared;
  state.granted = loop_.now();
  ++state.runs;
  state.connect =
      Overlap(state.arrived, state.granted, connection.open_started, connection.opened_at);
  SetTimer(state, TimeToRun(state));
  observer_.OnLeased(id, waiter);
  connection.handle->Execute(*state.call);
}

// Until when a statement that begins now may run.
Instant Pool::TimeToRun(const CallState& state) const {
  const Duration limit = state.call->statement.settings.statement_timeout;
  if (driver_.has_settings() || limit == Duration::zero()) return state.deadline;
  return std::min(state.deadline, loop_.now() + limit);
}

void Pool::RefuseWaiter(CallId waiter, RefuseReason reason) {
  CallState& state = calls_.at(waiter);
  observer_.OnRefused(waiter, reason);
  const bool by_limit = reason == RefuseReason::kQueueFull || reason == RefuseReason::kWaitTimeout;
  if (by_limit && state.caller_figures != nullptr) ++state.caller_figures->refused;
  Outcome outcome;
  outcome.error = RefusalError(reason);
  Finish(state, std::move(outcome));
}

// --- The life of a call. ---

void Pool::StopWaitingFor(CallState& state, GiveUp why) {
  if (state.answered || state.gave_up != GiveUp::kNone) return;
  state.gave_up = why;
  if (state.connection == 0) {
    if (state.held_by) {
      StopHolding(state);
    } else if (state.session == nullptr) {
      lanes_[state.lane]->Abandon(loop_.now(), state.call->id, actions_);
    }
    Finish(state, Judge(state, Failure(ErrorKind::kCancelled, "")));
  } else {
    SetTimer(state, loop_.now() + options_.answer_grace);
    connections_.at(state.connection).handle->Cancel(*state.call);
  }
}

void Pool::OnCallTimer(CallState& state) {
  if (state.held_by) {
    OnHeldTimer(state);
  } else if (state.backs_off) {
    state.backs_off = false;
    // Its wait for a connection begins.
    ComeBack(state, loop_.now());
  } else if (state.gave_up == GiveUp::kNone) {
    const bool stalled = state.stalled && loop_.now() < state.deadline;
    StopWaitingFor(state, stalled ? GiveUp::kStalled : GiveUp::kDeadline);
  } else if (!state.answered) {
    SetTimer(state, std::min(loop_.now() + options_.cancel_grace, state.terminate_at));
    const bool unknown = !state.call->statement.read_only;
    Outcome outcome = Failure(ErrorKind::kCancelled, "", unknown);
    if (state.session != nullptr) {
      // As far as is known: the session goes on.
      outcome.session = state.session->token;
      outcome.transaction_status = state.session->status;
    }
    Answer(state, Judge(state, std::move(outcome)));
  } else {
    // The database does not even answer a cancel: the connection's state is unknown.
    SetTimer(state, kNever);
    NoteTerminated(state.call->id);
    const ConnectionId id = state.connection;
    observer_.OnReleased(id, Condition::kBroken);
    if (Session* session = connections_.at(id).session) {
      NoteRevoked(*session, "connection_lost");
      ForgetSession(*session, SessionLost());
    }
    CoreOf(id).Broke(loop_.now(), id, actions_);
  }
}

// Puts the reason for which we gave up in the place of the "cancelled" that it led to.
Outcome Pool::Judge(const CallState& state, Outcome outcome) const {
  if (state.gave_up == GiveUp::kNone) return outcome;
  if (outcome.error) outcome.error = Judge(state, std::move(*outcome.error));
  for (StepResult& step : outcome.steps) {
    if (step.error) step.error = Judge(state, std::move(*step.error));
  }
  return outcome;
}

Error Pool::Judge(const CallState& state, Error error) const {
  const bool ours = error.kind == ErrorKind::kCancelled ||
                    (error.kind == ErrorKind::kDatabase && error.sql.sqlstate == "57014");
  if (!ours) return error;
  const std::string_view where =
      state.connection == 0 ? "while waiting for a connection" : "while the statement was running";
  const std::string_view effect =
      state.connection == 0
          ? (!state.has_run ? "nothing was sent to the database" : "it was not running any more")
      : error.outcome_unknown ? "the database has not confirmed the cancel yet, so whether the "
                                "statement took effect is unknown"
                              : "the statement was cancelled and had no effect";
  switch (state.gave_up) {
    case GiveUp::kNone:
      break;
    case GiveUp::kDeadline:
      error.kind = ErrorKind::kDeadline;
      error.message = fmt::format("the deadline passed after {:.3g} s {}; {}",
                                  Seconds(loop_.now() - state.arrived), where, effect);
      break;
    case GiveUp::kStalled:
      error.kind = ErrorKind::kDeadline;
      error.message = fmt::format(
          "the stream was given up because its caller took or sent nothing for {:g} s; {}",
          Seconds(options_.stream_stall_timeout), effect);
      break;
    case GiveUp::kCancelled:
      error.kind = ErrorKind::kCancelled;
      error.message = fmt::format("cancelled by the caller {}; {}", where, effect);
      break;
    case GiveUp::kOperator:
      error.kind = ErrorKind::kCancelled;
      error.message = fmt::format("cancelled by an operator {}; {}", where, effect);
      break;
    case GiveUp::kDraining:
      // Only what was never sent may be called unavailable, because callers retry that.
      error.kind = state.connection == 0 ? ErrorKind::kDraining : ErrorKind::kDeadline;
      error.message = fmt::format("the sidecar stopped {} (drain timeout); {}", where, effect);
      break;
  }
  return error;
}

void Pool::SetTimer(CallState& state, Instant at) {
  if (state.timer != kNever) timers_.erase({state.timer, state.call->id});
  state.timer = at;
  if (at != kNever) timers_.emplace(at, state.call->id);
}

void Pool::Finish(CallState& state, Outcome outcome) {
  Call& call = *state.call;
  if (!state.answered) Answer(state, std::move(outcome));
  Forget(call.id);
  call.Done();
}

void Pool::Answer(CallState& state, Outcome outcome) {
  state.answered = true;
  const Instant now = EventLoop::ReadClock();
  Timing& timing = outcome.timing;
  if (state.connection == 0) {
    timing.queue = now - state.arrived;
  } else {
    timing.queue = state.granted - state.arrived;
    timing.connect = state.connect;
    timing.execute = now - state.granted;
    execute_.Record(timing.execute);
  }
  queue_.Record(timing.queue);
  total_.Record(now - state.arrived);
  ++statements_;
  if (outcome.error.has_value()) {
    if (state.may_have_taken_effect && !outcome.error->outcome_unknown) {
      outcome.error->outcome_unknown = true;
      outcome.error->message +=
          "; an earlier run, which lost its connection, may have taken effect";
    }
    ++errors_;
    if (outcome.error->outcome_unknown) ++outcomes_unknown_;
    // The database's own words may repeat a parameter, or a piece of the statement.
    last_error_ =
        outcome.error->kind == ErrorKind::kDatabase
            ? fmt::format("a statement failed with SQLSTATE {}", outcome.error->sql.sqlstate)
            : outcome.error->message;
    last_error_at_ = loop_.now();
  }
  CountAnswer(state, outcome);
  if (!watches_.empty()) NoteAnswer(state.call->id, outcome);
  observer_.OnAnswered(*state.call, timing, outcome.error ? &*outcome.error : nullptr);
  state.call->Answer(std::move(outcome));
}

void Pool::Forget(CallId id) {
  const auto it = calls_.find(id);
  SetTimer(it->second, kNever);
  if (Session* session = it->second.session) std::erase(session->queued, id);
  std::unique_ptr<LimitKeys> limit_keys = std::move(it->second.limit_keys);
  calls_.erase(it);
  LeaveLimits(std::move(limit_keys));
  if (!watches_.empty()) TellWatches(id);
}

// --- What connections report. ---

void Pool::OnConnected(ConnectionId id) {
  OpenConnection& connection = connections_.at(id);
  connection.opened_at = loop_.now();
  last_success_ = loop_.now();
  const Duration took = connection.opened_at - connection.open_started;
  connect_.Record(took);
  observer_.OnConnectionOpened(id, took);
  CoreOf(id).Connected(loop_.now(), id, actions_);
  NoteStatus("connected");
  MaybeWarm();
  Act();
}

void Pool::OnConnectFailed(ConnectionId id, Error error, bool permanent) {
  last_connect_error_ = std::move(error);
  last_connect_error_at_ = loop_.now();
  connections_.erase(id);
  observer_.OnConnectFailed(id, *last_connect_error_, permanent);
  CoreOf(id).ConnectFailed(loop_.now(), id, permanent, actions_);
  NoteStatus(last_connect_error_->message);
  Act();
}

void Pool::OnPinged(ConnectionId id, bool ok) {
  if (ok) last_success_ = loop_.now();
  CoreOf(id).Pinged(loop_.now(), id, ok, actions_);
  NoteStatus(ok ? "ping answered" : "ping failed");
  Act();
}

void Pool::OnReset(ConnectionId id, bool ok) {
  connections_.at(id).audit.reset();
  CoreOf(id).ResetDone(loop_.now(), id, ok, actions_);
  Act();
}

void Pool::OnReply(ConnectionId id, Call& call, Outcome outcome, Condition condition) {
  CallState& state = calls_.at(call.id);
  OpenConnection& connection = connections_.at(id);
  // On a shared connection it began when the one before it had ended.
  const Instant began = std::max(state.granted, connection.replied_at);
  // How long a stream takes says more about its reader.
  if (state.history != nullptr && call.sink == nullptr && (!outcome.error || outcome.undone)) {
    state.history->Record(loop_.now() - began);
  }
  if (state.shares) head_of_line_.Record(began - state.granted);
  connection.replied_at = loop_.now();
  if (condition != Condition::kBroken) last_success_ = loop_.now();
  observer_.OnReleased(id, condition);
  if (state.session != nullptr || OpensSession(state, outcome, condition)) {
    ReplyInSession(id, state, std::move(outcome), condition);
    return;
  }
  if (outcome.transaction_status != TransactionStatus::kIdle && condition == Condition::kClean) {
    condition = Condition::kDirty;  // The reset rolls back.
  }
  if (outcome.never_sent) state.connection = 0;
  outcome = Judge(state, std::move(outcome));
  const std::string reason =
      condition == Condition::kBroken && outcome.error ? outcome.error->message : "";
  // Release first: the next statement is on its way while this reply is being encoded. The call
  // stays in the map until it is answered, so nothing here depends on the order otherwise.
  CoreOf(id).Released(loop_.now(), id, condition, actions_);
  NoteStatus(reason);
  // It has done nothing, or nothing that doing it again would harm; another connection serves it as
  // well.
  const bool may_again = !state.parts_went_out && state.gave_up == GiveUp::kNone;
  if (may_again && (outcome.never_sent || outcome.undone)) {
    state.shareable = false;
    // While it ran it did not wait.
    ComeBack(state, outcome.never_sent ? state.arrived : loop_.now());
    return;
  }
  if (may_again && outcome.may_run_again && state.runs < kRunsMax) {
    const Instant when = loop_.now() + Backoff(static_cast<uint32_t>(state.runs), kRetryPauseMin,
                                               kRetryPauseMax, random_());
    if (when < state.deadline) {
      state.shareable = false;
      state.may_have_taken_effect |= outcome.error && outcome.error->outcome_unknown;
      RunAgainLater(state, when);
      return;
    }
  }
  Act();
  Finish(calls_.at(call.id), std::move(outcome));
}

bool Pool::OnPart(ConnectionId /*id*/, Call& call, Part part) {
  CallState& state = calls_.at(call.id);
  last_success_ = loop_.now();
  // Nobody wants it; its cancel is on its way.
  if (state.gave_up != GiveUp::kNone) return true;
  state.rows_in_parts += part.result.rows.row_count();
  if (!state.parts_went_out) {
    state.parts_went_out = true;
    state.first_part_at = loop_.now();
    state.deadline = call.deadline;
    SetTimer(state, state.deadline);
  }
  if (call.sink->Take(std::move(part))) return true;
  Stall(state);
  return false;
}

void Pool::OnStarved(ConnectionId /*id*/, Call& call) {
  CallState& state = calls_.at(call.id);
  if (state.gave_up == GiveUp::kNone) Stall(state);
}

void Pool::Stall(CallState& state) {
  state.stalled = true;
  const Duration limit = options_.stream_stall_timeout;
  if (limit != Duration::zero()) SetTimer(state, std::min(state.deadline, loop_.now() + limit));
}

void Pool::OnWrongLane(ConnectionId id, Call& call, size_t lane) {
  CallState& state = calls_.at(call.id);
  observer_.OnReleased(id, Condition::kClean);
  CoreOf(id).Released(loop_.now(), id, Condition::kClean, actions_);
  state.lane = lane;
  state.shareable = false;
  ComeBack(state, state.arrived);
}

void Pool::OnHandedBack(ConnectionId id, Call& call) {
  CallState& state = calls_.at(call.id);
  observer_.OnReleased(id, Condition::kClean);
  CoreOf(id).HandedBack(loop_.now(), id, actions_);
  ComeBack(state, state.arrived);
}

// A call that was granted a connection and has to be run on another; it waits since `since`.
void Pool::ComeBack(CallState& state, Instant since) {
  SetTimer(state, kNever);
  if (state.gave_up != GiveUp::kNone) {
    state.connection = 0;
    Finish(state, Judge(state, Failure(ErrorKind::kCancelled, "")));
  } else {
    Arrive(state, since);
  }
  Act();
}

void Pool::RunAgainLater(CallState& state, Instant when) {
  state.connection = 0;
  state.backs_off = true;
  state.has_run = true;
  ++retries_;
  SetTimer(state, when);
  Act();
}

void Pool::OnLost(ConnectionId id, Error error) {
  if (Session* session = connections_.at(id).session) {
    NoteRevoked(*session, "connection_lost");
    EndSession(*session, Condition::kBroken);
  } else {
    CoreOf(id).Lost(loop_.now(), id, actions_);
  }
  NoteStatus(error.message);
  Act();
}

void Pool::OnClosed(ConnectionId id) {
  const auto it = connections_.find(id);
  if (Session* session = it->second.session) {
    NoteRevoked(*session, "connection_lost");
    ForgetSession(*session, SessionLost());
  }
  FinishAllOn(id);
  if (it->second.opened_at != kNever) observer_.OnConnectionClosed(id, it->second.close_reason);
  // The handle is what reports, so it must not die under its own feet.
  loop_.Post([handle = std::shared_ptr<Connection>(std::move(it->second.handle))] {});
  connections_.erase(it);
  CoreOf(id).Closed(loop_.now(), id, actions_);
  Act();
}

// What was still on a connection that had to be closed.
void Pool::FinishAllOn(ConnectionId id) {
  std::vector<CallId> left;
  for (const auto& [call, state] : calls_) {
    if (state.connection == id) left.push_back(call);
  }
  for (const CallId call : left) {
    CallState& state = calls_.at(call);
    const bool unknown = !state.call->statement.read_only;
    Finish(state, Failure(ErrorKind::kConnectionLost, "the connection was closed", unknown));
  }
}

void Pool::OnCatalogChanged() {
  facts_wanted_ = true;
  if (database_up_) AskForFacts();
  Act();
}

// --- Time. ---

Instant Pool::NextTick() const {
  Instant next = timers_.empty() ? kNever : timers_.begin()->first;
  for (const auto& lane : lanes_) next = std::min(next, lane->NextTick());
  next = std::min(next, NextSessionTimer());
  return draining_ ? next : std::min(next, next_check_);
}

void Pool::OnTick(Instant now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    OnCallTimer(calls_.at(timers_.begin()->second));
  }
  OnSessionTimers(now);
  for (auto& lane : lanes_) lane->Tick(now, actions_);
  if (now >= next_check_ && !draining_) {
    next_check_ = now + options_.health_check_interval;
    facts_wanted_ = true;
    for (auto& lane : lanes_) lane->Check(now, actions_);
  }
  NoteStatus("no connection is left");
  if (database_up_) AskForFacts();
  Act();
}

// --- What it knows. ---

void Pool::NoteStatus(std::string_view reason) {
  const bool up = std::all_of(lanes_.begin(), lanes_.end(),
                              [](const auto& lane) { return lane->database_up(); });
  if (up == database_up_) return;
  database_up_ = up;
  status_since_ = loop_.now();
  observer_.OnDatabaseStatus(up, reason);
}

void Pool::MaybeWarm() {
  if (warm_ || !database_up_) return;
  AskForFacts();
  const bool asking = facts_wanted_ || place_for_facts_wanted_ || refreshing_facts_;
  warm_ =
      database_up_ && !asking && std::all_of(lanes_.begin(), lanes_.end(), [](const auto& lane) {
        const size_t up = lane->total() - lane->count(ConnectionState::kConnecting) -
                          lane->count(ConnectionState::kClosing);
        return up >= lane->config().min;
      });
}

void Pool::AskForFacts() {
  if (!facts_wanted_ || place_for_facts_wanted_ || refreshing_facts_ || draining_) return;
  if (driver_.facts_take_a_place()) {
    place_for_facts_wanted_ = true;
    AskForPlace(PlaceFor::kFacts);
  } else {
    RefreshFacts();
  }
}

void Pool::AskForPlace(PlaceFor purpose) {
  if (draining_) return;
  places_asked_for_.push_back(purpose);
  lanes_[0]->Reserve(loop_.now(), actions_);
}

// Each is given in its turn.
void Pool::TakePlace() {
  if (places_asked_for_.empty()) {  // A drain came between.
    lanes_[0]->Unreserve(loop_.now(), actions_);
    return;
  }
  const PlaceFor purpose = places_asked_for_.front();
  places_asked_for_.pop_front();
  switch (purpose) {
    case PlaceFor::kFacts:
      RefreshFacts();
      break;
    case PlaceFor::kListener:
      hub_->OnPlace();
      break;
  }
}

// The hub may be at its own timer, so whoever calls does not always act.
void Pool::GivePlaceBack() {
  lanes_[0]->Unreserve(loop_.now(), actions_);
  loop_.Post([this] { Act(); });
}

void Pool::RefreshFacts() {
  place_for_facts_wanted_ = false;
  refreshing_facts_ = true;
  facts_wanted_ = false;
  driver_.RefreshFacts([this, was_up = database_up_](bool learnt) {
    refreshing_facts_ = false;
    // A database that is there and does not answer this is asked again at the next health check.
    facts_wanted_ = facts_wanted_ || (!learnt && !was_up);
    if (driver_.facts_take_a_place()) lanes_[0]->Unreserve(loop_.now(), actions_);
    if (database_up_) AskForFacts();
    MaybeWarm();
    Act();
  });
}

Error Pool::RefusalError(RefuseReason reason) const {
  const bool unreachable = !HasConnections() && last_connect_error_.has_value();
  switch (reason) {
    case RefuseReason::kQueueFull:
      return {.kind = ErrorKind::kQueueFull,
              .message = fmt::format("the queue for a connection is full {}", Diagnosis()),
              .sql = {},
              .outcome_unknown = false};
    case RefuseReason::kWaitTimeout:
    case RefuseReason::kDeadline: {
      const ErrorKind on_time = reason == RefuseReason::kDeadline ? ErrorKind::kDeadline
                                : paused()                        ? ErrorKind::kPaused
                                                                  : ErrorKind::kWaitTimeout;
      const std::string limit =
          reason == RefuseReason::kWaitTimeout
              ? fmt::format("within {:g} s", Seconds(options_.core.wait_timeout))
              : "before the deadline";
      return {.kind = unreachable && !paused() ? ErrorKind::kNoConnection : on_time,
              .message = fmt::format("no connection {} {}", limit, Diagnosis()),
              .sql = {},
              .outcome_unknown = false};
    }
    case RefuseReason::kDraining:
      return {.kind = ErrorKind::kDraining,
              .message = "the sidecar is stopping and takes no new calls",
              .sql = {},
              .outcome_unknown = false};
    case RefuseReason::kConnectRejected: {
      Error error = last_connect_error_.value_or(Error{});
      error.kind = ErrorKind::kConnectRejected;
      return error;
    }
  }
  return {};
}

std::string Pool::Diagnosis() const {
  const auto waiting = std::count_if(calls_.begin(), calls_.end(),
                                     [](const auto& call) { return call.second.connection == 0; });
  std::string text = fmt::format("(pool \"{}\"{}: {} of {} leased, {} connecting, {} waiting",
                                 options_.name, paused() ? ", which an operator has paused" : "",
                                 Count(ConnectionState::kLeased) + Count(ConnectionState::kShared),
                                 options_.core.max, Count(ConnectionState::kConnecting), waiting);
  const CallState* oldest = nullptr;
  for (const auto& [id, state] : calls_) {
    if (state.connection == 0) continue;
    if (oldest == nullptr || state.granted < oldest->granted) oldest = &state;
  }
  Instant since = oldest == nullptr ? kNever : oldest->granted;
  std::string_view caller = oldest == nullptr ? "" : oldest->call->caller;
  for (const auto& [token, session] : sessions_) {
    if (session->began >= since) continue;
    since = session->began;
    caller = session->caller;
  }
  if (since != kNever) {
    text += fmt::format("; oldest lease {:.3g} s", Seconds(loop_.now() - since));
    if (!caller.empty()) text += fmt::format(", caller \"{}\"", caller);
  }
  if (last_connect_error_.has_value()) {
    text +=
        fmt::format("; last connect error {:.3g} s ago: {}",
                    Seconds(loop_.now() - last_connect_error_at_), last_connect_error_->message);
  }
  return text + ")";
}

bool Pool::HasConnections() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& connection) { return connection.second.opened_at != kNever; });
}

size_t Pool::Count(ConnectionState state) const {
  size_t count = 0;
  for (const auto& lane : lanes_) count += lane->count(state);
  return count;
}

namespace {

void Add(PoolCounters& sum, const PoolCounters& more) {
  sum.opened += more.opened;
  sum.connect_failures += more.connect_failures;
  for (size_t i = 0; i < sum.closed.size(); ++i) sum.closed[i] += more.closed[i];
  sum.arrived += more.arrived;
  sum.granted += more.granted;
  for (size_t i = 0; i < sum.refused.size(); ++i) sum.refused[i] += more.refused[i];
  sum.abandoned += more.abandoned;
  sum.evictions += more.evictions;
}

}  // namespace

PoolStats Pool::Stats() const {
  PoolStats stats;
  stats.name = options_.name;
  stats.driver = driver_.name();
  stats.facts = driver_.facts();
  for (const auto& lane : lanes_) {
    stats.min += lane->config().min;
    stats.max += lane->config().max;
    stats.total += lane->total();
    stats.waiting += lane->waiting();
    stats.paused = stats.paused || lane->paused();
    for (size_t i = 0; i < kConnectionStates; ++i) {
      stats.connections[i] += lane->count(static_cast<ConnectionState>(i));
    }
    Add(stats.counters, lane->counters());
    stats.connect_failures_in_a_row =
        std::max(stats.connect_failures_in_a_row, lane->connect_failures_in_a_row());
  }
  stats.waiting += limits_.waiting();
  stats.limited = limits_.reached_total();
  stats.waiters_max = options_.core.waiters_max;
  stats.running = calls_.size() - std::min(calls_.size(), stats.waiting);
  FillSessions(stats);
  stats.statements = statements_;
  stats.errors = errors_;
  stats.outcomes_unknown = outcomes_unknown_;
  stats.retries = retries_;
  const Instant now = loop_.now();
  if (errors_ > 0) {
    stats.last_error = last_error_;
    stats.last_error_age = now - last_error_at_;
  }
  if (last_connect_error_.has_value()) {
    stats.last_connect_error = last_connect_error_->message;
    stats.last_connect_error_age = now - last_connect_error_at_;
  }
  if (last_success_ != Instant::min()) stats.last_success_age = now - last_success_;
  stats.database_up = database_up_;
  stats.status_age = now - status_since_;
  stats.warm = warm_;
  stats.draining = draining_;
  stats.queue = queue_;
  stats.connect = connect_;
  stats.execute = execute_;
  stats.head_of_line = head_of_line_;
  stats.total_time = total_;
  stats.queue_exemplars = queue_exemplars_;
  stats.execute_exemplars = execute_exemplars_;
  stats.total_exemplars = total_exemplars_;
  AddLanes(stats);
  return stats;
}

}  // namespace dbsidecar::pool
