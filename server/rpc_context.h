// What the hot RPCs share: the database, the limits, and the count of calls under way.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "pool/event_loop.h"
#include "pool/time.h"
#include "server/current_limits.h"
#include "server/pools.h"
#include "server/request_parser.h"
#include "server/rpc_figures.h"
#include "server/sidecar_service.h"

namespace dbsidecar::server {

class RpcContext {
 public:
  // All borrowed.
  RpcContext(SidecarService& service, Pools& pools, const CurrentLimits& limits,
             pool::EventLoop& encoder)
      : service_(service), pools_(pools), limits_(limits), encoder_(encoder) {}

  SidecarService& service() { return service_; }
  RpcFigures& rpcs() { return service_.rpcs(); }
  Pools& pools() { return pools_; }
  RequestLimits limits() const { return limits_.Get(); }
  // A thread for results that take long to encode.
  pool::EventLoop& encoder() { return encoder_; }

  // Calls that have come in and whose reply has not been written to the network yet.
  size_t open_calls() const { return open_calls_.load(); }
  void CallOpened() { open_calls_.fetch_add(1); }
  void CallsClosed(size_t count) { open_calls_.fetch_sub(count); }
  // Streams of events, which have no answer that they could be waited for.
  size_t open_streams() const { return open_streams_.load(); }
  void StreamOpened() { open_streams_.fetch_add(1); }
  void StreamClosed() { open_streams_.fetch_sub(1); }

  // Hands calls that are counted as open to the database. Where there are no others, nothing would
  // be gained by waiting for more (docs/adr/0018).
  void Submit(std::vector<pool::Call*> calls) {
    if (open_calls() <= calls.size()) {
      pools_.SubmitAtOnce(std::move(calls));
    } else {
      pools_.Submit(std::move(calls));
    }
  }

 private:
  SidecarService& service_;
  Pools& pools_;
  const CurrentLimits& limits_;
  pool::EventLoop& encoder_;
  std::atomic<size_t> open_calls_{0};
  std::atomic<size_t> open_streams_{0};
};

// Results up to this size are encoded on the loop's thread, which spares a hand-over; larger ones
// would hold up everyone else's replies there, and everyone's requests on a queue's thread.
inline constexpr uint64_t kEncodeOnLoopMax = 32 * 1024;

}  // namespace dbsidecar::server
