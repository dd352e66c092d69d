#include "server/recommendations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A pool on a PostgreSQL server of 100 connections, looked at for an hour in which nothing happens;
// tests change the last minute or the whole.
class RecommendationsTest : public testing::Test {
 protected:
  RecommendationsTest() {
    for (int i = 0; i <= 60; ++i) minute_.push_back(Quiet(minutes(60) + seconds(i)));
  }

  static FiguresSample Quiet(std::chrono::seconds time) {
    FiguresSample look;
    look.time += time;
    look.resident_bytes = 100 << 20;
    look.memory_limit_bytes = 1000 << 20;
    look.stats.name = "default";
    look.stats.driver = "postgresql";
    look.stats.min = 2;
    look.stats.max = 10;
    look.stats.total = 2;
    look.stats.facts.connections_max = 100;
    look.stats.facts.connections = 5;
    look.stats.facts.findings.reserved_connections = 3;
    // The usual use, so that it is not too large.
    look.stats.connections[static_cast<size_t>(pool::ConnectionState::kLeased)] = 4;
    return look;
  }

  pool::PoolStats& now() { return minute_.back().stats; }

  // In every look of the last minute: in use, and waiting.
  void Load(size_t in_use, size_t waiting) {
    for (FiguresSample& look : minute_) {
      look.stats.connections[static_cast<size_t>(pool::ConnectionState::kLeased)] = in_use;
      look.stats.waiting = waiting;
    }
  }
  // Calls got their connection after so long.
  void Waits(int calls, milliseconds time) {
    for (int i = 0; i < calls; ++i) now().queue.Record(time);
  }

  std::vector<v1::Recommendation> Advice() {
    PoolTrend hour;
    for (int i = 0; i < 60; ++i) hour.Note(Quiet(minutes(i)));
    for (const FiguresSample& look : minute_) hour.Note(look);
    return Recommend({.minute = minute_, .hour = hour}, settings_);
  }
  std::vector<std::string> Ids() {
    std::vector<std::string> ids;
    for (const v1::Recommendation& advice : Advice()) ids.push_back(advice.id());
    return ids;
  }
  v1::Recommendation Only(const std::string& id) {
    const std::vector<v1::Recommendation> advice = Advice();
    EXPECT_THAT(Ids(), ElementsAre(id));
    return advice.empty() ? v1::Recommendation() : advice[0];
  }

  FiguresSampler::Looks minute_;
  AdviceSettings settings_{.waiters_max = 1000,
                           .wait_timeout = seconds(10),
                           .idle_timeout = minutes(1),
                           .lifetime = minutes(30),
                           .session_idle_timeout = minutes(1),
                           .replicas = 1};
};

TEST_F(RecommendationsTest, ThereIsNothingToSayOfAPoolThatDoesWell) {
  EXPECT_THAT(Ids(), IsEmpty());
  Load(9, 0);
  Waits(1000, milliseconds(0));
  EXPECT_THAT(Ids(), IsEmpty()) << "a full pool is no fault while none waits";
}

TEST_F(RecommendationsTest, APoolIsTooSmallWhenItIsFullAndCallsWait) {
  Load(10, 4);
  Waits(1000, milliseconds(300));
  const v1::Recommendation advice = Only("pool-too-small");
  EXPECT_EQ(advice.severity(), v1::SEVERITY_WARNING);
  EXPECT_EQ(advice.pool(), "default");
  EXPECT_EQ(advice.option(), "max-connections");
  EXPECT_EQ(advice.suggested_value(), "19") << "14 by Little's law, and a quarter of room";
  EXPECT_EQ(advice.docs_url(), "docs/recommendations.md#pool-too-small");
  EXPECT_THAT(advice.evidence(), HasSubstr("100 % of 10 connections were in use and 4.0 calls"));
  EXPECT_EQ(advice.figures().at("connections_needed"), 14);
}

