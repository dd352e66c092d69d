// The configuration of `dbsidecar serve`: typed values, and how they are put together.
//
// Precedence: flag, environment, file, profile, default. Nothing is repaired silently: LoadConfig()
// returns every problem that it finds, those of overridden values included.
// To add an option: a field here and a row in options.cc. A file may define further pools, each
// with values of its own for the options that are `per_pool`; it inherits the others.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/database_url.h"
#include "server/config/listen_address.h"
#include "server/config/webhook_url.h"
#include "server/log.h"

namespace dbsidecar::server {

struct Option;

enum class Profile { kProduction, kDevelopment, kTest };

// What becomes of a call over such a limit: it waits, or it is only counted and told of.
enum class LimitMode { kEnforce, kObserve };

// The initial values here are placeholders for the compiler's sake; the defaults are in options.cc
// and Config values that a program uses come from LoadConfig().
struct PoolConfig {
  using Milliseconds = std::chrono::milliseconds;

  int connections_min = 0;
  int connections_max = 0;
  int connecting_max = 0;  // Connects in progress at once.
  int shared_max = 0;      // Connections that several callers may share.
  int waiters_max = 0;     // Calls that may wait for a connection; 0 = none waits.
  Milliseconds wait_timeout{};
  Milliseconds connect_timeout{};
  Milliseconds idle_timeout{};      // 0 = off.
  Milliseconds lifetime{};          // 0 = off.
  int lifetime_jitter_percent = 0;  // Rolled once per connection, off the lifetime.
  Milliseconds keep_alive_after{};  // 0 = off. Ping before use after this much idleness.
  bool logging = false;             // One log event per pool event.
  // Calls of one caller, route or statement that may be at work at once, and those that may wait
  // for it; 0 = no limit.
  int limit_caller = 0;
  int limit_route = 0;
  int limit_statement = 0;
  int limit_waiting = 0;
  LimitMode limit_mode = LimitMode::kEnforce;
};

struct QueryConfig {
  using Milliseconds = std::chrono::milliseconds;

  Milliseconds session_idle_timeout{};  // 0 = off.
  Milliseconds session_warn_after{};    // 0 = off.
  bool session_audit = false;
  Milliseconds transaction_timeout{};   // 0 = off.
  Milliseconds stream_stall_timeout{};  // 0 = off.
  Milliseconds query_timeout{};         // 0 = off. Ends a call, whatever its own deadline.
  Milliseconds statement_timeout{};     // 0 = off. PostgreSQL's own, set on each connection.
  int listen_buffer = 0;                // Notifications that wait for a subscriber.
  Milliseconds cancel_grace{};          // Between a cancel and closing the connection.
  int prepared_max = 0;                 // Prepared statements per connection; 0 = do not prepare.
  int params_max = 0;
  std::int64_t result_rows_max = 0;  // 0 = no limit.
  std::int64_t result_bytes_max = 0;
  std::int64_t request_bytes_max = 0;
  bool trace_comments = false;  // PostgreSQL: a sampled call's traceparent goes into its statement.
};

// What readiness depends on, besides the phase of the process.
enum class ReadinessPolicy {
  kProcess,   // Nothing.
  kPool,      // That connections are open, or that nothing speaks against opening one.
  kDatabase,  // And that the database has answered since the latest check was due.
};

struct LifecycleConfig {
  using Milliseconds = std::chrono::milliseconds;

  Milliseconds start_timeout{};
  Milliseconds drain_delay{};
  Milliseconds drain_timeout{};
  Milliseconds health_check_interval{};
  ReadinessPolicy readiness_policy = ReadinessPolicy::kPool;
  Milliseconds readiness_hold{};  // After a second loss of the database within a minute; 0 = none.
};

struct AlertConfig {
  std::chrono::milliseconds hold{};  // 0 = at once.
  WebhookUrl webhook;                // Empty = none.
};

struct HistoryConfig {
  bool enabled = true;
  std::string file;  // Empty = in memory only.
};

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  bool calls = false;     // A line per call.
  bool show_sql = false;  // SQL may be shown, without parameters and constants.
  std::chrono::milliseconds slow_statement{};  // 0 = off.
};

