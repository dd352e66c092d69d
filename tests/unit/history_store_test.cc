#include "server/history/history_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace dbsidecar::server {
namespace {

using testing::ElementsAre;
using testing::IsNan;

// The start of a minute.
constexpr int64_t kStart = 1'800'000'000;

class HistoryStoreTest : public testing::Test {
 protected:
  HistoryStoreTest() { store_.AddGroup("a", 2); }

  // A second of its own.
  void Look(int64_t second, float value) {
    store_.MoveTo(second);
    const std::vector<float> values = {value, -value};
    store_.Put("a", second, second, values);
  }

  HistoryStore store_;
};

TEST_F(HistoryStoreTest, EachSecondOfTheLastHourIsKeptAndNoMore) {
  for (int i = 0; i < 4000; ++i) Look(kStart + i, static_cast<float>(i));
  EXPECT_EQ(store_.At("a", 0, kStart + 3999), 3999);
  EXPECT_EQ(store_.At("a", 1, kStart + 400), -400);
  EXPECT_THAT(store_.At("a", 0, kStart + 399), IsNan());
  EXPECT_THAT(store_.At("a", 0, kStart + 4000), IsNan());
}

TEST_F(HistoryStoreTest, PointsAreMeansAndLargestValuesOfTheirStep) {
  for (int i = 0; i < 6; ++i) Look(kStart + i, static_cast<float>(i));
  const auto points = store_.Read("a", 0, kStart, 3, 2, false);
  EXPECT_THAT(points.means, ElementsAre(1, 4));
  EXPECT_THAT(points.maxima, ElementsAre(2, 5));
  EXPECT_THAT(store_.Read("a", 1, kStart, 3, 2, false).maxima, ElementsAre(0, -3));
}

TEST_F(HistoryStoreTest, MinutesOutliveTheirSeconds) {
  for (int i = 0; i < 120; ++i) Look(kStart + i, static_cast<float>(i));
  Look(kStart + 2 * 24 * 3600, 7);
  const auto points = store_.Read("a", 0, kStart, 60, 3, true);
  EXPECT_THAT(points.means, ElementsAre(29.5, 89.5, IsNan()));
  EXPECT_THAT(points.maxima, ElementsAre(59, 119, IsNan()));
  EXPECT_THAT(store_.At("a", 0, kStart + 5), IsNan());
}

TEST_F(HistoryStoreTest, WhatIsNotKnownCountsForNothing) {
  Look(kStart, 4);
  Look(kStart + 1, std::nanf(""));
  Look(kStart + 2, 8);
  Look(kStart + 7, 1);
  EXPECT_THAT(store_.Read("a", 0, kStart, 3, 3, false).means, ElementsAre(6, IsNan(), 1));
  EXPECT_THAT(store_.Read("a", 0, kStart, 60, 1, true).means,
              ElementsAre(testing::DoubleNear(13.0 / 3, 1e-6)));
}

TEST_F(HistoryStoreTest, AValueMayStandForSeveralSecondsAcrossMinutes) {
  store_.MoveTo(kStart + 61);
  const std::vector<float> values = {3, 0};
  store_.Put("a", kStart + 58, kStart + 61, values);
  EXPECT_THAT(store_.Read("a", 0, kStart, 60, 2, true).means, ElementsAre(3, 3));
  EXPECT_EQ(store_.first(), kStart + 58);
}

TEST_F(HistoryStoreTest, AClockThatIsPutBackLeavesNothingOfTheFuture) {
  for (int i = 0; i < 200; ++i) Look(kStart + i, 1);
  Look(kStart + 100, 5);
  EXPECT_EQ(store_.last(), kStart + 100);
  EXPECT_EQ(store_.At("a", 0, kStart + 99), 1);
  EXPECT_EQ(store_.At("a", 0, kStart + 100), 5);
  EXPECT_THAT(store_.At("a", 0, kStart - 3480), IsNan()) << "where kStart + 120 was";
  Look(kStart + 150, 1);
  EXPECT_THAT(store_.At("a", 0, kStart + 120), IsNan());
  EXPECT_THAT(store_.Read("a", 0, kStart + 180, 60, 1, true).means, ElementsAre(IsNan()));
}

TEST_F(HistoryStoreTest, AfterALongGapNothingOldIsTakenForNew) {
  for (int i = 0; i < 3600; ++i) Look(kStart + i, 1);
  Look(kStart + 30 * 24 * 3600, 2);
  const auto points = store_.Read("a", 0, kStart + 30 * 24 * 3600 - 3599, 3600, 1, false);
  EXPECT_THAT(points.means, ElementsAre(2));
  const auto minutes = store_.Read("a", 0, kStart + 23 * 24 * 3600 + 60, 7 * 24 * 3600, 1, true);
  EXPECT_THAT(minutes.means, ElementsAre(2));
  EXPECT_EQ(store_.first(), kStart + 23 * 24 * 3600);
}

TEST_F(HistoryStoreTest, MemoryIsAsStatedAndStaysSo) {
  EXPECT_EQ(store_.bytes(), HistoryStore::BytesOf(2));
  EXPECT_EQ(HistoryStore::BytesOf(1), 95'040u);
  for (int64_t i = 0; i < 8 * 24 * 3600; i += 7) Look(kStart + i, 1);
  EXPECT_EQ(store_.bytes(), HistoryStore::BytesOf(2));
  EXPECT_EQ(store_.first(), store_.last() - 7 * 24 * 3600);
}

TEST_F(HistoryStoreTest, AGroupThatComesLaterHasNoPast) {
  Look(kStart, 1);
  store_.AddGroup("b", 1);
  EXPECT_THAT(store_.At("b", 0, kStart), IsNan());
  store_.AddGroup("a", 2);
  EXPECT_EQ(store_.At("a", 0, kStart), 1) << "what it holds already stays";
}

TEST_F(HistoryStoreTest, AMinuteOfAnEarlierProcessTakesItsPlaceUnlessItIsTooOldOrLater) {
  Look(kStart + 300, 1);
  const std::vector<float> means = {2, 3};
  const std::vector<float> maxima = {4, 5};
  for (const int64_t minute : {kStart / 60 - 20'000, kStart / 60, kStart / 60 + 6}) {
    store_.PutMinute("a", minute, means, maxima);
  }
  EXPECT_THAT(store_.Read("a", 1, kStart, 60, 1, true).means, ElementsAre(3));
  EXPECT_THAT(store_.Read("a", 1, kStart, 60, 1, true).maxima, ElementsAre(5));
  EXPECT_EQ(store_.first(), kStart);
  EXPECT_THAT(store_.Read("a", 1, kStart + 360, 60, 1, true).means, ElementsAre(IsNan()));
}

}  // namespace
}  // namespace dbsidecar::server
