#include "server/cli/client_verbs.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string_view>
#include <thread>
#include <utility>

#include "server/cli/call_outcome.h"
#include "server/cli/client_options.h"
#include "server/cli/copy_verb.h"
#include "server/cli/display_text.h"
#include "server/cli/error_report.h"
#include "server/cli/health_text.h"
#include "server/cli/metrics_text.h"
#include "server/cli/progress.h"
#include "server/cli/prompt_verb.h"
#include "server/cli/query_answer.h"
#include "server/cli/sidecar_client.h"
#include "server/cli/stream_verb.h"
#include "server/cli/verb_report.h"
#include "server/cli/watch_text.h"
#include "server/config/values.h"
#include "server/status_code.h"
#include "server/text.h"
#include "server/utf8.h"

namespace dbsidecar::server::cli {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

v1::QueryRequest RequestOf(const QueryOptions& options) {
  v1::QueryRequest request;
  request.set_sql(options.sql);
  request.set_pool(options.client.pool);
  for (const v1::Value& parameter : options.parameters) *request.add_params() = parameter;
  request.set_format(v1::RESULT_FORMAT_COLUMNS);
  request.set_max_rows(options.rows_max);
  request.set_read_only(options.read_only);
  request.set_want_timing(options.timing);
  if (options.settings) *request.mutable_settings() = *options.settings;
  return request;
}

absl::Status ReadStatement(std::string& sql) {
  if (sql == "-") {
    sql.assign(std::istreambuf_iterator<char>(std::cin), {});
    if (std::cin.bad()) return absl::InvalidArgumentError("standard input cannot be read");
  }
  if (Trim(sql).empty()) return absl::InvalidArgumentError("the statement is empty");
  if (!IsValidUtf8(sql)) return absl::InvalidArgumentError("the statement is not valid UTF-8");
  return absl::OkStatus();
}

absl::Status ReadScript(const std::string& path, std::string& sql) {
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& in = path == "-" ? std::cin : file;
  sql.assign(std::istreambuf_iterator<char>(in), {});
  if (!in) {
    return absl::InvalidArgumentError(Concat("\"", Displayable(path), "\" cannot be read"));
  }
  return IsValidUtf8(sql) ? absl::OkStatus()
                          : absl::InvalidArgumentError("the script is not valid UTF-8");
}

v1::ScriptRequest ScriptRequestOf(const QueryOptions& options) {
  v1::ScriptRequest request;
  request.set_sql(options.sql);
  request.set_pool(options.client.pool);
  request.set_format(v1::RESULT_FORMAT_COLUMNS);
  request.set_max_rows(options.rows_max);
  request.set_want_timing(options.timing);
  request.set_separate_transactions(options.separate_transactions);
  if (options.settings) *request.mutable_settings() = *options.settings;
  return request;
}

// Shows that it is under way.
CallOutcome Wait(const std::function<CallOutcome()>& call) {
  const Progress progress(false);
  return call();
}

// Every result in turn.
int RunScript(SidecarClient& client, const QueryOptions& options) {
  v1::ScriptResponse response;
  const auto start = std::chrono::steady_clock::now();
  const CallOutcome outcome = Wait(
      [&] { return client.Script(ScriptRequestOf(options), options.client.timeout, response); });
  const auto elapsed = std::chrono::steady_clock::now() - start;
  if (!outcome.ok()) return ReportFailure(outcome, options.client, options.sql);
  for (const v1::Notice& notice : response.notices()) std::cerr << ReportOfNotice(notice);
  v1::QueryResponse answer;
  QueryOptions without_timing = options;
  without_timing.timing = false;
  for (v1::ResultSet& result : *response.mutable_results()) {
    answer.mutable_result()->Swap(&result);
    const int exit_code = PrintAnswer(answer, without_timing, elapsed);
    if (exit_code != kOk) return exit_code;
  }
  if (options.timing) std::cerr << TextOfTiming(response.timing());
  return kOk;
}

// The one that the error is about, so that its line can be shown; the first when it is about none.
std::string_view FailedStatement(const CallOutcome& outcome,
                                 const std::vector<std::string>& statements) {
  const v1::Error error = ErrorOf(outcome);
  const auto found = error.metadata().find("step");
  if (found == error.metadata().end()) return statements.front();
  const auto step = ParseInteger(found->second);
  const bool known = step.ok() && *step >= 0 && *step < std::ssize(statements);
  if (!known) return statements.front();
  std::cerr << "statement " << *step + 1 << " of " << statements.size() << ":\n";
  return statements[static_cast<size_t>(*step)];
}

// All or none: the first that fails says why nothing was done.
int RunTransaction(SidecarClient& client, const QueryOptions& options) {
  v1::BatchRequest request;
  request.set_pool(options.client.pool);
  request.set_mode(v1::BATCH_MODE_ATOMIC);
  request.set_format(v1::RESULT_FORMAT_COLUMNS);
  request.set_max_rows(options.rows_max);
  request.set_read_only(options.read_only);
  request.set_want_timing(options.timing);
  if (options.settings) *request.mutable_settings() = *options.settings;
  for (const std::string& sql : options.statements) request.add_steps()->set_sql(sql);
  v1::BatchResponse response;
  const auto start = std::chrono::steady_clock::now();
  const CallOutcome outcome =
      Wait([&] { return client.Batch(request, options.client.timeout, response); });
  const auto elapsed = std::chrono::steady_clock::now() - start;
  if (!outcome.ok()) {
    return ReportFailure(outcome, options.client, FailedStatement(outcome, options.statements));
  }
  QueryOptions without_timing = options;
  without_timing.timing = false;
  for (v1::StepResult& result : *response.mutable_results()) {
    v1::QueryResponse answer;
    answer.mutable_result()->Swap(result.mutable_result());
    answer.mutable_notices()->Swap(result.mutable_notices());
    const int exit_code = PrintAnswer(answer, without_timing, elapsed);
    if (exit_code != kOk) return exit_code;
  }
  if (options.timing) std::cerr << TextOfTiming(response.timing());
  return kOk;
}

std::string NameOfType(std::uint32_t oid, const v1::DescribeResponse& response) {
  for (const v1::TypeInfo& type : response.types()) {
    if (type.oid() == oid) return fmt::format("{}.{}", type.schema(), type.name());
  }
  return oid == 0 ? "any type" : fmt::format("{}", oid);
}

// SQLite tells the type as it was declared.
std::string NameOfType(const v1::ColumnInfo& column, const v1::DescribeResponse& response) {
  return column.declared_type().empty() ? NameOfType(column.type_oid(), response)
                                        : column.declared_type();
}

std::string TextOfDescription(const v1::DescribeResponse& response) {
  const auto word = [](bool yes) { return yes ? "yes" : "no"; };
  std::string text;
  for (int i = 0; i < response.param_type_oids_size(); ++i) {
    text += fmt::format("parameter  ${} {}\n", i + 1,
                        NameOfType(response.param_type_oids(i), response));
  }
  for (const v1::ColumnInfo& column : response.columns()) {
    text += fmt::format("column     {} {}\n", column.name(), NameOfType(column, response));
  }
  text += fmt::format("only reads {}: {}\nsession    {}\nalone      {}\nshape      {}\n",
                      word(response.read_only() == v1::READ_ONLY_VERDICT_READ_ONLY),
                      response.verdict_reason(), response.needs_session() ? "needed" : "not needed",
                      word(response.needs_own_connection()), response.fingerprint());
  return Displayable(text, LineBreaks::kKeep);
}

CallOutcome Check(SidecarClient& client, const std::string& service,
                  std::chrono::milliseconds timeout, HealthCheckResponse& response) {
  HealthCheckRequest request;
  request.set_service(service);
  return client.Check(request, timeout, response);
}

std::string NameOf(const HealthCheckResponse& response) {
  const std::string name = HealthCheckResponse::ServingStatus_Name(response.status());
  return name.empty() ? "UNKNOWN" : name;
}

int CheckService(SidecarClient& client, const HealthOptions& options) {
  HealthCheckResponse response;
  const CallOutcome outcome = Check(client, *options.service, options.client.timeout, response);
  if (!outcome.ok()) return ReportFailure(outcome, options.client);
  const std::string text = options.json ? JsonOf(response) : NameOf(response);
  return Print(Concat(text, "\n"),
               response.status() == HealthCheckResponse::SERVING ? kOk : kFailed);
}

std::string DescribeCheck(const CallOutcome& outcome, const HealthCheckResponse& response,
                          const std::string& address) {
  if (outcome.ok()) return Concat("the last answer was ", NameOf(response));
  if (outcome.Unreachable()) return DescribeUnreachable(outcome, address);
  return Concat("the last answer was ", NameOfCode(outcome.code), ": ",
                Displayable(outcome.message));
}

std::string LineOfJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) std::cerr << "the event has no JSON form: " << status.ToString() << "\n";
  return Concat(json, "\n");
}

