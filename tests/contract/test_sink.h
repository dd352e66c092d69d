// A reader of streams that is as slow as a test wants it.
//
// Threads: Take on the loop's, the rest on the test's.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/running_pool.h"

namespace dbsidecar::contract {

class TestSink final : public pool::PartSink {
 public:
  // Full after so many parts, and again after as many more; 0 = never.
  explicit TestSink(size_t capacity = 0) : capacity_(capacity) {}

  bool Take(pool::Part part) override {
    const std::lock_guard lock(mutex_);
    if (parts_.empty()) first_at_ = pool::Clock::now();
    parts_.push_back(std::move(part));
    changed_.notify_all();
    return capacity_ == 0 || parts_.size() % capacity_ != 0;
  }

  // Waits for so many parts. False = they did not come within kPatience.
  bool AwaitParts(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return parts_.size() >= count; });
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return parts_.size();
  }
  pool::Instant first_at() {
    const std::lock_guard lock(mutex_);
    return first_at_;
  }
  // What has come. Not to be taken while more is coming.
  std::vector<pool::Part>& parts() { return parts_; }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<pool::Part> parts_;
  pool::Instant first_at_;
};

}  // namespace dbsidecar::contract
