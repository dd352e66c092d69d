#include "server/figures_sampler.h"

#include <gtest/gtest.h>

namespace dbsidecar::server {
namespace {

using std::chrono::duration;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

double Seconds(pool::Duration time) { return duration<double>(time).count(); }
double Seconds(const google::protobuf::Duration& time) {
  return static_cast<double>(time.seconds()) + time.nanos() / 1e9;
}

TEST(QuantileTest, LiesBetweenTheBoundsOfItsBucket) {
  const pool::Histogram none;
  pool::Histogram some;
  for (int i = 0; i < 90; ++i) some.Record(microseconds(700));  // Between 500 us and 1 ms.
  for (int i = 0; i < 10; ++i) some.Record(milliseconds(7));    // Between 5 ms and 10 ms.
  EXPECT_NEAR(Seconds(QuantileOf(none, some, 0.45)), 0.00075, 1e-9);
  EXPECT_NEAR(Seconds(QuantileOf(none, some, 0.95)), 0.0075, 1e-9);
  EXPECT_NEAR(Seconds(QuantileOf(none, some, 1)), 0.01, 1e-9);
  EXPECT_EQ(QuantileOf(none, none, 0.5), pool::Duration::zero());
}

TEST(QuantileTest, CountsOnlyWhatCameBetween) {
  pool::Histogram earlier;
  for (int i = 0; i < 1000; ++i) earlier.Record(seconds(20));
  pool::Histogram later = earlier;
  later.Record(microseconds(80));
  EXPECT_LT(QuantileOf(earlier, later, 0.99), microseconds(101));
  pool::Histogram beyond = later;
  beyond.Record(seconds(100));
  EXPECT_EQ(QuantileOf(later, beyond, 0.5), seconds(30)) << "longer than all bounds";
}

FiguresSample Sample(int second, uint64_t statements, uint64_t errors, size_t leased) {
  FiguresSample sample;
  sample.time += seconds(second);
  sample.cpu_seconds = second * 0.5;
  sample.stats.name = "default";
  sample.stats.max = 10;
  sample.stats.statements = statements;
  sample.stats.errors = errors;
  sample.stats.connections[static_cast<size_t>(pool::ConnectionState::kLeased)] = leased;
  return sample;
}

TEST(PerformanceTest, RatesAreOfTheStretchBetweenTheFirstAndTheLastLook) {
  std::deque<FiguresSample> samples = {Sample(0, 100, 50, 0), Sample(1, 150, 50, 4),
                                       Sample(2, 300, 60, 5)};
  // 20 statements of 100 ms each: one connection all the time.
  for (int i = 0; i < 20; ++i) samples.back().stats.execute.Record(milliseconds(100));
  v1::PerformanceIndicators performance;
  FillPerformance(samples, performance);
  EXPECT_EQ(performance.pool(), "default");
  EXPECT_EQ(Seconds(performance.window()), 2);
  EXPECT_EQ(performance.statements_per_second(), 100);
  EXPECT_EQ(performance.error_ratio(), 0.05);
  EXPECT_EQ(performance.utilization_percent(), 30);
  EXPECT_NEAR(performance.connections_needed(), 1, 1e-9);
}

TEST(PerformanceTest, OneLookTellsNoRate) {
  v1::PerformanceIndicators performance;
  FillPerformance({Sample(5, 100, 50, 1)}, performance);
  EXPECT_EQ(performance.statements_per_second(), 0);
  EXPECT_EQ(performance.utilization_percent(), 10);
}

TEST(PerformanceTest, TheProcessorsShareIsOfThoseItMayUse) {
  v1::CpuHealth cpu;
  cpu.set_available_cpus(2);
  std::deque<FiguresSample> samples = {Sample(0, 0, 0, 0), Sample(10, 0, 0, 0)};
  samples[0].throttled_seconds = 1;
  samples[1].throttled_seconds = 3;
  FillCpuShares(samples, cpu);
  EXPECT_EQ(cpu.used_percent(), 25);
  EXPECT_EQ(cpu.throttled_percent(), 20);
}

TEST(FiguresSamplerTest, LooksOnceASecondAndStopsAtOnce) {
  const auto start = std::chrono::steady_clock::now();
  {
    std::atomic<int> looks = 0;
    FiguresSampler sampler([&] {
      std::vector<FiguresSample> pools(2);
      pools[0].stats.statements = static_cast<uint64_t>(++looks);
      return pools;
    });
    const auto looked = [&] { return sampler.LastMinute().size() == 2; };
    while (!looked() || sampler.LastMinute()[1].size() < 2) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    EXPECT_EQ(sampler.LastMinute()[0].front().stats.statements, 1u);
    EXPECT_EQ(sampler.LastMinute()[1].front().stats.statements, 0u);
  }
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, milliseconds(990));
  EXPECT_LT(took, milliseconds(1900));
}

}  // namespace
}  // namespace dbsidecar::server
