// The wish that a connection's thread stop what it does: made on the loop thread, seen by the
// connection's thread between the steps of SQLite's machine and while it waits for a lock.
#pragma once

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "pool/time.h"

struct sqlite3;

namespace dbsidecar::pool {

class Interruption {
 public:
  // From any thread.
  void Request() ABSL_LOCKS_EXCLUDED(mutex_);
  void Withdraw() { requested_.store(false); }
  bool requested() const { return requested_.load(std::memory_order_relaxed); }

  // The handle to interrupt; null before it is closed.
  void Attach(sqlite3* database) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits, shorter when it is requested meanwhile. True = requested.
  bool WaitFor(Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::atomic<bool> requested_{false};
  absl::Mutex mutex_;
  absl::CondVar changed_;
  sqlite3* database_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace dbsidecar::pool
