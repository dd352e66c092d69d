#include "tests/integration/stall_watch.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace dbsidecar::integration {
namespace {

constexpr std::chrono::milliseconds kTick{5};
// Shorter ones explain nothing.
constexpr std::chrono::milliseconds kNoted{5};
constexpr std::chrono::minutes kKept{1};

}  // namespace

StallWatch::StallWatch() {
  for (size_t core = 0; core < std::thread::hardware_concurrency(); ++core) {
    threads_.emplace_back([this, core] { Watch(core); });
  }
}

StallWatch::~StallWatch() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void StallWatch::Watch(size_t core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  // Where it is not allowed, the thread watches whichever core it is on.
  pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
  while (!stop_) {
    const auto due = Clock::now() + kTick;
    std::this_thread::sleep_until(due);
    const auto now = Clock::now();
    if (now - due < kNoted) continue;
    const std::lock_guard lock(mutex_);
    stalls_.emplace_back(now, now - due);
    while (stalls_.front().first < now - kKept) stalls_.pop_front();
  }
}

StallWatch::Clock::duration StallWatch::LongestSince(Clock::time_point since) const {
  Clock::duration longest{};
  const std::lock_guard lock(mutex_);
  for (auto it = stalls_.rbegin(); it != stalls_.rend() && it->first >= since; ++it) {
    longest = std::max(longest, it->second);
  }
  return longest;
}

}  // namespace dbsidecar::integration
