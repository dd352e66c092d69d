// What is told by statement, caller and RPC, in the log and of traces: by the real binary.
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/integration/fixture.h"
#include "tests/support/http_client.h"

namespace dbsidecar::integration {
namespace {

using test_support::HttpAnswer;
using test_support::HttpGet;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kOpenMetrics =
    "Accept: application/openmetrics-text; version=1.0.0,text/plain;q=0.5\r\n";
constexpr const char* kTraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* kSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr const char* kNotSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

SidecarProcess OnSqlite(std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"--log-format", "json"});
  return SidecarProcess(
      {.database_url = "sqlite::memory:", .flags = std::move(flags), .environment = {}});
}

v1::QueryRequest By(const std::string& caller, const std::string& sql) {
  v1::QueryRequest request = MakeQuery(sql);
  (*request.mutable_tags())["caller"] = caller;
  return request;
}

grpc::Status QueryWith(QueryClient& client, const v1::QueryRequest& request,
                       const std::vector<std::string>& traceparents) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  for (const std::string& traceparent : traceparents) {
    context.AddMetadata("traceparent", traceparent);
  }
  v1::QueryResponse response;
  return client.stub().Query(&context, request, &response);
}

v1::MetricsResponse Metrics(QueryClient& client) {
  v1::MetricsRequest request;
  request.set_statements_max(10);
  request.set_callers(true);
  request.set_rpcs(true);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  v1::MetricsResponse response;
  EXPECT_TRUE(client.stub().Metrics(&context, request, &response).ok());
  return response;
}

// The lines of the log that tell of this event.
std::vector<std::string> EventsOf(const SidecarProcess& sidecar, const std::string& event) {
  std::vector<std::string> lines;
  std::istringstream log(sidecar.Log());
  for (std::string line; std::getline(log, line);) {
    if (line.find("\"event\":\"" + event + "\"") != std::string::npos) lines.push_back(line);
  }
  return lines;
}

TEST(FiguresTest, TheRpcTellsByStatementByCallerAndByRpcWhenAsked) {
  PostgresSidecar fixture({"--show-sql"});
  for (int i = 0; i < 3; ++i) {
    fixture.client.Run(By("web", "select " + std::to_string(i) + " + 40"));
  }
  fixture.client.Run(By("batch", "select 1 / 0"));
  const v1::MetricsResponse metrics = Metrics(fixture.client);
  const v1::PoolMetrics& pool = metrics.pools(0);
  ASSERT_EQ(pool.statements_size(), 3);
  std::map<std::string, uint64_t> calls;
  for (const v1::StatementMetrics& statement : pool.statements()) {
    calls[statement.text()] = statement.calls_total();
    EXPECT_EQ(statement.execute().count(), statement.calls_total());
  }
  EXPECT_EQ(calls, (std::map<std::string, uint64_t>{
                       {"select $1 + $2", 3}, {"select $1 / $2", 1}, {"", 0}}));
  EXPECT_EQ(pool.statements(2).fingerprint(), "other");
  ASSERT_EQ(pool.callers_size(), 3);
  EXPECT_EQ(pool.callers(0).caller(), "batch");
  EXPECT_EQ(pool.callers(0).failed_total(), 1u);
  EXPECT_EQ(pool.callers(1).calls_total(), 3u);
  std::map<std::string, uint64_t> handled;
  for (const v1::RpcMetrics& rpc : metrics.rpcs()) {
    handled[rpc.method() + " " + std::to_string(rpc.code())] = rpc.handled_total();
  }
  EXPECT_EQ(handled["dbsidecar.v1.Sidecar/Query 0"], 3u);
  EXPECT_EQ(handled["dbsidecar.v1.Sidecar/Query 3"], 1u);
  v1::MetricsResponse plain;
  grpc::ClientContext context;
  ASSERT_TRUE(fixture.client.stub().Metrics(&context, {}, &plain).ok());
  EXPECT_EQ(plain.pools(0).statements_size() + plain.pools(0).callers_size() + plain.rpcs_size(),
            0);
  EXPECT_EQ(plain.pools(0).lanes_size(), 2);
}

