#include "pool/sqlite/interruption.h"

#include <sqlite3.h>

namespace dbsidecar::pool {

// Both are needed: SQLite forgets an interrupt that comes before a statement's first step, and
// long work inside one step of its machine (an integrity check) sees only the interrupt.
void Interruption::Request() {
  std::lock_guard lock(mutex_);
  requested_.store(true);
  if (database_ != nullptr) sqlite3_interrupt(database_);
  changed_.notify_all();
}

void Interruption::Attach(sqlite3* database) {
  std::lock_guard lock(mutex_);
  database_ = database;
}

bool Interruption::WaitFor(const std::atomic<bool>& flag) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return requested() || flag.load(); });
  return requested();
}

void Interruption::Wake() {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

bool Interruption::WaitFor(Duration duration) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, duration, [this] { return requested(); });
}

}  // namespace dbsidecar::pool
