// `dbsidecar admin`.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <array>
#include <functional>
#include <iostream>
#include <string_view>

#include "server/cli/admin_client.h"
#include "server/cli/admin_options.h"
#include "server/cli/admin_text.h"
#include "server/cli/client_verbs.h"
#include "server/cli/health_text.h"
#include "server/cli/verb_report.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono_literals::operator""s;

google::protobuf::Duration DurationOf(std::chrono::milliseconds duration) {
  return TimeUtil::MillisecondsToDuration(duration.count());
}

std::string StateText(v1::PoolState state) {
  return Concat(ToLower(ShortName(v1::PoolState_Name(state), "POOL_STATE_")), "\n");
}

// One action: asks, and prints the answer or the failure.
class Administrator {
 public:
  explicit Administrator(const AdminOptions& options)
      : options_(options), client_(options.client.address) {}

  int Pause() {
    v1::PauseRequest request;
    request.set_pool(options_.client.pool);
    *request.mutable_timeout() = DurationOf(options_.client.timeout);
    v1::PauseResponse response;
    // The sidecar is to say what was still in use.
    const auto timeout = options_.client.timeout + 2s;
    return Report(client_.Pause(request, timeout, response), response,
                  [&] { return StateText(response.state()); });
  }

  int Resume() {
    v1::ResumeRequest request;
    request.set_pool(options_.client.pool);
    v1::ResumeResponse response;
    return Report(client_.Resume(request, timeout(), response), response,
                  [&] { return StateText(response.state()); });
  }

  int Reload() {
    v1::ReloadRequest request;
    request.set_dry_run(options_.dry_run);
    v1::ReloadResponse response;
    return Report(client_.Reload(request, timeout(), response), response,
                  [&] { return TextOfReload(response, options_.dry_run); });
  }

  int Drain() {
    v1::DrainRequest request;
    if (options_.delay) *request.mutable_delay() = DurationOf(*options_.delay);
    if (options_.drain_timeout) *request.mutable_timeout() = DurationOf(*options_.drain_timeout);
    v1::DrainResponse response;
    return Report(client_.Drain(request, timeout(), response), response, [&] {
      return fmt::format("draining: {} calls in progress, {} sessions\n",
                         response.calls_in_progress(), response.sessions());
    });
  }

  int Quit() {
    v1::QuitResponse response;
    return Report(client_.Quit({}, timeout(), response), response, [&] {
      return fmt::format("stopping: {} calls cancelled\n", response.calls_cancelled());
    });
  }

  int Statements() {
    v1::ListStatementsRequest request;
    request.set_pool(options_.client.pool);
    request.set_statements_max(options_.count_max);
    if (options_.age_min) *request.mutable_age_min() = DurationOf(*options_.age_min);
    v1::ListStatementsResponse response;
    return Report(client_.ListStatements(request, timeout(), response), response,
                  [&] { return TextOfStatements(response); });
  }

  int Cancel() {
    v1::CancelStatementRequest request;
    request.set_id(options_.id);
    if (options_.terminate_after) {
      *request.mutable_terminate_after() = DurationOf(*options_.terminate_after);
    }
    v1::CancelStatementResponse response;
    return Report(client_.CancelStatement(request, timeout(), response), response,
                  [&] { return TextOfCancel(response); });
  }

  int Sessions() {
    v1::ListSessionsRequest request;
    request.set_pool(options_.client.pool);
    request.set_sessions_max(options_.count_max);
    if (options_.age_min) *request.mutable_age_min() = DurationOf(*options_.age_min);
    v1::ListSessionsResponse response;
    return Report(client_.ListSessions(request, timeout(), response), response,
                  [&] { return TextOfSessions(response); });
  }

  int CancelSession() {
    v1::CancelSessionRequest request;
    request.set_id(options_.id);
    v1::CancelSessionResponse response;
    return Report(client_.CancelSession(request, timeout(), response), response, [&] {
      return std::string(response.statement_cancelled()
                             ? "its statement was cancelled, and it was rolled back and ended\n"
                             : "rolled back and ended\n");
    });
  }

  int Resize() {
    v1::ResizePoolRequest request;
    request.set_pool(options_.client.pool);
    if (options_.min) request.set_min(*options_.min);
    if (options_.max) request.set_max(*options_.max);
    v1::ResizePoolResponse response;
    return Report(client_.ResizePool(request, timeout(), response), response, [&] {
      return fmt::format("min {}, max {}; {} connections now\n", response.min(), response.max(),
                         response.total());
    });
  }

  int ResetStatistics() {
    v1::ResetStatisticsRequest request;
    request.set_pool(options_.client.pool);
    v1::ResetStatisticsResponse response;
    return Report(client_.ResetStatistics(request, timeout(), response), response, [&] {
      return Concat("counting since ", TimeUtil::ToString(response.counting_since_time()), "\n");
    });
  }

  int SetLogLevel() {
    v1::SetLogLevelRequest request;
    const std::string name = options_.word == "warn" ? "warning" : options_.word;
    v1::LogLevel level = v1::LOG_LEVEL_UNSPECIFIED;
    v1::LogLevel_Parse(ToUpper(Concat("LOG_LEVEL_", name)), &level);
    request.set_level(level);
    if (options_.lasts) *request.mutable_duration() = DurationOf(*options_.lasts);
    v1::SetLogLevelResponse response;
    return Report(client_.SetLogLevel(request, timeout(), response), response, [&] {
      return Concat("it was ",
                    ToLower(ShortName(v1::LogLevel_Name(response.previous_level()), "LOG_LEVEL_")),
                    "\n");
    });
  }

 private:
  std::chrono::milliseconds timeout() const { return options_.client.timeout; }

  static std::string ToUpper(std::string text) {
    for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return text;
  }

  int Report(const CallOutcome& outcome, const google::protobuf::Message& response,
             const std::function<std::string()>& text) const {
    if (outcome.ok()) return Print(options_.json ? JsonOf(response) : text());
    const int exit_code = ReportFailure(outcome, options_.client);
    if (exit_code == kUnreachable) {
      std::cerr << "Admin is served only where --admin-listen says; see --admin-addr\n";
    }
    return exit_code;
  }

  const AdminOptions& options_;
  AdminClient client_;
};

struct Entry {
  std::string_view action;
  int (Administrator::*run)();
};

constexpr auto kEntries = std::to_array<Entry>({
    {"pause", &Administrator::Pause},
    {"resume", &Administrator::Resume},
    {"reload", &Administrator::Reload},
    {"drain", &Administrator::Drain},
    {"quit", &Administrator::Quit},
    {"statements", &Administrator::Statements},
    {"cancel", &Administrator::Cancel},
    {"sessions", &Administrator::Sessions},
    {"cancel-session", &Administrator::CancelSession},
    {"resize", &Administrator::Resize},
    {"reset-statistics", &Administrator::ResetStatistics},
    {"log-level", &Administrator::SetLogLevel},
});

}  // namespace

int RunAdmin(const std::vector<std::string>& arguments, const Environment& environment) {
  const absl::StatusOr<AdminOptions> options = ReadAdminOptions(arguments, environment);
  if (!options.ok()) return UsageError("admin", options.status());
  if (options->client.help_wanted) return Print(kAdminHelp);
  Administrator administrator(*options);
  for (const Entry& entry : kEntries) {
    if (entry.action == options->action) return (administrator.*entry.run)();
  }
  return kUsage;
}

}  // namespace dbsidecar::server::cli
