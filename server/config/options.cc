#include "server/config/options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

namespace dbsidecar::server {
namespace {

constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kKibibyte = 1024;
constexpr std::int64_t kGibibyte = 1024 * 1024 * kKibibyte;

constexpr std::string_view kProfiles = "production|development|test";
constexpr std::string_view kLogLevels = "debug|info|warn|error";
constexpr std::string_view kLogFormats = "json|text";

constexpr std::array kOptions = {
    // --- General ---
    Option{.group = OptionGroup::kGeneral,
           .flag = "database-url",
           .environment = "DATABASE_URL",
           .yaml_key = "database.url",
           .type = OptionType::kUrl,
           .field = [](Config& config) -> Field { return &config.database; },
           .production = "sqlite:dbsidecar.db",
           .development = "sqlite:dbsidecar.db",
           .test = "sqlite:dbsidecar.db",
           .secret = true,
           .help = "The database: postgresql://..., sqlite:name.db, sqlite::memory: or "
                   "file:name.db?mode=ro."},
    Option{.group = OptionGroup::kGeneral,
           .flag = "listen",
           .environment = "DBSIDECAR_LISTEN",
           .yaml_key = "listen",
           .type = OptionType::kAddressList,
           .field = [](Config& config) -> Field { return &config.listen; },
           .production = "127.0.0.1:50051",
           .development = "127.0.0.1:50051",
           .test = "127.0.0.1:50051",
           .help = "An address for gRPC: host:port, [::1]:port or unix:/path; port 0 takes a free "
                   "one. Repeat the flag, or separate by commas."},
    Option{.group = OptionGroup::kGeneral,
           .flag = "profile",
           .environment = "DBSIDECAR_PROFILE",
           .yaml_key = "profile",
           .type = OptionType::kChoice,
           .field = [](Config& config) -> Field { return &config.profile; },
           .production = "production",
           .development = "production",
           .test = "production",
           .choices = kProfiles,
           .help = "Which set of defaults to start from."},
    Option{.group = OptionGroup::kGeneral,
           .flag = "config",
           .environment = "DBSIDECAR_CONFIG",
           .yaml_key = "",
           .type = OptionType::kString,
           .field = [](Config& config) -> Field { return &config.config_file; },
           .production = "",
           .development = "",
           .test = "",
           .help = "A YAML file with settings."},
    Option{.group = OptionGroup::kGeneral,
           .flag = "grpc-threads",
           .environment = "DBSIDECAR_GRPC_THREADS",
           .yaml_key = "grpc.threads",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.grpc_threads; },
           .production = "1",
           .development = "1",
           .test = "1",
           .min = 1,
           .max = 64,
           .unit = "threads",
           .help = "Threads that serve gRPC calls, each with a completion queue of its own."},

