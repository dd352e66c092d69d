// The service dbsidecar.v1.Sidecar: Query, Pipeline, QueryStream, CopyIn, CopyOut, Listen, Attach
// and WatchMetrics on the completion-queue API (query_rpc.h, pipeline_rpc.h, ...), the others on
// the synchronous one.
//
// The synchronous API, because its threads do not poll when a server has completion queues, too:
// whatever polls besides these takes events from them and wakes them for each (docs/adr/0016). So
// there must be no method on the callback API.
#pragma once

#include <grpcpp/grpcpp.h>

#include "dbsidecar/v1/sidecar.grpc.pb.h"
#include "server/current_limits.h"

namespace dbsidecar::server {

class Pools;
class Reports;
class RpcFigures;

class SidecarService final
    : public v1::Sidecar::WithRawMethod_Query<
          v1::Sidecar::WithRawMethod_Pipeline<v1::Sidecar::WithRawMethod_QueryStream<
              v1::Sidecar::WithRawMethod_CopyIn<v1::Sidecar::WithRawMethod_CopyOut<
                  v1::Sidecar::WithRawMethod_Listen<v1::Sidecar::WithRawMethod_Attach<
                      v1::Sidecar::WithRawMethod_WatchMetrics<v1::Sidecar::Service>>>>>>>> {
 public:
  // Borrowed.
  SidecarService(Pools& pools, Reports& reports, const CurrentLimits& limits)
      : pools_(pools), reports_(reports), limits_(limits) {}

  // Where they are counted.
  RpcFigures& rpcs();

  grpc::Status Health(grpc::ServerContext* context, const v1::HealthRequest* request,
                      v1::HealthResponse* response) override;
  grpc::Status Metrics(grpc::ServerContext* context, const v1::MetricsRequest* request,
                       v1::MetricsResponse* response) override;
  grpc::Status Script(grpc::ServerContext* context, const v1::ScriptRequest* request,
                      v1::ScriptResponse* response) override;

  grpc::Status Batch(grpc::ServerContext* context, const v1::BatchRequest* request,
                     v1::BatchResponse* response) override;
  grpc::Status ExecuteMany(grpc::ServerContext* context, const v1::ExecuteManyRequest* request,
                           v1::ExecuteManyResponse* response) override;
  grpc::Status Describe(grpc::ServerContext* context, const v1::DescribeRequest* request,
                        v1::DescribeResponse* response) override;
  grpc::Status EndSession(grpc::ServerContext*, const v1::EndSessionRequest*,
                          v1::EndSessionResponse*) override;

  grpc::Status MetricsHistory(grpc::ServerContext*, const v1::MetricsHistoryRequest* request,
                              v1::MetricsHistoryResponse* response) override;

 private:
  grpc::Status RunScript(grpc::ServerContext* context, const v1::ScriptRequest* request,
                         v1::ScriptResponse* response);
  grpc::Status RunEnd(grpc::ServerContext* context, const v1::EndSessionRequest* request,
                      v1::EndSessionResponse* response);

  Pools& pools_;
  Reports& reports_;
  const CurrentLimits& limits_;
};

}  // namespace dbsidecar::server
