// The pool's policies as pure functions: numbers in, a number out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pool/time.h"

namespace dbsidecar::pool {

// What PoolCore needs to know to size the pool.
struct Demand {
  size_t total = 0;       // All that counts against `max`, closing ones and reserved places too.
  size_t arriving = 0;    // Connecting, being pinged or being reset: soon able to serve.
  size_t connecting = 0;  // The part of `arriving` that is being opened.
  size_t staying = 0;     // What counts for the floor: open or arriving, not closing or reserved.
  size_t waiting = 0;     // Waiters without a connection.
  size_t floor = 0;       // Connections to hold even without waiters.
  size_t max = 0;
  size_t connecting_max = 0;
};

// How many connections to open now: enough for every waiter that no arriving connection will
// serve, and for the floor; never above `max`, never more than `connecting_max` at once.
size_t ConnectionsToOpen(const Demand& demand);

// Exponential from `base`, capped at `cap`, with the upper half random, so that many sidecars
// that lost the same server do not return to it in step. `failures` counts from 1; `random` is
// uniform over all 64-bit values.
Duration Backoff(uint32_t failures, Duration base, Duration cap, uint64_t random);

// When a connection opened at `opened_at` retires: its lifetime shortened by a random part of up to
// `jitter_percent`. Lifetime 0 = never.
Instant RetireAt(Instant opened_at, Duration lifetime, uint32_t jitter_percent, uint64_t random);

// The sooner of a call's own deadline and `limit` from now. Limit 0 = none.
Instant EarlierDeadline(Instant deadline, Instant now, Duration limit);

}  // namespace dbsidecar::pool
