// /api/events: what a watch is told, and what it cannot do to others.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "server/http/http_server.h"
#include "tests/integration/fixture.h"
#include "tests/support/golden_file.h"
#include "tests/support/http_client.h"

namespace dbsidecar::integration {
namespace {

using server::HttpLimits;
using server::HttpRequest;
using server::HttpResponse;
using server::HttpServer;
using test_support::HttpConnection;
using test_support::HttpGet;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

// A watch that has asked.
class Watch {
 public:
  explicit Watch(const std::string& socket) : connection_(socket) {
    connection_.Send("GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n");
    header_ = connection_.Read(5s).header;
  }

  const std::string& header() const { return header_; }
  // The data of the next event of that name; null if none comes.
  Json Next(const std::string& name, milliseconds patience = 5s) {
    const auto give_up = Clock::now() + patience;
    while (true) {
      const auto left = std::chrono::duration_cast<milliseconds>(give_up - Clock::now());
      const std::string event = connection_.ReadTo("\n\n", left);
      if (event.empty()) return {};
      const std::string head = "event: " + name + "\ndata: ";
      if (event.compare(0, head.size(), head) == 0) return Json::parse(event.substr(head.size()));
    }
  }
  bool AwaitClose(milliseconds patience) { return connection_.AwaitClose(patience); }

 private:
  HttpConnection connection_;
  std::string header_;
};

void ListNames(const Json& value, const std::string& path, std::string& into) {
  if (value.is_object() && !path.ends_with("_total")) {
    for (const auto& [key, entry] : value.items()) ListNames(entry, path + "." + key, into);
  } else if (value.is_array() && !value.empty()) {
    ListNames(value.back(), path + "[]", into);
  } else {
    into += path + "\n";
  }
}

TEST(EventsTest, AWatchIsToldAtOnceAndThenEachSecond) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  PostgresSidecar fixture;
  Watch watch(fixture.sidecar.http_socket());
  EXPECT_THAT(watch.header(), HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(watch.header(), HasSubstr("Content-Type: text/event-stream\r\n"));
  EXPECT_THAT(watch.header(), HasSubstr("Cache-Control: no-store\r\n"));
  const Json first = watch.Next("snapshot");
  ASSERT_FALSE(first.is_null());
  EXPECT_EQ(first["health"]["status"], "healthy");
  EXPECT_TRUE(first["health"]["database"]["configuration"].empty());
  PendingQuery held(fixture.client.stub(), MakeQuery("select pg_sleep(3)"), 20s);
  const auto start = Clock::now();
  bool seen = false;
  int snapshots = 0;
  while (Clock::now() - start < 4s) {
    const Json snapshot = watch.Next("snapshot");
    ASSERT_FALSE(snapshot.is_null());
    ++snapshots;
    for (const Json& rates : snapshot["rates"]) {
      seen = seen || (rates["pool"] == "default" && rates["active"] == 1.0);
    }
  }
  EXPECT_TRUE(seen);
  EXPECT_GE(snapshots, 3);
  EXPECT_LE(snapshots, 6) << "one a second";
  held.Wait();
}

TEST(EventsTest, WhatHappensToConnectionsIsTold) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  test_support::PostgresServer server;
  PostgresSidecar fixture({}, {}, server);
  ASSERT_TRUE(fixture.client.Query("select 1").ok());
  Watch watch(fixture.sidecar.http_socket());
  const Json before = watch.Next("events");
  ASSERT_FALSE(before.empty()) << "also what was before";
  EXPECT_EQ(before[0]["number"], 1);
  EXPECT_EQ(before[0]["pool"], "default");
  server.Stop(test_support::StopMode::kFast);
  uint64_t last = before.back()["number"];
  std::vector<std::string> kinds;
  const auto start = Clock::now();
  while (Clock::now() - start < 10s &&
         !testing::Matches(testing::Contains("database_down"))(kinds)) {
    const Json events = watch.Next("events", 2s);
    if (events.is_null()) fixture.client.Query("select 1");
    for (const Json& event : events.is_null() ? Json::array() : events) {
      if (event["number"] <= last) continue;  // Told at the start already.
      EXPECT_EQ(event["number"], last + 1);
      last = event["number"];
      kinds.push_back(event["kind"]);
    }
  }
  EXPECT_THAT(kinds, testing::IsSupersetOf({"connection_closed", "database_down"}));
}

TEST(EventsTest, WatchesAreFewAndKeepNobodyAway) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  const SidecarProcess sidecar({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 16; ++i) watches.push_back(std::make_unique<Watch>(sidecar.http_socket()));
  EXPECT_THAT(watches.back()->header(), HasSubstr("200 OK"));
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/api/events").status, 503);
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/api/events", "HEAD").status, 200);
  watches.pop_back();
  EXPECT_TRUE(Eventually(5s, [&] {
    return Watch(sidecar.http_socket()).header().find("200 OK") != std::string::npos;
  })) << "a place is free again";
  std::vector<HttpConnection> idle;
  for (int i = 0; i < 400; ++i) idle.emplace_back(sidecar.http_socket());
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/livez").status, 200);
  for (const auto& watch : watches) {
    watch->Next("snapshot");
    EXPECT_FALSE(watch->Next("snapshot").is_null()) << "those who are used stay";
  }
}

TEST(EventsTest, AStopIsToldAndNotHeldUp) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  SidecarProcess sidecar(
      {.database_url = "sqlite::memory:", .flags = {"--drain-delay=1s"}, .environment = {}});
  Watch watch(sidecar.http_socket());
  sidecar.Signal(SIGTERM);
  std::vector<std::string> phases;
  for (Json snapshot = watch.Next("snapshot"); !snapshot.is_null();
       snapshot = watch.Next("snapshot")) {
    const std::string phase = snapshot["health"]["phase"];
    if (phases.empty() || phases.back() != phase) phases.push_back(phase);
  }
  EXPECT_THAT(phases, testing::ElementsAre("serving", "lame_duck", "draining"));
  EXPECT_TRUE(watch.AwaitClose(5s));
  EXPECT_EQ(sidecar.WaitExit(5s), 0);
}