TEST_F(RecommendationsTest, NoMoreIsSuggestedThanTwiceAsManyOrTheServerHasRoomFor) {
  Load(10, 500);
  Waits(1000, seconds(3));
  EXPECT_EQ(Only("pool-too-small").suggested_value(), "20");
  settings_.replicas = 8;
  for (FiguresSample& look : minute_) look.stats.facts.connections = 60;
  v1::Recommendation advice = Only("pool-too-small");
  EXPECT_EQ(advice.suggested_value(), "12") << "97 by 8";
  EXPECT_THAT(advice.remedy(), HasSubstr("room for 12 connections in each of 8 sidecars"));
}

TEST_F(RecommendationsTest, ASqliteDatabaseInMemoryCannotHaveMoreConnections) {
  for (FiguresSample& look : minute_) {
    look.stats.driver = "sqlite";
    look.stats.facts = {};
    look.stats.max = 1;
  }
  Load(1, 4);
  Waits(1000, milliseconds(300));
  const v1::Recommendation advice = Only("pool-too-small");
  EXPECT_EQ(advice.option(), "");
  EXPECT_THAT(advice.remedy(), HasSubstr("make the statements faster"));
}

TEST_F(RecommendationsTest, WaitsInAPoolThatIsNotFullComeFromBursts) {
  Load(4, 0);
  Waits(1000, milliseconds(300));
  now().counters.opened = 6;
  const v1::Recommendation advice = Only("calls-wait");
  EXPECT_EQ(advice.option(), "min-connections");
  EXPECT_EQ(advice.suggested_value(), "4");
  now().counters.opened = 0;
  EXPECT_EQ(Only("calls-wait").option(), "");
}

