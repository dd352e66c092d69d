#include "server/health_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace dbsidecar::server {
namespace {

using std::chrono::duration;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::system_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

pool::PoolStats Up() {
  pool::PoolStats stats;
  stats.name = "default";
  stats.driver = "postgresql";
  stats.database_up = true;
  stats.last_success_age = minutes(1);
  return stats;
}

pool::PoolStats Down() {
  pool::PoolStats stats = Up();
  stats.database_up = false;
  stats.last_connect_error = "connection refused";
  stats.last_connect_error_age = hours(1);
  return stats;
}

v1::HealthResponse Health(const pool::PoolStats& stats,
                          v1::LifecyclePhase phase = v1::LIFECYCLE_PHASE_SERVING) {
  v1::HealthResponse health;
  FillHealth({stats}, phase, stats.database_up && phase == v1::LIFECYCLE_PHASE_SERVING, health);
  EXPECT_EQ(health.databases_size(), 1);
  return health;
}

double Seconds(const google::protobuf::Timestamp& time) {
  return static_cast<double>(time.seconds()) + time.nanos() / 1e9;
}

double Now() { return duration<double>(system_clock::now().time_since_epoch()).count(); }

TEST(HealthReportTest, AServingSidecarWithItsDatabaseIsHealthyAndReady) {
  const v1::HealthResponse health = Health(Up());
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_HEALTHY);
  EXPECT_EQ(health.phase(), v1::LIFECYCLE_PHASE_SERVING);
  EXPECT_TRUE(health.ready());
  EXPECT_THAT(health.causes(), IsEmpty());
  EXPECT_EQ(health.databases(0).status(), v1::DATABASE_STATUS_UP);
}

TEST(HealthReportTest, WithoutItsDatabaseItIsUnhealthyAndSaysWhy) {
  const v1::HealthResponse health = Health(Down());
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_UNHEALTHY);
  EXPECT_FALSE(health.ready());
  EXPECT_THAT(health.causes(), ElementsAre(HasSubstr("connection refused")));
  EXPECT_EQ(health.databases(0).status(), v1::DATABASE_STATUS_DOWN);
  EXPECT_EQ(health.databases(0).last_error(), "connection refused");
}

TEST(HealthReportTest, ADatabaseThatWasNeverTriedIsUnknownNotDown) {
  pool::PoolStats stats = Up();
  stats.database_up = false;
  stats.last_success_age.reset();
  const v1::HealthResponse health = Health(stats, v1::LIFECYCLE_PHASE_STARTING);
  EXPECT_EQ(health.databases(0).status(), v1::DATABASE_STATUS_UNKNOWN);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_UNHEALTHY);
  EXPECT_THAT(health.causes(), ElementsAre(HasSubstr("no connection yet")));
  EXPECT_FALSE(health.databases(0).has_last_check_time());
  EXPECT_FALSE(health.databases(0).has_last_error_time());
}

TEST(HealthReportTest, ASidecarThatStartsOrStopsSaysSo) {
  for (const auto phase : {v1::LIFECYCLE_PHASE_STARTING, v1::LIFECYCLE_PHASE_LAME_DUCK,
                           v1::LIFECYCLE_PHASE_DRAINING}) {
    const v1::HealthResponse health = Health(Up(), phase);
    EXPECT_EQ(health.phase(), phase);
    EXPECT_FALSE(health.ready()) << phase;
    EXPECT_EQ(health.status(), v1::HEALTH_STATUS_DEGRADED) << phase;
    EXPECT_EQ(health.causes_size(), 1) << phase;
    EXPECT_EQ(health.databases(0).status(), v1::DATABASE_STATUS_UP) << phase;
  }
}

TEST(HealthReportTest, OneOfSeveralPoolsThatIsDownIsNamed) {
  pool::PoolStats reports = Down();
  reports.name = "reports";
  v1::HealthResponse health;
  FillHealth({Up(), reports}, v1::LIFECYCLE_PHASE_SERVING, false, health);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_UNHEALTHY);
  EXPECT_THAT(health.causes(), ElementsAre(HasSubstr("of the pool \"reports\" is not reachable")));
  ASSERT_EQ(health.databases_size(), 2);
  EXPECT_EQ(health.databases(0).status(), v1::DATABASE_STATUS_UP);
  EXPECT_EQ(health.databases(1).pool(), "reports");
  EXPECT_EQ(health.databases(1).status(), v1::DATABASE_STATUS_DOWN);
}

TEST(HealthReportTest, ADatabaseThatIsUpButNotReliedOnYetDegradesAndSaysWhy) {
  v1::HealthResponse health;
  FillHealth({Up()}, v1::LIFECYCLE_PHASE_SERVING, false, health);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_DEGRADED);
  EXPECT_FALSE(health.ready());
  EXPECT_THAT(health.causes(), ElementsAre(HasSubstr("twice within a minute")));
}

TEST(HealthReportTest, AnOldConnectErrorDoesNotMakeADatabaseThatIsUpUnhealthy) {
  pool::PoolStats stats = Down();
  stats.database_up = true;
  const v1::HealthResponse health = Health(stats);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_HEALTHY);
  EXPECT_EQ(health.databases(0).status(), v1::DATABASE_STATUS_UP);
  EXPECT_EQ(health.databases(0).last_error(), "connection refused");
}

TEST(HealthReportTest, TheDatabasesFactsAreReported) {
  pool::PoolStats stats = Up();
  stats.facts.server_version = "15.6";
  stats.facts.role = "primary";
  const v1::DatabaseCheck check = Health(stats).databases(0);
  EXPECT_EQ(check.pool(), "default");
  EXPECT_EQ(check.driver(), "postgresql");
  EXPECT_EQ(check.server_version(), "15.6");
  EXPECT_EQ(check.role(), "primary");
}

TEST(HealthReportTest, AgesBecomeTimes) {
  const double before = Now();
  const v1::HealthResponse health = Health(Down());
  const double after = Now();
  const auto is_within = [&](const google::protobuf::Timestamp& time, double age) {
    // A double holds today's seconds to a quarter of a microsecond.
    EXPECT_GE(Seconds(time), before - age - 1e-6);
    EXPECT_LE(Seconds(time), after - age + 1e-6);
    EXPECT_GE(time.nanos(), 0);
    EXPECT_LT(time.nanos(), 1'000'000'000);
  };
  is_within(health.time(), 0);
  is_within(health.databases(0).last_check_time(), 60);
  is_within(health.databases(0).last_error_time(), 3600);
}

}  // namespace
}  // namespace dbsidecar::server
