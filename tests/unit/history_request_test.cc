#include "server/history/history_request.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <cmath>

#include "server/history/history_series.h"

namespace dbsidecar::server {
namespace {

using testing::HasSubstr;

constexpr int64_t kStart = 1'800'000'000;  // The start of a minute.
constexpr int64_t kDay = 24 * 3600;

class HistoryRequestTest : public testing::Test {
 protected:
  HistoryRequestTest() {
    store_.AddGroup("", ProcessSeries().size());
    store_.AddGroup("orders", PoolSeries().size());
  }

  // A value for each second, as large as its distance from kStart.
  void Run(int64_t first, int64_t last) {
    for (int64_t second = first; second <= last; ++second) {
      store_.MoveTo(kStart + second);
      const std::vector<float> values(PoolSeries().size(), static_cast<float>(second));
      store_.Put("orders", kStart + second, kStart + second, values);
      store_.Put("", kStart + second, kStart + second,
                 std::span(values).first(ProcessSeries().size()));
    }
  }

  // The only series asked for.
  v1::HistorySeries Ask(v1::MetricsHistoryRequest request) {
    if (request.series().empty()) request.add_series("active");
    v1::MetricsHistoryResponse response;
    const auto trouble = FillHistory(store_, request, store_.last() + 1, response);
    EXPECT_FALSE(trouble) << trouble->message;
    EXPECT_EQ(response.series_size(), 1);
    return response.series(0);
  }

  pool::Error Refused(const v1::MetricsHistoryRequest& request) {
    v1::MetricsHistoryResponse response;
    return FillHistory(store_, request, kStart, response).value_or(pool::Error());
  }

