// How long a statement's earlier runs took, to tell short ones from others.
#pragma once

#include <cstdint>

#include "pool/time.h"

namespace dbsidecar::pool {

class StatementHistory {
 public:
  void Record(Duration took) {
    average_ = runs_ == 0 ? took : average_ + (took - average_) / 8;
    ++runs_;
  }
  Duration average() const { return average_; }
  // Short by experience. A single slow run outweighs dozens of short ones.
  bool IsShort(Duration short_max = kShortMax) const {
    return runs_ >= kRunsMin && average_ < short_max;
  }

 private:
  static constexpr uint64_t kRunsMin = 3;
  static constexpr Duration kShortMax = std::chrono::milliseconds(5);

  uint64_t runs_ = 0;
  Duration average_{};  // Exponentially weighted.
};

}  // namespace dbsidecar::pool
