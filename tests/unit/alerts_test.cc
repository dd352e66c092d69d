#include "server/alerts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "server/alert_watch.h"

namespace dbsidecar::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Alerts that are shown figures of one pool, a second after the other.
class AlertsTest : public testing::Test {
 protected:
  AlertsTest() { figures_.pools.push_back({.pool = "default"}); }

  PoolAlertFigures& pool() { return figures_.pools[0]; }

  // The figures as they are, for so long; the names of what changed, "+" what fires.
  std::vector<std::string> Pass(std::chrono::seconds time) {
    std::vector<std::string> changed;
    for (auto passed = seconds(0); passed < time; passed += seconds(1)) {
      now_.steady += seconds(1);
      now_.wall += seconds(1);
      for (const AlertState& state : alerts_.Judge(now_, figures_)) {
        changed.push_back((state.firing ? "+" : "-") + std::string(state.rule->name));
      }
    }
    return changed;
  }

  std::vector<AlertState> Firing() const {
    std::vector<AlertState> firing = alerts_.states();
    std::erase_if(firing, [](const AlertState& state) { return !state.firing; });
    return firing;
  }

  AlertFigures figures_;
  LookTime now_{};
  Alerts alerts_{minutes(1)};
};

TEST_F(AlertsTest, NothingFiresWhileAllIsWell) {
  pool().utilization_percent = 90;
  pool().waiting = 5;
  pool().faults_last_hour = 10;
  pool().queue_wait_p99_seconds = 1;
  pool().connect_failures_in_a_row = 2;
  pool().oldest_transaction_seconds = 60;
  figures_.memory_used_percent = 80;
  figures_.restarts_last_hour = 2;
  EXPECT_THAT(Pass(minutes(5)), IsEmpty()) << "the limits themselves are allowed";
  EXPECT_THAT(Firing(), IsEmpty());
  EXPECT_EQ(alerts_.states().size(), AlertRules().size()) << "all are known";
}

TEST_F(AlertsTest, AConditionHasToHoldBeforeItsAlertFires) {
  pool().utilization_percent = 95;
  EXPECT_THAT(Pass(seconds(60)), IsEmpty());
  EXPECT_THAT(Pass(seconds(1)), ElementsAre("+PoolUtilizationHigh"));
  EXPECT_THAT(Pass(minutes(10)), IsEmpty()) << "it is told once";
  ASSERT_EQ(Firing().size(), 1u);
  EXPECT_EQ(Firing()[0].pool, "default");
  EXPECT_EQ(Firing()[0].summary, "95 % of the connections are in use (limit 90 %)");
  EXPECT_EQ(Firing()[0].since, std::chrono::system_clock::time_point(seconds(1)))
      << "since the condition holds, not since it is told";
}

TEST_F(AlertsTest, AShortPeakFiresNothing) {
  for (int i = 0; i < 10; ++i) {
    pool().utilization_percent = 100;
    EXPECT_THAT(Pass(seconds(50)), IsEmpty());
    pool().utilization_percent = 50;
    EXPECT_THAT(Pass(seconds(20)), IsEmpty());
  }
}

TEST_F(AlertsTest, AFigureThatSwaysAboutTheLimitDoesNotMakeItFlap) {
  int fired = 0;
  for (int i = 0; i < 600; ++i) {
    pool().utilization_percent = i % 2 == 0 ? 95 : 85;
    fired += static_cast<int>(Pass(seconds(1)).size());
  }
  EXPECT_EQ(fired, 1) << "it fires, and stays";
}

TEST_F(AlertsTest, ItIsResolvedWhenTheConditionHasBeenGoneForTheHoldTime) {
  pool().waiting = 100;
  EXPECT_THAT(Pass(minutes(2)), ElementsAre("+PoolWaitingHigh"));
  pool().waiting = 4;
  EXPECT_THAT(Pass(minutes(5)), IsEmpty()) << "between the limits all stays as it is";
  pool().waiting = 0;
  EXPECT_THAT(Pass(seconds(59)), IsEmpty());
  pool().waiting = 3;
  EXPECT_THAT(Pass(seconds(1)), IsEmpty());
  pool().waiting = 0;
  EXPECT_THAT(Pass(seconds(60)), IsEmpty()) << "the time to clear starts anew";
  EXPECT_EQ(Firing()[0].summary, "3 calls wait for a connection (limit 5)") << "why it fires";
  EXPECT_THAT(Pass(seconds(1)), ElementsAre("-PoolWaitingHigh"));
  EXPECT_THAT(Firing(), IsEmpty());
}

TEST_F(AlertsTest, ADatabaseThatIsDownIsToldSoonAndABriefLossIsNot) {
  pool().database_down = true;
  EXPECT_THAT(Pass(seconds(5)), IsEmpty());
  pool().database_down = false;
  EXPECT_THAT(Pass(seconds(5)), IsEmpty());
  pool().database_down = true;
  EXPECT_THAT(Pass(seconds(11)), ElementsAre("+DatabaseDown"));
}

