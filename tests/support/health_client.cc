#include "tests/support/health_client.h"

#include <thread>

namespace dbsidecar::test_support {

grpc::Status HealthClient::Check(const std::string& service, bool* serving,
                                 std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  grpc::Status status = stub_->Check(&context, request, &response);
  *serving = status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  return status;
}

bool HealthClient::Serving(const std::string& service) {
  bool serving = false;
  Check(service, &serving);
  return serving;
}

bool HealthClient::WaitFor(const std::string& service, bool serving,
                           std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (Serving(service) != serving) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace dbsidecar::test_support
