#include "bench/load/tally.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

namespace dbsidecar::bench {

void Tally::Failed(const std::string& why) {
  if (failures_++ == 0) first_failure_ = why;
}

void Tally::Merge(const Tally& other) {
  micros_.insert(micros_.end(), other.micros_.begin(), other.micros_.end());
  if (failures_ == 0) first_failure_ = other.first_failure_;
  failures_ += other.failures_;
  if (unavailable_.empty()) unavailable_ = other.unavailable_;
}

std::string Tally::ToJson(double seconds) {
  if (!unavailable_.empty()) return nlohmann::json{{"unavailable", unavailable_}}.dump();
  std::sort(micros_.begin(), micros_.end());
  return fmt::format(
      R"({{"queries": {}, "errors": {}, "seconds": {:.3f}, "qps": {:.1f}, "p50_us": {:.1f}, )"
      R"("p99_us": {:.1f}, "p999_us": {:.1f}}})",
      micros_.size(), failures_, seconds, static_cast<double>(micros_.size()) / seconds,
      Percentile(0.5), Percentile(0.99), Percentile(0.999));
}

// REQUIRES: sorted.
float Tally::Percentile(double part) const {
  if (micros_.empty()) return 0;
  return micros_[static_cast<size_t>(part * static_cast<double>(micros_.size() - 1))];
}

int Report(Tally& tally, double seconds) {
  std::cout << tally.ToJson(seconds) << std::endl;
  if (tally.failures() == 0) return 0;
  std::cerr << tally.failures() << " failed, the first with: " << tally.first_failure() << "\n";
  return 1;
}

}  // namespace dbsidecar::bench
