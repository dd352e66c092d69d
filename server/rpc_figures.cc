#include "server/rpc_figures.h"

#include <string>

namespace dbsidecar::server {

std::string_view RpcName(Rpc rpc) {
  switch (rpc) {
    case Rpc::kQuery:
      return "Query";
    case Rpc::kQueryStream:
      return "QueryStream";
    case Rpc::kPipeline:
      return "Pipeline";
    case Rpc::kBatch:
      return "Batch";
    case Rpc::kExecuteMany:
      return "ExecuteMany";
    case Rpc::kScript:
      return "Script";
    case Rpc::kEndSession:
      return "EndSession";
    case Rpc::kAttach:
      return "Attach";
    case Rpc::kCopyIn:
      return "CopyIn";
    case Rpc::kCopyOut:
      return "CopyOut";
    case Rpc::kListen:
      return "Listen";
    case Rpc::kDescribe:
      return "Describe";
    case Rpc::kHealth:
      return "Health";
    case Rpc::kMetrics:
      return "Metrics";
    case Rpc::kWatchMetrics:
      return "WatchMetrics";
    case Rpc::kMetricsHistory:
      return "MetricsHistory";
  }
  return "";
}

void RpcFigures::Count(Rpc rpc, Code code, pool::Duration took) {
  Figures& figures = figures_[static_cast<size_t>(rpc)][static_cast<size_t>(code)];
  const double seconds = std::chrono::duration<double>(took).count();
  figures.counts[pool::Histogram::BucketOf(seconds)].fetch_add(1, std::memory_order_relaxed);
  figures.nanoseconds.fetch_add(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count(),
                                std::memory_order_relaxed);
}

void RpcFigures::Fill(v1::MetricsResponse& metrics) const {
  for (size_t rpc = 0; rpc < kRpcs; ++rpc) {
    for (size_t code = 0; code < kCodes; ++code) {
      const Figures& figures = figures_[rpc][code];
      v1::Histogram histogram;
      uint64_t count = 0;
      for (const std::atomic<uint64_t>& of_bucket : figures.counts) {
        histogram.add_counts(of_bucket.load(std::memory_order_relaxed));
        count += histogram.counts(histogram.counts_size() - 1);
      }
      if (count == 0) continue;
      for (const double bound : pool::Histogram::kUpperBoundsSeconds) {
        histogram.add_upper_bounds_seconds(bound);
      }
      histogram.set_count(count);
      histogram.set_sum_seconds(
          static_cast<double>(figures.nanoseconds.load(std::memory_order_relaxed)) / 1e9);
      v1::RpcMetrics& into = *metrics.add_rpcs();
      into.set_method("dbsidecar.v1.Sidecar/" + std::string(RpcName(static_cast<Rpc>(rpc))));
      into.set_code(static_cast<int32_t>(code));
      into.set_handled_total(count);
      *into.mutable_handling() = std::move(histogram);
    }
  }
}

}  // namespace dbsidecar::server
