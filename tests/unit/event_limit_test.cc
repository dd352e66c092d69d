#include "server/event_limit.h"

#include <gtest/gtest.h>

namespace dbsidecar::server {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(EventLimitTest, AFewPassAtOnceAndThenOneEachPause) {
  EventLimit limit(3, milliseconds(100));
  pool::Instant now(hours(1));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.Pass(now), 0u) << i;
  EXPECT_EQ(limit.Pass(now), std::nullopt);
  EXPECT_EQ(limit.Pass(now + milliseconds(99)), std::nullopt);
  EXPECT_EQ(limit.Pass(now + milliseconds(100)), 2u) << "those left out are told with the next";
  EXPECT_EQ(limit.Pass(now + milliseconds(100)), std::nullopt);
  EXPECT_EQ(limit.Pass(now + milliseconds(200)), 1u);
}

TEST(EventLimitTest, AfterARestAFewPassAtOnceAgainAndNoMore) {
  EventLimit limit(3, milliseconds(100));
  pool::Instant now(hours(1));
  for (int i = 0; i < 10; ++i) limit.Pass(now);
  now += hours(5);
  EXPECT_EQ(limit.Pass(now), 7u);
  EXPECT_EQ(limit.Pass(now), 0u);
  EXPECT_EQ(limit.Pass(now), 0u);
  EXPECT_EQ(limit.Pass(now), std::nullopt);
}

TEST(EventLimitTest, AStormIsBoundedAndEveryEventIsAccountedFor) {
  EventLimit limit(20, milliseconds(100));
  pool::Instant now(hours(1));
  uint64_t written = 0;
  uint64_t told = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    now += std::chrono::microseconds(10);
    if (const auto suppressed = limit.Pass(now)) {
      ++written;
      told += *suppressed;
    }
  }
  EXPECT_LE(written, 20u + 100u) << "10 s";
  EXPECT_GE(written, 110u);
  const auto rest = limit.Pass(now + seconds(1));
  EXPECT_EQ(written + told + rest.value(), 1'000'000u);
}

}  // namespace
}  // namespace dbsidecar::server
