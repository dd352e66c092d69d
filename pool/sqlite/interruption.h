// The wish that a connection's thread stop what it does: made on the loop thread, seen by the
// connection's thread between the steps of SQLite's machine and while it waits for a lock.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "pool/time.h"

struct sqlite3;

namespace dbsidecar::pool {

class Interruption {
 public:
  // From any thread.
  void Request();
  void Withdraw() { requested_.store(false); }
  bool requested() const { return requested_.load(std::memory_order_relaxed); }

  // The handle to interrupt; null before it is closed.
  void Attach(sqlite3* database);
  // Waits, shorter when it is requested meanwhile. True = requested.
  bool WaitFor(Duration duration);
  // Waits until `flag` is set, whoever sets it calling Wake, or until it is requested. True =
  // requested.
  bool WaitFor(const std::atomic<bool>& flag);
  // From any thread.
  void Wake();

 private:
  std::atomic<bool> requested_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  sqlite3* database_ = nullptr;  // Guarded by mutex_.
};

}  // namespace dbsidecar::pool
