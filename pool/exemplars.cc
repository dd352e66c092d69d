#include "pool/exemplars.h"

#include "pool/histogram.h"

namespace dbsidecar::pool {

void Exemplars::Note(Duration took, const TraceContext& trace,
                     std::chrono::system_clock::time_point now) {
  const double seconds = std::chrono::duration<double>(took).count();
  by_bucket_.resize(Histogram::kUpperBoundsSeconds.size() + 1);
  by_bucket_[Histogram::BucketOf(seconds)] = {.seconds = seconds,
                                              .time = now,
                                              .trace_id = std::string(trace.trace_id()),
                                              .span_id = std::string(trace.span_id())};
}

}  // namespace dbsidecar::pool
