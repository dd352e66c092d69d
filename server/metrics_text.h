// Metrics as text for Prometheus: its own format (0.0.4) and OpenMetrics (1.0.0).
//
// Names follow OpenTelemetry's conventions for database clients (db_client_*) where these have one,
// otherwise they begin with dbsidecar_. Four more (database_*) are names that existing dashboards
// use. docs/metrics.md lists them all.
#pragma once

#include <string>
#include <string_view>

#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server {

enum class MetricsFormat { kPrometheus, kOpenMetrics };

std::string_view ContentTypeOf(MetricsFormat format);
std::string MetricsText(const v1::MetricsResponse& metrics, MetricsFormat format);

}  // namespace dbsidecar::server
