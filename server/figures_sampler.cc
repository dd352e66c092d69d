#include "server/figures_sampler.h"

#include <algorithm>
#include <cmath>

#include "server/process_figures.h"

namespace dbsidecar::server {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

constexpr seconds kInterval{1};
constexpr size_t kSamplesMax = 61;

void FillQuantiles(const pool::Histogram& earlier, const pool::Histogram& later,
                   v1::LatencyQuantiles& into) {
  SetDuration(QuantileOf(earlier, later, 0.5), *into.mutable_p50());
  SetDuration(QuantileOf(earlier, later, 0.95), *into.mutable_p95());
  SetDuration(QuantileOf(earlier, later, 0.99), *into.mutable_p99());
  SetDuration(QuantileOf(earlier, later, 1), *into.mutable_max());
}

}  // namespace

pool::Duration QuantileOf(const pool::Histogram& earlier, const pool::Histogram& later, double q) {
  constexpr auto& kBounds = pool::Histogram::kUpperBoundsSeconds;
  const uint64_t total = later.count() - earlier.count();
  if (total == 0) return {};
  const double rank = q * static_cast<double>(total);
  double below = 0;
  double bound = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    const auto here = static_cast<double>(later.counts()[i] - earlier.counts()[i]);
    if (here > 0 && below + here >= rank) {
      const double seconds = bound + (kBounds[i] - bound) * (rank - below) / here;
      return std::chrono::duration_cast<pool::Duration>(duration<double>(seconds));
    }
    below += here;
    bound = kBounds[i];
  }
  return std::chrono::duration_cast<pool::Duration>(duration<double>(bound));
}

void FillPerformance(const std::deque<FiguresSample>& samples, v1::PerformanceIndicators& into) {
  if (samples.empty()) return;
  const pool::PoolStats& from = samples.front().stats;
  const pool::PoolStats& to = samples.back().stats;
  into.set_pool(to.name);
  const auto window = samples.back().time - samples.front().time;
  SetDuration(window, *into.mutable_window());
  const double window_seconds = duration<double>(window).count();
  const auto statements = static_cast<double>(to.statements - from.statements);
  if (statements > 0) {
    into.set_error_ratio(static_cast<double>(to.errors - from.errors) / statements);
  }
  FillQuantiles(from.queue, to.queue, *into.mutable_queue_wait());
  FillQuantiles(from.execute, to.execute, *into.mutable_execute());
  FillQuantiles(from.total_time, to.total_time, *into.mutable_total_time());
  double in_use = 0;
  for (const FiguresSample& sample : samples) in_use += static_cast<double>(sample.stats.in_use());
  if (to.max > 0) {
    into.set_utilization_percent(100 * in_use / static_cast<double>(samples.size() * to.max));
  }
  if (window_seconds <= 0) return;  // One look only.
  into.set_statements_per_second(statements / window_seconds);
  into.set_connections_needed((to.execute.sum_seconds() - from.execute.sum_seconds()) /
                              window_seconds);
}

void FillCpuShares(const std::deque<FiguresSample>& samples, v1::CpuHealth& into) {
  if (samples.size() < 2) return;
  const FiguresSample& from = samples.front();
  const FiguresSample& to = samples.back();
  const double window = duration<double>(to.time - from.time).count();
  if (window <= 0) return;
  if (into.available_cpus() > 0) {
    into.set_used_percent(100 * (to.cpu_seconds - from.cpu_seconds) / window /
                          into.available_cpus());
  }
  if (from.throttled_seconds && to.throttled_seconds) {
    into.set_throttled_percent(
        std::min(100.0, 100 * (*to.throttled_seconds - *from.throttled_seconds) / window));
  }
}

FiguresSampler::FiguresSampler(std::function<std::vector<FiguresSample>()> look,
                               std::function<void(const std::vector<Looks>&)> looked)
    : look_(std::move(look)), looked_(std::move(looked)), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "sampler");
}

FiguresSampler::~FiguresSampler() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stopping_.notify_all();
  thread_.join();
}

std::vector<FiguresSampler::Looks> FiguresSampler::LastMinute() {
  const std::lock_guard lock(mutex_);
  return samples_;
}

void FiguresSampler::Run() {
  auto next = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    lock.unlock();
    std::vector<FiguresSample> pools = look_();
    lock.lock();
    samples_.resize(pools.size());
    for (size_t i = 0; i < pools.size(); ++i) {
      samples_[i].push_back(std::move(pools[i]));
      if (samples_[i].size() > kSamplesMax) samples_[i].pop_front();
    }
    lock.unlock();
    looked_(samples_);  // No other thread changes them.
    lock.lock();
    // After a standstill it does not catch up.
    next = std::max(next + kInterval, std::chrono::steady_clock::now());
    stopping_.wait_until(lock, next, [this] { return stopped_; });
  }
}

}  // namespace dbsidecar::server
