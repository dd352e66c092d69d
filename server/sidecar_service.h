// The service dbsidecar.v1.Sidecar: Query and Pipeline on the completion-queue API (query_rpc.h,
// pipeline_rpc.h), Health and
// Metrics on the callback API, and an honest answer for the RPCs that this version does not serve.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <string>

#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::server {

class Database;

namespace sidecar_internal {
// The generated mixins choose the API method by method.
using V = v1::Sidecar;
using M0 = V::WithRawMethod_Query<V::Service>;
using M1 = V::WithCallbackMethod_QueryStream<M0>;
using M2 = V::WithRawMethod_Pipeline<M1>;
using M3 = V::WithCallbackMethod_Batch<M2>;
using M4 = V::WithCallbackMethod_ExecuteMany<M3>;
using M5 = V::WithCallbackMethod_Script<M4>;
using M6 = V::WithCallbackMethod_EndSession<M5>;
using M7 = V::WithCallbackMethod_Attach<M6>;
using M8 = V::WithCallbackMethod_CopyIn<M7>;
using M9 = V::WithCallbackMethod_CopyOut<M8>;
using M10 = V::WithCallbackMethod_Listen<M9>;
using M11 = V::WithCallbackMethod_Describe<M10>;
using M12 = V::WithCallbackMethod_Health<M11>;
using M13 = V::WithCallbackMethod_Metrics<M12>;
using M14 = V::WithCallbackMethod_WatchMetrics<M13>;
using Mixins = V::WithCallbackMethod_MetricsHistory<M14>;
}  // namespace sidecar_internal

class SidecarService final : public sidecar_internal::Mixins {
 public:
  // Borrowed. `waiters_max` is reported by Metrics.
  SidecarService(Database& database, size_t waiters_max)
      : database_(database), waiters_max_(waiters_max) {}

  void SetPhase(v1::LifecyclePhase phase) { phase_.store(phase); }

  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context,
                                   const v1::HealthRequest* request,
                                   v1::HealthResponse* response) override;
  grpc::ServerUnaryReactor* Metrics(grpc::CallbackServerContext* context,
                                    const v1::MetricsRequest* request,
                                    v1::MetricsResponse* response) override;

  // Not served by this version: UNIMPLEMENTED, and the message says so.
  grpc::ServerWriteReactor<v1::QueryResponse>* QueryStream(grpc::CallbackServerContext*,
                                                           const v1::QueryRequest*) override;
  grpc::ServerUnaryReactor* Batch(grpc::CallbackServerContext* context, const v1::BatchRequest*,
                                  v1::BatchResponse*) override;
  grpc::ServerUnaryReactor* ExecuteMany(grpc::CallbackServerContext* context,
                                        const v1::ExecuteManyRequest*,
                                        v1::ExecuteManyResponse*) override;
  grpc::ServerUnaryReactor* Script(grpc::CallbackServerContext* context, const v1::ScriptRequest*,
                                   v1::ScriptResponse*) override;
  grpc::ServerUnaryReactor* EndSession(grpc::CallbackServerContext* context,
                                       const v1::EndSessionRequest*,
                                       v1::EndSessionResponse*) override;
  grpc::ServerWriteReactor<v1::AttachResponse>* Attach(grpc::CallbackServerContext*,
                                                       const v1::AttachRequest*) override;
  grpc::ServerReadReactor<v1::CopyInRequest>* CopyIn(grpc::CallbackServerContext*,
                                                     v1::CopyInResponse*) override;
  grpc::ServerWriteReactor<v1::CopyOutResponse>* CopyOut(grpc::CallbackServerContext*,
                                                         const v1::CopyOutRequest*) override;
  grpc::ServerWriteReactor<v1::ListenResponse>* Listen(grpc::CallbackServerContext*,
                                                       const v1::ListenRequest*) override;
  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context,
                                     const v1::DescribeRequest*, v1::DescribeResponse*) override;
  grpc::ServerWriteReactor<v1::MetricsResponse>* WatchMetrics(grpc::CallbackServerContext*,
                                                              const v1::MetricsRequest*) override;
  grpc::ServerUnaryReactor* MetricsHistory(grpc::CallbackServerContext* context,
                                           const v1::MetricsHistoryRequest*,
                                           v1::MetricsHistoryResponse*) override;

 private:
  Database& database_;
  const size_t waiters_max_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  const std::chrono::system_clock::time_point started_at_ = std::chrono::system_clock::now();
  std::atomic<v1::LifecyclePhase> phase_{v1::LIFECYCLE_PHASE_STARTING};
};

}  // namespace dbsidecar::server
