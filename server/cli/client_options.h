// The options of the client verbs, and their help.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dbsidecar/v1/query.pb.h"
#include "dbsidecar/v1/value.pb.h"
#include "server/config/config.h"

namespace dbsidecar::server::cli {

struct ClientOptions {
  std::string address = {};  // As gRPC takes it.
  std::chrono::milliseconds timeout{};
  std::string pool = {};     // "" = the default one.
  bool help_wanted = false;  // Then nothing else counts.
};

enum class ResultOutput { kTable, kJson, kCsv };

struct QueryOptions {
  ClientOptions client;
  std::string sql = {};   // `-` = standard input.
  std::string file = {};  // A script, instead of `sql`; `-` = standard input.
  bool separate_transactions = false;
  bool transaction = false;
  std::vector<std::string> statements = {};  // With `transaction`, instead of `sql`.
  std::vector<v1::Value> parameters = {};
  ResultOutput output = ResultOutput::kTable;
  std::uint32_t rows_max = 0;  // 0 = the sidecar's own limit.
  bool read_only = false;
  bool timing = false;
  bool stream = false;
  bool copy_in = false;
  bool copy_out = false;
  std::optional<v1::CallSettings> settings = {};
};

struct PromptOptions {
  ClientOptions client;
  std::string file = {};  // Empty = standard input.
  ResultOutput output = ResultOutput::kTable;
  std::string home = {};  // Where the history is kept; empty = nowhere.
};

struct DescribeOptions {
  ClientOptions client;
  std::string sql = {};  // `-` = standard input.
  bool json = false;
};

struct HealthOptions {
  ClientOptions client;
  std::optional<std::string> service = {};  // Of grpc.health.v1; unset = the Health report.
  std::string level = "basic";
  bool json = false;
};

struct MetricsOptions {
  ClientOptions client;  // With `watch`, timeout 0 = watch for ever.
  bool json = false;
  std::optional<std::chrono::milliseconds> watch = {};  // The time between two reports.
  std::uint64_t count = 0;                              // Reports to watch; 0 = all.
};

struct WaitOptions {
  ClientOptions client;
  std::string service = "readiness";
};

struct ListenOptions {
  ClientOptions client;  // Timeout 0 = listen for ever.
  std::vector<std::string> channels = {};
  std::uint64_t count = 0;  // Notifications to wait for; 0 = all.
  bool json = false;
};

// The errors say what is wrong and what to write instead.
absl::StatusOr<QueryOptions> ReadQueryOptions(const std::vector<std::string>& arguments,
                                              const Environment& environment);
absl::StatusOr<PromptOptions> ReadPromptOptions(const std::vector<std::string>& arguments,
                                                const Environment& environment);
absl::StatusOr<DescribeOptions> ReadDescribeOptions(const std::vector<std::string>& arguments,
                                                    const Environment& environment);
absl::StatusOr<HealthOptions> ReadHealthOptions(const std::vector<std::string>& arguments,
                                                const Environment& environment);
absl::StatusOr<MetricsOptions> ReadMetricsOptions(const std::vector<std::string>& arguments,
                                                  const Environment& environment);
absl::StatusOr<WaitOptions> ReadWaitOptions(const std::vector<std::string>& arguments,
                                            const Environment& environment);
absl::StatusOr<ListenOptions> ReadListenOptions(const std::vector<std::string>& arguments,
                                                const Environment& environment);

extern const std::string_view kQueryHelp;
extern const std::string_view kSqlHelp;
extern const std::string_view kDescribeHelp;
extern const std::string_view kHealthHelp;
extern const std::string_view kMetricsHelp;
extern const std::string_view kWaitHelp;
extern const std::string_view kListenHelp;

}  // namespace dbsidecar::server::cli
