#include "server/cli/metrics_text.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string_view>

#include "server/cli/display_text.h"
#include "server/cli/health_text.h"
#include "server/cli/result_table.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using google::protobuf::util::TimeUtil;
using Counts = google::protobuf::Map<std::string, std::uint64_t>;

std::string Line(std::string_view label, std::string_view text) {
  return fmt::format("  {:<13}{}\n", label, Displayable(text));
}

std::string TextOfSeconds(double seconds) {
  return TextOfElapsed(std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

std::string TextOfBound(const v1::Histogram& histogram, double q) {
  const double bound = QuantileBound(histogram, q);
  if (std::isfinite(bound)) return Concat("<= ", TextOfSeconds(bound));
  const auto& bounds = histogram.upper_bounds_seconds();
  return bounds.empty() ? "?" : Concat("> ", TextOfSeconds(bounds.Get(bounds.size() - 1)));
}

std::string Times(const v1::Histogram& histogram) {
  if (histogram.count() == 0) return "none yet";
  return fmt::format(
      "mean {}, p50 {}, p95 {}, p99 {} (of {})",
      TextOfSeconds(histogram.sum_seconds() / static_cast<double>(histogram.count())),
      TextOfBound(histogram, 0.5), TextOfBound(histogram, 0.95), TextOfBound(histogram, 0.99),
      histogram.count());
}

// ` (idle_timeout 3, lifetime 1)`, by name; what is zero is left out.
std::string Parts(const Counts& counts) {
  const std::map<std::string, std::uint64_t> sorted(counts.begin(), counts.end());
  std::string text;
  for (const auto& [name, count] : sorted) {
    if (count > 0) text += Concat(text.empty() ? " (" : ", ", name, " ", count);
  }
  return text.empty() ? "" : Concat(text, ")");
}

std::uint64_t Sum(const Counts& counts) {
  std::uint64_t sum = 0;
  for (const auto& entry : counts) sum += entry.second;
  return sum;
}

std::string Connections(const v1::PoolMetrics& pool) {
  return fmt::format(
      "{} of at most {}: {} active, {} idle, {} connecting, {} closing, {} pinging, {} resetting, "
      "{} reserved; {:.0f}% in use",
      pool.total(), pool.max(), pool.active(), pool.idle(), pool.connecting(), pool.closing(),
      pool.pinging(), pool.resetting(), pool.reserved(), pool.utilization_percent());
}

std::string Waiting(const v1::PoolMetrics& pool) {
  std::string text = fmt::format("{} of at most {}", pool.waiting(), pool.waiting_max());
  if (pool.has_oldest_wait()) {
    const std::chrono::nanoseconds oldest(TimeUtil::DurationToNanoseconds(pool.oldest_wait()));
    text += Concat("; the oldest for ", TextOfElapsed(oldest));
  }
  return text;
}

std::string Errors(const v1::PoolMetrics& pool) {
  std::string text = std::to_string(pool.errors_total());
  if (!pool.last_error().empty()) {
    const std::string when = pool.has_last_error_time()
                                 ? Concat(" at ", TimeUtil::ToString(pool.last_error_time()))
                                 : "";
    text += Concat("; the latest", when, ": ", pool.last_error());
  }
  return text;
}

std::string ReportOfPool(const v1::PoolMetrics& pool) {
  std::string out =
      fmt::format("pool {} ({}): {}\n", Displayable(pool.pool()), Displayable(pool.driver()),
                  ShortName(v1::PoolState_Name(pool.state()), "POOL_STATE_"));
  out += Line("connections", Connections(pool));
  out += Line("waiting", Waiting(pool));
  out += Line("opened", fmt::format("{}, {} attempts failed", pool.connections_opened_total(),
                                    pool.connect_failures_total()));
  out += Line("closed",
              Concat(Sum(pool.connections_closed_total()), Parts(pool.connections_closed_total())));
  out += Line("calls",
              fmt::format("{} arrived, {} granted, {} refused{}, {} abandoned",
                          pool.arrived_total(), pool.granted_total(), Sum(pool.refused_total()),
                          Parts(pool.refused_total()), pool.abandoned_total()));
  out += Line("statements", fmt::format("{}, {} failed{}", pool.statements_total(),
                                        pool.statements_failed_total(),
                                        Parts(pool.statements_by_outcome_total())));
  if (Sum(pool.limited_total()) > 0) {
    out += Line("limited", Concat(Sum(pool.limited_total()), Parts(pool.limited_total())));
  }
  out += Line("sessions", fmt::format("{} open, {} revoked{}", pool.sessions(),
                                      Sum(pool.sessions_revoked_total()),
                                      Parts(pool.sessions_revoked_total())));
  out += Line("errors", Errors(pool));
  out += Line("queue wait", Times(pool.queue_wait()));
  out += Line("connect", Times(pool.connect()));
  out += Line("execute", Times(pool.execute()));
  out += Line("head of line", fmt::format("{}; {} evicted", Times(pool.head_of_line_wait()),
                                          pool.evictions_total()));
  return out + Line("total time", Times(pool.total_time()));
}

std::string ReportOfProcess(const v1::MetricsResponse& metrics) {
  const v1::ProcessMetrics& process = metrics.process();
  std::string out = fmt::format("process: dbsidecar {}\n", Displayable(metrics.build().version()));
  if (process.has_start_time()) out += Line("started", TimeUtil::ToString(process.start_time()));
  out += Line("processor", fmt::format("{:.2f} s", process.cpu_seconds_total()));
  out += Line("memory", fmt::format("{:.1f} MiB resident",
                                    static_cast<double>(process.resident_bytes()) / (1 << 20)));
  out += Line("descriptors",
              fmt::format("{} of {}", process.open_descriptors(), process.descriptors_max()));
  return out + Line("threads", std::to_string(process.threads()));
}

}  // namespace

double QuantileBound(const v1::Histogram& histogram, double q) {
  const double rank = q * static_cast<double>(histogram.count());
  double seen = 0;
  for (int i = 0; i < histogram.upper_bounds_seconds_size() && i < histogram.counts_size(); ++i) {
    seen += static_cast<double>(histogram.counts(i));
    if (seen >= rank) return histogram.upper_bounds_seconds(i);
  }
  return std::numeric_limits<double>::infinity();
}

std::string TextOfMetrics(const v1::MetricsResponse& metrics) {
  std::string out;
  for (const v1::PoolMetrics& pool : metrics.pools()) out += ReportOfPool(pool) + "\n";
  return out + ReportOfProcess(metrics);
}

}  // namespace dbsidecar::server::cli
