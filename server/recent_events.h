// The latest things that happened to the pools, for people who watch.
//
// Noting one is cheap, but takes a lock and may allocate: for what happens to connections and
// sessions, never for what happens to calls. Of more than kMax the oldest goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace dbsidecar::server {

struct PoolEvent {
  uint64_t number = 0;  // From 1, without gaps.
  std::chrono::system_clock::time_point time{};
  std::string_view kind = {};  // A constant: "connection_opened"...
  std::string pool = {};
  uint64_t connection = 0;  // 0 = of none.
  std::string text = {};    // More about it, for people: a reason, an error. No SQL, no secrets.
};

// Threads: any.
class RecentEvents {
 public:
  static constexpr size_t kMax = 100;
  static constexpr size_t kTextMax = 300;  // Longer texts are cut.

  void Note(std::string_view kind, std::string_view pool, uint64_t connection, std::string text);

  // Those after `number` that are still there, the oldest first.
  std::vector<PoolEvent> After(uint64_t number) const;

 private:
  mutable std::mutex mutex_;  // Guards all below.
  std::deque<PoolEvent> events_;
  uint64_t noted_ = 0;
};

}  // namespace dbsidecar::server
