#include "server/sidecar_service.h"

#include "pool/error.h"
#include "server/awaited_call.h"
#include "server/batch_rpc.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/pools.h"
#include "server/reports.h"
#include "server/request_parser.h"
#include "server/result_encoder.h"
#include "server/trace_metadata.h"

namespace dbsidecar::server {
namespace {

// Counts an RPC that is answered when `answer` returns.
template <typename Answer>
grpc::Status Counted(RpcFigures& figures, Rpc rpc, Answer answer) {
  RpcRecord record(figures, rpc);
  record.Begin();
  grpc::Status status = answer();
  record.End(static_cast<Code>(status.error_code()));
  return status;
}

}  // namespace

RpcFigures& SidecarService::rpcs() { return reports_.rpcs(); }

grpc::Status SidecarService::Health(grpc::ServerContext* context, const v1::HealthRequest* request,
                                    v1::HealthResponse* response) {
  return Counted(rpcs(), Rpc::kHealth, [&] {
    const auto trouble = reports_.FillHealth(*request, DeadlineOf(*context), *response);
    return trouble ? ToGrpcStatus(*trouble) : grpc::Status::OK;
  });
}

grpc::Status SidecarService::Metrics(grpc::ServerContext*, const v1::MetricsRequest* request,
                                     v1::MetricsResponse* response) {
  return Counted(rpcs(), Rpc::kMetrics, [&] {
    const auto trouble = reports_.FillMetrics(*request, *response);
    return trouble ? ToGrpcStatus(*trouble) : grpc::Status::OK;
  });
}

grpc::Status SidecarService::Batch(grpc::ServerContext* context, const v1::BatchRequest* request,
                                   v1::BatchResponse* response) {
  return Counted(rpcs(), Rpc::kBatch,
                 [&] { return RunBatch(pools_, limits_.Get(), *context, *request, *response); });
}

grpc::Status SidecarService::ExecuteMany(grpc::ServerContext* context,
                                         const v1::ExecuteManyRequest* request,
                                         v1::ExecuteManyResponse* response) {
  return Counted(rpcs(), Rpc::kExecuteMany, [&] {
    return RunExecuteMany(pools_, limits_.Get(), *context, *request, *response);
  });
}

grpc::Status SidecarService::Script(grpc::ServerContext* context, const v1::ScriptRequest* request,
                                    v1::ScriptResponse* response) {
  return Counted(rpcs(), Rpc::kScript, [&] { return RunScript(context, request, response); });
}

grpc::Status SidecarService::RunScript(grpc::ServerContext* context,
                                       const v1::ScriptRequest* request,
                                       v1::ScriptResponse* response) {
  if (const std::optional<pool::Error> trouble = CheckScript(*request)) {
    return ToGrpcStatus(*trouble);
  }
  AwaitedCall call;
  call.id = pools_.NextCallId();
  call.pool_name = request->pool();
  call.statement = ToStatement(*request, limits_.Get());
  call.session = ToSessionUse(request->session(), 0);
  call.deadline = DeadlineOf(*context);
  call.caller = CallerOf(request->tags());
  call.route = RouteOf(request->tags());
  call.rpc = RpcName(Rpc::kScript);
  call.trace = TraceOf(request->tags(), TraceOf(*context));
  pools_.Submit(call);
  const pool::Outcome outcome =
      call.Await([context] { return context->IsCancelled(); }, [&] { pools_.Cancel(call.id); });
  if (outcome.error) {
    KeepRetriesAway(*context, *outcome.error);
    return ToGrpcStatus(*outcome.error);
  }
  WireWriter reply;
  EncodeScript(outcome, request->format(), request->want_timing(), reply);
  const uint64_t limit = call.statement.limits.bytes_max;
  if (limit != 0 && reply.size() > limit) {
    return ToGrpcStatus(pool::ResultTooLarge(call.statement.limits, true));
  }
  response->ParseFromArray(reply.bytes().data(), static_cast<int>(reply.size()));
  return grpc::Status::OK;
}

grpc::Status SidecarService::EndSession(grpc::ServerContext* context,
                                        const v1::EndSessionRequest* request,
                                        v1::EndSessionResponse* response) {
  return Counted(rpcs(), Rpc::kEndSession, [&] { return RunEnd(context, request, response); });
}

grpc::Status SidecarService::RunEnd(grpc::ServerContext* context,
                                    const v1::EndSessionRequest* request,
                                    v1::EndSessionResponse* response) {
  if (const std::optional<pool::Error> trouble = CheckEndSession(*request)) {
    return ToGrpcStatus(*trouble);
  }
  AwaitedCall call;
  call.id = pools_.NextCallId();
  call.session = ToSessionUse(*request);
  call.deadline = DeadlineOf(*context);
  call.rpc = RpcName(Rpc::kEndSession);
  call.trace = TraceOf(*context);
  pools_.Submit(call);
  const pool::Outcome outcome = call.Await();
  if (outcome.error) return ToGrpcStatus(*outcome.error);
  WireWriter reply;
  EncodeEnd(outcome, request->want_timing(), reply);
  response->ParseFromArray(reply.bytes().data(), static_cast<int>(reply.size()));
  return grpc::Status::OK;
}

grpc::Status SidecarService::Describe(grpc::ServerContext* context,
                                      const v1::DescribeRequest* request,
                                      v1::DescribeResponse* response) {
  return Counted(rpcs(), Rpc::kDescribe,
                 [&] { return RunDescribe(pools_, limits_.Get(), *context, *request, *response); });
}

grpc::Status SidecarService::MetricsHistory(grpc::ServerContext*,
                                            const v1::MetricsHistoryRequest* request,
                                            v1::MetricsHistoryResponse* response) {
  return Counted(rpcs(), Rpc::kMetricsHistory, [&] {
    const auto trouble = reports_.FillHistory(*request, *response);
    return trouble ? ToGrpcStatus(*trouble) : grpc::Status::OK;
  });
}

}  // namespace dbsidecar::server
