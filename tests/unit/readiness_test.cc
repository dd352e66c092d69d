#include "server/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace dbsidecar::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr pool::Instant kStart{std::chrono::hours(1)};

TEST(FlapDamperTest, OneLossAndItsEndAreToldAtOnce) {
  FlapDamper damper(seconds(10));
  EXPECT_TRUE(damper.Update(true, kStart));
  EXPECT_FALSE(damper.Update(false, kStart + seconds(5)));
  EXPECT_TRUE(damper.Update(true, kStart + seconds(6)));
}

TEST(FlapDamperTest, AfterASecondLossWithinAMinuteItHasToStayForAWhile) {
  FlapDamper damper(seconds(10));
  damper.Update(true, kStart);
  damper.Update(false, kStart + seconds(5));
  damper.Update(true, kStart + seconds(6));
  EXPECT_FALSE(damper.Update(false, kStart + seconds(7)));
  EXPECT_FALSE(damper.Update(true, kStart + seconds(8)));
  EXPECT_FALSE(damper.Update(true, kStart + seconds(17)));
  EXPECT_TRUE(damper.Update(true, kStart + seconds(18)));
}

TEST(FlapDamperTest, EachFurtherLossBeginsTheWaitAnew) {
  FlapDamper damper(seconds(10));
  damper.Update(true, kStart);
  for (int i = 1; i <= 20; ++i) {
    damper.Update(false, kStart + seconds(3 * i));
    const bool told = damper.Update(true, kStart + seconds(3 * i + 1));
    EXPECT_EQ(told, i == 1) << i;
  }
}

TEST(FlapDamperTest, TwoLossesThatAreFarApartAreNoFlapping) {
  FlapDamper damper(minutes(10));
  damper.Update(true, kStart);
  damper.Update(false, kStart + seconds(5));
  damper.Update(true, kStart + seconds(6));
  damper.Update(false, kStart + seconds(66));
  EXPECT_TRUE(damper.Update(true, kStart + seconds(67)));
}

TEST(FlapDamperTest, WithoutAHoldNothingIsKeptBack) {
  FlapDamper damper(seconds(0));
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(damper.Update(true, kStart + seconds(2 * i)));
    EXPECT_FALSE(damper.Update(false, kStart + seconds(2 * i + 1)));
  }
}

pool::PoolStats Stats(std::optional<pool::Duration> last_success_age) {
  pool::PoolStats stats;
  stats.max = 4;
  stats.last_success_age = last_success_age;
  return stats;
}

TEST(AnswersLatelyTest, AnAnswerCountsUntilItIsTooOld) {
  EXPECT_TRUE(AnswersLately(Stats(seconds(5)), seconds(5)));
  EXPECT_FALSE(AnswersLately(Stats(seconds(6)), seconds(5)));
  EXPECT_FALSE(AnswersLately(Stats(std::nullopt), seconds(5)));
}

TEST(AnswersLatelyTest, NobodyAsksWhatIsPaused) {
  pool::PoolStats stats = Stats(seconds(6));
  stats.paused = true;
  EXPECT_TRUE(AnswersLately(stats, seconds(5)));
}

TEST(AnswersLatelyTest, AFullPoolHasNoConnectionToAskBy) {
  pool::PoolStats stats = Stats(seconds(60));
  auto& leased = stats.connections[static_cast<size_t>(pool::ConnectionState::kLeased)];
  leased = 3;
  EXPECT_FALSE(AnswersLately(stats, seconds(5)));
  leased = 4;
  EXPECT_TRUE(AnswersLately(stats, seconds(5)));
}

// Collects what is published.
class ReadinessTest : public ::testing::Test {
 protected:
  Readiness& Make(ReadinessPolicy policy, size_t pools = 1) {
    return readiness_.emplace(
        ReadinessOptions{.policy = policy, .hold = {}, .answer_max = seconds(5)}, pools,
        [this](const ReadinessState& state) { published_.push_back(state); });
  }
  ReadinessState last() const { return published_.back(); }

  std::vector<ReadinessState> published_;
  std::optional<Readiness> readiness_;
};

TEST_F(ReadinessTest, NothingIsReadyAtFirstAndThatIsPublished) {
  const Readiness& readiness = Make(ReadinessPolicy::kProcess);
  ASSERT_EQ(published_.size(), 1U);
  EXPECT_FALSE(last().ready);
  EXPECT_FALSE(readiness.ready());
}

TEST_F(ReadinessTest, TheProcessPolicyIgnoresTheDatabase) {
  Readiness& readiness = Make(ReadinessPolicy::kProcess);
  readiness.SetServing(true);
  EXPECT_TRUE(last().ready);
  EXPECT_FALSE(last().databases[0]);
  readiness.SetDatabaseUp(0, true);
  EXPECT_TRUE(last().databases[0]);
  readiness.SetDatabaseUp(0, false);
  EXPECT_TRUE(readiness.ready());
  readiness.SetServing(false);
  EXPECT_FALSE(readiness.ready());
}

TEST_F(ReadinessTest, ThePoolPolicyFollowsTheEvidenceOfThePool) {
  Readiness& readiness = Make(ReadinessPolicy::kPool);
  readiness.SetServing(true);
  EXPECT_FALSE(readiness.ready());
  readiness.SetDatabaseUp(0, true);
  EXPECT_TRUE(readiness.ready());
  readiness.Look(0, Stats(minutes(10)));
  EXPECT_TRUE(readiness.ready());
  readiness.SetDatabaseUp(0, false);
  EXPECT_FALSE(readiness.ready());
}

TEST_F(ReadinessTest, TheDatabasePolicyWantsAnAnswerLately) {
  Readiness& readiness = Make(ReadinessPolicy::kDatabase);
  readiness.SetServing(true);
  readiness.SetDatabaseUp(0, true);
  EXPECT_TRUE(readiness.ready());
  readiness.Look(0, Stats(minutes(10)));
  EXPECT_FALSE(readiness.ready());
  EXPECT_FALSE(last().databases[0]);
  readiness.Look(0, Stats(seconds(1)));
  EXPECT_TRUE(readiness.ready());
}

TEST_F(ReadinessTest, EveryPoolCounts) {
  Readiness& readiness = Make(ReadinessPolicy::kPool, 2);
  readiness.SetServing(true);
  readiness.SetDatabaseUp(0, true);
  EXPECT_FALSE(readiness.ready());
  EXPECT_EQ(last().databases, std::vector({true, false}));
  readiness.SetDatabaseUp(1, true);
  EXPECT_TRUE(readiness.ready());
  readiness.SetDatabaseUp(0, false);
  EXPECT_FALSE(readiness.ready());
  EXPECT_EQ(last().databases, std::vector({false, true}));
}

TEST_F(ReadinessTest, OnlyChangesArePublished) {
  Readiness& readiness = Make(ReadinessPolicy::kPool);
  readiness.SetServing(true);
  readiness.SetDatabaseUp(0, true);
  const size_t before = published_.size();
  for (int i = 0; i < 5; ++i) readiness.Look(0, Stats(seconds(1)));
  readiness.SetDatabaseUp(0, true);
  EXPECT_EQ(published_.size(), before);
}

}  // namespace
}  // namespace dbsidecar::server
