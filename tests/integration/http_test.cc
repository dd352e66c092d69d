// Health and metrics over HTTP: what each path says, and what bad clients cannot do.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "tests/integration/fixture.h"
#include "tests/support/golden_file.h"
#include "tests/support/http_client.h"

namespace dbsidecar::integration {
namespace {

using test_support::HttpAnswer;
using test_support::HttpConnection;
using test_support::HttpGet;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

SidecarProcess OnSqlite(std::vector<std::string> flags = {}) {
  return SidecarProcess(
      {.database_url = "sqlite::memory:", .flags = std::move(flags), .environment = {}});
}

std::vector<std::string> KeysOf(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

// The names and kinds of everything in it, a line each; of an array those of its first element.
void ListShape(const Json& value, const std::string& path, std::string& into) {
  if (value.is_object() && !path.ends_with("_total")) {
    for (const auto& [key, entry] : value.items()) ListShape(entry, path + "." + key, into);
  } else if (value.is_array() && !value.empty()) {
    ListShape(value[0], path + "[]", into);
  } else {
    into += path + ": " + value.type_name() + "\n";
  }
}

TEST(HttpHealthTest, TheDatabasesOwnWordsMayRepeatAParameterAndAreNotShown) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  PostgresSidecar fixture;
  const QueryOutcome outcome = fixture.client.Query("select $1::text::int", "4111-1111");
  ASSERT_EQ(outcome.sql.sqlstate(), "22P02") << outcome;
  const std::string report = HttpGet(fixture.sidecar.http_socket(), "/api/health/database").body;
  EXPECT_THAT(report, HasSubstr("a statement failed with SQLSTATE 22P02"));
  EXPECT_THAT(report, Not(HasSubstr("4111")));
}

TEST(HttpHealthTest, TheRoutesTellWhatTheRpcTellsInMoreAndMoreDetail) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  PostgresSidecar fixture;
  const std::string& socket = fixture.sidecar.http_socket();
  const HttpAnswer basic = HttpGet(socket, "/api/health");
  EXPECT_EQ(basic.status, 200);
  EXPECT_THAT(basic.header, HasSubstr("Content-Type: application/json\r\n"));
  const Json health = Json::parse(basic.body);
  EXPECT_EQ(health["status"], "healthy");
  EXPECT_GT(health["uptime_seconds"], 0.0);
  EXPECT_EQ(health["databases"][0]["status"], "up");
  EXPECT_FALSE(health.contains("detailed"));
  const Json detailed = Json::parse(HttpGet(socket, "/api/health/detailed").body);
  EXPECT_THAT(KeysOf(detailed["detailed"]),
              AllOf(Contains("system"), Contains("memory"), Contains("cpu"), Contains("pools"),
                    Contains("performance")));
  EXPECT_EQ(detailed["detailed"]["system"]["pid"], fixture.sidecar.pid());
  EXPECT_GT(detailed["detailed"]["memory"]["limit_bytes"], 0);
  EXPECT_FALSE(detailed.contains("database"));
  const Json all = Json::parse(HttpGet(socket, "/api/health/database").body);
  const Json& pool = all["database"]["pools"][0];
  EXPECT_EQ(pool["state"], "active");
  EXPECT_EQ(pool["servers"][0]["role"], "primary");
  EXPECT_GT(pool["servers"][0]["server_connections_max"], 0);
  bool found = false;
  for (const Json& entry : all["database"]["configuration"]) {
    if (entry["name"] != "profile") continue;
    found = true;
    EXPECT_EQ(entry["value"], "test");
    EXPECT_EQ(entry["source"], "flag");
  }
  EXPECT_TRUE(found);
}

TEST(HttpHealthTest, TheRpcTellsTheSameAndChecksWhenAsked) {
  test_support::PostgresServer server;
  PostgresSidecar fixture({"--wait-timeout", "500ms"}, {}, server);
  const auto health = [&](const v1::HealthRequest& request, v1::HealthResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    return fixture.client.stub().Health(&context, request, &response);
  };
  v1::HealthRequest request;
  request.set_level(v1::HEALTH_LEVEL_DATABASE);
  request.set_check_now(true);
  v1::HealthResponse response;
  ASSERT_TRUE(health(request, response).ok());
  EXPECT_EQ(response.status(), v1::HEALTH_STATUS_HEALTHY);
  EXPECT_EQ(response.database().pools_size(), 1);
  EXPECT_GT(response.database().configuration_size(), 20);
  EXPECT_EQ(response.detailed().pools(0).statements_total(), 1u) << "the check";
  request.set_pool("other");
  EXPECT_EQ(health(request, response).error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_pool("");
  server.Stop(test_support::StopMode::kImmediate);
  response.Clear();
  ASSERT_TRUE(health(request, response).ok());
  EXPECT_EQ(response.status(), v1::HEALTH_STATUS_UNHEALTHY);
}

TEST(HttpHealthTest, NoPasswordIsShown) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  test_support::PostgresServer& server = test_support::PostgresServer::Shared();
  const std::string database = server.CreateDatabase("http");
  const SidecarProcess sidecar(
      {.database_url = server.TcpUrl(database, test_support::PostgresServer::kPassword),
       .flags = {},
       .environment = {}});
  const HttpAnswer answer = HttpGet(sidecar.http_socket(), "/api/health/database");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("***"));
  EXPECT_THAT(answer.body, Not(HasSubstr(test_support::PostgresServer::kPassword)));
}

