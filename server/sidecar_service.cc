#include "server/sidecar_service.h"

#include <algorithm>

#include "pool/error.h"
#include "server/awaited_call.h"
#include "server/batch_rpc.h"
#include "server/database.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/health_report.h"
#include "server/metrics_report.h"
#include "server/process_figures.h"
#include "server/request_parser.h"
#include "server/result_encoder.h"

namespace dbsidecar::server {
namespace {

grpc::Status NotServed(const std::string& what) {
  return ToGrpcStatus(
      pool::OwnError(pool::ErrorKind::kUnsupported,
                     what + " is not served by this version (" DBSIDECAR_VERSION ")"));
}

bool Wanted(const v1::MetricsRequest& request, const std::string& pool) {
  return request.pools().empty() ||
         std::find(request.pools().begin(), request.pools().end(), pool) != request.pools().end();
}

}  // namespace

grpc::Status SidecarService::Health(grpc::ServerContext*, const v1::HealthRequest* request,
                                    v1::HealthResponse* response) {
  if (request->level() == v1::HEALTH_LEVEL_DETAILED ||
      request->level() == v1::HEALTH_LEVEL_DATABASE) {
    return NotServed("Health at a level other than BASIC");
  }
  if (request->check_now()) return NotServed("Health with check_now");
  FillHealth(database_.Report().stats, phase_.load(), *response);
  response->set_version(DBSIDECAR_VERSION);
  const auto uptime = std::chrono::steady_clock::now() - started_;
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(uptime).count();
  response->mutable_uptime()->set_seconds(nanos / 1'000'000'000);
  response->mutable_uptime()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return grpc::Status::OK;
}

grpc::Status SidecarService::Metrics(grpc::ServerContext*, const v1::MetricsRequest* request,
                                     v1::MetricsResponse* response) {
  const DatabaseReport report = database_.Report();
  SetTimestamp(std::chrono::system_clock::now(), *response->mutable_time());
  SetTimestamp(started_at_, *response->mutable_counting_since_time());
  if (Wanted(*request, report.stats.name)) {
    FillPoolMetrics(report.stats, report.outcomes, waiters_max_, *response->add_pools());
  }
  FillProcessMetrics(*response->mutable_process());
  response->mutable_build()->set_version(DBSIDECAR_VERSION);
  response->mutable_build()->set_compiler(__VERSION__);
  return grpc::Status::OK;
}

grpc::Status SidecarService::Batch(grpc::ServerContext* context, const v1::BatchRequest* request,
                                   v1::BatchResponse* response) {
  return RunBatch(database_, limits_, *context, *request, *response);
}

grpc::Status SidecarService::ExecuteMany(grpc::ServerContext* context,
                                         const v1::ExecuteManyRequest* request,
                                         v1::ExecuteManyResponse* response) {
  return RunExecuteMany(database_, limits_, *context, *request, *response);
}

grpc::Status SidecarService::Script(grpc::ServerContext* context, const v1::ScriptRequest* request,
                                    v1::ScriptResponse* response) {
  if (const std::optional<pool::Error> trouble = CheckScript(*request)) {
    return ToGrpcStatus(*trouble);
  }
  AwaitedCall call;
  call.id = database_.NextCallId();
  call.statement = ToStatement(*request, limits_);
  call.session = ToSessionUse(request->session(), 0);
  call.deadline = DeadlineOf(*context);
  call.caller = CallerOf(request->tags());
  database_.Submit(call);
  const pool::Outcome outcome =
      call.Await([context] { return context->IsCancelled(); }, [&] { database_.Cancel(call.id); });
  if (outcome.error) {
    KeepRetriesAway(*context, *outcome.error);
    return ToGrpcStatus(*outcome.error);
  }
  WireWriter reply;
  EncodeScript(outcome, request->format(), request->want_timing(), reply);
  if (limits_.result_bytes_max != 0 && reply.size() > limits_.result_bytes_max) {
    return ToGrpcStatus(pool::ResultTooLarge(call.statement.limits, true));
  }
  response->ParseFromArray(reply.bytes().data(), static_cast<int>(reply.size()));
  return grpc::Status::OK;
}

grpc::Status SidecarService::EndSession(grpc::ServerContext* context,
                                        const v1::EndSessionRequest* request,
                                        v1::EndSessionResponse* response) {
  if (const std::optional<pool::Error> trouble = CheckEndSession(*request)) {
    return ToGrpcStatus(*trouble);
  }
  AwaitedCall call;
  call.id = database_.NextCallId();
  call.session = ToSessionUse(*request);
  call.deadline = DeadlineOf(*context);
  database_.Submit(call);
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
  return RunDescribe(database_, limits_, *context, *request, *response);
}

grpc::Status SidecarService::WatchMetrics(grpc::ServerContext*, const v1::MetricsRequest*,
                                          grpc::ServerWriter<v1::MetricsResponse>*) {
  return NotServed("WatchMetrics");
}

grpc::Status SidecarService::MetricsHistory(grpc::ServerContext*, const v1::MetricsHistoryRequest*,
                                            v1::MetricsHistoryResponse*) {
  return NotServed("MetricsHistory");
}

}  // namespace dbsidecar::server
