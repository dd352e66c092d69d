// Asks grpc.health.v1.Health, as a kubelet does.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace dbsidecar::test_support {

class HealthClient {
 public:
  explicit HealthClient(std::shared_ptr<grpc::Channel> channel)
      : stub_(grpc::health::v1::Health::NewStub(std::move(channel))) {}

  // The status of the call itself; `serving` is set only with OK.
  grpc::Status Check(const std::string& service, bool* serving,
                     std::chrono::milliseconds timeout = std::chrono::seconds(1));
  bool Serving(const std::string& service);
  // Polls until it is, or is not, serving. False after `timeout`.
  bool WaitFor(const std::string& service, bool serving, std::chrono::milliseconds timeout);

  grpc::health::v1::Health::Stub& stub() { return *stub_; }

 private:
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
};

}  // namespace dbsidecar::test_support