TEST(FiguresTest, WithoutLeaveNoTextIsToldAndWithoutOptionsNothingIsCounted) {
  const SidecarProcess sidecar = OnSqlite();
  QueryClient client(sidecar.NewChannel());
  client.Query("select 'secret'");
  const v1::MetricsResponse metrics = Metrics(client);
  ASSERT_EQ(metrics.pools(0).statements_size(), 2);
  EXPECT_EQ(metrics.pools(0).statements(0).text(), "");
  EXPECT_EQ(metrics.pools(0).statements(0).fingerprint().size(), 16u);
  const SidecarProcess off = OnSqlite({"--metrics-statements", "0", "--metrics-callers", "0"});
  QueryClient client_of_off(off.NewChannel());
  client_of_off.Query("select 1");
  EXPECT_EQ(Metrics(client_of_off).pools(0).statements_size(), 0);
  EXPECT_EQ(Metrics(client_of_off).pools(0).callers_size(), 0);
  EXPECT_THAT(HttpGet(off.http_socket(), "/metrics").body, Not(HasSubstr("fingerprint=")));
}

TEST(FiguresTest, PrometheusIsToldByStatementByCallerAndByRpc) {
  const SidecarProcess sidecar = OnSqlite();
  QueryClient client(sidecar.NewChannel());
  for (int i = 0; i < 4; ++i) client.Run(By("web", "select " + std::to_string(i)));
  client.Query("selec");
  const std::string text = HttpGet(sidecar.http_socket(), "/metrics").body;
  EXPECT_TRUE(std::regex_search(
      text, std::regex("\ndbsidecar_statement_calls_total\\{pool=\"default\",fingerprint=\""
                       "[0-9a-f]{16}\"\\} 4\n")))
      << text;
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("\ndbsidecar_caller_calls_total{pool=\"default\",caller=\"web\"} 4\n"),
            HasSubstr("grpc_service=\"dbsidecar.v1.Sidecar\",grpc_method=\"Query\","
                      "grpc_code=\"OK\"} 4\n"),
            HasSubstr("grpc_method=\"Query\",grpc_code=\"InvalidArgument\"} 1\n"),
            HasSubstr("\ndbsidecar_lane_statements_total{pool=\"default\",lane=\"writer\"}")));
}

TEST(FiguresTest, StreamsAreRpcsThatEndOnceAndHoweverTheyEnd) {
  const SidecarProcess sidecar = OnSqlite();
  QueryClient client(sidecar.NewChannel());
  {
    grpc::ClientContext context;
    const auto stream = client.stub().Pipeline(&context);
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
  {
    grpc::ClientContext context;
    const auto stream = client.stub().Pipeline(&context);
    v1::PipelineRequest frame;
    v1::Call& call = *frame.add_calls();
    call.set_id(1);
    call.mutable_query()->set_sql("select 1");
    ASSERT_TRUE(stream->Write(frame));
    v1::PipelineResponse reply;
    ASSERT_TRUE(stream->Read(&reply));
    context.TryCancel();
    stream->Finish();
  }
  {
    grpc::ClientContext context;
    v1::QueryRequest request = MakeQuery("select 1 union select 2");
    const auto stream = client.stub().QueryStream(&context, request);
    v1::QueryResponse part;
    while (stream->Read(&part)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
  }
  const auto handled = [&] {
    std::map<std::string, uint64_t> counts;
    const v1::MetricsResponse metrics = Metrics(client);
    for (const v1::RpcMetrics& rpc : metrics.rpcs()) {
      if (rpc.method().ends_with("/Metrics")) continue;
      counts[rpc.method().substr(rpc.method().find('/') + 1) + " " + std::to_string(rpc.code())] =
          rpc.handled_total();
    }
    return counts;
  };
  const std::map<std::string, uint64_t> expected = {
      {"Pipeline 0", 1}, {"Pipeline 1", 1}, {"QueryStream 0", 1}};
  Eventually(10s, [&] { return handled() == expected; });
  EXPECT_EQ(handled(), expected);
}

TEST(SlowStatementTest, WhatTakesLongIsLoggedWithItsFingerprintAndWithoutItsText) {
  PostgresSidecar fixture({"--slow-statement", "200ms", "--log-format", "json"});
  fixture.client.Run(By("web", "select 'secret'"));
  v1::QueryRequest slow = By("web", "select 'secret' from pg_sleep(0.25)");
  ASSERT_TRUE(QueryWith(fixture.client, slow, {kNotSampled}).ok());
  ASSERT_TRUE(Eventually(5s, [&] { return !EventsOf(fixture.sidecar, "statement.slow").empty(); }))
      << fixture.sidecar.Log();
  const auto lines = EventsOf(fixture.sidecar, "statement.slow");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(std::regex_search(lines[0], std::regex("\"fingerprint\":\"[0-9a-f]{16}\"")));
  EXPECT_GE(nlohmann::json::parse(lines[0])["execute_ms"], 250.0);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("\"caller\":\"web\""), HasSubstr("\"rpc\":\"Query\""),
                              HasSubstr("\"rows\":1"), HasSubstr("\"code\":\"OK\""),
                              HasSubstr(std::string("\"trace_id\":\"") + kTraceId + "\""),
                              HasSubstr("\"span_id\":\"00f067aa0ba902b7\"")));
  EXPECT_THAT(fixture.sidecar.Log(), Not(HasSubstr("secret")));
  EXPECT_THAT(fixture.sidecar.Log(), Not(HasSubstr("pg_sleep")));
}

