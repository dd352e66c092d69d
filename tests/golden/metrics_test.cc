// The names that dashboards and alerts are made of: fields, and keys of maps.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/metrics_report.h"
#include "server/metrics_text.h"
#include "server/process_figures.h"
#include "server/rpc_figures.h"
#include "tests/support/golden_file.h"

namespace dbsidecar::golden {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Every figure that the pool has is more than zero.
pool::PoolStats EveryFigure() {
  pool::PoolStats stats;
  stats.name = "default";
  stats.driver = "postgresql";
  stats.min = stats.max = stats.total = 100;
  stats.connections.fill(1);
  stats.waiting = stats.running = 1;
  stats.waiters_max = 1000;
  stats.counters = {.opened = 1,
                    .connect_failures = 1,
                    .closed = {},
                    .arrived = 1,
                    .granted = 1,
                    .refused = {},
                    .abandoned = 1,
                    .evictions = 1};
  stats.statements = stats.errors = 1;
  stats.sessions = stats.sessions_idle = stats.connect_failures_in_a_row = 1;
  stats.oldest_transaction = std::chrono::seconds(1);
  stats.database_up = true;
  stats.last_error = stats.last_connect_error = "it failed";
  stats.last_error_age = stats.last_connect_error_age = std::chrono::seconds(1);
  stats.oldest_lease = stats.oldest_wait = std::chrono::seconds(1);
  stats.lanes = {{.name = "shared",
                  .total = 4,
                  .idle = 1,
                  .in_use = 1,
                  .max = 1,
                  .waiting = 1,
                  .in_flight = 1,
                  .statements = 1}};
  for (pool::Histogram* histogram :
       {&stats.queue, &stats.connect, &stats.execute, &stats.head_of_line, &stats.total_time}) {
    histogram->Record(std::chrono::seconds(1));
  }
  return stats;
}

// The same by statement, by caller and by RPC.
void AddFigures(v1::MetricsResponse& report) {
  pool::StatementsReport statements;
  statements.other.calls = 1;
  statements.statements.push_back({.id = 1,
                                   .fingerprint = "02a281c251c3a43d",
                                   .text = "select $1",
                                   .counts = {.calls = 2, .failed = 1, .rows = 1, .execute = {}},
                                   .used = {}});
  statements.statements[0].counts.execute.Record(std::chrono::milliseconds(1));
  server::FillStatements(statements, 1, *report.mutable_pools(0));
  pool::CallerTable callers(1);
  pool::CallerFigures& caller = *callers.Of("web", {});
  caller.calls = caller.failed = caller.refused = caller.in_progress = 1;
  caller.queue_wait.Record(std::chrono::milliseconds(1));
  server::FillCallers(callers.Report(), *report.mutable_pools(0));
  const auto rpcs = std::make_unique<server::RpcFigures>();
  rpcs->Count(server::Rpc::kQuery, server::Code::kOk, std::chrono::milliseconds(1));
  rpcs->Count(server::Rpc::kQuery, server::Code::kNotFound, std::chrono::milliseconds(1));
  rpcs->Count(server::Rpc::kPipeline, server::Code::kOk, std::chrono::hours(1));
  rpcs->Fill(report);
}

// A line for each field that is set, with its type; for a map, a line for each key.
void ListFields(const Message& message, const std::string& prefix, std::string& list) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = prefix + field->name() + (field->is_repeated() ? "[]" : "");
    if (field->is_map()) {
      std::map<std::string, std::string> types;
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        const Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
        const FieldDescriptor* key = entry.GetDescriptor()->map_key();
        types[entry.GetReflection()->GetString(entry, key)] =
            entry.GetDescriptor()->map_value()->type_name();
      }
      for (const auto& [key, type] : types) {
        list += fmt::format("{}{}[\"{}\"]: {}\n", prefix, field->name(), key, type);
      }
    } else if (field->message_type() == nullptr) {
      list += fmt::format("{}: {}\n", path, field->type_name());
    } else if (field->message_type()->full_name() == "google.protobuf.Timestamp") {
      list += fmt::format("{}: {}\n", path, field->message_type()->full_name());
    } else if (field->is_repeated()) {
      ListFields(message.GetReflection()->GetRepeatedMessage(message, field, 0), path + ".", list);
    } else {
      ListFields(message.GetReflection()->GetMessage(message, field), path + ".", list);
    }
  }
}

TEST(MetricsTest, FieldsOfAFullReport) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP()
      << "Protobuf's map fields have another layout under ThreadSanitizer than in Debian's "
         "library, so reflection cannot read them";
#endif
  v1::MetricsResponse report;
  server::FillPoolMetrics(EveryFigure(), {{"ok", 1}, {"deadline_exceeded", 1}},
                          *report.add_pools());
  AddFigures(report);
  server::FillProcessMetrics(*report.mutable_process());
  std::string list;
  ListFields(report, "", list);
  test_support::ExpectSameAsFile(list, "tests/golden/metrics/fields.txt");
}

// What Prometheus is told, but for the process's own figures, which are never the same.
TEST(MetricsTest, TextOfAFullReport) {
  v1::MetricsResponse report;
  server::FillPoolMetrics(EveryFigure(), {{"ok", 1}, {"deadline_exceeded", 1}},
                          *report.add_pools());
  v1::AlertMetrics& alert = *report.add_alerts();
  alert.set_name("PoolWaitingHigh");
  alert.set_severity("warning");
  alert.set_pool("default");
  alert.set_firing(true);
  AddFigures(report);
  report.mutable_build()->set_version("1.2.3");
  report.mutable_build()->set_compiler("GCC \"12\"");
  test_support::ExpectSameAsFile(server::MetricsText(report, server::MetricsFormat::kPrometheus),
                                 "tests/golden/metrics/prometheus.txt");
  test_support::ExpectSameAsFile(server::MetricsText(report, server::MetricsFormat::kOpenMetrics),
                                 "tests/golden/metrics/openmetrics.txt");
}

}  // namespace
}  // namespace dbsidecar::golden