TEST(HttpHealthTest, ProbesSayItInTheirStatusAndHeadIsEnough) {
  const SidecarProcess sidecar = OnSqlite();
  for (const char* path :
       {"/api/health/ready", "/api/health/live", "/readyz", "/livez", "/startupz"}) {
    EXPECT_EQ(HttpGet(sidecar.http_socket(), path).status, 200) << path;
    const HttpAnswer head = HttpGet(sidecar.http_socket(), path, "HEAD");
    EXPECT_EQ(head.status, 200) << path;
    EXPECT_EQ(head.body, "");
  }
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/api/health/ready").body, "{\"status\": \"ready\"}\n");
  EXPECT_THAT(sidecar.Log(), Not(HasSubstr("readyz"))) << "probes are not logged";
}

TEST(HttpHealthTest, WithoutItsDatabaseItIsUnhealthyAndLive) {
  test_support::PostgresServer server;
  PostgresSidecar fixture({}, {}, server);
  const std::string socket = fixture.sidecar.http_socket();
  server.Stop(test_support::StopMode::kFast);
  fixture.client.Query("select 1");
  const auto start = Clock::now();
  HttpAnswer ready;
  while ((ready = HttpGet(socket, "/readyz")).status == 200 && Clock::now() - start < 5s) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, "{\"status\": \"not ready\"}\n");
  const HttpAnswer health = HttpGet(socket, "/api/health");
  EXPECT_EQ(health.status, 503);
  const Json report = Json::parse(health.body);
  EXPECT_EQ(report["status"], "unhealthy");
  EXPECT_EQ(report["databases"][0]["status"], "down");
  EXPECT_THAT(report["causes"][0].get<std::string>(), HasSubstr("not reachable"));
  EXPECT_EQ(HttpGet(socket, "/livez").status, 200);
  EXPECT_EQ(HttpGet(socket, "/startupz").status, 200);
  EXPECT_EQ(HttpGet(socket, "/metrics").status, 200);
}

TEST(HttpHealthTest, ARateIsToldOfTheLastMinute) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  const SidecarProcess sidecar = OnSqlite();
  QueryClient client(sidecar.NewChannel());
  const auto start = Clock::now();
  while (Clock::now() - start < 2500ms) client.Query("select 1");
  const Json report = Json::parse(HttpGet(sidecar.http_socket(), "/api/health/detailed").body);
  const Json& performance = report["detailed"]["performance"][0];
  EXPECT_GE(performance["window_seconds"], 1.0);
  EXPECT_GT(performance["statements_per_second"], 10.0);
  EXPECT_EQ(performance["error_ratio"], 0.0);
  EXPECT_GT(performance["total_time"]["p99_seconds"], 0.0);
  EXPECT_LE(performance["total_time"]["p50_seconds"], performance["total_time"]["p99_seconds"]);
  EXPECT_GT(report["detailed"]["cpu"]["used_percent"], 0.0);
}