    // --- Pool ---
    Option{.group = OptionGroup::kPool,
           .flag = "max-connections",
           .environment = "DBSIDECAR_MAX_CONNECTIONS",
           .yaml_key = "pool.max",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.pool.connections_max; },
           .production = "20",
           .development = "10",
           .test = "4",
           .min = 1,
           .max = 10'000,
           .unit = "connections",
           .reload = true,
           .help = "The most connections to the database that exist at any time."},
    Option{.group = OptionGroup::kPool,
           .flag = "min-connections",
           .environment = "DBSIDECAR_MIN_CONNECTIONS",
           .yaml_key = "pool.min",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.pool.connections_min; },
           .production = "5",
           .development = "2",
           .test = "0",
           .min = 0,
           .max = 10'000,
           .unit = "connections",
           .reload = true,
           .help = "Connections that are opened before the sidecar is ready, and kept open."},
    Option{.group = OptionGroup::kPool,
           .flag = "connecting-max",
           .environment = "DBSIDECAR_CONNECTING_MAX",
           .yaml_key = "pool.connecting_max",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.pool.connecting_max; },
           .production = "4",
           .development = "4",
           .test = "4",
           .min = 1,
           .max = 1'000,
           .unit = "connections",
           .reload = true,
           .help = "The most connections that are being opened at the same time."},
    Option{.group = OptionGroup::kPool,
           .flag = "shared-max",
           .environment = "DBSIDECAR_SHARED_MAX",
           .yaml_key = "pool.shared_max",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.pool.shared_max; },
           .production = "2",
           .development = "2",
           .test = "2",
           .min = 1,
           .max = 1'000,
           .unit = "connections",
           .zero = "every statement has a connection alone",
           .reload = true,
           .help =
               "How many connections several callers may share for short statements, one behind "
               "the other. PostgreSQL only."},
    Option{.group = OptionGroup::kPool,
           .flag = "waiters-max",
           .environment = "DBSIDECAR_WAITERS_MAX",
           .yaml_key = "pool.waiters_max",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.pool.waiters_max; },
           .production = "1000",
           .development = "1000",
           .test = "100",
           .min = 1,
           .max = 1'000'000,
           .unit = "calls",
           .zero = "no call waits",
           .reload = true,
           .help =
               "The queue limit: calls that may wait for a connection; one more is refused "
               "with RESOURCE_EXHAUSTED. Those on a Pipeline do not count: they are held back."},
    Option{.group = OptionGroup::kPool,
           .flag = "wait-timeout",
           .environment = "DBSIDECAR_WAIT_TIMEOUT",
           .yaml_key = "pool.wait_timeout",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.pool.wait_timeout; },
           .production = "10s",
           .development = "30s",
           .test = "2s",
           .min = 1,
           .max = kHour,
           .reload = true,
           .help = "How long a call waits for a connection before it is refused."},
    Option{.group = OptionGroup::kPool,
           .flag = "connect-timeout",
           .environment = "DBSIDECAR_CONNECT_TIMEOUT",
           .yaml_key = "pool.connect_timeout",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.pool.connect_timeout; },
           .production = "10s",
           .development = "10s",
           .test = "2s",
           .min = 10,
           .max = 10 * kMinute,
           .reload = true,
           .help = "How long opening one connection may take."},
    Option{.group = OptionGroup::kPool,
           .flag = "idle-timeout",
           .environment = "DBSIDECAR_IDLE_TIMEOUT",
           .yaml_key = "pool.idle_timeout",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.pool.idle_timeout; },
           .production = "1min",
           .development = "30s",
           .test = "5s",
           .min = 10,
           .max = kDay,
           .zero = "off",
           .reload = true,
           .help = "A connection above the minimum that has been idle for so long is closed."},
    Option{.group = OptionGroup::kPool,
           .flag = "lifetime",
           .environment = "DBSIDECAR_LIFETIME",
           .yaml_key = "pool.lifetime",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.pool.lifetime; },
           .production = "30min",
           .development = "30min",
           .test = "0",
           .min = 10,
           .max = 30 * kDay,
           .zero = "off",
           .reload = true,
           .help = "A connection that has existed for so long is replaced once it is idle."},
    Option{.group = OptionGroup::kPool,
           .flag = "lifetime-jitter-percent",
           .environment = "DBSIDECAR_LIFETIME_JITTER_PERCENT",
           .yaml_key = "pool.lifetime_jitter_percent",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.pool.lifetime_jitter_percent; },
           .production = "10",
           .development = "10",
           .test = "10",
           .min = 0,
           .max = 90,
           .unit = "percent",
           .reload = true,
           .help = "How much of its lifetime a connection may lose, by a roll of the dice at its "
                   "opening, so that not all retire together."},
    Option{.group = OptionGroup::kPool,
           .flag = "keep-alive-after",
           .environment = "DBSIDECAR_KEEP_ALIVE_AFTER",
           .yaml_key = "pool.keep_alive_after",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.pool.keep_alive_after; },
           .production = "10s",
           .development = "5s",
           .test = "0",
           .min = 10,
           .max = kHour,
           .zero = "off",
           .reload = true,
           .help = "A connection that has been idle for so long is pinged before it is lent."},
    Option{.group = OptionGroup::kPool,
           .flag = "pool-logging",
           .environment = "ENABLE_POOL_LOGGING",
           .yaml_key = "pool.logging",
           .type = OptionType::kBoolean,
           .field = [](Config& config) -> Field { return &config.pool.logging; },
           .production = "false",
           .development = "true",
           .test = "true",
           .reload = true,
           .help = "Log an event when a connection is opened, lent, returned or closed."},

    // --- Queries ---
    Option{.group = OptionGroup::kQueries,
           .flag = "query-timeout",
           .environment = "DBSIDECAR_QUERY_TIMEOUT",
           .yaml_key = "query.timeout",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.query.query_timeout; },
           .production = "30s",
           .development = "1min",
           .test = "5s",
           .min = 1,
           .max = kDay,
           .zero = "off",
           .reload = true,
           .help = "How long a statement may run before the sidecar cancels it, however late the "
                   "call's own deadline is."},
    Option{.group = OptionGroup::kQueries,
           .flag = "statement-timeout",
           .environment = "DBSIDECAR_STATEMENT_TIMEOUT",
           .yaml_key = "query.statement_timeout",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.query.statement_timeout; },
           .production = "30s",
           .development = "1min",
           .test = "5s",
           .min = 1,
           .max = kDay,
           .zero = "off",
           .reload = true,
           .help = "PostgreSQL's statement_timeout on every connection: ends a statement even when "
                   "the sidecar is gone."},
    Option{
        .group = OptionGroup::kQueries,
        .flag = "cancel-grace",
        .environment = "DBSIDECAR_CANCEL_GRACE",
        .yaml_key = "query.cancel_grace",
        .type = OptionType::kDuration,
        .field = [](Config& config) -> Field { return &config.query.cancel_grace; },
        .production = "5s",
        .development = "5s",
        .test = "5s",
        .min = 10,
        .max = 10 * kMinute,
        .reload = true,
        .help =
            "How long the database may take to confirm a cancel before the connection is closed."},
    Option{
        .group = OptionGroup::kQueries,
        .flag = "prepared-max",
        .environment = "DBSIDECAR_PREPARED_MAX",
        .yaml_key = "query.prepared_max",
        .type = OptionType::kInteger,
        .field = [](Config& config) -> Field { return &config.query.prepared_max; },
        .production = "256",
        .development = "256",
        .test = "256",
        .min = 1,
        .max = 100'000,
        .unit = "statements",
        .zero = "none is prepared",
        .help = "Prepared statements kept per connection; the one unused for longest goes first."},
    Option{.group = OptionGroup::kQueries,
           .flag = "params-max",
           .environment = "DBSIDECAR_PARAMS_MAX",
           .yaml_key = "query.params_max",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.query.params_max; },
           .production = "65535",
           .development = "65535",
           .test = "65535",
           .min = 1,
           .max = 65'535,
           .unit = "parameters",
           .reload = true,
           .help = "The most parameters of one statement; the default is PostgreSQL's own limit."},
    Option{.group = OptionGroup::kQueries,
           .flag = "result-rows-max",
           .environment = "DBSIDECAR_RESULT_ROWS_MAX",
           .yaml_key = "query.result_rows_max",
           .type = OptionType::kInteger,
           .field = [](Config& config) -> Field { return &config.query.result_rows_max; },
           .production = "0",
           .development = "0",
           .test = "0",
           .min = 1,
           .max = std::numeric_limits<std::int32_t>::max(),
           .unit = "rows",
           .zero = "no limit",
           .reload = true,
           .help = "The most rows of a Query result, unless the call sets max_rows."},
    Option{
        .group = OptionGroup::kQueries,
        .flag = "result-bytes-max",
        .environment = "DBSIDECAR_RESULT_BYTES_MAX",
        .yaml_key = "query.result_bytes_max",
        .type = OptionType::kBytes,
        .field = [](Config& config) -> Field { return &config.query.result_bytes_max; },
        .production = "4MiB",
        .development = "4MiB",
        .test = "4MiB",
        .min = kKibibyte,
        .max = kGibibyte,
        .reload = true,
        .help =
            "The largest Query result; gRPC clients refuse more than 4MiB unless told otherwise."},
    Option{.group = OptionGroup::kQueries,
           .flag = "request-bytes-max",
           .environment = "DBSIDECAR_REQUEST_BYTES_MAX",
           .yaml_key = "query.request_bytes_max",
           .type = OptionType::kBytes,
           .field = [](Config& config) -> Field { return &config.query.request_bytes_max; },
           .production = "16MiB",
           .development = "16MiB",
           .test = "16MiB",
           .min = kKibibyte,
           .max = kGibibyte,
           .help = "The largest request that is accepted."},

    // --- Start, health and stop ---
    Option{
        .group = OptionGroup::kLifecycle,
        .flag = "start-timeout",
        .environment = "DBSIDECAR_START_TIMEOUT",
        .yaml_key = "lifecycle.start_timeout",
        .type = OptionType::kDuration,
        .field = [](Config& config) -> Field { return &config.lifecycle.start_timeout; },
        .production = "30s",
        .development = "30s",
        .test = "30s",
        .min = 100,
        .max = kHour,
        .help =
            "How long opening the pool may take at start; then the sidecar exits with the reason."},
    Option{.group = OptionGroup::kLifecycle,
           .flag = "health-check-interval",
           .environment = "HEALTH_CHECK_INTERVAL",
           .yaml_key = "lifecycle.health_check_interval",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.lifecycle.health_check_interval; },
           .production = "5min",
           .development = "5min",
           .test = "1s",
           .min = 100,
           .max = kDay,
           .environment_is_milliseconds = true,
           .reload = true,
           .help = "Between two checks of the database."},
    Option{
        .group = OptionGroup::kLifecycle,
        .flag = "drain-delay",
        .environment = "DBSIDECAR_DRAIN_DELAY",
        .yaml_key = "lifecycle.drain_delay",
        .type = OptionType::kDuration,
        .field = [](Config& config) -> Field { return &config.lifecycle.drain_delay; },
        .production = "5s",
        .development = "0",
        .test = "0",
        .min = 0,
        .max = kHour,
        .reload = true,
        .help =
            "How long the sidecar keeps serving after a stop signal while it reports not ready."},
    Option{.group = OptionGroup::kLifecycle,
           .flag = "drain-timeout",
           .environment = "DBSIDECAR_DRAIN_TIMEOUT",
           .yaml_key = "lifecycle.drain_timeout",
           .type = OptionType::kDuration,
           .field = [](Config& config) -> Field { return &config.lifecycle.drain_timeout; },
           .production = "20s",
           .development = "5s",
           .test = "2s",
           .min = 0,
           .max = kHour,
           .reload = true,
           .help = "How long accepted calls may take to finish at stop; then they are cancelled."},

    // --- Log ---
    Option{.group = OptionGroup::kLog,
           .flag = "log-level",
           .environment = "DBSIDECAR_LOG_LEVEL",
           .yaml_key = "log.level",
           .type = OptionType::kChoice,
           .field = [](Config& config) -> Field { return &config.log.level; },
           .production = "info",
           .development = "info",
           .test = "info",
           .choices = kLogLevels,
           .reload = true,
           .help = "The least important events that are written."},
    Option{.group = OptionGroup::kLog,
           .flag = "log-format",
           .environment = "DBSIDECAR_LOG_FORMAT",
           .yaml_key = "log.format",
           .type = OptionType::kChoice,
           .field = [](Config& config) -> Field { return &config.log.format; },
           .production = "json",
           .development = "text",
           .test = "text",
           .choices = kLogFormats,
           .help = "One JSON object per line, or text for people."},
    Option{.group = OptionGroup::kLog,
           .flag = "log-calls",
           .environment = "DBSIDECAR_LOG_CALLS",
           .yaml_key = "log.calls",
           .type = OptionType::kBoolean,
           .field = [](Config& config) -> Field { return &config.log.calls; },
           .production = "false",
           .development = "false",
           .test = "false",
           .reload = true,
           .help =
               "Log a line per call: its method, duration and outcome, without SQL or parameters."},
};

}  // namespace

std::span<const Option> Options() { return kOptions; }

const Option& OptionOf(std::string_view flag) {
  const auto found = std::ranges::find(kOptions, flag, &Option::flag);
  if (found == kOptions.end()) std::abort();
  return *found;
}

std::string_view DefaultOf(const Option& option, Profile profile) {
  switch (profile) {
    case Profile::kProduction:
      return option.production;
    case Profile::kDevelopment:
      return option.development;
    case Profile::kTest:
      return option.test;
  }
  std::abort();
}

std::string_view GroupTitle(OptionGroup group) {
  switch (group) {
    case OptionGroup::kGeneral:
      return "General";
    case OptionGroup::kPool:
      return "Pool";
    case OptionGroup::kQueries:
      return "Queries";
    case OptionGroup::kLifecycle:
      return "Start, health and stop";
    case OptionGroup::kLog:
      return "Log";
  }
  std::abort();
}

std::string_view ProfileName(Profile profile) {
  switch (profile) {
    case Profile::kProduction:
      return "production";
    case Profile::kDevelopment:
      return "development";
    case Profile::kTest:
      return "test";
  }
  std::abort();
}

}  // namespace dbsidecar::server
