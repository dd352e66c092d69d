// Looks at the figures once a second, so that rates and distributions of the recent past can be
// told: counters alone only tell of all the time since the start.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dbsidecar/v1/health.pb.h"
#include "pool/pool.h"

namespace dbsidecar::server {

// What one look saw of the process and of one of its pools. Counters count from the start of the
// process.
struct FiguresSample {
  std::chrono::steady_clock::time_point time;
  double cpu_seconds = 0;
  std::optional<double> throttled_seconds;
  double available_cpus = 0;
  double uptime_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t memory_limit_bytes = 0;  // 0 = not known.
  pool::PoolStats stats;
  std::map<std::string, uint64_t> outcomes{};  // Calls by gRPC code.
};

// The figures of the stretch between two looks; `utilization_percent` is the mean of all between.
void FillPerformance(const std::deque<FiguresSample>& samples, v1::PerformanceIndicators& into);
// `used_percent` and `throttled_percent`.
void FillCpuShares(const std::deque<FiguresSample>& samples, v1::CpuHealth& into);

// The value below which the share `q` of the observations lies, between the bounds of its bucket;
// the last bucket's lower bound if it is there. 0 without observations.
pool::Duration QuantileOf(const pool::Histogram& earlier, const pool::Histogram& later, double q);

// Threads: any, but for the constructor and destructor.
class FiguresSampler {
 public:
  // The looks of the last minute at a pool, the oldest first.
  using Looks = std::deque<FiguresSample>;

  // Both are called on a thread of the sampler's: `look`, which looks at each pool, always in the
  // same order, once a second; then `looked`, with a list for each.
  explicit FiguresSampler(
      std::function<std::vector<FiguresSample>()> look,
      std::function<void(const std::vector<Looks>&)> looked = [](const std::vector<Looks>&) {});
  ~FiguresSampler();

  // Of each pool; empty before the first look.
  std::vector<Looks> LastMinute();

 private:
  void Run();

  const std::function<std::vector<FiguresSample>()> look_;
  const std::function<void(const std::vector<Looks>&)> looked_;
  std::mutex mutex_;  // Guards all below.
  std::condition_variable stopping_;
  bool stopped_ = false;
  std::vector<Looks> samples_;
  std::thread thread_;
};

}  // namespace dbsidecar::server