TEST(SlowStatementTest, WithLeaveItsTextIsLoggedWithoutItsConstants) {
  PostgresSidecar fixture({"--slow-statement", "1ms", "--show-sql", "--log-format", "json"});
  fixture.client.Query("select 'secret' from pg_sleep(0.05)");
  ASSERT_TRUE(Eventually(5s, [&] { return !EventsOf(fixture.sidecar, "statement.slow").empty(); }));
  const std::string line = EventsOf(fixture.sidecar, "statement.slow").back();
  EXPECT_THAT(line, HasSubstr("\"sql\":\"select $1 from pg_sleep($2)\""));
  EXPECT_THAT(fixture.sidecar.Log(), Not(HasSubstr("secret")));
}

TEST(PoolLogTest, AStormOfErrorsDoesNotFloodTheLog) {
  const SidecarProcess sidecar =
      OnSqlite({"--pool-logging", "--slow-statement", "1ms", "--shared-max", "0"});
  QueryClient client(sidecar.NewChannel());
  const auto start = Clock::now();
  constexpr int kCalls = 3000;
  for (int i = 0; i < kCalls; ++i) client.Query("selec 'secret'");
  const auto suppressed_in = [](const std::string& line) {
    std::smatch match;
    const bool found = std::regex_search(line, match, std::regex("\"suppressed\":([0-9]+)"));
    return found ? std::stoi(match[1]) : 0;
  };
  for (const char* event : {"pool.lease", "pool.release", "pool.error"}) {
    int told = 0;
    // Those left out are told with the next that is not.
    const auto told_of_all = [&] {
      client.Query("selec 'secret'");
      told = 0;
      for (const std::string& line : EventsOf(sidecar, event)) told += 1 + suppressed_in(line);
      return told >= kCalls;
    };
    EXPECT_TRUE(Eventually(5s, told_of_all)) << event << " " << told;
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    EXPECT_LE(EventsOf(sidecar, event).size(), static_cast<size_t>(21 + 10 * seconds)) << event;
  }
  const std::string line = EventsOf(sidecar, "pool.error").front();
  EXPECT_THAT(line, AllOf(HasSubstr("\"code\":\"INVALID_ARGUMENT\""),
                          HasSubstr("\"sqlstate\":\"42601\""), HasSubstr("\"rpc\":\"Query\"")));
  EXPECT_THAT(sidecar.Log(), Not(HasSubstr("secret")));
}

