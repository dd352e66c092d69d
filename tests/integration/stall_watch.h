// How long the machine lets its programs wait for a core. A promise about time that is broken by
// that is not broken by the sidecar.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace dbsidecar::integration {

// A thread on each core does nothing but wake up every few milliseconds, and notes how late it is.
class StallWatch {
 public:
  using Clock = std::chrono::steady_clock;

  StallWatch();
  ~StallWatch();
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;

  // The longest of any core that reached into the time from `since` to now. Of the last minute.
  Clock::duration LongestSince(Clock::time_point since) const;

 private:
  void Watch(size_t core);

  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
  mutable std::mutex mutex_;
  std::deque<std::pair<Clock::time_point, Clock::duration>> stalls_;  // By their ends.
};

}  // namespace dbsidecar::integration
