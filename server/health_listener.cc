#include "server/health_listener.h"

#include <grpc/grpc.h>

#include <chrono>

namespace dbsidecar::server {

HealthListener::~HealthListener() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  server_->Wait();
  queues_.reset();
}

bool HealthListener::Start(const std::vector<ListenAddress>& addresses, std::vector<int>& ports) {
  ports.assign(addresses.size(), 0);
  if (addresses.empty()) return true;
  grpc::ServerBuilder builder;
  for (size_t i = 0; i < addresses.size(); ++i) {
    builder.AddListeningPort(addresses[i].ToString(), grpc::InsecureServerCredentials(), &ports[i]);
  }
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&service_);
  queues_ = std::make_unique<CompletionQueues>(builder, 1);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return false;
  service_.AcceptWatches(*queues_);
  queues_->Start();
  return true;
}

}  // namespace dbsidecar::server
