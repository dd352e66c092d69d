#include "pool/histogram.h"

#include <gtest/gtest.h>

#include <numeric>

namespace dbsidecar::pool {
namespace {

using std::chrono::duration_cast;

Duration FromSeconds(double seconds) {
  return duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

TEST(HistogramTest, UpperBoundsAreInclusive) {
  Histogram histogram;
  histogram.Record(std::chrono::milliseconds(1));
  EXPECT_EQ(histogram.counts()[4], 1u);
  histogram.Record(std::chrono::nanoseconds(1'000'001));
  EXPECT_EQ(histogram.counts()[5], 1u);
}

TEST(HistogramTest, TheFirstBucketTakesZeroAndTheLastWhatIsLonger) {
  Histogram histogram;
  histogram.Record(Duration::zero());
  histogram.Record(FromSeconds(1e4));
  EXPECT_EQ(histogram.counts().front(), 1u);
  EXPECT_EQ(histogram.counts().back(), 1u);
}

TEST(HistogramTest, EveryDurationIsCountedOnceInTheBucketThatHoldsIt) {
  for (size_t i = 0; i < Histogram::kUpperBoundsSeconds.size(); ++i) {
    const double upper = Histogram::kUpperBoundsSeconds[i];
    const double lower = i == 0 ? 0 : Histogram::kUpperBoundsSeconds[i - 1];
    EXPECT_LT(lower, upper);
    Histogram histogram;
    histogram.Record(FromSeconds((lower + upper) / 2));
    EXPECT_EQ(histogram.counts()[i], 1u) << upper;
    EXPECT_EQ(std::accumulate(histogram.counts().begin(), histogram.counts().end(), uint64_t{0}),
              1u);
  }
}

TEST(HistogramTest, AddsUpWhatItRecorded) {
  Histogram histogram;
  for (int i = 0; i < 4; ++i) histogram.Record(std::chrono::milliseconds(250));
  EXPECT_EQ(histogram.count(), 4u);
  EXPECT_DOUBLE_EQ(histogram.sum_seconds(), 1.0);
}

}  // namespace
}  // namespace dbsidecar::pool
