// Calls a running sidecar. The one place of the client verbs that includes gRPC's headers is
// sidecar_client.cc.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/copy.pb.h"
#include "dbsidecar/v1/describe.pb.h"
#include "dbsidecar/v1/health.pb.h"
#include "dbsidecar/v1/listen.pb.h"
#include "dbsidecar/v1/metrics.pb.h"
#include "dbsidecar/v1/query.pb.h"
#include "dbsidecar/v1/session.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "server/cli/call_outcome.h"

namespace dbsidecar::server::cli {

// Each call connects first if necessary, and takes at most `timeout`, the connecting included. To
// be used by one thread, but for Cancel.
class SidecarClient {
 public:
  // `address` as ListenAddress::ToString() gives it. Does not connect yet.
  explicit SidecarClient(const std::string& address);
  ~SidecarClient();
  SidecarClient(const SidecarClient&) = delete;
  SidecarClient& operator=(const SidecarClient&) = delete;

  CallOutcome Query(const v1::QueryRequest& request, std::chrono::milliseconds timeout,
                    v1::QueryResponse& response);
  CallOutcome Describe(const v1::DescribeRequest& request, std::chrono::milliseconds timeout,
                       v1::DescribeResponse& response);
  // `take` gets each part; false = no more is wanted, and the call is cancelled.
  CallOutcome QueryStream(const v1::QueryRequest& request, std::chrono::milliseconds timeout,
                          const std::function<bool(v1::QueryResponse&)>& take);
  CallOutcome Script(const v1::ScriptRequest& request, std::chrono::milliseconds timeout,
                     v1::ScriptResponse& response);
  CallOutcome Batch(const v1::BatchRequest& request, std::chrono::milliseconds timeout,
                    v1::BatchResponse& response);
  CallOutcome EndSession(const v1::EndSessionRequest& request, std::chrono::milliseconds timeout,
                         v1::EndSessionResponse& response);
  // `next` fills each message after `start`; false = that was all.
  CallOutcome CopyIn(const v1::CopyInRequest& start, std::chrono::milliseconds timeout,
                     const std::function<bool(v1::CopyInRequest&)>& next,
                     v1::CopyInResponse& response);
  // As QueryStream.
  CallOutcome CopyOut(const v1::CopyOutRequest& request, std::chrono::milliseconds timeout,
                      const std::function<bool(const v1::CopyOutResponse&)>& take);
  CallOutcome Health(const v1::HealthRequest& request, std::chrono::milliseconds timeout,
                     v1::HealthResponse& response);
  CallOutcome Metrics(const v1::MetricsRequest& request, std::chrono::milliseconds timeout,
                      v1::MetricsResponse& response);
  // As Listen.
  CallOutcome WatchMetrics(const v1::MetricsRequest& request, std::chrono::milliseconds timeout,
                           const std::function<bool(const v1::MetricsResponse&)>& heard);
  // Calls `heard` with each event until it returns false, which is OK, or the stream ends. Timeout
  // 0 = none, but for the connecting.
  CallOutcome Listen(const v1::ListenRequest& request, std::chrono::milliseconds timeout,
                     const std::function<bool(const v1::ListenResponse&)>& heard);
  // Of grpc.health.v1.
  CallOutcome Check(const grpc::health::v1::HealthCheckRequest& request,
                    std::chrono::milliseconds timeout,
                    grpc::health::v1::HealthCheckResponse& response);
  // Cancels the call under way, if there is one. May be called on another thread.
  void Cancel();

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace dbsidecar::server::cli
