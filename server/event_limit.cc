#include "server/event_limit.h"

#include <algorithm>
#include <utility>

namespace dbsidecar::server {

std::optional<uint64_t> EventLimit::Pass(pool::Instant now) {
  const pool::Instant full_at = std::max(full_at_, now) + pause_;
  if (full_at - now > at_once_ * pause_) {
    ++suppressed_;
    return std::nullopt;
  }
  full_at_ = full_at;
  return std::exchange(suppressed_, 0);
}

}  // namespace dbsidecar::server