TEST_F(RecommendationsTest, FewCallsAreNoSample) {
  Load(10, 0);
  Waits(10, seconds(1));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(RecommendationsTest, RefusalsAreCountedByTheirReason) {
  now().counters.refused[static_cast<size_t>(pool::RefuseReason::kWaitTimeout)] = 7;
  now().counters.refused[static_cast<size_t>(pool::RefuseReason::kQueueFull)] = 2;
  const v1::Recommendation advice = Only("calls-refused");
  EXPECT_EQ(advice.option(), "wait-timeout");
  EXPECT_THAT(advice.evidence(), AllOf(HasSubstr("2 calls were refused because the queue was full"),
                                       HasSubstr("7 because they had waited 10s")));
}

TEST_F(RecommendationsTest, ABurstOfErrorsIsTenOfThemAndATenthOfTheCalls) {
  now().statements = 1000;
  now().errors = 99;
  EXPECT_THAT(Ids(), IsEmpty());
  now().errors = 100;
  now().last_error = "no such table";
  EXPECT_THAT(
      Only("error-burst").evidence(),
      HasSubstr("100 of 1000 calls failed within the last 60 s; the latest: no such table"));
  now().statements = now().errors = 9;
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(RecommendationsTest, IdleSessionsThatHoldHalfOfThePoolAreTold) {
  now().sessions = 6;
  now().sessions_idle = 5;
  now().longest_idle_session = seconds(4);
  EXPECT_THAT(Ids(), IsEmpty());
  now().longest_idle_session = seconds(40);
  const v1::Recommendation advice = Only("idle-sessions");
  EXPECT_EQ(advice.option(), "session-idle-timeout");
  EXPECT_EQ(advice.suggested_value(), "30s");
  settings_.session_idle_timeout = seconds(20);
  EXPECT_EQ(Only("idle-sessions").suggested_value(), "") << "it is short already";
}

TEST_F(RecommendationsTest, WhatTheServerKnowsIsTold) {
  auto& findings = now().facts.findings;
  findings.waiting_for_locks = 2;
  findings.longest_lock_wait_seconds = 0.5;
  EXPECT_THAT(Ids(), IsEmpty());
  findings.longest_lock_wait_seconds = 12;
  findings.scanned_tables.push_back(
      {.name = "public.orders", .rows = 50000, .sequential_scans = 400, .index_scans = 3});
  findings.costly_statements.push_back({.id = "-42",
                                        .calls = 500,
                                        .mean_seconds = 0.25,
                                        .blocks_per_call = 9000,
                                        .rows_per_call = 1});
  const std::vector<v1::Recommendation> advice = Advice();
  ASSERT_THAT(Ids(), ElementsAre("lock-waits", "sequential-scans", "costly-statements"))
      << "the most severe first";
  EXPECT_THAT(advice[0].evidence(), HasSubstr("2 sessions of the database waited for locks"));
  EXPECT_THAT(advice[1].evidence(), HasSubstr("public.orders with some 50000 rows"));
  EXPECT_THAT(advice[2].evidence(), HasSubstr("queryid -42 reads 9000 blocks for 1.0 rows"));
}

TEST_F(RecommendationsTest, AllSidecarsTogetherMustFitIntoTheServer) {
  settings_.replicas = 9;
  EXPECT_THAT(Ids(), IsEmpty());
  settings_.replicas = 20;
  const v1::Recommendation advice = Only("server-connections");
  EXPECT_EQ(advice.option(), "max-connections");
  EXPECT_EQ(advice.suggested_value(), "4") << "97 by 20";
  EXPECT_THAT(advice.evidence(), HasSubstr("20 sidecars with up to 10 each want 200"));
  settings_.replicas = 1;
  now().facts.connections = 91;
  EXPECT_EQ(Only("server-connections").suggested_value(), "8") << "100 - 3 - 89 of others";
}

TEST_F(RecommendationsTest, ConnectionsThatComeAndGoForASettingAreTold) {
  now().counters.opened = 70;
  now().counters.closed[static_cast<size_t>(pool::CloseReason::kIdleTimeout)] = 65;
  v1::Recommendation advice = Only("idle-timeout-short");
  EXPECT_EQ(advice.option(), "idle-timeout");
  EXPECT_EQ(advice.suggested_value(), "5min");
  settings_.lifetime = minutes(3);
  EXPECT_EQ(Only("idle-timeout-short").suggested_value(), "3min") << "no longer than the lifetime";
  settings_.lifetime = minutes(30);
  now().counters = {};
  now().counters.opened = 70;
  now().counters.closed[static_cast<size_t>(pool::CloseReason::kLifetime)] = 65;
  EXPECT_THAT(Ids(), IsEmpty()) << "half an hour is long enough";
  settings_.lifetime = minutes(1);
  advice = Only("lifetime-short");
  EXPECT_EQ(advice.suggested_value(), "30min");
  now().counters = {};
  now().counters.closed[static_cast<size_t>(pool::CloseReason::kLost)] = 3;
  now().counters.closed[static_cast<size_t>(pool::CloseReason::kPingFailed)] = 2;
  Only("connections-lost");
}

TEST_F(RecommendationsTest, MemoryNearItsLimitIsToldOfTheProcess) {
  minute_.back().resident_bytes = 699 << 20;
  EXPECT_THAT(Ids(), IsEmpty());
  minute_.back().resident_bytes = 700 << 20;
  const v1::Recommendation advice = Only("memory-near-limit");
  EXPECT_EQ(advice.pool(), "");
  EXPECT_THAT(advice.evidence(), HasSubstr("700 MiB of the 1000 MiB"));
}

TEST_F(RecommendationsTest, APoolIsTooLargeWhenAnHourNeededLittleOfIt) {
  PoolTrend hour;
  for (int i = 0; i <= 60; ++i) {
    FiguresSample look = Quiet(minutes(i));
    look.stats.max = 40;
    hour.Note(look);
    minute_ = {look};
  }
  const auto advice = Recommend({.minute = minute_, .hour = hour}, settings_);
  ASSERT_EQ(advice.size(), 1u);
  EXPECT_EQ(advice[0].id(), "pool-too-large");
  EXPECT_EQ(advice[0].suggested_value(), "8");
  PoolTrend begun;
  begun.Note(minute_.back());
  EXPECT_THAT(Recommend({.minute = minute_, .hour = begun}, settings_), IsEmpty())
      << "one look tells nothing";
}

TEST(RecommendationDocsTest, EveryIdHasASectionAndEverySectionAnId) {
  std::ifstream page(DBSIDECAR_SOURCE_DIR "/docs/recommendations.md");
  ASSERT_TRUE(page.is_open());
  std::set<std::string> documented;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("## ")) documented.insert(line.substr(3));
  }
  std::set<std::string> known;
  for (const std::string_view id : RecommendationIds()) known.insert(std::string(id));
  EXPECT_EQ(documented, known);
}

}  // namespace
}  // namespace dbsidecar::server