TEST(EventsTest, TheNamesAreAsDocumented) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  PostgresSidecar fixture;
  Watch watch(fixture.sidecar.http_socket());
  Json snapshot = watch.Next("snapshot");
  while (!snapshot.is_null() && snapshot["rates"].empty()) snapshot = watch.Next("snapshot");
  ASSERT_FALSE(snapshot.is_null());
  std::string names;
  for (const auto& [key, value] : snapshot.items()) {
    if (key != "health") ListNames(value, "snapshot." + key, names);
  }
  for (const auto& [key, value] : snapshot["health"].items()) {
    names += "snapshot.health." + key + "\n";
  }
  Watch other(fixture.sidecar.http_socket());
  ListNames(other.Next("events"), "events", names);
  test_support::ExpectSameAsFile(names, "tests/golden/http/events.txt");
}

// The server alone, with small limits.
class StreamTest : public testing::Test {
 protected:
  StreamTest() {
    auto server = HttpServer::Listen(
        {.path = socket_}, {.write_timeout = 500ms, .stream_backlog_max = 3},
        [](const HttpRequest& request) {
          return HttpResponse{.body = "hello\n\n", .is_stream = request.path == "/stream"};
        });
    server_ = *std::move(server);
    server_->Start();
  }
  ~StreamTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<HttpConnection> Open() {
    auto connection = std::make_unique<HttpConnection>(socket_);
    connection->Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(connection->Read(5s).status, 200);
    EXPECT_EQ(connection->ReadTo("\n\n", 5s), "hello");
    return connection;
  }
  void Publish(std::string text) {
    server_->Publish(std::make_shared<const std::string>(std::move(text)));
  }

  const std::string folder_ = test_support::MakeTemporaryFolder("stream");
  const std::string socket_ = folder_ + "/http";
  std::unique_ptr<HttpServer> server_;
};

TEST_F(StreamTest, WhatIsPublishedComesInOrderToAll) {
  const auto first = Open();
  const auto second = Open();
  EXPECT_EQ(server_->streams(), 2u);
  for (int i = 0; i < 100; ++i) {
    Publish(std::to_string(i) + "\n\n");
    EXPECT_EQ(first->ReadTo("\n\n", 5s), std::to_string(i));
    EXPECT_EQ(second->ReadTo("\n\n", 5s), std::to_string(i));
  }
}

TEST_F(StreamTest, OneThatDoesNotReadIsClosedAndTheOthersAreNot) {
  const auto slow = Open();
  const auto quick = Open();
  const std::string large(500'000, 'x');
  for (int i = 0; i < 10; ++i) {
    Publish(large + "\n\n");
    EXPECT_EQ(quick->ReadTo("\n\n", 5s).size(), large.size()) << i;
  }
  EXPECT_TRUE(Eventually(5s, [this] { return server_->streams() == 1; }));
  Publish("last\n\n");
  EXPECT_EQ(quick->ReadTo("\n\n", 5s), "last");
}

TEST_F(StreamTest, OneThatStopsReadingIsClosedInTimeWithoutMoreBeingPublished) {
  const auto slow = Open();
  Publish(std::string(5'000'000, 'x'));
  EXPECT_TRUE(Eventually(5s, [this] { return server_->streams() == 0; }));
}

TEST_F(StreamTest, OneThatLeavesIsForgotten) {
  auto connection = Open();
  EXPECT_EQ(server_->streams(), 1u);
  connection.reset();
  EXPECT_TRUE(Eventually(5s, [this] { return server_->streams() == 0; }));
  Publish("to nobody");
}

TEST_F(StreamTest, TheServersEndEndsThem) {
  const auto connection = Open();
  server_.reset();
  EXPECT_TRUE(connection->AwaitClose(5s));
}

}  // namespace
}  // namespace dbsidecar::integration
