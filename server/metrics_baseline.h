// Metrics since a moment, from metrics since the start of the process: what Admin.ResetStatistics
// sets to zero. The counters themselves go on, because Prometheus takes them for restarted if they
// go back.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server {

// Takes the `_total` figures and histograms of `earlier` off those of `metrics`.
void SubtractTotals(const v1::PoolMetrics& earlier, v1::PoolMetrics& metrics);
void SubtractTotals(const v1::RpcMetrics& earlier, v1::RpcMetrics& metrics);

// Threads: any.
class MetricsBaseline {
 public:
  // From now on `pool` counts from `totals`, which has everything; "" = all pools and the process.
  void Set(const std::string& pool, v1::MetricsResponse totals);
  // Makes `metrics`, which count from the start of the process, count from there.
  void Apply(v1::MetricsResponse& metrics) const;

 private:
  mutable std::mutex mutex_;  // Guards all below.
  std::map<std::string, v1::PoolMetrics> pools_;
  std::optional<v1::MetricsResponse> process_;  // Its process and its rpcs.
  std::optional<google::protobuf::Timestamp> since_;
};

}  // namespace dbsidecar::server
