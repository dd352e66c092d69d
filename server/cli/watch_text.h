// The figures that change, a line for each report and pool.
#pragma once

#include <optional>
#include <string>

#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server::cli {

// Rates and times are of the stretch since the report before.
class WatchText {
 public:
  // The lines for a report; with the names of the columns now and then.
  std::string Next(const v1::MetricsResponse& metrics);

 private:
  std::string LineOf(const v1::PoolMetrics& pool, const v1::MetricsResponse& metrics) const;

  std::optional<v1::MetricsResponse> last_;
  int lines_ = 0;  // Since the names of the columns.
};

}  // namespace dbsidecar::server::cli
