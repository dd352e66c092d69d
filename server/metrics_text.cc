#include "server/metrics_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "server/alerts.h"

namespace dbsidecar::server {
namespace {

enum class Type { kCounter, kGauge, kHistogram, kInfo, kUnknown };

using Label = std::pair<std::string_view, std::string_view>;
using Labels = std::initializer_list<Label>;

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

double Seconds(const google::protobuf::Timestamp& time) {
  return static_cast<double>(time.seconds()) + time.nanos() / 1e9;
}

// Writes families one after the other; the samples of one must follow its head.
class Writer {
 public:
  explicit Writer(MetricsFormat format) : format_(format) {}

  // `name` without "_total" or "_info". OpenMetrics names the family so, Prometheus with it.
  void Family(std::string_view name, Type type, std::string_view unit, std::string_view help) {
    name_ = name;
    type_ = type;
    const std::string family = open() ? std::string(name) : fmt::format("{}{}", name, Suffix());
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, help, family, TypeName());
    if (open() && !unit.empty()) text_ += fmt::format("# UNIT {} {}\n", family, unit);
  }
  void Sample(Labels labels, double value) {
    text_ += fmt::format("{}{}{} {}\n", name_, Suffix(), TextOf(labels, {}), value);
  }
  // `is_wanted`: whether the bucket with this bound is told.
  template <typename IsWanted>
  void Distribution(Labels labels, const v1::Histogram& histogram, IsWanted is_wanted) {
    uint64_t below = 0;
    double lower = -1;
    for (int i = 0; i < histogram.counts_size(); ++i) {
      below += histogram.counts(i);
      const bool bounded = i < histogram.upper_bounds_seconds_size();
      if (bounded && !is_wanted(histogram.upper_bounds_seconds(i))) continue;
      const std::string bound =
          bounded ? fmt::format("{}", histogram.upper_bounds_seconds(i)) : "+Inf";
      text_ += fmt::format("{}_bucket{} {}", name_, TextOf(labels, {"le", bound}), below);
      const double upper = bounded ? histogram.upper_bounds_seconds(i) : kNoBound;
      if (open()) text_ += ExemplarText(histogram, lower, upper);
      text_ += '\n';
      lower = upper;
    }
    text_ += fmt::format("{}_sum{} {}\n", name_, TextOf(labels, {}), histogram.sum_seconds());
    text_ += fmt::format("{}_count{} {}\n", name_, TextOf(labels, {}), histogram.count());
  }
  void Distribution(Labels labels, const v1::Histogram& histogram) {
    Distribution(labels, histogram, [](double) { return true; });
  }
  std::string Take() {
    if (open()) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  static constexpr double kNoBound = std::numeric_limits<double>::infinity();

  // The latest of those between the bounds: of several buckets that are told as one there may be
  // several.
  static std::string ExemplarText(const v1::Histogram& histogram, double lower, double upper) {
    const v1::Exemplar* latest = nullptr;
    for (const v1::Exemplar& exemplar : histogram.exemplars()) {
      if (exemplar.seconds() <= lower || exemplar.seconds() > upper) continue;
      if (latest == nullptr || Seconds(latest->time()) <= Seconds(exemplar.time())) {
        latest = &exemplar;
      }
    }
    if (latest == nullptr) return "";
    return fmt::format(" # {{trace_id=\"{}\",span_id=\"{}\"}} {} {:.3f}", latest->trace_id(),
                       latest->span_id(), latest->seconds(), Seconds(latest->time()));
  }

  bool open() const { return format_ == MetricsFormat::kOpenMetrics; }
  std::string_view Suffix() const {
    switch (type_) {
      case Type::kCounter:
        return "_total";
      case Type::kInfo:
        return "_info";
      case Type::kGauge:
      case Type::kHistogram:
      case Type::kUnknown:
        break;
    }
    return "";
  }
  std::string_view TypeName() const {
    switch (type_) {
      case Type::kCounter:
        return "counter";
      case Type::kGauge:
        return "gauge";
      case Type::kHistogram:
        return "histogram";
      case Type::kInfo:
        return open() ? "info" : "gauge";
      case Type::kUnknown:
        return open() ? "unknown" : "untyped";
    }
    return "";
  }
  static std::string TextOf(Labels labels, Label last) {
    std::string text;
    const auto add = [&](const Label& label) {
      text +=
          fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", label.first, Escaped(label.second));
    };
    for (const Label& label : labels) add(label);
    if (!last.first.empty()) add(last);
    return text.empty() ? "" : "{" + text + "}";
  }

  const MetricsFormat format_;
  std::string_view name_;
  Type type_ = Type::kGauge;
  std::string text_;
};

// The buckets of histograms that are told for many statements or callers: with all of them there
// would be thousands of series.
bool IsPowerOfTen(double bound) {
  constexpr double kPowers[] = {0.0001, 0.001, 0.01, 0.1, 1, 10};
  return std::find(std::begin(kPowers), std::end(kPowers), bound) != std::end(kPowers);
}

double Milliseconds(const v1::Histogram& histogram) {
  return histogram.count() == 0 ? 0 : histogram.sum_seconds() / histogram.count() * 1000;
}

// Each family with a sample for each pool, told by `add`.
template <typename Add>
void PerPool(Writer& writer, const v1::MetricsResponse& metrics, std::string_view name, Type type,
             std::string_view unit, std::string_view help, Add add) {
  writer.Family(name, type, unit, help);
  for (const v1::PoolMetrics& pool : metrics.pools()) add(pool);
}

void WriteConnections(Writer& writer, const v1::MetricsResponse& metrics) {
  PerPool(
      writer, metrics, "db_client_connection_count", Type::kGauge, "", "Connections by state.",
      [&](const v1::PoolMetrics& pool) {
        for (const auto& [state, count] : std::initializer_list<std::pair<const char*, uint32_t>>{
                 {"idle", pool.idle()},
                 {"used", pool.active()},
                 {"connecting", pool.connecting()},
                 {"pinging", pool.pinging()},
                 {"resetting", pool.resetting()},
                 {"closing", pool.closing()},
                 {"reserved", pool.reserved()}}) {
          writer.Sample({{"db_client_connection_pool_name", pool.pool()},
                         {"db_client_connection_state", state}},
                        count);
        }
      });
  const auto gauge = [&](std::string_view name, std::string_view help, auto value) {
    PerPool(writer, metrics, name, Type::kGauge, "", help, [&](const v1::PoolMetrics& pool) {
      writer.Sample({{"db_client_connection_pool_name", pool.pool()}}, value(pool));
    });
  };
  gauge("db_client_connection_max", "Connections never exceeded.",
        [](const v1::PoolMetrics& pool) { return pool.max(); });
  gauge("db_client_connection_idle_min", "Connections held open without demand.",
        [](const v1::PoolMetrics& pool) { return pool.min(); });
  gauge("db_client_connection_pending_requests", "Calls that wait for a connection.",
        [](const v1::PoolMetrics& pool) { return pool.waiting(); });
}

void WriteTimes(Writer& writer, const v1::MetricsResponse& metrics) {
  const auto histogram = [&](std::string_view name, std::string_view help, auto value) {
    PerPool(writer, metrics, name, Type::kHistogram, "seconds", help,
            [&](const v1::PoolMetrics& pool) {
              writer.Distribution({{"db_client_connection_pool_name", pool.pool()}}, value(pool));
            });
  };
  histogram("db_client_connection_wait_time_seconds", "From arrival to the grant of a connection.",
            [](const v1::PoolMetrics& pool) { return pool.queue_wait(); });
  histogram("db_client_connection_create_time_seconds", "Opening a connection.",
            [](const v1::PoolMetrics& pool) { return pool.connect(); });
  histogram("db_client_connection_use_time_seconds",
            "From the grant of a connection to the end of the statement.",
            [](const v1::PoolMetrics& pool) { return pool.execute(); });
  histogram("db_client_operation_duration_seconds", "From arrival to the answer.",
            [](const v1::PoolMetrics& pool) { return pool.total_time(); });
  histogram("dbsidecar_head_of_line_wait_seconds",
            "On a shared connection, behind statements sent before.",
            [](const v1::PoolMetrics& pool) { return pool.head_of_line_wait(); });
}

// Those that alerts count are there from the start: a series that begins with its first burst of
// errors has not grown by any.
std::map<std::string, uint64_t> OutcomesOf(const v1::PoolMetrics& pool) {
  std::map<std::string, uint64_t> outcomes = {{"ok", 0}};
  for (const std::string_view fault : FaultOutcomes()) outcomes[std::string(fault)] = 0;
  for (const auto& [outcome, count] : pool.statements_by_outcome_total()) {
    outcomes[outcome] = count;
  }
  return outcomes;
}

void WriteCounters(Writer& writer, const v1::MetricsResponse& metrics) {
  const auto counter = [&](std::string_view name, std::string_view help, auto value) {
    PerPool(writer, metrics, name, Type::kCounter, "", help, [&](const v1::PoolMetrics& pool) {
      writer.Sample({{"pool", pool.pool()}}, static_cast<double>(value(pool)));
    });
  };
  const auto by = [&](std::string_view name, std::string_view label, std::string_view help,
                      auto values) {
    PerPool(writer, metrics, name, Type::kCounter, "", help, [&](const v1::PoolMetrics& pool) {
      const auto& map = values(pool);
      const std::map<std::string, uint64_t> sorted(map.begin(), map.end());
      for (const auto& [key, count] : sorted) {
        writer.Sample({{"pool", pool.pool()}, {label, key}}, static_cast<double>(count));
      }
    });
  };
  by("dbsidecar_statements", "outcome", "Statements answered, by the gRPC code of the answer.",
     &OutcomesOf);
  by(
      "dbsidecar_refused", "reason", "Calls refused before anything was sent.",
      [](const v1::PoolMetrics& pool) -> auto& { return pool.refused_total(); });
  by(
      "dbsidecar_limited", "limit", "Calls that met a limit which was reached.",
      [](const v1::PoolMetrics& pool) -> auto& { return pool.limited_total(); });
  by(
      "dbsidecar_connections_closed", "reason", "Connections closed.",
      [](const v1::PoolMetrics& pool) -> auto& { return pool.connections_closed_total(); });
  by(
      "dbsidecar_sessions_revoked", "reason", "Sessions rolled back by the sidecar.",
      [](const v1::PoolMetrics& pool) -> auto& { return pool.sessions_revoked_total(); });
  counter("dbsidecar_connections_opened", "Connections that came up.",
          [](const v1::PoolMetrics& pool) { return pool.connections_opened_total(); });
  counter("dbsidecar_connect_failures", "Attempts to connect that failed.",
          [](const v1::PoolMetrics& pool) { return pool.connect_failures_total(); });
  counter("dbsidecar_retries", "Statements run again after a failure that allowed it.",
          [](const v1::PoolMetrics& pool) { return pool.retries_total(); });
  counter("dbsidecar_outcome_unknown", "Errors that left the outcome unknown.",
          [](const v1::PoolMetrics& pool) { return pool.outcome_unknown_total(); });
  counter("dbsidecar_abandoned", "Calls whose caller left while they waited.",
          [](const v1::PoolMetrics& pool) { return pool.abandoned_total(); });
  counter("dbsidecar_evictions", "Statements taken off a shared connection.",
          [](const v1::PoolMetrics& pool) { return pool.evictions_total(); });
  PerPool(writer, metrics, "dbsidecar_sessions", Type::kGauge, "", "Open sessions.",
          [&](const v1::PoolMetrics& pool) {
            writer.Sample({{"pool", pool.pool()}}, pool.sessions());
          });
}

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

// What the alerts of docs/monitoring/ judge besides, and those of the process itself.
void WriteConditions(Writer& writer, const v1::MetricsResponse& metrics) {
  const auto gauge = [&](std::string_view name, std::string_view unit, std::string_view help,
                         auto value) {
    PerPool(writer, metrics, name, Type::kGauge, unit, help, [&](const v1::PoolMetrics& pool) {
      writer.Sample({{"pool", pool.pool()}}, value(pool));
    });
  };
  gauge("dbsidecar_database_up", "", "1 while the database answers.",
        [](const v1::PoolMetrics& pool) { return pool.database_up() ? 1 : 0; });
  gauge("dbsidecar_connect_failures_in_a_row", "", "Connects that failed since one last came up.",
        [](const v1::PoolMetrics& pool) { return pool.connect_failures_in_a_row(); });
  gauge("dbsidecar_sessions_idle", "", "Open sessions in which no statement runs.",
        [](const v1::PoolMetrics& pool) { return pool.sessions_idle(); });
  gauge("dbsidecar_oldest_transaction_seconds", "seconds",
        "How long the oldest transaction of a session has been open; 0 = none.",
        [](const v1::PoolMetrics& pool) { return Seconds(pool.oldest_transaction()); });
  writer.Family("dbsidecar_alert", Type::kGauge, "",
                "1 while an alert that the sidecar judges itself fires.");
  for (const v1::AlertMetrics& alert : metrics.alerts()) {
    writer.Sample({{"name", alert.name()}, {"severity", alert.severity()}, {"pool", alert.pool()}},
                  alert.firing() ? 1 : 0);
  }
}

void WriteLanes(Writer& writer, const v1::MetricsResponse& metrics) {
  const auto each = [&](std::string_view name, Type type, std::string_view help, auto value) {
    PerPool(writer, metrics, name, type, "", help, [&](const v1::PoolMetrics& pool) {
      for (const v1::LaneMetrics& lane : pool.lanes()) {
        writer.Sample({{"pool", pool.pool()}, {"lane", lane.lane()}},
                      static_cast<double>(value(lane)));
      }
    });
  };
  PerPool(
      writer, metrics, "dbsidecar_lane_connections", Type::kGauge, "",
      "Connections of a lane by state.", [&](const v1::PoolMetrics& pool) {
        for (const v1::LaneMetrics& lane : pool.lanes()) {
          const uint32_t others = lane.total() - lane.idle() - lane.active();
          for (const auto& [state, count] : std::initializer_list<std::pair<const char*, uint32_t>>{
                   {"idle", lane.idle()}, {"used", lane.active()}, {"other", others}}) {
            writer.Sample({{"pool", pool.pool()}, {"lane", lane.lane()}, {"state", state}}, count);
          }
        }
      });
  each("dbsidecar_lane_connections_max", Type::kGauge, "Connections that a lane may have.",
       [](const v1::LaneMetrics& lane) { return lane.max(); });
  each("dbsidecar_lane_waiting", Type::kGauge, "Calls that wait for a lane.",
       [](const v1::LaneMetrics& lane) { return lane.waiting(); });
  each("dbsidecar_lane_in_flight", Type::kGauge, "Calls that have a connection and no answer.",
       [](const v1::LaneMetrics& lane) { return lane.in_flight(); });
  each("dbsidecar_lane_statements", Type::kCounter, "Statements answered.",
       [](const v1::LaneMetrics& lane) { return lane.statements_total(); });
}

void WriteStatements(Writer& writer, const v1::MetricsResponse& metrics) {
  const auto counter = [&](std::string_view name, std::string_view help, auto value) {
    PerPool(writer, metrics, name, Type::kCounter, "", help, [&](const v1::PoolMetrics& pool) {
      for (const v1::StatementMetrics& statement : pool.statements()) {
        writer.Sample({{"pool", pool.pool()}, {"fingerprint", statement.fingerprint()}},
                      static_cast<double>(value(statement)));
      }
    });
  };
  counter("dbsidecar_statement_calls", "Times a statement has run.",
          [](const v1::StatementMetrics& statement) { return statement.calls_total(); });
  counter("dbsidecar_statement_failures", "Times a statement has failed.",
          [](const v1::StatementMetrics& statement) { return statement.failed_total(); });
  counter("dbsidecar_statement_rows", "Rows that a statement has returned or affected.",
          [](const v1::StatementMetrics& statement) { return statement.rows_total(); });
  PerPool(writer, metrics, "dbsidecar_statement_duration_seconds", Type::kHistogram, "seconds",
          "From the grant of a connection to the end of a statement.",
          [&](const v1::PoolMetrics& pool) {
            for (const v1::StatementMetrics& statement : pool.statements()) {
              writer.Distribution({{"pool", pool.pool()}, {"fingerprint", statement.fingerprint()}},
                                  statement.execute(), &IsPowerOfTen);
            }
          });
}

void WriteCallers(Writer& writer, const v1::MetricsResponse& metrics) {
  const auto each = [&](std::string_view name, Type type, std::string_view help, auto value) {
    PerPool(writer, metrics, name, type, "", help, [&](const v1::PoolMetrics& pool) {
      for (const v1::CallerMetrics& caller : pool.callers()) {
        writer.Sample({{"pool", pool.pool()}, {"caller", caller.caller()}},
                      static_cast<double>(value(caller)));
      }
    });
  };
  each("dbsidecar_caller_calls", Type::kCounter, "Calls answered.",
       [](const v1::CallerMetrics& caller) { return caller.calls_total(); });
  each("dbsidecar_caller_failures", Type::kCounter, "Calls that failed.",
       [](const v1::CallerMetrics& caller) { return caller.failed_total(); });
  each("dbsidecar_caller_refused", Type::kCounter, "Calls refused by a limit on waiting.",
       [](const v1::CallerMetrics& caller) { return caller.refused_total(); });
  each("dbsidecar_caller_in_progress", Type::kGauge, "Calls not answered yet.",
       [](const v1::CallerMetrics& caller) { return caller.in_progress(); });
  PerPool(writer, metrics, "dbsidecar_caller_wait_time_seconds", Type::kHistogram, "seconds",
          "From arrival to the grant of a connection.", [&](const v1::PoolMetrics& pool) {
            for (const v1::CallerMetrics& caller : pool.callers()) {
              writer.Distribution({{"pool", pool.pool()}, {"caller", caller.caller()}},
                                  caller.queue_wait(), &IsPowerOfTen);
            }
          });
}

// As other servers' metrics of gRPC name the codes.
std::string_view GrpcCode(int code) {
  constexpr std::string_view kNames[] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  return code >= 0 && static_cast<size_t>(code) < std::size(kNames)
             ? kNames[static_cast<size_t>(code)]
             : "Unknown";
}

std::string_view GrpcType(std::string_view method) {
  constexpr std::string_view kServerStreams[] = {"QueryStream", "CopyOut", "Listen", "Attach",
                                                 "WatchMetrics"};
  if (method == "Pipeline") return "bidi_stream";
  if (method == "CopyIn") return "client_stream";
  const bool streams = std::find(std::begin(kServerStreams), std::end(kServerStreams), method) !=
                       std::end(kServerStreams);
  return streams ? "server_stream" : "unary";
}

struct Method {
  explicit Method(const v1::RpcMetrics& rpc)
      : service(std::string_view(rpc.method()).substr(0, rpc.method().find('/'))),
        name(std::string_view(rpc.method()).substr(rpc.method().find('/') + 1)) {}

