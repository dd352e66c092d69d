#include "server/cli/watch_text.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

#include "server/cli/display_text.h"
#include "server/cli/metrics_text.h"
#include "server/cli/result_table.h"

namespace dbsidecar::server::cli {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kLinesPerHeader = 20;
constexpr std::string_view kLayout =
    "{:<9}{:<12}{:>8}{:>6}{:>8}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>7}{:>9}\n";

std::string Header() {
  return fmt::format(fmt::runtime(kLayout), "time", "pool", "in use", "idle", "waiting",
                     "statements", "errors", "wait p99", "exec p50", "exec p99", "total p50",
                     "total p99", "cpu", "memory") +
         fmt::format(fmt::runtime(kLayout), "UTC", "", "", "", "", "/s", "/s",
                     "<=", "<=", "<=", "<=", "<=", "cores", "MiB");
}

const v1::PoolMetrics& Earlier(const std::optional<v1::MetricsResponse>& last,
                               const std::string& pool) {
  if (last) {
    for (const v1::PoolMetrics& earlier : last->pools()) {
      if (earlier.pool() == pool) return earlier;
    }
  }
  return v1::PoolMetrics::default_instance();
}

// Counters start again when the sidecar does, or when an operator resets them.
double Since(std::uint64_t earlier, std::uint64_t later) {
  return static_cast<double>(later >= earlier ? later - earlier : later);
}

v1::Histogram Since(const v1::Histogram& earlier, v1::Histogram later) {
  if (later.count() < earlier.count()) return later;
  later.set_count(later.count() - earlier.count());
  for (int i = 0; i < std::min(earlier.counts_size(), later.counts_size()); ++i) {
    later.set_counts(i, later.counts(i) - earlier.counts(i));
  }
  return later;
}

// "-" = no call took it.
std::string QuantileOf(const v1::Histogram& earlier, const v1::Histogram& later, double q) {
  const v1::Histogram between = Since(earlier, later);
  if (between.count() == 0) return "-";
  const double bound = QuantileBound(between, q);
  if (!std::isfinite(bound)) return "more";
  return TextOfElapsed(std::chrono::nanoseconds(static_cast<std::int64_t>(bound * 1e9)));
}

}  // namespace

std::string WatchText::Next(const v1::MetricsResponse& metrics) {
  std::string text;
  for (const v1::PoolMetrics& pool : metrics.pools()) {
    if (lines_ % kLinesPerHeader == 0) text += Header();
    ++lines_;
    text += LineOf(pool, metrics);
  }
  last_ = metrics;
  return text;
}

std::string WatchText::LineOf(const v1::PoolMetrics& pool,
                              const v1::MetricsResponse& metrics) const {
  const v1::PoolMetrics& earlier = Earlier(last_, pool.pool());
  const double seconds =
      last_ ? static_cast<double>(TimeUtil::TimestampToMicroseconds(metrics.time()) -
                                  TimeUtil::TimestampToMicroseconds(last_->time())) /
                  1e6
            : 0;
  const auto rate = [&](double count) {
    return seconds > 0 ? fmt::format("{:.1f}", count / seconds) : std::string("-");
  };
  const auto quantile = [&](const v1::Histogram& from, const v1::Histogram& to, double q) {
    return last_ ? QuantileOf(from, to, q) : std::string("-");
  };
  const double cpu =
      last_ ? metrics.process().cpu_seconds_total() - last_->process().cpu_seconds_total() : 0;
  return fmt::format(
      fmt::runtime(kLayout), TimeUtil::ToString(metrics.time()).substr(11, 8),
      Displayable(pool.pool()), fmt::format("{}/{}", pool.active(), pool.max()), pool.idle(),
      pool.waiting(), rate(Since(earlier.statements_total(), pool.statements_total())),
      rate(Since(earlier.errors_total(), pool.errors_total())),
      quantile(earlier.queue_wait(), pool.queue_wait(), 0.99),
      quantile(earlier.execute(), pool.execute(), 0.5),
      quantile(earlier.execute(), pool.execute(), 0.99),
      quantile(earlier.total_time(), pool.total_time(), 0.5),
      quantile(earlier.total_time(), pool.total_time(), 0.99),
      seconds > 0 ? fmt::format("{:.2f}", cpu / seconds) : "-",
      fmt::format("{:.1f}", static_cast<double>(metrics.process().resident_bytes()) / (1 << 20)));
}

}  // namespace dbsidecar::server::cli
