// How many lines of one kind of event are written to the log: a few at once, then so many a second.
// A storm of events must not fill a disk or hold up whoever reports them.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "pool/time.h"

namespace dbsidecar::server {

class EventLimit {
 public:
  // `at_once` lines, each of which is allowed again after `pause`.
  EventLimit(int at_once, pool::Duration pause) : at_once_(at_once), pause_(pause) {}

  // Nothing: do not write this one. Otherwise how many have not been written since the last that
  // was.
  std::optional<uint64_t> Pass(pool::Instant now);

 private:
  const int at_once_;
  const pool::Duration pause_;
  // When all of `at_once` are allowed again, at the earliest.
  pool::Instant full_at_ = pool::Instant::min();
  uint64_t suppressed_ = 0;
};

}  // namespace dbsidecar::server