void TellOf(const v1::ListenResponse& event) {
  if (event.has_listening()) {
    std::cerr << "listening\n";
  } else if (event.has_gap()) {
    std::cerr << "GAP: notifications may be missing; the connection was lost ("
              << Displayable(event.gap().reason()) << ") and is back\n";
  } else if (event.has_dropped()) {
    std::cerr << "DROPPED: " << Displayable(event.dropped().reason()) << "\n";
  }
}

v1::HealthLevel LevelOf(std::string_view name) {
  if (name == "database") return v1::HEALTH_LEVEL_DATABASE;
  return name == "detailed" ? v1::HEALTH_LEVEL_DETAILED : v1::HEALTH_LEVEL_BASIC;
}

}  // namespace

int RunListen(const std::vector<std::string>& arguments, const Environment& environment) {
  const absl::StatusOr<ListenOptions> options = ReadListenOptions(arguments, environment);
  if (!options.ok()) return UsageError("listen", options.status());
  if (options->client.help_wanted) return Print(kListenHelp);
  v1::ListenRequest request;
  request.set_pool(options->client.pool);
  for (const std::string& channel : options->channels) {
    if (!IsValidUtf8(channel)) {
      return UsageError("listen", absl::InvalidArgumentError("a channel is not valid UTF-8"));
    }
    request.add_channels(channel);
  }
  SidecarClient client(options->client.address);
  std::uint64_t heard = 0;
  int exit_code = kOk;
  const CallOutcome outcome =
      client.Listen(request, options->client.timeout, [&](const v1::ListenResponse& event) {
        TellOf(event);
        const v1::Notification& notification = event.notification();
        if (options->json) {
          exit_code = Print(LineOfJson(event));
        } else if (event.has_notification()) {
          exit_code = Print(Concat(Displayable(notification.channel()), "\t",
                                   Displayable(notification.payload()), "\n"));
        }
        heard += event.has_notification() ? 1 : 0;
        return exit_code == kOk && (options->count == 0 || heard < options->count);
      });
  if (outcome.ok() || outcome.TimedOut()) return exit_code;
  return ReportFailure(outcome, options->client);
}

