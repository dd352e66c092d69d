#include "server/history/history_series.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>

namespace dbsidecar::server {
namespace {

using pool::Histogram;
using pool::PoolStats;

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

struct PoolRow {
  Series series;
  double (*value)(const PoolStats& from, const PoolStats& to, double seconds);
};

double CountOf(const PoolStats& stats, pool::ConnectionState state) {
  return static_cast<double>(stats.connections[static_cast<size_t>(state)]);
}

// Counters start again when an operator resets the statistics.
double Rate(uint64_t from, uint64_t to, double seconds) {
  if (seconds <= 0) return kNothing;
  return static_cast<double>(to >= from ? to - from : to) / seconds;
}

double Quantile(const Histogram& from, const Histogram& to, double q) {
  static const Histogram none;
  const Histogram& since = to.count() >= from.count() ? from : none;
  if (to.count() == since.count()) return kNothing;
  return std::chrono::duration<double>(QuantileOf(since, to, q)).count();
}

template <Histogram PoolStats::*histogram, int percent>
double QuantileIn(const PoolStats& from, const PoolStats& to, double /*seconds*/) {
  return Quantile(from.*histogram, to.*histogram, percent / 100.0);
}

template <uint64_t PoolStats::*counter>
double RateOf(const PoolStats& from, const PoolStats& to, double seconds) {
  return Rate(from.*counter, to.*counter, seconds);
}

template <size_t PoolStats::*gauge>
double GaugeOf(const PoolStats& /*from*/, const PoolStats& to, double /*seconds*/) {
  return static_cast<double>(to.*gauge);
}

double Active(const PoolStats& /*from*/, const PoolStats& to, double /*seconds*/) {
  return static_cast<double>(to.in_use());
}

double Idle(const PoolStats& /*from*/, const PoolStats& to, double /*seconds*/) {
  return CountOf(to, pool::ConnectionState::kIdle);
}

double UtilizationPercent(const PoolStats& /*from*/, const PoolStats& to, double /*seconds*/) {
  if (to.max == 0) return kNothing;
  return 100 * static_cast<double>(to.in_use()) / static_cast<double>(to.max);
}

double Opened(const PoolStats& from, const PoolStats& to, double seconds) {
  return Rate(from.counters.opened, to.counters.opened, seconds);
}

constexpr auto kPoolRows = std::to_array<PoolRow>({
    {{"active", "{connection}"}, &Active},
    {{"idle", "{connection}"}, &Idle},
    {{"total", "{connection}"}, &GaugeOf<&PoolStats::total>},
    {{"waiting", "{call}"}, &GaugeOf<&PoolStats::waiting>},
    {{"utilization_percent", "%"}, &UtilizationPercent},
    {{"statements_per_second", "{statement}/s"}, &RateOf<&PoolStats::statements>},
    {{"errors_per_second", "{error}/s"}, &RateOf<&PoolStats::errors>},
    {{"retries_per_second", "{retry}/s"}, &RateOf<&PoolStats::retries>},
    {{"queue_wait_p50_seconds", "s"}, &QuantileIn<&PoolStats::queue, 50>},
    {{"queue_wait_p99_seconds", "s"}, &QuantileIn<&PoolStats::queue, 99>},
    {{"execute_p50_seconds", "s"}, &QuantileIn<&PoolStats::execute, 50>},
    {{"execute_p99_seconds", "s"}, &QuantileIn<&PoolStats::execute, 99>},
    {{"total_p50_seconds", "s"}, &QuantileIn<&PoolStats::total_time, 50>},
    {{"total_p99_seconds", "s"}, &QuantileIn<&PoolStats::total_time, 99>},
    {{"sessions", "{session}"}, &GaugeOf<&PoolStats::sessions>},
    {{"connections_opened_per_second", "{connection}/s"}, &Opened},
});

constexpr auto kPoolSeries = [] {
  std::array<Series, kPoolRows.size()> series{};
  for (size_t i = 0; i < series.size(); ++i) series[i] = kPoolRows[i].series;
  return series;
}();

constexpr auto kProcessSeries = std::to_array<Series>({
    {"cpu_percent", "%"},
    {"resident_bytes", "By"},
    {"uptime_seconds", "s"},
});

}  // namespace

std::span<const Series> PoolSeries() { return kPoolSeries; }

std::span<const Series> ProcessSeries() { return kProcessSeries; }

std::vector<float> PoolValues(const PoolStats& from, const PoolStats& to, double seconds) {
  std::vector<float> values;
  values.reserve(kPoolRows.size());
  for (const PoolRow& row : kPoolRows) {
    values.push_back(static_cast<float>(row.value(from, to, seconds)));
  }
  return values;
}

std::vector<float> ProcessValues(const FiguresSample& from, const FiguresSample& to) {
  const double seconds = std::chrono::duration<double>(to.time - from.time).count();
  const double available = seconds * to.available_cpus;
  const double cpu_percent =
      available > 0 ? 100 * (to.cpu_seconds - from.cpu_seconds) / available : kNothing;
  return {static_cast<float>(cpu_percent), static_cast<float>(to.resident_bytes),
          static_cast<float>(to.uptime_seconds)};
}

}  // namespace dbsidecar::server