TEST_F(AlertsTest, EveryRuleCanFireAndBeResolved) {
  pool().database_down = true;
  pool().connect_failures_in_a_row = 3;
  pool().utilization_percent = 91;
  pool().waiting = 6;
  pool().queue_wait_p99_seconds = 1.1;
  pool().faults_last_hour = 11;
  pool().oldest_transaction_seconds = 61;
  figures_.memory_used_percent = 81;
  figures_.restarts_last_hour = 3;
  EXPECT_EQ(Pass(minutes(2)).size(), AlertRules().size());
  for (const AlertState& state : Firing()) {
    EXPECT_EQ(state.pool, state.rule->of_pool != nullptr ? "default" : "") << state.rule->name;
  }
  figures_ = {};
  figures_.pools.push_back({.pool = "default"});
  EXPECT_EQ(Pass(minutes(2)).size(), AlertRules().size());
  EXPECT_THAT(Firing(), IsEmpty());
}

TEST_F(AlertsTest, PoolsAreJudgedOneByOne) {
  figures_.pools.push_back({.pool = "reports"});
  figures_.pools[1].waiting = 9;
  EXPECT_THAT(Pass(minutes(2)), ElementsAre("+PoolWaitingHigh"));
  EXPECT_EQ(Firing()[0].pool, "reports");
}

TEST_F(AlertsTest, AHealthyReportBecomesDegradedWithACauseForEach) {
  pool().waiting = 6;
  Pass(minutes(2));
  v1::HealthResponse health;
  health.set_status(v1::HEALTH_STATUS_HEALTHY);
  health.set_ready(true);
  FillAlerts(alerts_.states(), health);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_DEGRADED);
  EXPECT_TRUE(health.ready());
  EXPECT_THAT(health.causes(),
              ElementsAre("alert PoolWaitingHigh (pool \"default\"): 6 calls wait for a connection "
                          "(limit 5)"));
  ASSERT_EQ(health.alerts_size(), 1);
  EXPECT_EQ(health.alerts(0).severity(), v1::SEVERITY_WARNING);
  EXPECT_EQ(health.alerts(0).runbook_url(), "docs/runbooks.md#poolwaitinghigh");
  v1::MetricsResponse metrics;
  FillAlerts(alerts_.states(), metrics);
  EXPECT_EQ(metrics.alerts_size(), static_cast<int>(AlertRules().size()));
}

TEST_F(AlertsTest, AnUnhealthyReportStaysSo) {
  pool().database_down = true;
  Pass(minutes(2));
  v1::HealthResponse health;
  health.set_status(v1::HEALTH_STATUS_UNHEALTHY);
  FillAlerts(alerts_.states(), health);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_UNHEALTHY);
  EXPECT_EQ(health.alerts_size(), 1);
}

TEST(RestartsTest, AFallOfTheUptimeIsOneAndAGapIsNone) {
  const double gap = std::nan("");
  EXPECT_EQ(RestartsIn(std::vector<double>{}), 0u);
  EXPECT_EQ(RestartsIn(std::vector<double>{500, 501, gap, gap, 504}), 0u);
  EXPECT_EQ(RestartsIn(std::vector<double>{gap, 500, gap, 1, 2, 0.5, 1.5, gap}), 2u);
}

TEST(FaultsTest, WhatTheCallerBroughtAboutIsNotAmongThem) {
  EXPECT_EQ(FaultsIn({{"ok", 100},
                      {"already_exists", 50},
                      {"invalid_argument", 50},
                      {"cancelled", 50},
                      {"aborted", 50},
                      {"unavailable", 1},
                      {"deadline_exceeded", 2},
                      {"internal", 4}}),
            7);
}

FiguresSample SampleAt(seconds time) {
  FiguresSample sample;
  sample.time += time;
  sample.stats.name = "default";
  sample.stats.max = 10;
  sample.stats.database_up = true;
  return sample;
}

