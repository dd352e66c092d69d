// The Health RPC's content.
#pragma once

#include <vector>

#include "dbsidecar/v1/health.pb.h"
#include "pool/pool.h"

namespace dbsidecar::server {

// State and server; the rest of it is composed of other reports.
void FillPoolHealth(const pool::PoolStats& stats, v1::PoolHealth& pool);

// Overall status, readiness and each database's line, from the pools' figures.
void FillHealth(const std::vector<pool::PoolStats>& pools, v1::LifecyclePhase phase, bool ready,
                v1::HealthResponse& health);

}  // namespace dbsidecar::server
