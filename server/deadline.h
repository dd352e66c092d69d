// gRPC's deadlines in the pool's terms.
#pragma once

#include <grpcpp/grpcpp.h>

#include "pool/time.h"

namespace dbsidecar::server {

// When the caller stops waiting.
inline pool::Instant DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return pool::kNever;
  const auto left = deadline - std::chrono::system_clock::now();
  // gRPC's "never" may be a time that is merely far away.
  if (left > std::chrono::hours(24 * 365)) return pool::kNever;
  return pool::Clock::now() + left;
}

}  // namespace dbsidecar::server
