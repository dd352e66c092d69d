// The limits of requests, which a reload changes while calls go by them.
#pragma once

#include <atomic>

#include "server/request_parser.h"

namespace dbsidecar::server {

// Threads: any. One call may see some limits of before a change and others of after it.
class CurrentLimits {
 public:
  explicit CurrentLimits(const RequestLimits& limits) { Set(limits); }

  void Set(const RequestLimits& limits) {
    result_rows_max_.store(limits.result_rows_max, std::memory_order_relaxed);
    result_bytes_max_.store(limits.result_bytes_max, std::memory_order_relaxed);
    parameters_max_.store(limits.parameters_max, std::memory_order_relaxed);
  }
  RequestLimits Get() const {
    return {.result_rows_max = result_rows_max_.load(std::memory_order_relaxed),
            .result_bytes_max = result_bytes_max_.load(std::memory_order_relaxed),
            .parameters_max = parameters_max_.load(std::memory_order_relaxed)};
  }

 private:
  std::atomic<uint64_t> result_rows_max_;
  std::atomic<uint64_t> result_bytes_max_;
  std::atomic<size_t> parameters_max_;
};

}  // namespace dbsidecar::server
