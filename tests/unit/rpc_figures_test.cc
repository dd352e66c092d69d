#include "server/rpc_figures.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "dbsidecar/v1/sidecar.pb.h"

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;

v1::MetricsResponse Filled(const RpcFigures& figures) {
  v1::MetricsResponse metrics;
  figures.Fill(metrics);
  return metrics;
}

TEST(RpcFiguresTest, EachMethodOfTheContractHasItsName) {
  const auto* service =
      v1::QueryRequest::descriptor()->file()->pool()->FindServiceByName("dbsidecar.v1.Sidecar");
  if (service == nullptr) {
    service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
        "dbsidecar.v1.Sidecar");
  }
  ASSERT_NE(service, nullptr);
  ASSERT_EQ(static_cast<size_t>(service->method_count()), kRpcs);
  for (int i = 0; i < service->method_count(); ++i) {
    bool found = false;
    for (size_t rpc = 0; rpc < kRpcs; ++rpc) {
      found |= RpcName(static_cast<Rpc>(rpc)) == service->method(i)->name();
    }
    EXPECT_TRUE(found) << service->method(i)->name();
  }
}

TEST(RpcFiguresTest, OnlyWhatHasOccurredIsToldByMethodAndCode) {
  const auto figures = std::make_unique<RpcFigures>();
  EXPECT_EQ(Filled(*figures).rpcs_size(), 0);
  figures->Count(Rpc::kQuery, Code::kOk, milliseconds(3));
  figures->Count(Rpc::kQuery, Code::kOk, milliseconds(3));
  figures->Count(Rpc::kQuery, Code::kNotFound, milliseconds(1));
  figures->Count(Rpc::kListen, Code::kCancelled, std::chrono::hours(1));
  const v1::MetricsResponse metrics = Filled(*figures);
  ASSERT_EQ(metrics.rpcs_size(), 3);
  EXPECT_EQ(metrics.rpcs(0).method(), "dbsidecar.v1.Sidecar/Query");
  EXPECT_EQ(metrics.rpcs(0).code(), 0);
  EXPECT_EQ(metrics.rpcs(0).handled_total(), 2u);
  EXPECT_DOUBLE_EQ(metrics.rpcs(0).handling().sum_seconds(), 0.006);
  EXPECT_EQ(metrics.rpcs(0).handling().count(), 2u);
  EXPECT_EQ(metrics.rpcs(0).handling().counts_size(),
            metrics.rpcs(0).handling().upper_bounds_seconds_size() + 1);
  EXPECT_EQ(metrics.rpcs(1).code(), 5);
  EXPECT_EQ(metrics.rpcs(2).method(), "dbsidecar.v1.Sidecar/Listen");
  EXPECT_EQ(metrics.rpcs(2).handling().counts(18), 1u) << "the last bucket";
}

TEST(RpcFiguresTest, ARecordCountsOnce) {
  const auto figures = std::make_unique<RpcFigures>();
  RpcRecord record(*figures, Rpc::kPipeline);
  record.Begin();
  record.End(Code::kOk);
  record.End(Code::kCancelled);
  ASSERT_EQ(Filled(*figures).rpcs_size(), 1);
  EXPECT_EQ(Filled(*figures).rpcs(0).code(), 0);
}

TEST(RpcFiguresTest, NothingIsLostAmongThreads) {
  const auto figures = std::make_unique<RpcFigures>();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10'000; ++j) figures->Count(Rpc::kQuery, Code::kOk, milliseconds(j % 7));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Filled(*figures).rpcs(0).handled_total(), 40'000u);
}

}  // namespace
}  // namespace dbsidecar::server
