#include "pool/policy.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

namespace dbsidecar::pool {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kLowest = 0;
constexpr uint64_t kHighest = UINT64_MAX;

Demand Nothing() { return {.max = 10, .connecting_max = 4}; }

TEST(ConnectionsToOpenTest, OpensNothingWithoutDemand) {
  EXPECT_EQ(ConnectionsToOpen(Nothing()), 0u);
}

TEST(ConnectionsToOpenTest, OpensOneForEveryWaiterThatNoArrivingConnectionServes) {
  Demand demand = Nothing();
  demand.waiting = 5;
  demand.arriving = 2;
  demand.total = demand.staying = 3;
  EXPECT_EQ(ConnectionsToOpen(demand), 3u);
}

TEST(ConnectionsToOpenTest, OpensNothingWhileEnoughIsArriving) {
  Demand demand = Nothing();
  demand.waiting = 2;
  demand.arriving = 3;
  EXPECT_EQ(ConnectionsToOpen(demand), 0u);
}

TEST(ConnectionsToOpenTest, FillsUpToTheFloorWithWhatStays) {
  Demand demand = Nothing();
  demand.floor = 3;
  demand.total = 2;  // A reserved place and a connection that is closing.
  EXPECT_EQ(ConnectionsToOpen(demand), 3u);
  demand.staying = 2;
  EXPECT_EQ(ConnectionsToOpen(demand), 1u);
}

TEST(ConnectionsToOpenTest, NeverExceedsTheMaximum) {
  Demand demand = Nothing();
  demand.waiting = 100;
  demand.connecting_max = 100;
  demand.total = 8;
  EXPECT_EQ(ConnectionsToOpen(demand), 2u);
  demand.total = 10;
  EXPECT_EQ(ConnectionsToOpen(demand), 0u);
  demand.total = 11;  // After `max` was lowered.
  EXPECT_EQ(ConnectionsToOpen(demand), 0u);
}

TEST(ConnectionsToOpenTest, NeverExceedsTheConnectsInProgress) {
  Demand demand = Nothing();
  demand.waiting = 100;
  demand.connecting = demand.arriving = 3;
  EXPECT_EQ(ConnectionsToOpen(demand), 1u);
  demand.connecting = demand.arriving = 4;
  EXPECT_EQ(ConnectionsToOpen(demand), 0u);
}

TEST(BackoffTest, DoublesWithEveryFailure) {
  const auto base = milliseconds(100);
  EXPECT_EQ(Backoff(1, base, seconds(60), kLowest), milliseconds(50));
  EXPECT_EQ(Backoff(2, base, seconds(60), kLowest), milliseconds(100));
  EXPECT_EQ(Backoff(3, base, seconds(60), kLowest), milliseconds(200));
}

TEST(BackoffTest, TheUpperHalfIsRandom) {
  const Duration longest = Backoff(1, milliseconds(100), seconds(60), kHighest);
  EXPECT_LE(longest, milliseconds(100));
  EXPECT_GT(longest, milliseconds(99));
}

TEST(BackoffTest, IsCapped) {
  EXPECT_LE(Backoff(UINT32_MAX, milliseconds(100), seconds(2), kHighest), seconds(2));
  EXPECT_EQ(Backoff(UINT32_MAX, milliseconds(100), seconds(2), kLowest), seconds(1));
  EXPECT_LE(Backoff(1, seconds(5), seconds(2), kHighest), seconds(2));
}

TEST(BackoffTest, DoesNotOverflowWithAHugeBase) {
  EXPECT_EQ(Backoff(30, hours(24), hours(240), kLowest), hours(120));
}

TEST(RetireAtTest, WithoutALifetimeAConnectionNeverRetires) {
  EXPECT_EQ(RetireAt(Instant{}, Duration::zero(), 10, kHighest), kNever);
}

TEST(RetireAtTest, TheJitterOnlyShortens) {
  const Instant opened_at{hours(5)};
  EXPECT_EQ(RetireAt(opened_at, seconds(100), 10, kLowest), opened_at + seconds(100));
  const Instant earliest = RetireAt(opened_at, seconds(100), 10, kHighest);
  EXPECT_GE(earliest, opened_at + seconds(90));
  EXPECT_LT(earliest, opened_at + seconds(90) + milliseconds(1));
}

TEST(RetireAtTest, ALifetimeOfYearsDoesNotOverflow) {
  const Duration lifetime = hours(24 * 365 * 10);
  EXPECT_GE(RetireAt(Instant{}, lifetime, 50, kHighest), Instant{} + lifetime / 2);
}

TEST(EarlierDeadlineTest, TakesTheSooner) {
  const Instant now{hours(1)};
  EXPECT_EQ(EarlierDeadline(now + seconds(5), now, seconds(3)), now + seconds(3));
  EXPECT_EQ(EarlierDeadline(now + seconds(2), now, seconds(3)), now + seconds(2));
}

TEST(EarlierDeadlineTest, ALimitOfZeroIsNone) {
  EXPECT_EQ(EarlierDeadline(kNever, Instant{}, Duration::zero()), kNever);
}

}  // namespace
}  // namespace dbsidecar::pool