TEST(HttpTest, WhatIsNotThereOrNotAllowedIsSaid) {
  const SidecarProcess sidecar = OnSqlite();
  const HttpAnswer nothing = HttpGet(sidecar.http_socket(), "/nothing");
  EXPECT_EQ(nothing.status, 404);
  EXPECT_THAT(nothing.body, HasSubstr("/api/health\n"));
  const HttpAnswer post = HttpGet(sidecar.http_socket(), "/api/health", "POST");
  EXPECT_EQ(post.status, 405);
  EXPECT_THAT(post.header, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/api/health?pretty").status, 200);
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/api/health", "GET",
                    "X: " + std::string(20'000, 'x') + "\r\n")
                .status,
            431);
  EXPECT_EQ(
      HttpGet(sidecar.http_socket(), "/api/health", "POST", "Content-Length: 5000000\r\n").status,
      413);
}

TEST(HttpTest, SeveralRequestsGoOverOneConnection) {
  const SidecarProcess sidecar = OnSqlite();
  HttpConnection connection(sidecar.http_socket());
  const std::string request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(connection.Send(request));
    EXPECT_EQ(connection.Read(5s).status, 200);
  }
  ASSERT_TRUE(connection.Send(request + request + "GET /livez HTTP/1.0\r\n\r\n"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(connection.Read(5s).status, 200) << i;
  EXPECT_TRUE(connection.AwaitClose(5s)) << "HTTP/1.0 ends with its answer";
}

TEST(HttpTest, WhatIsNotHttpIsRefusedAndHarmsNobody) {
  const SidecarProcess sidecar = OnSqlite();
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9), std::string("hello\r\n\r\n"),
        std::string(100'000, 'A'), std::string(1000, '\0'),
        std::string("GET /livez HTTP/9.9\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}) {
    HttpConnection connection(sidecar.http_socket());
    connection.Send(garbage);
    const HttpAnswer answer = connection.Read(2s);
    EXPECT_TRUE(answer.status == 0 || answer.status >= 400) << answer.header;
    EXPECT_TRUE(connection.AwaitClose(7s)) << garbage.substr(0, 10);
  }
  EXPECT_EQ(HttpGet(sidecar.http_socket(), "/livez").status, 200);
}

TEST(HttpTest, IdleAndHalfConnectionsKeepNobodyAway) {
  PostgresSidecar fixture;
  const std::string socket = fixture.sidecar.http_socket();
  std::vector<HttpConnection> connections;
  for (int i = 0; i < 1000; ++i) {
    connections.emplace_back(socket);
    if (i % 3 == 1) connections.back().Send("GET /metrics HT");
    if (i % 3 == 2) connections.back().Send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  const auto start = Clock::now();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(HttpGet(socket, "/livez").status, 200);
  EXPECT_LT(Clock::now() - start, 1s + kScheduling);
  EXPECT_EQ(fixture.client.Query("select 7").Scalar(), "7");
  EXPECT_LT(fixture.sidecar.OpenDescriptors(), 400) << "of too many the idle ones go";
}

TEST(HttpMetricsTest, BothFormatsAreServedAndCountCalls) {
  const SidecarProcess sidecar = OnSqlite();
  QueryClient client(sidecar.NewChannel());
  for (int i = 0; i < 5; ++i) client.Query("select 1");
  client.Query("selec");
  const HttpAnswer text = HttpGet(sidecar.http_socket(), "/metrics");
  EXPECT_THAT(text.header, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(text.body,
              HasSubstr("dbsidecar_statements_total{pool=\"default\",outcome=\"ok\"} 5\n"));
  EXPECT_THAT(text.body, HasSubstr("\ndatabase_errors_total{pool=\"default\"} 1\n"));
  const HttpAnswer open =
      HttpGet(sidecar.http_socket(), "/metrics", "GET",
              "Accept: application/openmetrics-text; version=1.0.0,text/plain;q=0.5\r\n");
  EXPECT_THAT(open.header, HasSubstr("application/openmetrics-text; version=1.0.0"));
  EXPECT_TRUE(open.body.ends_with("# EOF\n"));
}

// The shape of the reports, for whoever parses them.
TEST(HttpHealthTest, TheShapeIsAsDocumented) {
  if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
  PostgresSidecar fixture;
  std::string shape;
  ListShape(Json::parse(HttpGet(fixture.sidecar.http_socket(), "/api/health/database").body), "",
            shape);
  test_support::ExpectSameAsFile(shape, "tests/golden/http/health_database.txt");
}

}  // namespace
}  // namespace dbsidecar::integration