int RunQuery(const std::vector<std::string>& arguments, const Environment& environment) {
  absl::StatusOr<QueryOptions> options = ReadQueryOptions(arguments, environment);
  if (!options.ok()) return UsageError("query", options.status());
  if (options->client.help_wanted) return Print(kQueryHelp);
  if (options->transaction) {
    for (std::string& sql : options->statements) {
      if (const absl::Status status = ReadStatement(sql); !status.ok()) {
        return UsageError("query", status);
      }
    }
    SidecarClient client(options->client.address);
    return RunTransaction(client, *options);
  }
  const absl::Status status =
      options->file.empty() ? ReadStatement(options->sql) : ReadScript(options->file, options->sql);
  if (!status.ok()) return UsageError("query", status);
  SidecarClient client(options->client.address);
  if (!options->file.empty()) return RunScript(client, *options);
  if (options->copy_in) return CopyIn(client, *options);
  if (options->copy_out) return CopyOut(client, *options);
  if (options->stream) return StreamQuery(client, RequestOf(*options), *options);
  v1::QueryResponse response;
  const auto start = std::chrono::steady_clock::now();
  const CallOutcome outcome =
      Wait([&] { return client.Query(RequestOf(*options), options->client.timeout, response); });
  const auto elapsed = std::chrono::steady_clock::now() - start;
  if (!outcome.ok()) return ReportFailure(outcome, options->client, options->sql);
  return PrintAnswer(response, *options, elapsed);
}

int RunSql(const std::vector<std::string>& arguments, const Environment& environment) {
  const absl::StatusOr<PromptOptions> options = ReadPromptOptions(arguments, environment);
  if (!options.ok()) return UsageError("sql", options.status());
  if (options->client.help_wanted) return Print(kSqlHelp);
  SidecarClient client(options->client.address);
  if (options->file.empty()) return RunPrompt(client, *options, std::cin);
  std::ifstream file(options->file);
  if (!file) {
    return UsageError("sql", absl::InvalidArgumentError(
                                 Concat("\"", Displayable(options->file), "\" cannot be read")));
  }
  return RunPrompt(client, *options, file);
}

