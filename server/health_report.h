// The Health RPC's content.
#pragma once

#include "dbsidecar/v1/health.pb.h"
#include "pool/pool.h"

namespace dbsidecar::server {

// State and server; the rest of it is composed of other reports.
void FillPoolHealth(const pool::PoolStats& stats, v1::PoolHealth& pool);

// Overall status, readiness and the database's line, from the pool's figures.
void FillHealth(const pool::PoolStats& stats, v1::LifecyclePhase phase, bool ready,
                v1::HealthResponse& health);

}  // namespace dbsidecar::server