  HistoryStore store_;
};

TEST_F(HistoryRequestTest, WithoutAnythingSaidItIsAllSeriesOfTheLastHour) {
  Run(0, 4000);
  v1::MetricsHistoryResponse response;
  ASSERT_FALSE(FillHistory(store_, {}, kStart + 4001, response));
  ASSERT_EQ(response.series_size(), static_cast<int>(ProcessSeries().size() + PoolSeries().size()));
  EXPECT_EQ(response.series(0).pool(), "") << "those of the process first";
  EXPECT_EQ(response.series(3).pool(), "orders");
  const v1::HistorySeries& series = response.series(3);
  EXPECT_EQ(series.unit(), "{connection}");
  EXPECT_EQ(series.step().seconds(), 4) << "3600 s in at most 1000 points";
  EXPECT_LE(series.means_size(), 1000);
  EXPECT_EQ(series.means_size(), series.maxima_size());
  EXPECT_EQ(response.oldest_time().seconds(), kStart);
}

TEST_F(HistoryRequestTest, SecondsAreToldOfTheLastHourWithTheStepAskedFor) {
  Run(0, 99);
  v1::MetricsHistoryRequest request;
  request.mutable_start_time()->set_seconds(kStart + 90);
  request.mutable_end_time()->set_seconds(kStart + 95);
  request.mutable_step()->set_nanos(1);
  const v1::HistorySeries series = Ask(request);
  EXPECT_EQ(series.step().seconds(), 1) << "rounded up";
  EXPECT_THAT(series.means(), testing::ElementsAre(90, 91, 92, 93, 94)) << "without the end";
  EXPECT_EQ(series.start_time().seconds(), kStart + 90);
}

TEST_F(HistoryRequestTest, BeforeTheLastHourThereAreMinutes) {
  Run(0, 119);
  Run(2 * kDay, 2 * kDay);
  v1::MetricsHistoryRequest request;
  request.mutable_start_time()->set_seconds(kStart + 5);
  request.mutable_end_time()->set_seconds(kStart + 130);
  request.mutable_step()->set_seconds(10);
  const v1::HistorySeries series = Ask(request);
  EXPECT_EQ(series.step().seconds(), 60);
  EXPECT_EQ(series.start_time().seconds(), kStart);
  EXPECT_THAT(series.means(), testing::ElementsAre(29.5, 89.5, testing::IsNan()));
  EXPECT_THAT(series.maxima(), testing::ElementsAre(59, 119, testing::IsNan()));
}

TEST_F(HistoryRequestTest, NoMorePointsComeThanAreWanted) {
  Run(0, 3599);
  for (const uint32_t most : {1u, 2u, 7u, 360u, 5000u}) {
    v1::MetricsHistoryRequest request;
    request.set_points_max(most);
    request.mutable_start_time()->set_seconds(kStart + 1);
    request.mutable_step()->set_seconds(2);
    const v1::HistorySeries series = Ask(request);
    EXPECT_LE(series.means_size(), static_cast<int>(most));
    EXPECT_GT(series.means_size(), 0);
    EXPECT_EQ(series.maxima(series.maxima_size() - 1), 3599) << most << ": up to now";
  }
}

TEST_F(HistoryRequestTest, TheSamePointsComeAgainAMomentLater) {
  Run(0, 1000);
  v1::MetricsHistoryRequest request;
  request.mutable_step()->set_seconds(15);
  const v1::HistorySeries first = Ask(request);
  Run(1001, 1007);
  const v1::HistorySeries second = Ask(request);
  EXPECT_EQ(first.start_time().seconds() % 15, 0);
  EXPECT_EQ((second.start_time().seconds() - first.start_time().seconds()) % 15, 0);
}

TEST_F(HistoryRequestTest, BeforeItsBeginningNothingIsKnownAndAfterItsEndThereIsNothing) {
  Run(0, 9);
  v1::MetricsHistoryRequest request;
  request.mutable_start_time()->set_seconds(kStart - 5);
  request.mutable_end_time()->set_seconds(kStart + 1000);
  const v1::HistorySeries series = Ask(request);
  ASSERT_EQ(series.means_size(), 15);
  EXPECT_TRUE(std::isnan(series.means(4)));
  EXPECT_EQ(series.means(5), 0);
  request.mutable_start_time()->set_seconds(0);
  EXPECT_NEAR(Ask(request).start_time().seconds(), kStart - 7 * kDay, 660) << "a week at most";
}

TEST_F(HistoryRequestTest, NothingIsToldOfAStretchToCome) {
  Run(0, 9);
  v1::MetricsHistoryRequest request;
  request.mutable_start_time()->set_seconds(kStart + 50);
  request.mutable_end_time()->set_seconds(kStart + 60);
  EXPECT_EQ(Ask(request).means_size(), 0);
}

TEST_F(HistoryRequestTest, FiguresAreToldAsShortAsTheyAreKept) {
  store_.MoveTo(kStart);
  store_.Put("orders", kStart, kStart, std::vector<float>(PoolSeries().size(), 0.1F));
  EXPECT_EQ(Ask({}).means().rbegin()[0], 0.1);
}

TEST_F(HistoryRequestTest, WhatIsNotThereIsRefusedByName) {
  v1::MetricsHistoryRequest request;
  request.add_pools("oders");
  EXPECT_EQ(Refused(request).kind, pool::ErrorKind::kPoolNotFound);
  EXPECT_THAT(Refused(request).message, HasSubstr("\"oders\""));
  request.Clear();
  request.add_series("active");
  request.add_series("actve");
  EXPECT_EQ(Refused(request).kind, pool::ErrorKind::kSeriesNotFound);
  EXPECT_THAT(Refused(request).message, HasSubstr("\"actve\""));
  EXPECT_THAT(Refused(request).message, HasSubstr("queue_wait_p99_seconds"));
}

TEST_F(HistoryRequestTest, AnEndBeforeTheStartAndAStepThatIsNoneAreRefused) {
  v1::MetricsHistoryRequest request;
  request.mutable_start_time()->set_seconds(kStart + 1);
  EXPECT_EQ(Refused(request).kind, pool::ErrorKind::kInvalidArgument) << "the end is now";
  request.mutable_end_time()->set_seconds(kStart);
  EXPECT_EQ(Refused(request).kind, pool::ErrorKind::kInvalidArgument);
  request.Clear();
  request.mutable_step();
  EXPECT_EQ(Refused(request).kind, pool::ErrorKind::kInvalidArgument);
  EXPECT_THAT(Refused(request).message, HasSubstr("`step`"));
}

TEST(HistoryQueryTest, EveryParameterIsTaken) {
  v1::MetricsHistoryRequest request;
  const auto trouble = ParseHistoryQuery(
      "series=active,waiting&series=execute_p99_seconds&pool=a%20b&pool=c+d&"
      "start=2026-01-02T03:04:05Z&end=1767323105&step=10s&points_max=300&",
      request);
  ASSERT_FALSE(trouble) << trouble->message;
  EXPECT_THAT(request.series(), testing::ElementsAre("active", "waiting", "execute_p99_seconds"));
  EXPECT_THAT(request.pools(), testing::ElementsAre("a b", "c d"));
  EXPECT_EQ(request.start_time().seconds(), 1'767'323'045);
  EXPECT_EQ(request.end_time().seconds(), 1'767'323'105);
  EXPECT_EQ(request.step().seconds(), 10);
  EXPECT_EQ(request.points_max(), 300u);
  v1::MetricsHistoryRequest other;
  ASSERT_FALSE(ParseHistoryQuery("step=5", other));
  EXPECT_EQ(other.step().seconds(), 5);
  EXPECT_FALSE(ParseHistoryQuery("", other));
}

TEST(HistoryQueryTest, WhatIsWrongIsNamed) {
  for (const auto& [query, name] : std::vector<std::pair<std::string, std::string>>{
           {"start=yesterday", "`start` is \"yesterday\""},
           {"end=-5", "`end` is \"-5\""},
           {"end=99999999999999999", "`end`"},
           {"start=", "`start` is \"\""},
           {"step=0", "`step` is \"0\""},
           {"step=-1", "`step`"},
           {"step=fast", "`step`"},
           {"points_max=0", "`points_max`"},
           {"points_max=2001", "from 1 to 2000"},
           {"points_max=1e3", "`points_max`"},
           {"series=", "`series`"},
           {"pool=a,,b", "`pool`"},
           {"sereis=active", "`sereis`"},
           {"step", "`step`"}}) {
    v1::MetricsHistoryRequest request;
    const auto trouble = ParseHistoryQuery(query, request);
    ASSERT_TRUE(trouble) << query;
    EXPECT_EQ(trouble->kind, pool::ErrorKind::kInvalidArgument);
    EXPECT_THAT(trouble->message, HasSubstr(name)) << query;
  }
}

}  // namespace
}  // namespace dbsidecar::server
