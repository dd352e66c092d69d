// What a load program saw, and the one line of JSON that tells it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dbsidecar::bench {

using Clock = std::chrono::steady_clock;

// Latencies and failures of one run. Not thread-safe: threads keep one each and merge.
class Tally {
 public:
  Tally() { micros_.reserve(size_t{1} << 20); }

  // A call that should have begun at `due` has just been answered well.
  void Answered(Clock::time_point due) {
    micros_.push_back(std::chrono::duration<float, std::micro>(Clock::now() - due).count());
  }
  // A call was answered with an error. The first reason is kept.
  void Failed(const std::string& why);
  // The server does not know how to do it: the run says so instead of giving figures.
  void Unavailable(const std::string& why) { unavailable_ = why; }

  void Merge(const Tally& other);

  int64_t failures() const { return failures_; }
  const std::string& first_failure() const { return first_failure_; }

  // {"queries", "errors", "seconds", "qps", "p50_us", "p99_us", "p999_us"}, or {"unavailable"}.
  std::string ToJson(double seconds);

 private:
  float Percentile(double part) const;

  std::vector<float> micros_;
  int64_t failures_ = 0;
  std::string first_failure_;
  std::string unavailable_;
};

// Prints the tally to stdout and the first failure to stderr; returns the program's exit code.
int Report(Tally& tally, double seconds);

}  // namespace dbsidecar::bench
