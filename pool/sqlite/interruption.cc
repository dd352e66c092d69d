#include "pool/sqlite/interruption.h"

#include <sqlite3.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace dbsidecar::pool {

// Both are needed: SQLite forgets an interrupt that comes before a statement's first step, and
// long work inside one step of its machine (an integrity check) sees only the interrupt.
void Interruption::Request() {
  absl::MutexLock lock(&mutex_);
  requested_.store(true);
  if (database_ != nullptr) sqlite3_interrupt(database_);
  changed_.SignalAll();
}

void Interruption::Attach(sqlite3* database) {
  absl::MutexLock lock(&mutex_);
  database_ = database;
}

bool Interruption::WaitFor(Duration duration) {
  absl::MutexLock lock(&mutex_);
  const absl::Time until = absl::Now() + absl::FromChrono(duration);
  while (!requested() && !changed_.WaitWithDeadline(&mutex_, until)) {
  }
  return requested();
}

}  // namespace dbsidecar::pool
