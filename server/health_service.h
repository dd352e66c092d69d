// The standard service grpc.health.v1.Health.
//
// gRPC's own (HealthCheckServiceInterface) is on the callback API, whose threads poll; see
// sidecar_service.h for why none may.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/completion_queues.h"

namespace dbsidecar::server {

class HealthService final
    : public grpc::health::v1::Health::WithAsyncMethod_Watch<grpc::health::v1::Health::Service> {
 public:
  using ServingStatus = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // Whoever watches `service` is told if it changes. Any thread.
  void SetServing(const std::string& service, bool serving);

  // NOT_FOUND for a name that was never set.
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;

  // Begins to accept Watch, which answers SERVICE_UNKNOWN for such a name and goes on. REQUIRES:
  // the server has been started; the queues end before this does.
  void AcceptWatches(CompletionQueues& queues);

 private:
  class Watcher;

  // REQUIRES: mutex_ is held.
  ServingStatus StatusOf(const std::string& service) const;

  std::mutex mutex_;  // Guards all below, and the watchers' own state.
  std::map<std::string, ServingStatus> statuses_;
  std::set<Watcher*> watchers_;
};

}  // namespace dbsidecar::server
