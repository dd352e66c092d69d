#include "server/sidecar_service.h"

#include <algorithm>

#include "pool/error.h"
#include "server/database.h"
#include "server/error_mapping.h"
#include "server/health_report.h"
#include "server/metrics_report.h"
#include "server/process_figures.h"

namespace dbsidecar::server {
namespace {

grpc::Status StatusOf(const pool::Error& error) {
  const google::rpc::Status status = ToRpcStatus(error);
  return {static_cast<grpc::StatusCode>(status.code()), status.message(),
          status.SerializeAsString()};
}

grpc::Status NotServed(const std::string& what) {
  return StatusOf(pool::OwnError(pool::ErrorKind::kUnsupported,
                                 what + " is not served by this version (" DBSIDECAR_VERSION ")"));
}

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, grpc::Status status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(std::move(status));
  return reactor;
}

// A stream that ends at once.
template <typename Reactor>
class Refused final : public Reactor {
 public:
  explicit Refused(const std::string& rpc) { this->Finish(NotServed(rpc)); }
  void OnDone() override { delete this; }
};

bool Wanted(const v1::MetricsRequest& request, const std::string& pool) {
  return request.pools().empty() ||
         std::find(request.pools().begin(), request.pools().end(), pool) != request.pools().end();
}

}  // namespace

grpc::ServerUnaryReactor* SidecarService::Health(grpc::CallbackServerContext* context,
                                                 const v1::HealthRequest* request,
                                                 v1::HealthResponse* response) {
  if (request->level() == v1::HEALTH_LEVEL_DETAILED ||
      request->level() == v1::HEALTH_LEVEL_DATABASE) {
    return Refuse(context, NotServed("Health at a level other than BASIC"));
  }
  if (request->check_now()) return Refuse(context, NotServed("Health with check_now"));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  database_.Report([this, reactor, response](const DatabaseReport& report) {
    FillHealth(report.stats, phase_.load(), *response);
    response->set_version(DBSIDECAR_VERSION);
    const auto uptime = std::chrono::steady_clock::now() - started_;
    const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(uptime).count();
    response->mutable_uptime()->set_seconds(nanos / 1'000'000'000);
    response->mutable_uptime()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* SidecarService::Metrics(grpc::CallbackServerContext* context,
                                                  const v1::MetricsRequest* request,
                                                  v1::MetricsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  database_.Report([this, reactor, request, response](const DatabaseReport& report) {
    SetTimestamp(std::chrono::system_clock::now(), *response->mutable_time());
    SetTimestamp(started_at_, *response->mutable_counting_since_time());
    if (Wanted(*request, report.stats.name)) {
      FillPoolMetrics(report.stats, report.outcomes, waiters_max_, *response->add_pools());
    }
    FillProcessMetrics(*response->mutable_process());
    response->mutable_build()->set_version(DBSIDECAR_VERSION);
    response->mutable_build()->set_compiler(__VERSION__);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerWriteReactor<v1::QueryResponse>* SidecarService::QueryStream(
    grpc::CallbackServerContext*, const v1::QueryRequest*) {
  return new Refused<grpc::ServerWriteReactor<v1::QueryResponse>>("QueryStream");
}

grpc::ServerUnaryReactor* SidecarService::Batch(grpc::CallbackServerContext* context,
                                                const v1::BatchRequest*, v1::BatchResponse*) {
  return Refuse(context, NotServed("Batch"));
}

grpc::ServerUnaryReactor* SidecarService::ExecuteMany(grpc::CallbackServerContext* context,
                                                      const v1::ExecuteManyRequest*,
                                                      v1::ExecuteManyResponse*) {
  return Refuse(context, NotServed("ExecuteMany"));
}

grpc::ServerUnaryReactor* SidecarService::Script(grpc::CallbackServerContext* context,
                                                 const v1::ScriptRequest*, v1::ScriptResponse*) {
  return Refuse(context, NotServed("Script"));
}

grpc::ServerUnaryReactor* SidecarService::EndSession(grpc::CallbackServerContext* context,
                                                     const v1::EndSessionRequest*,
                                                     v1::EndSessionResponse*) {
  return Refuse(context, NotServed("EndSession"));
}

grpc::ServerWriteReactor<v1::AttachResponse>* SidecarService::Attach(grpc::CallbackServerContext*,
                                                                     const v1::AttachRequest*) {
  return new Refused<grpc::ServerWriteReactor<v1::AttachResponse>>("Attach");
}

grpc::ServerReadReactor<v1::CopyInRequest>* SidecarService::CopyIn(grpc::CallbackServerContext*,
                                                                   v1::CopyInResponse*) {
  return new Refused<grpc::ServerReadReactor<v1::CopyInRequest>>("CopyIn");
}

grpc::ServerWriteReactor<v1::CopyOutResponse>* SidecarService::CopyOut(grpc::CallbackServerContext*,
                                                                       const v1::CopyOutRequest*) {
  return new Refused<grpc::ServerWriteReactor<v1::CopyOutResponse>>("CopyOut");
}

grpc::ServerWriteReactor<v1::ListenResponse>* SidecarService::Listen(grpc::CallbackServerContext*,
                                                                     const v1::ListenRequest*) {
  return new Refused<grpc::ServerWriteReactor<v1::ListenResponse>>("Listen");
}

grpc::ServerUnaryReactor* SidecarService::Describe(grpc::CallbackServerContext* context,
                                                   const v1::DescribeRequest*,
                                                   v1::DescribeResponse*) {
  return Refuse(context, NotServed("Describe"));
}

grpc::ServerWriteReactor<v1::MetricsResponse>* SidecarService::WatchMetrics(
    grpc::CallbackServerContext*, const v1::MetricsRequest*) {
  return new Refused<grpc::ServerWriteReactor<v1::MetricsResponse>>("WatchMetrics");
}

grpc::ServerUnaryReactor* SidecarService::MetricsHistory(grpc::CallbackServerContext* context,
                                                         const v1::MetricsHistoryRequest*,
                                                         v1::MetricsHistoryResponse*) {
  return Refuse(context, NotServed("MetricsHistory"));
}

}  // namespace dbsidecar::server
