#include "server/cli/admin_text.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <vector>

#include "server/cli/display_text.h"
#include "server/cli/health_text.h"
#include "server/cli/result_table.h"
#include "server/cli/text_table.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using google::protobuf::util::TimeUtil;

std::string Pid(int32_t pid) { return pid == 0 ? "-" : std::to_string(pid); }
std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

google::protobuf::Duration Since(const google::protobuf::Timestamp& time) {
  return TimeUtil::GetCurrentTime() - time;
}

void AddChanges(const google::protobuf::RepeatedPtrField<v1::OptionChange>& changes,
                std::string_view what, std::vector<std::vector<std::string>>& rows) {
  for (const v1::OptionChange& change : changes) {
    rows.push_back(
        {change.name(), OrDash(change.old_value()), OrDash(change.new_value()), std::string(what)});
  }
}

}  // namespace

std::string TextOfSpan(const google::protobuf::Duration& duration) {
  if (duration.seconds() >= 60) return TextOfUptime(duration);
  return TextOfElapsed(std::chrono::nanoseconds(TimeUtil::DurationToNanoseconds(duration)));
}

std::string NameOfState(v1::StatementState state) {
  return ToLower(ShortName(v1::StatementState_Name(state), "STATEMENT_STATE_"));
}

std::string CallerOf(const google::protobuf::Map<std::string, std::string>& tags) {
  const auto found = tags.find("caller");
  return found == tags.end() ? "" : found->second;
}

std::string TextOfStatements(const v1::ListStatementsResponse& response) {
  if (response.statements().empty()) return "nothing runs or waits\n";
  bool any_sql = false;
  for (const v1::RunningStatement& statement : response.statements()) {
    any_sql |= !statement.sql().empty();
  }
  std::vector<std::vector<std::string>> rows = {{">id", "state", ">waited", ">ran", "rpc", "lane",
                                                 "caller", ">session", ">pid", "fingerprint"}};
  if (any_sql) rows[0].push_back("sql");
  for (const v1::RunningStatement& statement : response.statements()) {
    rows.push_back({std::to_string(statement.id()), NameOfState(statement.state()),
                    TextOfSpan(statement.waited()),
                    statement.has_ran() ? TextOfSpan(statement.ran()) : "-", statement.rpc(),
                    statement.lane(), OrDash(CallerOf(statement.tags())),
                    statement.session_id() == 0 ? "-" : std::to_string(statement.session_id()),
                    Pid(statement.server_pid()), OrDash(statement.fingerprint())});
    if (any_sql) rows.back().push_back(statement.sql());
  }
  return TextOfTable(rows) + (response.truncated() ? "and more; --limit N shows more\n" : "");
}

std::string TextOfSessions(const v1::ListSessionsResponse& response) {
  if (response.sessions().empty()) return "no session is open\n";
  std::vector<std::vector<std::string>> rows = {{">id", "kind", ">age", ">idle", ">statements",
                                                 "caller", "client", ">pid", "last fingerprint"}};
  for (const v1::OpenSession& session : response.sessions()) {
    std::string kind = ToLower(ShortName(v1::SessionKind_Name(session.kind()), "SESSION_KIND_"));
    if (session.failed()) kind += " (failed)";
    rows.push_back({std::to_string(session.id()), kind, TextOfSpan(Since(session.begin_time())),
                    session.has_idle() ? TextOfSpan(session.idle()) : "runs",
                    std::to_string(session.statements()), OrDash(CallerOf(session.tags())),
                    OrDash(session.client_name()), Pid(session.server_pid()),
                    OrDash(session.last_fingerprint())});
  }
  return TextOfTable(rows) + (response.truncated() ? "and more; --limit N shows more\n" : "");
}

std::string TextOfReload(const v1::ReloadResponse& response, bool dry_run) {
  if (response.applied().empty() && response.refused().empty()) return "nothing has changed\n";
  std::vector<std::vector<std::string>> rows = {{"option", "old", "new", ""}};
  AddChanges(response.applied(), dry_run ? "would be applied" : "applied", rows);
  AddChanges(response.refused(), "NEEDS A RESTART", rows);
  return TextOfTable(rows);
}

std::string TextOfCancel(const v1::CancelStatementResponse& response) {
  if (response.finished_first()) return "it had ended of itself; its caller has its result\n";
  return response.terminated() ? "cancelled; its connection had to be closed\n" : "cancelled\n";
}

}  // namespace dbsidecar::server::cli
