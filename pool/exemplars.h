// For each bucket of a histogram the latest call that fell into it and belongs to a recorded trace.
//
// Not thread-safe: it lives on the loop thread and leaves it as a copy, which costs nothing as long
// as nobody traces.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "pool/time.h"
#include "pool/trace_context.h"

namespace dbsidecar::pool {

struct Exemplar {
  double seconds = 0;
  std::chrono::system_clock::time_point time;
  std::string trace_id;  // Empty = none.
  std::string span_id;
};

class Exemplars {
 public:
  // REQUIRES: trace.sampled().
  void Note(Duration took, const TraceContext& trace, std::chrono::system_clock::time_point now);

  // By Histogram::BucketOf; empty before the first.
  const std::vector<Exemplar>& by_bucket() const { return by_bucket_; }

 private:
  std::vector<Exemplar> by_bucket_;
};

}  // namespace dbsidecar::pool