  std::string_view service;
  std::string_view name;
};

void AddTo(v1::Histogram& sum, const v1::Histogram& more) {
  if (sum.counts().empty()) {
    sum = more;
    return;
  }
  for (int i = 0; i < sum.counts_size(); ++i) sum.set_counts(i, sum.counts(i) + more.counts(i));
  sum.set_sum_seconds(sum.sum_seconds() + more.sum_seconds());
  sum.set_count(sum.count() + more.count());
}

// Under the names that dashboards for gRPC servers use.
void WriteRpcs(Writer& writer, const v1::MetricsResponse& metrics) {
  writer.Family("grpc_server_handled", Type::kCounter, "", "RPCs answered, by status code.");
  std::map<std::string, v1::Histogram> handling;  // By method, of all codes.
  for (const v1::RpcMetrics& rpc : metrics.rpcs()) {
    const Method method(rpc);
    writer.Sample({{"grpc_type", GrpcType(method.name)},
                   {"grpc_service", method.service},
                   {"grpc_method", method.name},
                   {"grpc_code", GrpcCode(rpc.code())}},
                  static_cast<double>(rpc.handled_total()));
    AddTo(handling[rpc.method()], rpc.handling());
  }
  writer.Family("grpc_server_handling_seconds", Type::kHistogram, "seconds",
                "From an RPC's arrival to its answer; of a stream, to its end.");
  for (const auto& [full_name, histogram] : handling) {
    v1::RpcMetrics rpc;
    rpc.set_method(full_name);
    const Method method(rpc);
    writer.Distribution({{"grpc_type", GrpcType(method.name)},
                         {"grpc_service", method.service},
                         {"grpc_method", method.name}},
                        histogram);
  }
}

// Names that existing dashboards use. The first looks like a counter's and is none, so it has no
// type: what is now, as those dashboards expect.
void WriteEstablished(Writer& writer, const v1::MetricsResponse& metrics) {
  PerPool(writer, metrics, "database_connections_total", Type::kUnknown, "",
          "Connections in every state.", [&](const v1::PoolMetrics& pool) {
            writer.Sample({{"pool", pool.pool()}}, pool.total());
          });
  PerPool(writer, metrics, "database_pool_utilization_percent", Type::kGauge, "",
          "Connections in use as a share of the limit.", [&](const v1::PoolMetrics& pool) {
            writer.Sample({{"pool", pool.pool()}}, pool.utilization_percent());
          });
  PerPool(writer, metrics, "database_errors", Type::kCounter, "", "Errors of every kind.",
          [&](const v1::PoolMetrics& pool) {
            writer.Sample({{"pool", pool.pool()}}, static_cast<double>(pool.errors_total()));
          });
  PerPool(writer, metrics, "database_response_time_milliseconds", Type::kGauge, "",
          "From arrival to the answer, the mean since the start.",
          [&](const v1::PoolMetrics& pool) {
            writer.Sample({{"pool", pool.pool()}}, Milliseconds(pool.total_time()));
          });
}

void WriteProcess(Writer& writer, const v1::MetricsResponse& metrics) {
  const v1::ProcessMetrics& process = metrics.process();
  const auto gauge = [&](std::string_view name, std::string_view unit, std::string_view help,
                         double value) {
    writer.Family(name, Type::kGauge, unit, help);
    writer.Sample({}, value);
  };
  writer.Family("process_cpu_seconds", Type::kCounter, "seconds",
                "Processor time used, user and system together.");
  writer.Sample({}, process.cpu_seconds_total());
  gauge("process_resident_memory_bytes", "bytes", "Resident memory.",
        static_cast<double>(process.resident_bytes()));
  gauge("dbsidecar_memory_limit_bytes", "bytes",
        "What the process may hold at most: the container's limit, or the machine's memory.",
        static_cast<double>(process.memory_limit_bytes()));
  gauge("process_virtual_memory_bytes", "bytes", "Virtual memory.",
        static_cast<double>(process.virtual_bytes()));
  gauge("process_open_fds", "", "Open file descriptors.", process.open_descriptors());
  gauge("process_max_fds", "", "File descriptors allowed.", process.descriptors_max());
  gauge("process_threads", "", "Threads.", process.threads());
  gauge("process_start_time_seconds", "seconds", "When the process started, since 1970.",
        Seconds(process.start_time()));
  writer.Family("dbsidecar_build", Type::kInfo, "", "Which program this is.");
  writer.Sample({{"version", metrics.build().version()}, {"compiler", metrics.build().compiler()}},
                1);
}

}  // namespace

std::string_view ContentTypeOf(MetricsFormat format) {
  switch (format) {
    case MetricsFormat::kPrometheus:
      return "text/plain; version=0.0.4; charset=utf-8";
    case MetricsFormat::kOpenMetrics:
      return "application/openmetrics-text; version=1.0.0; charset=utf-8";
  }
  return "";
}

std::string MetricsText(const v1::MetricsResponse& metrics, MetricsFormat format) {
  Writer writer(format);
  WriteConnections(writer, metrics);
  WriteTimes(writer, metrics);
  WriteCounters(writer, metrics);
  WriteConditions(writer, metrics);
  WriteLanes(writer, metrics);
  WriteStatements(writer, metrics);
  WriteCallers(writer, metrics);
  WriteRpcs(writer, metrics);
  WriteEstablished(writer, metrics);
  WriteProcess(writer, metrics);
  return writer.Take();
}

}  // namespace dbsidecar::server
