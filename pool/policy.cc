#include "pool/policy.h"

#include <algorithm>

namespace dbsidecar::pool {
namespace {

// `value` scaled by a random fraction in [0, 1). Works on microseconds, which keeps the product
// of a day and 32 random bits within 64 bits.
Duration RandomPart(Duration value, uint64_t random) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
  const double fraction = static_cast<double>(random >> 11) * 0x1.0p-53;
  return std::chrono::microseconds(static_cast<int64_t>(static_cast<double>(micros) * fraction));
}

}  // namespace

size_t ConnectionsToOpen(const Demand& demand) {
  if (demand.total >= demand.max || demand.connecting >= demand.connecting_max) return 0;
  const size_t for_waiters =
      demand.waiting > demand.arriving ? demand.waiting - demand.arriving : 0;
  const size_t for_floor = demand.floor > demand.staying ? demand.floor - demand.staying : 0;
  return std::min({std::max(for_waiters, for_floor), demand.max - demand.total,
                   demand.connecting_max - demand.connecting});
}

Duration Backoff(uint32_t failures, Duration base, Duration cap, uint64_t random) {
  Duration full = std::min(base, cap);
  // Halving the cap instead of doubling past it cannot overflow.
  for (uint32_t i = 1; i < failures && full < cap; ++i) full = full > cap / 2 ? cap : full * 2;
  return full / 2 + RandomPart(full / 2, random);
}

Instant RetireAt(Instant opened_at, Duration lifetime, uint32_t jitter_percent, uint64_t random) {
  if (lifetime == Duration::zero()) return kNever;
  return opened_at + lifetime - RandomPart(lifetime / 100 * jitter_percent, random);
}

Instant EarlierDeadline(Instant deadline, Instant now, Duration limit) {
  return limit == Duration::zero() ? deadline : std::min(deadline, now + limit);
}

}  // namespace dbsidecar::pool
