// The Metrics RPC's content.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dbsidecar/v1/metrics.pb.h"
#include "pool/pool.h"

namespace dbsidecar::server {

void FillPoolMetrics(const pool::PoolStats& stats, const std::map<std::string, uint64_t>& outcomes,
                     v1::PoolMetrics& metrics);

// Those with the most time, `statements_max` of them, and "other".
void FillStatements(pool::StatementsReport report, size_t statements_max, v1::PoolMetrics& metrics);
void FillStatement(const pool::StatementFigures& statement, v1::StatementMetrics& into);
void FillCallers(const std::vector<pool::CallerFigures>& callers, v1::PoolMetrics& metrics);

v1::PoolState StateOf(const pool::PoolStats& stats);
void FillHistogram(const pool::Histogram& histogram, v1::Histogram& into);
void FillExemplars(const pool::Exemplars& exemplars, v1::Histogram& into);

}  // namespace dbsidecar::server
