#include "pool/histogram.h"

#include <algorithm>

namespace dbsidecar::pool {

void Histogram::Record(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  ++counts_[BucketOf(seconds)];
  ++count_;
  sum_ += duration;
}

Histogram& Histogram::operator+=(const Histogram& more) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += more.counts_[i];
  count_ += more.count_;
  sum_ += more.sum_;
  return *this;
}

Histogram& Histogram::operator-=(const Histogram& less) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] -= less.counts_[i];
  count_ -= less.count_;
  sum_ -= less.sum_;
  return *this;
}

size_t Histogram::BucketOf(double seconds) {
  const auto bucket =
      std::lower_bound(kUpperBoundsSeconds.begin(), kUpperBoundsSeconds.end(), seconds);
  return static_cast<size_t>(bucket - kUpperBoundsSeconds.begin());
}

}  // namespace dbsidecar::pool
