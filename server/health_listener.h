// Listeners with grpc.health.v1 alone: kubelet's probes come to the pod's address, where nothing
// else of the sidecar should be.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "server/completion_queues.h"
#include "server/config/listen_address.h"
#include "server/health_service.h"

namespace dbsidecar::server {

class HealthListener {
 public:
  // Ends what is still under way.
  ~HealthListener();

  // May be called before Start, and without it.
  HealthService& service() { return service_; }

  // Serves on all of `addresses`, which may be none. False if gRPC could not start. `ports` are
  // those that were taken, in the order of the addresses.
  bool Start(const std::vector<ListenAddress>& addresses, std::vector<int>& ports);

 private:
  HealthService service_;
  std::unique_ptr<CompletionQueues> queues_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dbsidecar::server
