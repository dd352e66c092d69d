// A histogram of durations with fixed buckets from 50 us to 30 s. Not thread-safe: it lives on the
// loop thread and leaves it as a copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "pool/time.h"

namespace dbsidecar::pool {

class Histogram {
 public:
  // Upper bounds, inclusive, in seconds. One more bucket counts what is longer.
  static constexpr std::array<double, 18> kUpperBoundsSeconds = {
      0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
      0.05,    0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30};

  void Record(Duration duration);
  // Adds or takes away what another has recorded.
  Histogram& operator+=(const Histogram& more);
  // REQUIRES: nothing of it is more than is there.
  Histogram& operator-=(const Histogram& less);
  // The place in counts() of what takes so long.
  static size_t BucketOf(double seconds);

  const std::array<uint64_t, kUpperBoundsSeconds.size() + 1>& counts() const { return counts_; }
  uint64_t count() const { return count_; }
  double sum_seconds() const { return std::chrono::duration<double>(sum_).count(); }

 private:
  std::array<uint64_t, kUpperBoundsSeconds.size() + 1> counts_{};
  uint64_t count_ = 0;
  Duration sum_{};  // Whole, so that what is added and taken away again leaves no trace.
};

}  // namespace dbsidecar::pool