struct MetricsConfig {
  int statements = 0;  // Statement shapes that /metrics lists; 0 = none is counted apart.
  int callers = 0;     // Callers that are counted apart; 0 = none.
};

enum class ValueSource {
  kDefault,      // The same in every profile.
  kProfile,      // The chosen profile's default.
  kFile,         //
  kEnvironment,  //
  kFlag,         //
  kAdmin,        // By hand, while the process runs; never in a configuration that was read.
  kRule,         // Follows from another option, as docs/configuration.md says.
  kInherited,    // By a named pool, from what is for all.
};

// Where the value of one option came from, for `config check` and error messages.
struct OptionValue {
  const Option* option = nullptr;
  std::string value;  // In canonical form, secrets redacted.
  ValueSource source = ValueSource::kDefault;
  std::string origin;  // "flag --listen", "environment DATABASE_URL", "file a.yaml:3 pool.max"...
};

// What the top level of the configuration describes.
inline constexpr std::string_view kDefaultPool = "default";

struct Config {
  std::string pool_name{kDefaultPool};  // Of the pool that `database`, `pool` and `query` are of.
  // Besides that one: this configuration with what is given for the pool. Their own are empty.
  std::vector<Config> pools;

  Profile profile = Profile::kProduction;
  std::string config_file;  // Empty = none.
  DatabaseUrl database;
  std::vector<ListenAddress> listen;
  std::vector<ListenAddress> http_listen;    // Empty = none.
  std::vector<ListenAddress> health_listen;  // Empty = none.
  std::vector<ListenAddress> admin_listen;   // Empty = none. Unix sockets and loopback only.
  int grpc_threads = 1;
  PoolConfig pool;
  QueryConfig query;
  LifecycleConfig lifecycle;
  AlertConfig alerts;
  int replicas = 1;  // Sidecars that share the database server.
  HistoryConfig history;
  LogConfig log;
  MetricsConfig metrics;

  std::vector<OptionValue> values;  // One per option, in the order of the table.
};

// "max-connections", or "pools.reports.max-connections" if `config` is that of a named pool.
std::string OptionName(std::string_view flag, const Config& config);

// A value to be shown, and its name.
struct ToldValue {
  std::string name;
  OptionValue value;
};
// All of `config`, and of its pools those that they do not inherit.
std::vector<ToldValue> ToldValues(const Config& config);

// One thing that is wrong, and what to do about it. `value` is redacted when it is a secret.
struct Problem {
  std::string option = {};  // As OptionName; empty when the problem belongs to no option.
  std::string origin = {};  // As in OptionValue; empty when it has none.
  std::string value = {};
  std::string message = {};  // What is wrong; what to do.
};

// One line: `max-connections = "many" (flag --max-connections): is not a whole number; write ...`.
// Control characters are escaped.
std::string FormatProblem(const Problem& problem);

using Environment = std::map<std::string, std::string, std::less<>>;
using FileReader = std::function<absl::StatusOr<std::string>(const std::string& path)>;

// What `environ` holds.
Environment ProcessEnvironment();
// The content of a regular file of at most 1 MiB.
absl::StatusOr<std::string> ReadConfigFile(const std::string& path);

struct LoadedConfig {
  Config config;  // Only to be used when ok().
  std::vector<Problem> problems;
  bool help_wanted = false;  // `--help` or `-h` was among the arguments.

  bool ok() const { return problems.empty(); }
};

// `arguments` are those after the verb. Does not throw and touches nothing outside but through
// `read_file`.
LoadedConfig LoadConfig(const std::vector<std::string>& arguments, const Environment& environment,
                        const FileReader& read_file = ReadConfigFile);

}  // namespace dbsidecar::server
