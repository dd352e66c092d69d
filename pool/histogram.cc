#include "pool/histogram.h"

#include <algorithm>

namespace dbsidecar::pool {

void Histogram::Record(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto bucket =
      std::lower_bound(kUpperBoundsSeconds.begin(), kUpperBoundsSeconds.end(), seconds);
  ++counts_[static_cast<size_t>(bucket - kUpperBoundsSeconds.begin())];
  ++count_;
  sum_seconds_ += seconds;
}

}  // namespace dbsidecar::pool
