// What logs and metrics call the pool's reasons: lower snake case, stable across versions.
#pragma once

#include <string_view>

#include "pool/pool_core.h"

namespace dbsidecar::server {

std::string_view CloseReasonName(pool::CloseReason reason);
std::string_view RefuseReasonName(pool::RefuseReason reason);

}  // namespace dbsidecar::server
