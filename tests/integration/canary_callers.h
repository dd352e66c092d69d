// Those who call in the canary test: over unary Query, over raw Pipeline streams, and through the
// C++ client. Each chooses its calls by a seed of its own, and hands every answer to the ledger.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/integration/canary_ledger.h"

namespace dbsidecar::integration {

// Calls that were sent and not yet answered, by ids that are never used again, so that a second
// answer shows. Safe to use from any thread.
class CanaryInFlight {
 public:
  struct Entry {
    CanaryCall call;
    Clock::time_point sent;
  };

  // The new call's id.
  uint64_t Add(CanaryCall call);
  // Nothing: no such call is in flight, which is a fault.
  std::optional<Entry> Take(uint64_t id);
  // Ids of calls in flight whose time to be cancelled has come; each once.
  std::vector<uint64_t> TakeDueCancels();
  // True once at most `count` are in flight; false when a cancel is due, or `limit` has passed.
  // One thread at a time may wait.
  bool WaitForRoom(size_t count, milliseconds limit);
  // False: some are still unanswered, `limit` after the last answer.
  bool WaitUntilEmpty(milliseconds limit);
  std::vector<Entry> TakeAll();

 private:
  Clock::time_point NextCancel() const;

  std::mutex mutex_;  // Guards all below.
  std::condition_variable changed_;
  uint64_t last_id_ = 0;
  uint64_t taken_ = 0;
  size_t wanted_ = 0;  // Whoever waits, waits for so few in flight.
  std::unordered_map<uint64_t, Entry> calls_;
  std::set<std::pair<Clock::time_point, uint64_t>> cancels_;
};

// What a caller needs. All are borrowed.
struct CanaryScene {
  const SidecarProcess& sidecar;
  CanaryLedger& ledger;
  const std::atomic<bool>& over;
};

// One call after the other, on its own connection, until the end of the scene.
void CallUnary(const CanaryScene& scene, uint64_t seed);

// Frames of several calls over a stream, which is now and then ended or broken, and a new one
// begun.
void CallOverPipeline(const CanaryScene& scene, uint64_t seed);

// Many calls in flight through one client that all such callers share.
void CallThroughClient(const CanaryScene& scene, dbsidecar::Client& client, uint64_t seed);

}  // namespace dbsidecar::integration
