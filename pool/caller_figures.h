// Figures by caller: who the calls come from, by the tag `caller`.
//
// Not thread-safe: it lives on the loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pool/histogram.h"
#include "pool/time.h"

namespace dbsidecar::pool {

struct CallerFigures {
  std::string caller;  // "" = calls without a tag.
  uint64_t calls = 0;  // Answered.
  uint64_t failed = 0;
  uint64_t refused = 0;  // By a limit: the queue's, or that on waiting.
  uint32_t in_progress = 0;
  Histogram queue_wait;
  Instant used;  // Last.
};

// Bounded: callers that come when it is full count as "other", unless one listed there has not
// called for an hour; then a new one takes its place, and what it had counted is forgotten.
class CallerTable {
 public:
  // 0 entries = nothing is counted.
  explicit CallerTable(size_t entries_max) : entries_max_(entries_max) {}

  // Where this caller's calls are counted, null = nowhere; valid as long as one is in progress.
  CallerFigures* Of(std::string_view caller, Instant now);

  // By name; "other" at the end.
  std::vector<CallerFigures> Report() const;

 private:
  CallerFigures& Find(std::string_view caller, Instant now);
  bool MakeRoom(Instant now);

  const size_t entries_max_;
  std::map<std::string, CallerFigures, std::less<>> entries_;
  CallerFigures other_{.caller = "other", .queue_wait = {}, .used = {}};
  // The latest one asked for: calls often come from the same one after the other.
  CallerFigures* latest_ = nullptr;
};

}  // namespace dbsidecar::pool
