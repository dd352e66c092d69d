// WatchMetrics: how often reports come, and what ends a watch.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

// A stream of reports.
class Watch {
 public:
  Watch(const SidecarProcess& sidecar, milliseconds interval, const std::string& pool = "")
      : Watch(sidecar.NewChannel(), interval, pool) {}
  Watch(const std::shared_ptr<grpc::Channel>& channel, milliseconds interval,
        const std::string& pool = "")
      : stub_(v1::Sidecar::NewStub(channel)) {
    v1::MetricsRequest request;
    request.mutable_interval()->set_seconds(interval.count() / 1000);
    request.mutable_interval()->set_nanos(static_cast<int>(interval.count() % 1000) * 1'000'000);
    if (!pool.empty()) request.add_pools(pool);
    context_.set_deadline(std::chrono::system_clock::now() + 30s);
    reader_ = stub_->WatchMetrics(&context_, request);
  }
  ~Watch() { context_.TryCancel(); }

  // When the next report was made, in seconds since 1970; 0 = the stream has ended.
  double Next() { return reader_->Read(&report_) ? TimeOf(report_) : 0; }
  const v1::MetricsResponse& report() const { return report_; }
  grpc::Status Finish() { return reader_->Finish(); }
  void Cancel() { context_.TryCancel(); }

  static double TimeOf(const v1::MetricsResponse& report) {
    return static_cast<double>(report.time().seconds()) + report.time().nanos() / 1e9;
  }

 private:
  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::MetricsResponse>> reader_;
  v1::MetricsResponse report_;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

SidecarProcess OnSqlite(std::vector<std::string> flags = {}) {
  return SidecarProcess(
      {.database_url = "sqlite::memory:", .flags = std::move(flags), .environment = {}});
}

TEST(WatchMetricsTest, ReportsComeAtOnceAndThenAtTheInterval) {
  const SidecarProcess sidecar = OnSqlite();
  QueryClient client(sidecar.NewChannel());
  Watch watch(sidecar, 300ms);
  const double first = watch.Next();
  EXPECT_LT(Now() - first, 0.3 + Milliseconds(kScheduling) / 1000);
  const uint64_t before = watch.report().pools(0).statements_total();
  for (int i = 0; i < 3; ++i) client.Query("select 1");
  double last = first;
  for (int i = 0; i < 5; ++i) {
    const double next = watch.Next();
    EXPECT_GT(next - last, 0.15);
    last = next;
  }
  EXPECT_GT(last - first, 1.3);
  EXPECT_EQ(watch.report().pools(0).statements_total(), before + 3);
}

TEST(WatchMetricsTest, AShortIntervalIsRaised) {
  const SidecarProcess sidecar = OnSqlite();
  Watch watch(sidecar, 1ms);
  const double first = watch.Next();
  double last = first;
  for (int i = 0; i < 10; ++i) last = watch.Next();
  EXPECT_GT(last - first, 0.9);
}

TEST(WatchMetricsTest, ASlowReaderMissesReportsAndThenGetsNewOnes) {
  const SidecarProcess sidecar = OnSqlite();
  // The network may hold no more than a few of them.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 2048);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  Watch watch(
      grpc::CreateCustomChannel(sidecar.address(), grpc::InsecureChannelCredentials(), arguments),
      100ms);
  double last = watch.Next();
  std::this_thread::sleep_for(4s);
  double longest = 0;
  int reports = 0;
  while (Now() - last > 0.5) {
    const double next = watch.Next();
    ASSERT_GT(next, last);
    longest = std::max(longest, next - last);
    last = next;
    ++reports;
  }
  EXPECT_GT(longest, 1) << "reports that were missed, of " << reports << " that came late";
  EXPECT_LT(reports, 20);
}

TEST(WatchMetricsTest, OnTheCommandLineItIsALineForEachReport) {
  const SidecarProcess sidecar = OnSqlite();
  const auto table = SidecarProcess::Run(
      {"metrics", "--watch", "100ms", "--count", "3", "--addr", sidecar.address()});
  EXPECT_EQ(table.exit_code, 0) << table.output;
  EXPECT_EQ(std::ranges::count(table.output, '\n'), 5) << table.output;
  EXPECT_THAT(table.output, testing::HasSubstr(" 0/1 "));
  const auto json = SidecarProcess::Run(
      {"metrics", "--watch=1", "--count=1", "--json", "--addr", sidecar.address()});
  EXPECT_EQ(std::ranges::count(json.output, '\n'), 1) << json.output;
  EXPECT_THAT(json.output, testing::HasSubstr("\"pool\":\"default\""));
}

TEST(WatchMetricsTest, WhatIsNotThereIsRefused) {
  const SidecarProcess sidecar = OnSqlite();
  Watch watch(sidecar, 1s, "orders");
  EXPECT_EQ(watch.Next(), 0);
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
  Watch good(sidecar, 1s, "default");
  EXPECT_GT(good.Next(), 0);
}

TEST(WatchMetricsTest, ManyWatchesComeAndGo) {
  const SidecarProcess sidecar = OnSqlite();
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Watch>> watches;
    for (int i = 0; i < 30; ++i) watches.push_back(std::make_unique<Watch>(sidecar, 100ms));
    for (const auto& watch : watches) EXPECT_GT(watch->Next(), 0);
    for (const auto& watch : watches) EXPECT_GT(watch->Next(), 0);
  }
  EXPECT_TRUE(QueryClient(sidecar.NewChannel()).Query("select 1").ok());
}

TEST(WatchMetricsTest, AStopEndsThemAndDoesNotHang) {
  SidecarProcess sidecar = OnSqlite({"--drain-delay=500ms"});
  Watch watch(sidecar, 100ms);
  ASSERT_GT(watch.Next(), 0);
  Watch unread(sidecar, 100ms);
  sidecar.Signal(SIGTERM);
  bool drained = false;
  while (watch.Next() > 0) {
    drained = drained || watch.report().pools(0).state() == v1::POOL_STATE_DRAINING;
  }
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(sidecar.WaitExit(5s), 0);
}

}  // namespace
}  // namespace dbsidecar::integration