TEST(TraceTest, ATraceIsInTheLogAndASampledOneIsAnExemplarInOpenMetricsOnly) {
  const SidecarProcess sidecar = OnSqlite({"--log-calls"});
  QueryClient client(sidecar.NewChannel());
  ASSERT_TRUE(QueryWith(client, MakeQuery("select 1"), {kSampled}).ok());
  ASSERT_TRUE(Eventually(5s, [&] { return EventsOf(sidecar, "call").size() == 1; }));
  EXPECT_THAT(EventsOf(sidecar, "call")[0],
              HasSubstr(std::string("\"trace_id\":\"") + kTraceId + "\""));
  const std::string open = HttpGet(sidecar.http_socket(), "/metrics", "GET", kOpenMetrics).body;
  EXPECT_TRUE(std::regex_search(
      open, std::regex("db_client_operation_duration_seconds_bucket\\{[^}]*\\} 1 # "
                       "\\{trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\""
                       "00f067aa0ba902b7\"\\} [0-9.e-]+ [0-9.]+\n")))
      << open;
  EXPECT_THAT(HttpGet(sidecar.http_socket(), "/metrics").body, Not(HasSubstr("trace_id")));
}

TEST(TraceTest, WhatIsMalformedNotSampledOrTwofoldIsNoExemplar) {
  const SidecarProcess sidecar = OnSqlite({"--log-calls"});
  QueryClient client(sidecar.NewChannel());
  ASSERT_TRUE(QueryWith(client, MakeQuery("select 1"), {"00-rubbish"}).ok());
  ASSERT_TRUE(QueryWith(client, MakeQuery("select 1"), {kSampled, kSampled}).ok());
  ASSERT_TRUE(QueryWith(client, MakeQuery("select 1"), {kNotSampled}).ok());
  ASSERT_TRUE(Eventually(5s, [&] { return EventsOf(sidecar, "call").size() == 3; }));
  const auto calls = EventsOf(sidecar, "call");
  EXPECT_THAT(calls[0], Not(HasSubstr("trace_id")));
  EXPECT_THAT(calls[1], Not(HasSubstr("trace_id")));
  EXPECT_THAT(calls[2], HasSubstr("trace_id"));
  EXPECT_THAT(HttpGet(sidecar.http_socket(), "/metrics", "GET", kOpenMetrics).body,
              Not(HasSubstr("trace_id")));
}

TEST(TraceTest, OnAPipelineEachCallMayHaveItsOwn) {
  const SidecarProcess sidecar = OnSqlite({"--log-calls"});
  QueryClient client(sidecar.NewChannel());
  grpc::ClientContext context;
  context.AddMetadata("traceparent", kSampled);
  const auto stream = client.stub().Pipeline(&context);
  v1::PipelineRequest frame;
  for (uint64_t id : {1, 2}) {
    v1::Call& call = *frame.add_calls();
    call.set_id(id);
    call.mutable_query()->set_sql("select 1");
    if (id == 2) {
      (*call.mutable_query()->mutable_tags())["traceparent"] =
          "00-11111111111111111111111111111111-2222222222222222-00";
    }
  }
  ASSERT_TRUE(stream->Write(frame));
  stream->WritesDone();
  v1::PipelineResponse reply;
  while (stream->Read(&reply)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_TRUE(Eventually(5s, [&] { return EventsOf(sidecar, "call").size() == 2; }));
  std::string lines;
  for (const std::string& line : EventsOf(sidecar, "call")) lines += line;
  EXPECT_THAT(lines, AllOf(HasSubstr(kTraceId), HasSubstr("11111111111111111111111111111111")));
}

TEST(TraceTest, WhereItIsAskedForTheDatabaseSeesIt) {
  PostgresSidecar fixture({"--trace-comments"});
  const v1::QueryRequest request =
      MakeQuery("select query from pg_stat_activity where pid = pg_backend_pid()");
  grpc::ClientContext context;
  context.AddMetadata("traceparent", kSampled);
  v1::QueryResponse response;
  ASSERT_TRUE(fixture.client.stub().Query(&context, request, &response).ok());
  EXPECT_THAT(response.DebugString(), HasSubstr("/*traceparent="));
  EXPECT_THAT(*fixture.client.Run(request).Cell(0, 0), Not(HasSubstr("traceparent")));
}

}  // namespace
}  // namespace dbsidecar::integration
