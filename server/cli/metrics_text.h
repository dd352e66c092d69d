// The sidecar's figures for people.
#pragma once

#include <string>

#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server::cli {

std::string TextOfMetrics(const v1::MetricsResponse& metrics);

// The upper bound in seconds of the bucket that holds the quantile `q` (0 to 1); infinity when that
// is the last one. REQUIRES: histogram.count() > 0.
double QuantileBound(const v1::Histogram& histogram, double q);

}  // namespace dbsidecar::server::cli
