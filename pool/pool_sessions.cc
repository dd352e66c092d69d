// The part of Pool that keeps connections for sessions.
#include <fmt/format.h>

#include <algorithm>

#include "pool/check.h"
#include "pool/pool.h"

namespace dbsidecar::pool {
namespace {

constexpr std::string_view kNoSession =
    "no open session has this token: it never existed, or has ended";

Outcome Refusal(ErrorKind kind, std::string_view message) {
  Outcome outcome;
  outcome.error = OwnError(kind, std::string(message));
  return outcome;
}

// The configured limit, which the caller's wish can only lower; 0 = none.
Duration Lower(Duration configured, Duration wish) {
  if (wish == Duration::zero()) return configured;
  return configured == Duration::zero() ? wish : std::min(configured, wish);
}

Instant After(Instant now, Duration limit) {
  return limit == Duration::zero() ? kNever : now + limit;
}

std::string WhyRevoked(const Session& session, std::string_view reason) {
  const auto seconds = [](Duration limit) { return std::chrono::duration<double>(limit).count(); };
  std::string why;
  if (reason == "idle_timeout") {
    why = fmt::format("no call came for {:g} s (idle timeout)", seconds(session.idle_timeout));
  } else if (reason == "transaction_timeout") {
    why = fmt::format("its transaction was open for {:g} s (transaction timeout)",
                      seconds(session.transaction_timeout));
  } else if (reason == "client_gone") {
    why = "the client that it belonged to has gone";
  } else if (reason == "connection_lost") {
    why = "its connection was lost";
  } else if (reason == "admin") {
    why = "an operator ended it";
  } else {
    why = fmt::format("the sidecar ended it ({})", reason);
  }
  return "the session with this token was rolled back: " + why;
}

}  // namespace

// What a report says of it later. The texts of long scripts are not kept for that.
void Pool::NoteText(Session& session, const Call& call) {
  if (call.session.kind == SessionUse::Kind::kEnd) return;
  ++session.statements;
  session.last_text = TextOf(call);
}

Error Pool::SessionLost() {
  return OwnError(ErrorKind::kConnectionLost,
                  "the session's connection was lost before this call's statement was sent, and "
                  "its transaction is rolled back");
}

bool Pool::KnowsSession(std::string_view token) const {
  return sessions_.contains(std::string(token)) || revoked_.Peek(token) != nullptr;
}

// Whoever has the token of a session may know what became of it.
Error Pool::NoSession(std::string_view token) const {
  const std::string* reason = revoked_.Peek(token);
  return OwnError(ErrorKind::kSessionNotFound,
                  reason == nullptr ? std::string(kNoSession) : *reason);
}

// In a session nearly everything may run.
void Pool::FitToSession(const Call& call, Classification& classification) const {
  const SessionUse& use = call.session;
  if (use.none()) return;
  if (!driver_.has_sessions()) {
    classification.refusal =
        OwnError(ErrorKind::kUnsupported,
                 fmt::format("sessions are not served on {} by this version", driver_.name()));
    return;
  }
  const bool kept = use.kind != SessionUse::Kind::kNone || classification.transaction_control;
  if (kept && classification.refusal && classification.refusal->kind == ErrorKind::kNeedsSession) {
    classification.refusal.reset();
  }
  if (use.kind != SessionUse::Kind::kNone && call.statement.read_only && classification.may_write &&
      !classification.refusal) {
    classification.refusal = OwnError(ErrorKind::kDatabase,
                                      "a read_only call in a session cannot run a statement that "
                                      "may write");
    classification.refusal->sql.sqlstate = "25006";
    classification.refusal->sql.severity = "ERROR";
    classification.refusal->sql.message = classification.refusal->message;
  }
}

void Pool::SubmitToSession(CallState& state) {
  const auto it = sessions_.find(std::string(state.call->session.token));
  if (it == sessions_.end() || it->second->over) {
    Outcome outcome;
    outcome.error = NoSession(state.call->session.token);
    Finish(state, std::move(outcome));
    return;
  }
  Session& session = *it->second;
  if (session.running != 0 && !state.call->flow_controlled) {
    Finish(state, Refusal(ErrorKind::kSessionBusy,
                          "the session runs another call; it takes one at a time, except on a "
                          "Pipeline stream, where calls of one session run in the order sent"));
    return;
  }
  if (!state.call->session.client_id.empty()) session.client_id = state.call->session.client_id;
  state.session = &session;
  state.lane = session.lane;
  if (session.running == 0) {
    StartInSession(session, state);
  } else {
    session.queued.push_back(state.call->id);
    SetTimer(state, state.deadline);
  }
}

void Pool::StartInSession(Session& session, CallState& state) {
  const SessionUse& use = state.call->session;
  if (use.kind == SessionUse::Kind::kEnd && session.status == TransactionStatus::kIdle) {
    // There is nothing to commit or to roll back.
    state.session = nullptr;
    EndSession(session, Condition::kDirty);
    Finish(state, Outcome{});
    return;
  }
  if (use.kind == SessionUse::Kind::kEnd && use.end == SessionUse::End::kRelease) {
    state.session = nullptr;
    Outcome outcome =
        Refusal(ErrorKind::kTransactionOpen, "a transaction is open; commit it or roll it back");
    outcome.transaction_status = session.status;
    outcome.session = session.token;
    Finish(state, std::move(outcome));
    StartNextIn(session);
    return;
  }
  if (std::optional<Error> refusal = RefusalInSession(*state.call, session)) {
    state.session = nullptr;
    Outcome outcome;
    outcome.error = std::move(refusal);
    Finish(state, std::move(outcome));
    StartNextIn(session);
    return;
  }
  session.running = state.call->id;
  session.idle_until = kNever;
  NoteText(session, *state.call);
  state.connection = session.connection;
  state.granted = loop_.now();
  SetTimer(state, TimeToRun(state));
  connections_.at(session.connection).handle->Execute(*state.call);
}

void Pool::StartNextIn(Session& session) {
  if (session.running != 0) return;
  if (session.queued.empty()) {
    session.idle_until = After(loop_.now(), session.idle_timeout);
    return;
  }
  const CallId next = session.queued.front();
  session.queued.pop_front();
  StartInSession(session, calls_.at(next));
}

bool Pool::OpensSession(const CallState& state, const Outcome& outcome, Condition condition) const {
  const SessionUse& use = state.call->session;
  if (condition == Condition::kBroken || outcome.never_sent) return false;
  // Nobody would learn its token.
  if (state.answered || state.gave_up != GiveUp::kNone) return false;
  switch (use.kind) {
    case SessionUse::Kind::kPin:
      return !outcome.error.has_value();
    case SessionUse::Kind::kBegin:
      return !outcome.error.has_value() && outcome.transaction_status != TransactionStatus::kIdle;
    case SessionUse::Kind::kNone:
      return use.auto_pin && outcome.transaction_status != TransactionStatus::kIdle;
    case SessionUse::Kind::kContinue:
    case SessionUse::Kind::kEnd:
      return false;
  }
  return false;
}

Session& Pool::BeginSession(ConnectionId id, CallState& state) {
  const SessionUse& use = state.call->session;
  auto session = std::make_unique<Session>();
  session->id = state.call->id;
  session->token = NewSessionToken();
  session->connection = id;
  session->lane = state.lane;
  session->caller = state.call->caller;
  session->owner = use.owner;
  session->client_id = use.client_id;
  session->pinned = use.kind == SessionUse::Kind::kPin;
  session->began = state.granted;
  session->limit_keys = std::move(state.limit_keys);
  session->idle_timeout = Lower(options_.session_idle_timeout, use.idle_timeout);
  session->transaction_timeout = Lower(options_.transaction_timeout, use.transaction_timeout);
  session->warn_at = After(session->began, options_.session_warn_after);
  NoteText(*session, *state.call);
  connections_.at(id).session = session.get();
  Session& opened = *session;
  sessions_[opened.token] = std::move(session);
  return opened;
}

void Pool::ReplyInSession(ConnectionId id, CallState& state, Outcome outcome, Condition condition) {
  Session& session = state.session != nullptr ? *state.session : BeginSession(id, state);
  const CallId call = state.call->id;
  state.session = nullptr;
  outcome = Judge(state, std::move(outcome));
  const SessionUse& use = state.call->session;
  const bool commits = use.kind == SessionUse::Kind::kEnd && use.end == SessionUse::End::kCommit;
  if (commits && !outcome.error && outcome.end_tag == "ROLLBACK") {
    outcome.error = OwnError(ErrorKind::kTransactionFailed,
                             "a statement of the transaction had failed, so it was rolled back");
  }
  session.running = 0;
  session.idle_since = loop_.now();
  session.status = outcome.transaction_status;
  session.dirty = session.dirty || condition == Condition::kDirty;
  if (condition == Condition::kBroken) {
    // Whoever was committing learns from the answer that this is not known to be a rollback.
    if (!commits && !use.commit) NoteRevoked(session, "connection_lost");
    EndSession(session, Condition::kBroken);
    NoteStatus(outcome.error ? outcome.error->message : "");
  } else if (session.over || IsDone(session, *state.call, outcome)) {
    EndSession(session,
               session.pinned || session.dirty || session.status != TransactionStatus::kIdle
                   ? Condition::kDirty
                   : Condition::kClean);
  } else {
    outcome.session = session.token;
    NoteTransaction(session);
    if (ClientIsGone(session.client_id)) {
      // It went while the call that opened the session was under way.
      Revoke(session, "client_gone");
    } else {
      StartNextIn(session);
    }
  }
  Act();
  Finish(calls_.at(call), std::move(outcome));
}

bool Pool::IsDone(const Session& session, const Call& call, const Outcome& outcome) {
  if (call.session.kind == SessionUse::Kind::kEnd) return true;
  const bool idle = session.status == TransactionStatus::kIdle;
  if (call.session.commit) return !outcome.error || idle;
  return idle && !session.pinned;
}

void Pool::NoteTransaction(Session& session) const {
  if (session.status == TransactionStatus::kIdle) {
    session.transaction_until = kNever;
    session.transaction_since = kNever;
  } else if (session.transaction_since == kNever) {
    session.transaction_since = loop_.now();
    session.transaction_until = After(loop_.now(), session.transaction_timeout);
  }
}

void Pool::FillSessions(PoolStats& stats) const {
  const Instant now = loop_.now();
  stats.sessions = sessions_.size();
  stats.sessions_revoked = sessions_revoked_;
  for (const auto& [token, session] : sessions_) {
    if (session->running == 0) {
      ++stats.sessions_idle;
      stats.longest_idle_session = std::max(stats.longest_idle_session, now - session->idle_since);
    }
    if (session->transaction_since == kNever) continue;
    stats.oldest_transaction =
        std::max(stats.oldest_transaction.value_or(Duration{}), now - session->transaction_since);
  }
}

void Pool::EndSession(Session& session, Condition condition) {
  const ConnectionId id = session.connection;
  if (options_.session_audit && condition != Condition::kBroken) {
    connections_.at(id).audit = {.caller = session.caller,
                                 .connection = id,
                                 .fingerprint = driver_.Fingerprint(session.last_text),
                                 .taken_for_clean = condition == Condition::kClean};
    condition = Condition::kDirty;
  }
  ForgetSession(session,
                condition == Condition::kBroken ? SessionLost() : NoSession(session.token));
  observer_.OnReleased(id, condition);
  CoreOf(id).Released(loop_.now(), id, condition, actions_);
}

void Pool::Reset(const OpenConnection& connection) {
  if (connection.audit) {
    connection.handle->AuditAndReset();
  } else {
    connection.handle->Reset();
  }
}

void Pool::OnAudited(ConnectionId id, const AuditFindings& findings) {
  SessionAudit& audit = *connections_.at(id).audit;
  audit.left = findings.left;
  audit.survived = findings.survived;
  if (!audit.left.empty() || !audit.survived.empty()) observer_.OnSessionAudited(audit);
}

// The session is no more; what becomes of its connection is the caller's to say.
void Pool::ForgetSession(Session& session, const Error& error_of_those_behind) {
  connections_.at(session.connection).session = nullptr;
  const std::deque<CallId> queued = std::exchange(session.queued, {});
  if (session.running != 0) calls_.at(session.running).session = nullptr;
  std::unique_ptr<LimitKeys> limit_keys = std::move(session.limit_keys);
  sessions_.erase(std::string(session.token));
  LeaveLimits(std::move(limit_keys));
  for (const CallId id : queued) {
    CallState& state = calls_.at(id);
    state.session = nullptr;
    Outcome outcome;
    outcome.error = error_of_those_behind;
    Finish(state, std::move(outcome));
  }
}

// We end it, not its caller.
void Pool::Revoke(Session& session, std::string_view reason) {
  if (session.over) return;
  NoteRevoked(session, reason);
  if (session.running == 0) {
    EndSession(session, Condition::kDirty);
    return;
  }
  session.over = true;
  StopWaitingFor(calls_.at(session.running),
                 reason == "admin" ? GiveUp::kOperator : GiveUp::kDeadline);
}

// Once for each session.
void Pool::NoteRevoked(const Session& session, std::string_view reason) {
  if (session.over) return;
  ++sessions_revoked_[std::string(reason)];
  observer_.OnSessionRevoked(ReportOf(session), reason);
  if (revoked_.Peek(session.token) == nullptr) {
    revoked_.Insert(session.token, WhyRevoked(session, reason));
  }
  const auto client = clients_.find(session.client_id);
  if (client != clients_.end()) client->second->OnSessionRevoked(session.token, reason);
}

SessionReport Pool::ReportOf(const Session& session) const {
  const bool idle = session.running == 0;
  return {.caller = session.caller,
          .connection = session.connection,
          .age = loop_.now() - session.began,
          .idle = idle ? loop_.now() - session.idle_since : Duration::zero(),
          .status = session.status,
          .fingerprint = driver_.Fingerprint(session.last_text)};
}

bool Pool::ClientIsGone(std::string_view client_id) const {
  return !client_id.empty() && !clients_.contains(std::string(client_id));
}

void Pool::Attach(AttachedClient& client) {
  DBSIDECAR_CHECK(!client.client_id.empty() && !clients_.contains(client.client_id));
  clients_[client.client_id] = &client;
}

void Pool::Detach(AttachedClient& client) {
  clients_.erase(client.client_id);
  std::vector<Session*> owned;
  for (const auto& [token, session] : sessions_) {
    if (session->client_id == client.client_id) owned.push_back(session.get());
  }
  for (Session* session : owned) Revoke(*session, "client_gone");
  Act();
}

void Pool::EndSessionsOf(uint64_t owner) {
  std::vector<Session*> owned;
  for (const auto& [token, session] : sessions_) {
    if (session->owner == owner) owned.push_back(session.get());
  }
  for (Session* session : owned) Revoke(*session, "client_gone");
  Act();
}

void Pool::OnSessionTimers(Instant now) {
  std::vector<std::pair<Session*, std::string_view>> due;
  for (const auto& [token, session] : sessions_) {
    if (session->over) continue;
    if (session->transaction_until <= now) {
      due.emplace_back(session.get(), "transaction_timeout");
    } else if (session->idle_until <= now) {
      due.emplace_back(session.get(), "idle_timeout");
    }
  }
  for (const auto& [session, reason] : due) Revoke(*session, reason);
  for (const auto& [token, session] : sessions_) {
    if (session->warn_at > now) continue;
    session->warn_at = kNever;
    observer_.OnSessionHeld(ReportOf(*session));
  }
}

Instant Pool::NextSessionTimer() const {
  Instant next = kNever;
  for (const auto& [token, session] : sessions_) {
    if (!session->over) {
      next = std::min({next, session->idle_until, session->transaction_until, session->warn_at});
    }
  }
  return next;
}

}  // namespace dbsidecar::pool
