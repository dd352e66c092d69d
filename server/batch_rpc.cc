#include "server/batch_rpc.h"

#include <utility>

#include "server/awaited_call.h"
#include "server/batch_request.h"
#include "server/batch_response.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/rpc_figures.h"
#include "server/trace_metadata.h"

namespace dbsidecar::server {
namespace {

grpc::Status Failure(grpc::ServerContext& context, const pool::Error& error) {
  KeepRetriesAway(context, error);
  return ToGrpcStatus(error);
}

template <typename Request>
void Prepare(Pools& pools, const RequestLimits& limits, const grpc::ServerContext& context,
             const Request& request, Rpc rpc, AwaitedCall& call) {
  call.id = pools.NextCallId();
  call.pool_name = request.pool();
  call.statement = ToStatement(request, limits);
  call.session = ToSessionUse(request.session(), 0);
  call.deadline = DeadlineOf(context);
  call.caller = CallerOf(request.tags());
  call.route = RouteOf(request.tags());
  call.rpc = RpcName(rpc);
  call.trace = TraceOf(request.tags(), TraceOf(context));
}

pool::Outcome Run(Pools& pools, const grpc::ServerContext& context, AwaitedCall& call) {
  pools.Submit(call);
  return call.Await([&] { return context.IsCancelled(); }, [&] { pools.Cancel(call.id); });
}

template <typename Response>
bool IsTooLarge(const RequestLimits& limits, const Response& response) {
  return limits.result_bytes_max != 0 && response.ByteSizeLong() > limits.result_bytes_max;
}

}  // namespace

grpc::Status RunBatch(Pools& pools, const RequestLimits& limits, grpc::ServerContext& context,
                      const v1::BatchRequest& request, v1::BatchResponse& response) {
  if (const auto trouble = CheckBatch(request, limits)) return Failure(context, *trouble);
  const pool::Batch batch = ToBatch(request, limits);
  AwaitedCall call;
  Prepare(pools, limits, context, request, Rpc::kBatch, call);
  call.batch = &batch;
  const pool::Outcome outcome = Run(pools, context, call);
  if (outcome.error) return Failure(context, *outcome.error);
  FillBatch(outcome, request.format(), request.want_timing(), response);
  if (!IsTooLarge(limits, response)) return grpc::Status::OK;
  return Failure(context, pool::ResultTooLarge(call.statement.limits, !request.read_only()));
}

grpc::Status RunExecuteMany(Pools& pools, const RequestLimits& limits, grpc::ServerContext& context,
                            const v1::ExecuteManyRequest& request,
                            v1::ExecuteManyResponse& response) {
  if (const auto trouble = CheckExecuteMany(request, limits)) return Failure(context, *trouble);
  const ColumnRows rows(request);
  AwaitedCall call;
  Prepare(pools, limits, context, request, Rpc::kExecuteMany, call);
  call.rows = &rows;
  call.wants_rows_affected = request.want_rows_affected_by_row();
  const pool::Outcome outcome = Run(pools, context, call);
  if (outcome.error) return Failure(context, *outcome.error);
  FillMany(outcome, request.format(), request.want_timing(), response);
  if (!IsTooLarge(limits, response)) return grpc::Status::OK;
  return Failure(context, pool::ResultTooLarge(call.statement.limits, !request.read_only()));
}

grpc::Status RunDescribe(Pools& pools, const RequestLimits& limits, grpc::ServerContext& context,
                         const v1::DescribeRequest& request, v1::DescribeResponse& response) {
  if (const auto trouble = CheckDescribe(request, limits)) return Failure(context, *trouble);
  pool::Description description;
  AwaitedCall call;
  Prepare(pools, limits, context, request, Rpc::kDescribe, call);
  call.description = &description;
  const pool::Outcome outcome = Run(pools, context, call);
  if (outcome.error) return Failure(context, *outcome.error);
  FillDescription(description, response);
  return grpc::Status::OK;
}

}  // namespace dbsidecar::server
