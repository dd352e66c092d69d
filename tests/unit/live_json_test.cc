#include "server/live_json.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "server/history/history_series.h"

namespace dbsidecar::server {
namespace {

using Json = nlohmann::ordered_json;

TEST(RecentEventsTest, TheLatestAreKeptUnderTheirNumbers) {
  RecentEvents events;
  EXPECT_TRUE(events.After(0).empty());
  for (int i = 1; i <= 150; ++i) events.Note("connect_failed", "orders", 0, std::to_string(i));
  const std::vector<PoolEvent> all = events.After(0);
  ASSERT_EQ(all.size(), RecentEvents::kMax);
  EXPECT_EQ(all.front().number, 51u);
  EXPECT_EQ(all.back().text, "150");
  EXPECT_EQ(events.After(148).size(), 2u);
  EXPECT_TRUE(events.After(150).empty());
}

TEST(RecentEventsTest, LongTextsAreCut) {
  RecentEvents events;
  events.Note("connect_failed", "orders", 0, std::string(5000, 'x'));
  EXPECT_EQ(events.After(0)[0].text.size(), RecentEvents::kTextMax);
}

TEST(LiveJsonTest, WhatIsToldIsOneLineWhateverIsInIt) {
  RecentEvents events;
  events.Note("connect_failed", "a\nb", 7, "first\r\nsecond\n\nevent: x \xff </script>");
  v1::HealthResponse health;
  health.add_causes("two\nlines");
  const std::string json = EventsJson(events.After(0));
  EXPECT_EQ(json.find_first_of("\r\n"), std::string::npos);
  EXPECT_EQ(SnapshotJson(health, {}, {}).find_first_of("\r\n"), std::string::npos);
  EXPECT_EQ(ServerSentEvent("events", json), "event: events\ndata: " + json + "\n\n");
  const Json parsed = Json::parse(json);
  EXPECT_EQ(parsed[0]["number"], 1);
  EXPECT_EQ(parsed[0]["kind"], "connect_failed");
  EXPECT_EQ(parsed[0]["pool"], "a\nb");
  EXPECT_EQ(parsed[0]["connection"], 7);
}

TEST(LiveJsonTest, WhatRunsIsListed) {
  LiveLists lists;
  lists.statements.add_statements()->set_fingerprint("a");
  lists.statements.add_statements()->set_fingerprint("b");
  lists.sessions.add_sessions()->set_id(7);
  const Json snapshot = Json::parse(SnapshotJson({}, {}, lists));
  EXPECT_EQ(snapshot["statements"].size(), 2U);
  EXPECT_EQ(snapshot["statements"][1]["fingerprint"], "b");
  EXPECT_EQ(snapshot["sessions"][0]["id"], 7);
  EXPECT_TRUE(Json::parse(SnapshotJson({}, {}, {}))["sessions"].empty());
}

TEST(LiveJsonTest, RatesBearTheNamesOfTheHistorysSeries) {
  std::vector<float> values(PoolSeries().size(), 2);
  values[1] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Rates> rates = {{.pool = "", .values = {1, 2, 3}},
                                    {.pool = "orders", .values = values}};
  const Json snapshot = Json::parse(SnapshotJson({}, rates, {}));
  EXPECT_EQ(snapshot["health"]["status"], "unspecified");
  EXPECT_EQ(snapshot["rates"][0]["cpu_percent"], 1);
  EXPECT_EQ(snapshot["rates"][1]["pool"], "orders");
  EXPECT_EQ(snapshot["rates"][1]["active"], 2);
  EXPECT_TRUE(snapshot["rates"][1]["idle"].is_null());
}

}  // namespace
}  // namespace dbsidecar::server
