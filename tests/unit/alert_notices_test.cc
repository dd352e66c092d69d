#include "server/alert_notices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace dbsidecar::server {
namespace {

using Json = nlohmann::json;
using PostOutcome = AlertNotices::PostOutcome;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const AlertRule& Rule(std::string_view name) {
  for (const AlertRule& rule : AlertRules()) {
    if (rule.name == name) return rule;
  }
  throw std::invalid_argument(std::string(name));
}

class AlertNoticesTest : public testing::Test {
 protected:
  void Note(std::string_view rule, bool firing) {
    notices_.Note(now_, {{.rule = &Rule(rule),
                          .pool = Rule(rule).of_pool != nullptr ? "default" : "",
                          .firing = firing,
                          .summary = "it is so",
                          .since = std::chrono::system_clock::time_point(seconds(100))}});
  }
  void Pass(std::chrono::nanoseconds time) {
    now_.steady += std::chrono::duration_cast<std::chrono::steady_clock::duration>(time);
    now_.wall += std::chrono::duration_cast<std::chrono::system_clock::duration>(time);
  }
  bool Due() const { return notices_.due() <= now_.steady; }
  bool NothingToTell() const { return notices_.due() == AlertNotices::kNever; }
  // Of each alert in the next post: "+" or "-" and its name.
  std::vector<std::string> Post(PostOutcome outcome = PostOutcome::kTaken) {
    std::vector<std::string> told;
    body_ = Json::parse(notices_.Compose());
    for (const Json& alert : body_["alerts"]) {
      told.push_back((alert["status"] == "firing" ? "+" : "-") +
                     alert["labels"]["alertname"].get<std::string>());
    }
    notices_.OnPosted(now_.steady, outcome);
    return told;
  }

  LookTime now_{};
  Json body_;
  AlertNotices notices_{"host-1", 7};
};

using Told = std::vector<std::string>;

TEST_F(AlertNoticesTest, APostIsAsAlertmanagersAre) {
  Note("DatabaseDown", true);
  Note("MemoryHigh", true);
  Pass(seconds(1));
  Post();
  EXPECT_EQ(body_["version"], "4");
  EXPECT_EQ(body_["status"], "firing");
  EXPECT_EQ(body_["receiver"], "dbsidecar");
  EXPECT_EQ(body_["groupKey"], "{}:{instance=\"host-1\"}");
  EXPECT_EQ(body_["groupLabels"], (Json{{"instance", "host-1"}}));
  EXPECT_EQ(body_["commonLabels"], (Json{{"instance", "host-1"}, {"job", "dbsidecar"}}));
  EXPECT_EQ(body_["truncatedAlerts"], 0);
  const Json& alert = body_["alerts"][0];
  EXPECT_EQ(alert["labels"], (Json{{"alertname", "DatabaseDown"},
                                   {"instance", "host-1"},
                                   {"job", "dbsidecar"},
                                   {"severity", "critical"},
                                   {"pool", "default"}}));
  EXPECT_EQ(alert["annotations"]["summary"], "it is so");
  EXPECT_EQ(alert["annotations"]["runbook_url"], "docs/runbooks.md#databasedown");
  EXPECT_EQ(alert["startsAt"], "1970-01-01T00:01:40Z");
  EXPECT_EQ(alert["endsAt"], "0001-01-01T00:00:00Z");
  EXPECT_EQ(alert["fingerprint"].get<std::string>().size(), 16u);
  EXPECT_NE(alert["fingerprint"], body_["alerts"][1]["fingerprint"]);
}

TEST_F(AlertNoticesTest, ChangesThatComeTogetherGoTogether) {
  EXPECT_TRUE(NothingToTell());
  Note("PoolUtilizationHigh", true);
  EXPECT_FALSE(Due());
  Pass(milliseconds(500));
  Note("PoolWaitingHigh", true);
  EXPECT_FALSE(Due());
  Pass(milliseconds(500));
  ASSERT_TRUE(Due());
  EXPECT_EQ(Post(), (Told{"+PoolUtilizationHigh", "+PoolWaitingHigh"}));
  EXPECT_TRUE(NothingToTell());
}

TEST_F(AlertNoticesTest, APostHoldsAllThatFireAndWhatWasResolvedSince) {
  Note("PoolUtilizationHigh", true);
  Note("PoolWaitingHigh", true);
  Pass(seconds(1));
  Post();
  Pass(minutes(1));
  Note("PoolWaitingHigh", false);
  Pass(seconds(1));
  EXPECT_EQ(Post(), (Told{"+PoolUtilizationHigh", "-PoolWaitingHigh"}));
  EXPECT_EQ(body_["status"], "firing");
  EXPECT_EQ(body_["alerts"][1]["endsAt"], "1970-01-01T00:01:01Z");
  Pass(minutes(1));
  Note("PoolUtilizationHigh", false);
  Pass(seconds(1));
  EXPECT_EQ(Post(), (Told{"-PoolUtilizationHigh"})) << "what is over is told once";
  EXPECT_EQ(body_["status"], "resolved");
}

TEST_F(AlertNoticesTest, AFailedPostIsTriedAgainLessAndLessOften) {
  Note("DatabaseDown", true);
  Pass(seconds(1));
  std::chrono::nanoseconds longest{};
  for (int attempt = 0; attempt < 20; ++attempt) {
    ASSERT_TRUE(Due());
    EXPECT_EQ(Post(PostOutcome::kFailed), Told{"+DatabaseDown"});
    const auto pause = notices_.due() - now_.steady;
    EXPECT_GE(pause, milliseconds(500));
    EXPECT_LE(pause, minutes(1));
    longest = std::max<std::chrono::nanoseconds>(longest, pause);
    Pass(pause);
  }
  EXPECT_GT(longest, seconds(30));
  EXPECT_EQ(notices_.failures(), 20u);
  EXPECT_EQ(Post(), Told{"+DatabaseDown"});
  EXPECT_EQ(notices_.failures(), 0u);
  EXPECT_TRUE(NothingToTell());
}

TEST_F(AlertNoticesTest, WhatChangesWhileTheReceiverIsAwayIsToldAsItIsThen) {
  Note("DatabaseDown", true);
  Pass(seconds(1));
  Post(PostOutcome::kFailed);  // It may have come through.
  Note("DatabaseDown", false);
  Note("PoolWaitingHigh", true);
  Pass(minutes(1));
  EXPECT_EQ(Post(), (Told{"-DatabaseDown", "+PoolWaitingHigh"}));
}

TEST_F(AlertNoticesTest, WhatCameAndWentBetweenTwoPostsIsNotTold) {
  Note("PoolWaitingHigh", true);
  Note("PoolWaitingHigh", false);
  EXPECT_TRUE(NothingToTell());
}

TEST_F(AlertNoticesTest, ManyChangesMakeFewPosts) {
  int posts = 0;
  for (int i = 0; i < 600; ++i) {  // A minute, ten a second.
    Note("PoolWaitingHigh", i % 30 < 15);
    Note("PoolUtilizationHigh", i % 2 == 0);
    if (Due()) {
      Post();
      ++posts;
    }
    Pass(milliseconds(100));
  }
  EXPECT_LE(posts, 13) << "one in five seconds";
  EXPECT_GE(posts, 5);
}

TEST_F(AlertNoticesTest, AReceiverThatRefusesAPostIsNotAskedAgain) {
  Note("DatabaseDown", true);
  Pass(seconds(1));
  Post(PostOutcome::kRefused);
  EXPECT_TRUE(NothingToTell());
}

}  // namespace
}  // namespace dbsidecar::server
