#include "server/metrics_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "server/reason_names.h"

namespace dbsidecar::server {
namespace {

using pool::ConnectionState;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

void SetCount(pool::PoolStats& stats, ConnectionState state, size_t count) {
  stats.connections[static_cast<size_t>(state)] = count;
}

v1::PoolMetrics Metrics(const pool::PoolStats& stats,
                        const std::map<std::string, uint64_t>& outcomes = {}) {
  v1::PoolMetrics metrics;
  FillPoolMetrics(stats, outcomes, metrics);
  return metrics;
}

TEST(MetricsReportTest, EveryStateOfAConnectionHasItsGauge) {
  pool::PoolStats stats;
  stats.min = 3;
  stats.max = 50;
  stats.total = 23;
  SetCount(stats, ConnectionState::kConnecting, 1);
  SetCount(stats, ConnectionState::kIdle, 2);
  SetCount(stats, ConnectionState::kPinging, 3);
  SetCount(stats, ConnectionState::kLeased, 4);
  SetCount(stats, ConnectionState::kResetting, 5);
  SetCount(stats, ConnectionState::kClosing, 6);
  stats.waiting = 7;
  stats.waiters_max = 1000;
  const v1::PoolMetrics metrics = Metrics(stats);
  EXPECT_EQ(metrics.connecting(), 1u);
  EXPECT_EQ(metrics.idle(), 2u);
  EXPECT_EQ(metrics.pinging(), 3u);
  EXPECT_EQ(metrics.active(), 4u);
  EXPECT_EQ(metrics.resetting(), 5u);
  EXPECT_EQ(metrics.closing(), 6u);
  EXPECT_EQ(metrics.reserved(), 2u) << "what is in no state";
  EXPECT_EQ(metrics.total(), 23u);
  EXPECT_EQ(metrics.waiting(), 7u);
  EXPECT_EQ(metrics.min(), 3u);
  EXPECT_EQ(metrics.max(), 50u);
  EXPECT_EQ(metrics.waiting_max(), 1000u);
  EXPECT_DOUBLE_EQ(metrics.utilization_percent(), 8);
}

TEST(MetricsReportTest, AFullPoolIsUtilizedByAHundredPercentAndOneWithoutPlacesNotAtAll) {
  pool::PoolStats stats;
  EXPECT_EQ(Metrics(stats).utilization_percent(), 0);
  stats.max = stats.total = 3;
  SetCount(stats, ConnectionState::kLeased, 3);
  EXPECT_EQ(Metrics(stats).utilization_percent(), 100);
}

TEST(MetricsReportTest, APoolIsActiveUntilItDrains) {
  pool::PoolStats stats;
  stats.name = "orders";
  stats.driver = "sqlite";
  EXPECT_EQ(Metrics(stats).state(), v1::POOL_STATE_ACTIVE);
  EXPECT_EQ(Metrics(stats).pool(), "orders");
  EXPECT_EQ(Metrics(stats).driver(), "sqlite");
  stats.draining = true;
  EXPECT_EQ(Metrics(stats).state(), v1::POOL_STATE_DRAINING);
}

TEST(MetricsReportTest, EveryCounterIsReportedUnderItsOwnName) {
  pool::PoolStats stats;
  stats.counters.opened = 1;
  stats.counters.connect_failures = 2;
  stats.counters.arrived = 3;
  stats.counters.granted = 4;
  stats.counters.abandoned = 5;
  stats.statements = 6;
  stats.errors = 7;
  const v1::PoolMetrics metrics = Metrics(stats);
  EXPECT_EQ(metrics.connections_opened_total(), 1u);
  EXPECT_EQ(metrics.connect_failures_total(), 2u);
  EXPECT_EQ(metrics.arrived_total(), 3u);
  EXPECT_EQ(metrics.granted_total(), 4u);
  EXPECT_EQ(metrics.abandoned_total(), 5u);
  EXPECT_EQ(metrics.statements_total(), 6u);
  EXPECT_EQ(metrics.errors_total(), 7u);
  EXPECT_EQ(metrics.statements_failed_total(), 7u);
}

TEST(MetricsReportTest, EveryReasonIsCountedUnderItsNameFromTheStartOn) {
  pool::PoolStats stats;
  for (size_t i = 0; i < pool::kCloseReasons; ++i) stats.counters.closed[i] = i;
  for (size_t i = 0; i < pool::kRefuseReasons; ++i) stats.counters.refused[i] = 100 + i;
  const v1::PoolMetrics metrics = Metrics(stats);
  ASSERT_EQ(metrics.connections_closed_total().size(), pool::kCloseReasons);
  for (size_t i = 0; i < pool::kCloseReasons; ++i) {
    const std::string name(CloseReasonName(static_cast<pool::CloseReason>(i)));
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(metrics.connections_closed_total().at(name), i);
  }
  ASSERT_EQ(metrics.refused_total().size(), pool::kRefuseReasons);
  for (size_t i = 0; i < pool::kRefuseReasons; ++i) {
    const std::string name(RefuseReasonName(static_cast<pool::RefuseReason>(i)));
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(metrics.refused_total().at(name), 100 + i);
  }
}

TEST(MetricsReportTest, StatementsAreCountedByOutcome) {
  EXPECT_THAT(Metrics({}).statements_by_outcome_total(), IsEmpty());
  EXPECT_THAT(Metrics({}, {{"ok", 5}, {"aborted", 2}}).statements_by_outcome_total(),
              UnorderedElementsAre(Pair("ok", 5u), Pair("aborted", 2u)));
}

TEST(MetricsReportTest, TheLatestErrorHasItsTextAndTime) {
  pool::PoolStats stats;
  EXPECT_FALSE(Metrics(stats).has_last_error_time());
  stats.last_error = "it failed";
  stats.last_error_age = minutes(1);
  const auto before = std::chrono::system_clock::now() - minutes(1);
  const v1::PoolMetrics metrics = Metrics(stats);
  EXPECT_EQ(metrics.last_error(), "it failed");
  const auto at = std::chrono::system_clock::time_point(
      seconds(metrics.last_error_time().seconds()) +
      std::chrono::nanoseconds(metrics.last_error_time().nanos()));
  EXPECT_GE(at, before - milliseconds(1));
  EXPECT_LE(at, std::chrono::system_clock::now() - minutes(1) + milliseconds(1));
}

TEST(MetricsReportTest, EveryHistogramIsReportedUnderItsOwnName) {
  pool::PoolStats stats;
  stats.queue.Record(seconds(1));
  stats.connect.Record(seconds(2));
  stats.execute.Record(seconds(3));
  stats.total_time.Record(seconds(4));
  stats.head_of_line.Record(seconds(5));
  const v1::PoolMetrics metrics = Metrics(stats);
  EXPECT_EQ(metrics.queue_wait().sum_seconds(), 1);
  EXPECT_EQ(metrics.connect().sum_seconds(), 2);
  EXPECT_EQ(metrics.execute().sum_seconds(), 3);
  EXPECT_EQ(metrics.total_time().sum_seconds(), 4);
  EXPECT_EQ(metrics.head_of_line_wait().sum_seconds(), 5);
}

TEST(MetricsReportTest, AHistogramHasOneBucketMoreThanBoundsAndItsCountIsTheirSum) {
  pool::Histogram histogram;
  histogram.Record(milliseconds(1));  // Bounds are inclusive.
  histogram.Record(milliseconds(2));
  histogram.Record(milliseconds(2));
  histogram.Record(minutes(10));
  v1::Histogram report;
  FillHistogram(histogram, report);
  ASSERT_EQ(report.counts_size(), report.upper_bounds_seconds_size() + 1);
  uint64_t sum = 0;
  for (int i = 0; i < report.counts_size(); ++i) {
    const bool last = i == report.upper_bounds_seconds_size();
    const double bound = last ? 0 : report.upper_bounds_seconds(i);
    EXPECT_EQ(report.counts(i), last ? 1u : bound == 0.001 ? 1u : bound == 0.0025 ? 2u : 0u) << i;
    if (i > 0 && !last) {
      EXPECT_GT(bound, report.upper_bounds_seconds(i - 1));
    }
    sum += report.counts(i);
  }
  EXPECT_EQ(report.count(), sum);
  EXPECT_DOUBLE_EQ(report.sum_seconds(), 600.005);
}

}  // namespace
}  // namespace dbsidecar::server
