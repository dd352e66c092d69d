#include "server/pool_observer.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "server/error_mapping.h"
#include "server/reason_names.h"

namespace dbsidecar::server {
namespace {

double Millis(pool::Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::string_view ConditionName(pool::Condition condition) {
  switch (condition) {
    case pool::Condition::kClean:
      return "clean";
    case pool::Condition::kDirty:
      return "dirty";
    case pool::Condition::kBroken:
      return "broken";
  }
  return "";
}

std::string_view StatusName(pool::TransactionStatus status) {
  switch (status) {
    case pool::TransactionStatus::kIdle:
      return "idle";
    case pool::TransactionStatus::kInTransaction:
      return "in_transaction";
    case pool::TransactionStatus::kFailed:
      return "failed";
  }
  return "";
}

void AddTrace(const pool::Call& call, std::vector<LogField>& fields) {
  if (!call.trace.present()) return;
  fields.emplace_back("trace_id", call.trace.trace_id());
  fields.emplace_back("span_id", call.trace.span_id());
}

}  // namespace

// The default pool is not named in each line: mostly there is no other.
void PoolObserver::Tell(LogLevel level, std::string_view event,
                        std::vector<LogField> fields) const {
  if (options_.pool != kDefaultPool) fields.emplace_back("pool", options_.pool);
  Log(level, event, fields);
}

// The number of those left out is told only if there are any.
void PoolObserver::TellLimited(LimitedEvent& event, std::vector<LogField> fields) const {
  if (!LogEnabled(event.level)) return;
  const std::optional<uint64_t> suppressed = event.limit.Pass(pool::Clock::now());
  if (!suppressed) return;
  if (*suppressed > 0) fields.emplace_back("suppressed", *suppressed);
  Tell(event.level, event.name, std::move(fields));
}

// Two lines for a session at most.
void PoolObserver::TellOf(const pool::SessionReport& session, LimitedEvent& event,
                          std::string_view reason) const {
  TellLimited(event, {{"caller", session.caller},
                      {"connection", session.connection},
                      {"age_ms", Millis(session.age)},
                      {"idle_ms", Millis(session.idle)},
                      {"transaction", StatusName(session.status)},
                      {"fingerprint", session.fingerprint},
                      {"reason", reason}});
}

void PoolObserver::Note(std::string_view kind, pool::ConnectionId id, std::string text) const {
  if (options_.events != nullptr) options_.events->Note(kind, options_.pool, id, std::move(text));
}

void PoolObserver::OnConnectionOpened(pool::ConnectionId id, pool::Duration connect_time) {
  Note("connection_opened", id, fmt::format("{:.1f} ms", Millis(connect_time)));
  if (!options_.log_events) return;
  TellLimited(connect_, {{"connection", id}, {"took_ms", Millis(connect_time)}});
}

void PoolObserver::OnConnectFailed(pool::ConnectionId id, const pool::Error& error,
                                   bool permanent) {
  {
    std::lock_guard lock(mutex_);
    trouble_ = {.message = error.message, .permanent = permanent};
  }
  Note("connect_failed", id, error.message);
  // PoolCore's back-off bounds how often this is written.
  Tell(LogLevel::kWarn, "pool.connect_failed", {{"connection", id}, {"error", error.message}});
}

void PoolObserver::OnConnectionClosed(pool::ConnectionId id, pool::CloseReason reason) {
  Note("connection_closed", id, std::string(CloseReasonName(reason)));
  if (!options_.log_events) return;
  TellLimited(remove_, {{"connection", id}, {"reason", CloseReasonName(reason)}});
}

void PoolObserver::OnLeased(pool::ConnectionId id, pool::CallId call) {
  if (!options_.log_events) return;
  TellLimited(lease_, {{"connection", id}, {"call", call}});
}

void PoolObserver::OnLimited(const pool::LimitReport& limit) {
  TellLimited(limited_, {{"limit", LimitName(limit.kind)},
                         {"of", std::string(limit.key)},
                         {"max", limit.max},
                         {"enforced", limit.enforced}});
}

void PoolObserver::OnReleased(pool::ConnectionId id, pool::Condition condition) {
  if (!options_.log_events) return;
  TellLimited(release_, {{"connection", id}, {"condition", ConditionName(condition)}});
}

void PoolObserver::OnAnswered(const pool::Call& call, const pool::Timing& timing,
                              const pool::Error* error) {
  const Code code = error == nullptr ? Code::kOk : MapError(*error).code;
  ++answered_[static_cast<size_t>(code)];
  if (options_.log_calls) LogAnswer(call, timing, code, error);
  if (options_.log_events && error != nullptr) LogError(call, code, *error);
}

void PoolObserver::LogAnswer(const pool::Call& call, const pool::Timing& timing, Code code,
                             const pool::Error* error) const {
  std::vector<LogField> fields = {
      {"call", call.id},
      {"caller", call.caller},
      {"rpc", call.rpc},
      {"code", CodeName(code)},
      {"queue_ms", Millis(timing.queue)},
      {"execute_ms", Millis(timing.execute)},
      {"sqlstate", error == nullptr ? std::string_view() : std::string_view(error->sql.sqlstate)}};
  AddTrace(call, fields);
  Tell(LogLevel::kInfo, "call", fields);
}

// The database's own words are left out: they may repeat a parameter.
void PoolObserver::LogError(const pool::Call& call, Code code, const pool::Error& error) {
  const bool ours = error.kind != pool::ErrorKind::kDatabase;
  std::vector<LogField> fields = {{"call", call.id},
                                  {"caller", call.caller},
                                  {"rpc", call.rpc},
                                  {"code", CodeName(code)},
                                  {"reason", MapError(error).reason}};
  if (!error.sql.sqlstate.empty()) fields.emplace_back("sqlstate", error.sql.sqlstate);
  if (ours) fields.emplace_back("error", error.message);
  AddTrace(call, fields);
  TellLimited(error_, std::move(fields));
}

void PoolObserver::OnSlowStatement(const pool::SlowStatement& slow) {
  const Code code = slow.error == nullptr ? Code::kOk : MapError(*slow.error).code;
  std::vector<LogField> fields = {{"fingerprint", slow.fingerprint},
                                  {"caller", slow.call.caller},
                                  {"rpc", slow.call.rpc},
                                  {"code", CodeName(code)},
                                  {"queue_ms", Millis(slow.timing.queue)},
                                  {"execute_ms", Millis(slow.timing.execute)},
                                  {"rows", slow.rows}};
  if (slow.ran != slow.timing.execute) fields.emplace_back("first_rows_ms", Millis(slow.ran));
  if (slow.error != nullptr && !slow.error->sql.sqlstate.empty()) {
    fields.emplace_back("sqlstate", slow.error->sql.sqlstate);
  }
  AddTrace(slow.call, fields);
  if (!slow.text.empty()) fields.emplace_back("sql", slow.text);
  TellLimited(slow_, std::move(fields));
}

std::map<std::string, uint64_t> PoolObserver::outcomes() const {
  std::map<std::string, uint64_t> outcomes;
  for (size_t i = 0; i < kCodes; ++i) {
    if (answered_[i] == 0) continue;
    std::string name(CodeName(static_cast<Code>(i)));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    outcomes[name] = answered_[i];
  }
  return outcomes;
}

void PoolObserver::OnDatabaseStatus(bool up, std::string_view reason) {
  Tell(up ? LogLevel::kInfo : LogLevel::kWarn, up ? "database.up" : "database.down",
       {{"reason", reason}});
  Note(up ? "database_up" : "database_down", 0, std::string(reason));
  options_.on_database_status(up);
}

void PoolObserver::OnSessionHeld(const pool::SessionReport& session) {
  Note("session_held", session.connection, std::string(session.caller));
  TellOf(session, held_, "");
}

// What was expected is for whoever wrote the session; what was not, a fault of ours.
void PoolObserver::OnSessionAudited(const pool::SessionAudit& audit) {
  const bool expected = !audit.taken_for_clean && audit.survived.empty();
  Tell(expected ? LogLevel::kWarn : LogLevel::kError,
       expected ? "session.left_behind" : "session.leak",
       {{"caller", audit.caller},
        {"connection", audit.connection},
        {"fingerprint", audit.fingerprint},
        {"left", absl::StrJoin(audit.left, ", ")},
        {"survived", absl::StrJoin(audit.survived, ", ")},
        {"taken_for_clean", audit.taken_for_clean}});
}

void PoolObserver::OnSessionRevoked(const pool::SessionReport& session, std::string_view reason) {
  Note("session_revoked", session.connection, std::string(reason));
  TellOf(session, revoked_, reason);
}

// The hub's back-off bounds how often this is written.
void PoolObserver::OnListenerStatus(bool up, std::string_view reason) {
  Note(up ? "listen_restored" : "listen_lost", 0, std::string(reason));
  Tell(up ? LogLevel::kInfo : LogLevel::kWarn, up ? "listen.restored" : "listen.lost",
       {{"reason", reason}});
}

PoolObserver::ConnectTrouble PoolObserver::connect_trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

}  // namespace dbsidecar::server