TEST(AlertFiguresTest, ComeFromTheLastMinuteAndTheLastHour) {
  PoolTrend hour;
  FiguresSample long_ago = SampleAt(seconds(0));
  long_ago.outcomes = {{"unavailable", 5}};
  hour.Note(long_ago);
  FiguresSample earlier = SampleAt(minutes(30));
  FiguresSample now = SampleAt(minutes(31));
  now.stats.queue.Record(seconds(3));
  now.stats.connections[static_cast<size_t>(pool::ConnectionState::kShared)] = 1;
  now.stats.connections[static_cast<size_t>(pool::ConnectionState::kLeased)] = 3;
  now.stats.waiting = 7;
  now.stats.oldest_transaction = seconds(90);
  now.stats.connect_failures_in_a_row = 4;
  now.outcomes = {{"unavailable", 25}};
  now.resident_bytes = 300;
  now.memory_limit_bytes = 400;
  const AlertFigures figures = AlertFiguresOf({{earlier, now}}, {hour});
  ASSERT_EQ(figures.pools.size(), 1u);
  const PoolAlertFigures& pool = figures.pools[0];
  EXPECT_EQ(pool.pool, "default");
  EXPECT_EQ(pool.utilization_percent, 40);
  EXPECT_EQ(pool.waiting, 7);
  EXPECT_EQ(pool.faults_last_hour, 20);
  EXPECT_FALSE(pool.database_down);
  EXPECT_GT(pool.queue_wait_p99_seconds, 2.5);
  EXPECT_EQ(pool.connect_failures_in_a_row, 4);
  EXPECT_EQ(pool.oldest_transaction_seconds, 90);
  EXPECT_EQ(figures.memory_used_percent, 75);
}

TEST(AlertFiguresTest, NeitherAStartNorAStopIsTakenForADatabaseThatIsDown) {
  FiguresSample now = SampleAt(seconds(1));
  now.stats.database_up = false;
  PoolTrend hour;
  hour.Note(now);
  EXPECT_FALSE(AlertFiguresOf({{now}}, {hour}).pools[0].database_down) << "no evidence yet";
  now.stats.last_connect_error_age = seconds(1);
  EXPECT_TRUE(AlertFiguresOf({{now}}, {hour}).pools[0].database_down);
  now.stats.draining = true;
  EXPECT_FALSE(AlertFiguresOf({{now}}, {hour}).pools[0].database_down);
}

TEST(PoolTrendTest, ReachesBackAnHourAndKeepsTheHighestFiguresOfIt) {
  PoolTrend hour;
  for (int minute = 0; minute <= 180; ++minute) {
    FiguresSample look = SampleAt(minutes(minute));
    look.stats.statements = static_cast<uint64_t>(minute) * 10;
    look.stats.waiting = minute == 30 ? 50 : minute == 150 ? 5 : 1;
    hour.Note(look);
  }
  EXPECT_EQ(hour.length(), minutes(60));
  EXPECT_EQ(hour.waiting_max(), 5u);
  EXPECT_EQ(hour.Growth([](const pool::PoolStats& stats) { return stats.statements; }), 600);
}

TEST(PoolTrendTest, ACounterThatWasSetToZeroCountsFromThere) {
  PoolTrend hour;
  FiguresSample look = SampleAt(seconds(0));
  look.stats.statements = 1000;
  hour.Note(look);
  look.time += seconds(1);
  look.stats.statements = 7;
  hour.Note(look);
  EXPECT_EQ(hour.Growth([](const pool::PoolStats& stats) { return stats.statements; }), 7);
}

TEST(AlertWatchTest, TellsOfChangesOnceAndKnowsWhatFires) {
  std::vector<std::string> told;
  AlertWatch watch({.hold = seconds(2), .on_change = [&](const std::vector<AlertState>& changes) {
                      for (const AlertState& change : changes) {
                        told.push_back((change.firing ? "+" : "-") +
                                       std::string(change.rule->name));
                      }
                    }});
  for (int second = 0; second < 20; ++second) {
    FiguresSample look = SampleAt(seconds(second));
    look.stats.waiting = second < 10 ? 9 : 0;
    watch.Look({{look}});
  }
  EXPECT_THAT(told, ElementsAre("+PoolWaitingHigh", "-PoolWaitingHigh"));
  EXPECT_EQ(watch.states().size(), AlertRules().size());
}

TEST(AlertWatchTest, EachPoolIsJudgedByItself) {
  std::vector<std::string> told;
  AlertWatch watch({.hold = seconds(2), .on_change = [&](const std::vector<AlertState>& changes) {
                      for (const AlertState& change : changes) {
                        told.push_back(std::string(change.rule->name) + " of " + change.pool);
                      }
                    }});
  for (int second = 0; second < 5; ++second) {
    FiguresSample quiet = SampleAt(seconds(second));
    FiguresSample busy = quiet;
    busy.stats.name = "reports";
    busy.stats.waiting = 9;
    watch.Look({{quiet}, {busy}});
  }
  EXPECT_THAT(told, ElementsAre("PoolWaitingHigh of reports"));
}

TEST(AlertWatchTest, WhoeverCountsRestartsIsAsked) {
  size_t restarts = 1;
  AlertWatch watch(
      {.hold = seconds(0), .restarts_last_hour = [&] { return std::optional(restarts); }});
  const auto fires = [&] {
    watch.Look({{SampleAt(seconds(1))}});
    const std::vector<AlertState> states = watch.states();
    return std::ranges::any_of(states, [](const AlertState& state) { return state.firing; });
  };
  EXPECT_FALSE(fires());
  restarts = 3;
  EXPECT_TRUE(fires());
}

}  // namespace
}  // namespace dbsidecar::server
