#include "server/history/history_series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FloatNear;
using testing::IsNan;

std::map<std::string, float> Named(std::span<const Series> series,
                                   const std::vector<float>& values) {
  std::map<std::string, float> named;
  for (size_t i = 0; i < series.size(); ++i) named[std::string(series[i].name)] = values.at(i);
  return named;
}

pool::PoolStats Stats() {
  pool::PoolStats stats;
  stats.max = 10;
  stats.total = 6;
  stats.waiting = 3;
  stats.sessions = 2;
  stats.statements = 1000;
  stats.errors = 10;
  stats.connections[static_cast<size_t>(pool::ConnectionState::kLeased)] = 4;
  stats.connections[static_cast<size_t>(pool::ConnectionState::kShared)] = 1;
  stats.connections[static_cast<size_t>(pool::ConnectionState::kIdle)] = 1;
  return stats;
}

TEST(HistorySeriesTest, GaugesAreOfTheEndAndCountersBySecond) {
  const pool::PoolStats from = Stats();
  pool::PoolStats to = Stats();
  to.statements += 500;
  to.errors += 1;
  to.retries += 4;
  to.counters.opened += 2;
  auto values = Named(PoolSeries(), PoolValues(from, to, 2));
  EXPECT_EQ(values["active"], 5);
  EXPECT_EQ(values["idle"], 1);
  EXPECT_EQ(values["total"], 6);
  EXPECT_EQ(values["waiting"], 3);
  EXPECT_EQ(values["utilization_percent"], 50);
  EXPECT_EQ(values["sessions"], 2);
  EXPECT_EQ(values["statements_per_second"], 250);
  EXPECT_EQ(values["errors_per_second"], 0.5);
  EXPECT_EQ(values["retries_per_second"], 2);
  EXPECT_EQ(values["connections_opened_per_second"], 1);
}

TEST(HistorySeriesTest, QuantilesAreOfWhatEndedInBetweenAndUnknownWithoutAny) {
  pool::PoolStats from = Stats();
  for (int i = 0; i < 100; ++i) from.execute.Record(seconds(2));
  pool::PoolStats to = from;
  for (int i = 0; i < 100; ++i) to.execute.Record(milliseconds(7));
  auto values = Named(PoolSeries(), PoolValues(from, to, 1));
  EXPECT_THAT(values["execute_p50_seconds"], FloatNear(0.0075F, 1e-6F));
  EXPECT_THAT(values["execute_p99_seconds"], FloatNear(0.00995F, 1e-6F));
  EXPECT_THAT(values["queue_wait_p99_seconds"], IsNan());
}

TEST(HistorySeriesTest, CountersThatWereResetCountFromNought) {
  pool::PoolStats from = Stats();
  for (int i = 0; i < 100; ++i) from.total_time.Record(seconds(2));
  pool::PoolStats to = Stats();
  to.statements = 30;
  to.total_time.Record(milliseconds(7));
  auto values = Named(PoolSeries(), PoolValues(from, to, 1));
  EXPECT_EQ(values["statements_per_second"], 30);
  EXPECT_LE(values["total_p99_seconds"], 0.01F);
}

TEST(HistorySeriesTest, ProcessorTimeIsAShareOfWhatThereIs) {
  FiguresSample from;
  from.available_cpus = 2;
  FiguresSample to = from;
  to.time += seconds(2);
  to.cpu_seconds = 1;
  to.resident_bytes = 1e6;
  to.uptime_seconds = 12;
  auto values = Named(ProcessSeries(), ProcessValues(from, to));
  EXPECT_EQ(values["cpu_percent"], 25);
  EXPECT_EQ(values["resident_bytes"], 1e6);
  EXPECT_EQ(values["uptime_seconds"], 12);
}

}  // namespace
}  // namespace dbsidecar::server
