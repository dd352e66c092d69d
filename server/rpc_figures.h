// Figures by RPC and status code: how often, and how long it took.
//
// Threads: any. To count an RPC takes two additions that wait for nobody, and two looks at the
// clock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dbsidecar/v1/metrics.pb.h"
#include "pool/histogram.h"
#include "pool/time.h"
#include "server/status_code.h"

namespace dbsidecar::server {

// The RPCs of dbsidecar.v1.Sidecar, in the order of the contract.
enum class Rpc : uint8_t {
  kQuery,
  kQueryStream,
  kPipeline,
  kBatch,
  kExecuteMany,
  kScript,
  kEndSession,
  kAttach,
  kCopyIn,
  kCopyOut,
  kListen,
  kDescribe,
  kHealth,
  kMetrics,
  kWatchMetrics,
  kMetricsHistory,
};
inline constexpr size_t kRpcs = 16;

// "Query".
std::string_view RpcName(Rpc rpc);

class RpcFigures {
 public:
  void Count(Rpc rpc, Code code, pool::Duration took);

  // One for each RPC and code that has occurred.
  void Fill(v1::MetricsResponse& metrics) const;

 private:
  struct Figures {
    // By bucket, as pool::Histogram has them.
    std::array<std::atomic<uint64_t>, pool::Histogram::kUpperBoundsSeconds.size() + 1> counts{};
    std::atomic<int64_t> nanoseconds{0};
  };

  std::array<std::array<Figures, kCodes>, kRpcs> figures_{};
};

// One RPC from its arrival to its answer.
class RpcRecord {
 public:
  RpcRecord(RpcFigures& figures, Rpc rpc) : figures_(figures), rpc_(rpc) {}

  void Begin() { begun_ = pool::Clock::now(); }
  // The first call counts. REQUIRES: Begin was called.
  void End(Code code) {
    if (ended_.exchange(true, std::memory_order_relaxed)) return;
    figures_.Count(rpc_, code, pool::Clock::now() - begun_);
  }

 private:
  RpcFigures& figures_;
  const Rpc rpc_;
  pool::Instant begun_;
  std::atomic<bool> ended_{false};
};

}  // namespace dbsidecar::server
