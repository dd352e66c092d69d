#include "server/metrics_text.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

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
  void Distribution(Labels labels, const v1::Histogram& histogram) {
    uint64_t below = 0;
    for (int i = 0; i < histogram.counts_size(); ++i) {
      below += histogram.counts(i);
      const std::string bound = i < histogram.upper_bounds_seconds_size()
                                    ? fmt::format("{}", histogram.upper_bounds_seconds(i))
                                    : "+Inf";
      text_ += fmt::format("{}_bucket{} {}\n", name_, TextOf(labels, {"le", bound}), below);
    }
    text_ += fmt::format("{}_sum{} {}\n", name_, TextOf(labels, {}), histogram.sum_seconds());
    text_ += fmt::format("{}_count{} {}\n", name_, TextOf(labels, {}), histogram.count());
  }
  std::string Take() {
    if (open()) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
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
  by(
      "dbsidecar_statements", "outcome", "Statements answered, by the gRPC code of the answer.",
      [](const v1::PoolMetrics& pool) -> auto& { return pool.statements_by_outcome_total(); });
  by(
      "dbsidecar_refused", "reason", "Calls refused before anything was sent.",
      [](const v1::PoolMetrics& pool) -> auto& { return pool.refused_total(); });
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
        static_cast<double>(process.start_time().seconds()) + process.start_time().nanos() / 1e9);
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
  WriteEstablished(writer, metrics);
  WriteProcess(writer, metrics);
  return writer.Take();
}

}  // namespace dbsidecar::server
