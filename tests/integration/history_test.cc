// The figures of the past, by RPC and over HTTP, and across a restart.
#include <gmock/gmock.h>
#include <signal.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/integration/fixture.h"
#include "tests/support/golden_file.h"
#include "tests/support/http_client.h"
#include "tests/support/temporary_folder.h"

namespace dbsidecar::integration {
namespace {

using test_support::HttpAnswer;
using test_support::HttpGet;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

std::unique_ptr<SidecarProcess> Start(std::vector<std::string> flags = {}) {
  return std::make_unique<SidecarProcess>(SidecarOptions{
      .database_url = "sqlite::memory:", .flags = std::move(flags), .environment = {}});
}

grpc::Status Ask(const SidecarProcess& sidecar, const v1::MetricsHistoryRequest& request,
                 v1::MetricsHistoryResponse& response) {
  QueryClient client(sidecar.NewChannel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 10s);
  response.Clear();
  return client.stub().MetricsHistory(&context, request, &response);
}

v1::MetricsHistoryRequest Of(const std::string& series) {
  v1::MetricsHistoryRequest request;
  request.add_series(series);
  request.mutable_step()->set_seconds(1);
  request.set_points_max(5000);
  return request;
}

// The known values.
std::vector<double> Known(const SidecarProcess& sidecar, const std::string& series) {
  v1::MetricsHistoryResponse response;
  EXPECT_TRUE(Ask(sidecar, Of(series), response).ok());
  std::vector<double> known;
  for (const auto& one : response.series()) {
    for (const double value : one.maxima()) {
      if (!std::isnan(value)) known.push_back(value);
    }
  }
  return known;
}

TEST(HistoryTest, WhatHappensIsFoundAMomentLater) {
  PostgresSidecar fixture;
  PendingQuery held(fixture.client.stub(), MakeQuery("select pg_sleep(2.5)"), 20s);
  EXPECT_TRUE(Eventually(10s, [&] {
    const std::vector<double> active = Known(fixture.sidecar, "active");
    return !active.empty() && active.back() == 1;
  }));
  held.Wait();
  EXPECT_TRUE(Eventually(10s, [&] {
    const std::vector<double> longest = Known(fixture.sidecar, "execute_p99_seconds");
    return !longest.empty() && longest.back() > 1;
  })) << "between 2.5 and 5 s";
  EXPECT_TRUE(Eventually(5s, [&] { return Known(fixture.sidecar, "active").back() == 0; }));
  EXPECT_GT(Known(fixture.sidecar, "resident_bytes").back(), 1e6);
  const std::vector<double> uptime = Known(fixture.sidecar, "uptime_seconds");
  ASSERT_GE(uptime.size(), 3u);
  EXPECT_GT(uptime.back(), uptime.front());
}

TEST(HistoryTest, WhatCannotBeAnsweredIsRefused) {
  const auto sidecar = Start();
  v1::MetricsHistoryResponse response;
  EXPECT_EQ(Ask(*sidecar, Of("activ"), response).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::MetricsHistoryRequest request = Of("active");
  request.add_pools("orders");
  EXPECT_EQ(Ask(*sidecar, request, response).error_code(), grpc::StatusCode::NOT_FOUND);
  request = Of("active");
  request.mutable_start_time()->set_seconds(1000);
  request.mutable_end_time()->set_seconds(999);
  EXPECT_EQ(Ask(*sidecar, request, response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(HistoryTest, OverHttpItIsTheSame) {
  const auto sidecar = Start();
  ASSERT_TRUE(Eventually(10s, [&] { return Known(*sidecar, "total").size() >= 2; }));
  const std::string path = "/api/metrics/history?series=total,cpu_percent&pool=default&step=1";
  const HttpAnswer answer = HttpGet(sidecar->http_socket(), path);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json history = Json::parse(answer.body);
  ASSERT_EQ(history["series"].size(), 2u);
  EXPECT_EQ(history["series"][0]["name"], "cpu_percent");
  EXPECT_EQ(history["series"][0]["pool"], "");
  EXPECT_EQ(history["series"][1]["unit"], "{connection}");
  EXPECT_EQ(history["series"][1]["step_seconds"], 4.0) << "at most 1000 points";
  EXPECT_EQ(history["series"][1]["maxima"].back(), 1.0);
  EXPECT_TRUE(history["series"][1]["maxima"].front().is_null()) << "it was not running";
  EXPECT_EQ(HttpGet(sidecar->http_socket(), path, "HEAD").status, 200);
}

TEST(HistoryTest, BadParametersAreNamed) {
  const auto sidecar = Start();
  for (const auto& [query, words] :
       std::vector<std::pair<std::string, std::string>>{{"series=activ", "\"activ\""},
                                                        {"pool=orders", "\"orders\""},
                                                        {"start=soon", "`start`"},
                                                        {"points_max=many", "`points_max`"},
                                                        {"from=0", "`from`"},
                                                        {"start=200&end=100", "`end_time`"}}) {
    const HttpAnswer answer = HttpGet(sidecar->http_socket(), "/api/metrics/history?" + query);
    EXPECT_EQ(answer.status, 400) << query;
    EXPECT_THAT(answer.body, HasSubstr(words));
  }
}

TEST(HistoryTest, SwitchedOffThereIsNone) {
  const auto sidecar = Start({"--history=off"});
  v1::MetricsHistoryResponse response;
  const grpc::Status status = Ask(*sidecar, Of("active"), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("--history"));
  EXPECT_EQ(HttpGet(sidecar->http_socket(), "/api/metrics/history").status, 404);
}

TEST(HistoryTest, AFileBringsItAcrossARestart) {
  const TemporaryFolder folder;
  const std::string flag = "--history-file=" + folder / "history.db";
  auto sidecar = Start({flag});
  ASSERT_TRUE(Eventually(10s, [&] { return Known(*sidecar, "uptime_seconds").size() >= 3; }));
  const std::vector<double> before = Known(*sidecar, "uptime_seconds");
  sidecar.reset();
  std::this_thread::sleep_for(2s);  // The time in which there is none.
  sidecar = Start({flag});
  ASSERT_TRUE(Eventually(10s, [&] {
    const std::vector<double> after = Known(*sidecar, "uptime_seconds");
    return after.size() >= before.size() + 2;
  }));
  v1::MetricsHistoryResponse response;
  ASSERT_TRUE(Ask(*sidecar, Of("uptime_seconds"), response).ok());
  const auto& values = response.series(0).means();
  const auto first = std::ranges::find_if(values, [](double value) { return !std::isnan(value); });
  EXPECT_EQ(*first, before.front());
  const auto gap =
      std::find_if(first, values.end(), [](double value) { return std::isnan(value); });
  EXPECT_NE(gap, values.end()) << "the restart is a hole";
  EXPECT_FALSE(std::isnan(values[values.size() - 1]));
  EXPECT_LT(values[values.size() - 1], 10) << "the uptime begins anew";
}

TEST(HistoryTest, WithAFileThatCannotBeUsedItServesAndSaysSo) {
  const TemporaryFolder folder;
  std::ofstream(folder / "notes.txt") << "not a database, and long enough to be looked at";
  for (const std::string& file : {folder / "notes.txt", folder / "none/history.db"}) {
    const auto sidecar = Start({"--history-file=" + file});
    EXPECT_THAT(sidecar->Log(), HasSubstr("history.file_unusable"));
    EXPECT_TRUE(QueryClient(sidecar->NewChannel()).Query("select 1").ok());
    EXPECT_TRUE(Eventually(10s, [&] { return !Known(*sidecar, "total").empty(); }));
  }
}

TEST(HistoryTest, AfterACrashTheFileIsGoodAndANewProcessTakesIt) {
  const TemporaryFolder folder;
  const std::string flag = "--history-file=" + folder / "history.db";
  auto sidecar = Start({flag});
  ASSERT_TRUE(Eventually(10s, [&] { return !Known(*sidecar, "total").empty(); }));
  const auto second = Start({flag});
  EXPECT_THAT(second->Log(), HasSubstr("another process uses it"));
  // One that lives for a few seconds only leaves a trace.
  std::this_thread::sleep_for(3s);
  sidecar->Signal(SIGKILL);
  sidecar->WaitExit(5s);
  const auto third = Start({flag});
  EXPECT_GE(Known(*third, "total").size(), 1u);
  EXPECT_EQ(third->Log().find("history.file_unusable"), std::string::npos) << third->Log();
}

TEST(HistoryTest, TheShapeIsAsDocumented) {
  const auto sidecar = Start();
  ASSERT_TRUE(Eventually(10s, [&] { return Known(*sidecar, "total").size() >= 2; }));
  const Json history = Json::parse(HttpGet(sidecar->http_socket(), "/api/metrics/history").body);
  std::string shape;
  for (const auto& [name, value] : history.items()) {
    shape += name + ": " + value.type_name() + "\n";
  }
  for (const auto& [name, value] : history["series"][0].items()) {
    shape += "series[]." + name + ": " + value.type_name() + "\n";
  }
  for (const Json& series : history["series"]) {
    const std::string pool = series["pool"];
    shape += (pool.empty() ? "process: " : "pool: ") + series["name"].get<std::string>() + " in " +
             series["unit"].get<std::string>() + "\n";
  }
  test_support::ExpectSameAsFile(shape, "tests/golden/http/metrics_history.txt");
}

}  // namespace
}  // namespace dbsidecar::integration
