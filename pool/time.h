// Time as the pool sees it: a steady clock, read by the loop and passed in to everything that
// decides.
#pragma once

#include <chrono>

namespace dbsidecar::pool {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = Clock::duration;

// "Never": later than every instant that can occur.
inline constexpr Instant kNever = Instant::max();

}  // namespace dbsidecar::pool