int RunDescribe(const std::vector<std::string>& arguments, const Environment& environment) {
  absl::StatusOr<DescribeOptions> options = ReadDescribeOptions(arguments, environment);
  if (!options.ok()) return UsageError("describe", options.status());
  if (options->client.help_wanted) return Print(kDescribeHelp);
  if (const absl::Status status = ReadStatement(options->sql); !status.ok()) {
    return UsageError("describe", status);
  }
  SidecarClient client(options->client.address);
  v1::DescribeRequest request;
  request.set_sql(options->sql);
  request.set_pool(options->client.pool);
  v1::DescribeResponse response;
  const CallOutcome outcome = client.Describe(request, options->client.timeout, response);
  if (!outcome.ok()) return ReportFailure(outcome, options->client, options->sql);
  return Print(options->json ? JsonOf(response) : TextOfDescription(response));
}

int RunHealth(const std::vector<std::string>& arguments, const Environment& environment) {
  const absl::StatusOr<HealthOptions> options = ReadHealthOptions(arguments, environment);
  if (!options.ok()) return UsageError("health", options.status());
  if (options->client.help_wanted) return Print(kHealthHelp);
  SidecarClient client(options->client.address);
  if (options->service.has_value()) return CheckService(client, *options);

  v1::HealthRequest request;
  request.set_level(LevelOf(options->level));
  v1::HealthResponse response;
  const CallOutcome outcome = client.Health(request, options->client.timeout, response);
  if (!outcome.ok()) return ReportFailure(outcome, options->client);
  const bool serves = response.status() == v1::HEALTH_STATUS_HEALTHY ||
                      response.status() == v1::HEALTH_STATUS_DEGRADED;
  return Print(options->json ? JsonOf(response) : TextOfHealth(response), serves ? kOk : kFailed);
}

namespace {

int WatchMetrics(SidecarClient& client, const MetricsOptions& options) {
  v1::MetricsRequest request;
  *request.mutable_interval() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(options.watch->count());
  WatchText text;
  std::uint64_t reports = 0;
  int exit_code = kOk;
  const CallOutcome outcome =
      client.WatchMetrics(request, options.client.timeout, [&](const v1::MetricsResponse& metrics) {
        exit_code = Print(options.json ? LineOfJson(metrics) : text.Next(metrics));
        return exit_code == kOk && ++reports != options.count;
      });
  if (outcome.ok() || outcome.TimedOut()) return exit_code;
  return ReportFailure(outcome, options.client);
}

}  // namespace

int RunMetrics(const std::vector<std::string>& arguments, const Environment& environment) {
  const absl::StatusOr<MetricsOptions> options = ReadMetricsOptions(arguments, environment);
  if (!options.ok()) return UsageError("metrics", options.status());
  if (options->client.help_wanted) return Print(kMetricsHelp);
  SidecarClient client(options->client.address);
  if (options->watch) return WatchMetrics(client, *options);
  v1::MetricsResponse response;
  const CallOutcome outcome =
      client.Metrics(v1::MetricsRequest(), options->client.timeout, response);
  if (!outcome.ok()) return ReportFailure(outcome, options->client);
  return Print(options->json ? JsonOf(response) : TextOfMetrics(response));
}

int RunWait(const std::vector<std::string>& arguments, const Environment& environment) {
  using Clock = std::chrono::steady_clock;
  const absl::StatusOr<WaitOptions> options = ReadWaitOptions(arguments, environment);
  if (!options.ok()) return UsageError("wait", options.status());
  if (options->client.help_wanted) return Print(kWaitHelp);

  constexpr std::chrono::milliseconds kFirstPause = 50ms;
  constexpr std::chrono::milliseconds kPauseMax = 500ms;
  constexpr std::chrono::milliseconds kCheckMax = 2s;
  SidecarClient client(options->client.address);
  const auto deadline = Clock::now() + options->client.timeout;
  const auto left = [deadline] {
    return std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  };
  std::string last;
  for (auto pause = kFirstPause; left() > 0ms; pause = std::min(2 * pause, kPauseMax)) {
    HealthCheckResponse response;
    const CallOutcome outcome =
        Check(client, options->service, std::min(left(), kCheckMax), response);
    if (outcome.ok() && response.status() == HealthCheckResponse::SERVING) return kOk;
    // A last check that was cut short tells less than the one before it.
    if (last.empty() || outcome.code != kDeadlineExceeded) {
      last = DescribeCheck(outcome, response, options->client.address);
    }
    if (left() > 0ms) std::this_thread::sleep_for(std::min(pause, left()));
  }
  std::cerr << "the service \"" << Displayable(options->service) << "\" was not ready within "
            << FormatDuration(options->client.timeout) << ": " << last << "\n";
  return kFailed;
}

}  // namespace dbsidecar::server::cli
