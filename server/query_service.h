// The Query RPC on gRPC's completion-queue API, which costs less per call than the callback API
// (docs/adr). Requests and replies are raw bytes here, so that this code decides how they are
// parsed and written.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "server/request_parser.h"
#include "server/sidecar_service.h"

namespace dbsidecar::server {

class Database;

class QueryService {
 public:
  // Takes its queues from `builder`; all are borrowed.
  QueryService(SidecarService& service, Database& database, RequestLimits limits, int threads,
               grpc::ServerBuilder& builder);
  // REQUIRES: the server is shut down.
  ~QueryService();

  // Begins to accept. REQUIRES: the server has been started.
  void Start();

  SidecarService& service() { return service_; }
  Database& database() { return database_; }
  const RequestLimits& limits() const { return limits_; }
  // Calls that have come in and whose reply has not been written to the network yet.
  size_t open_calls() const { return open_calls_.load(); }
  void CallOpened() { open_calls_.fetch_add(1); }
  void CallClosed() { open_calls_.fetch_sub(1); }
  uint64_t NextCallId() { return next_call_id_.fetch_add(1, std::memory_order_relaxed); }

 private:
  SidecarService& service_;
  Database& database_;
  const RequestLimits limits_;
  std::atomic<uint64_t> next_call_id_{1};
  std::atomic<size_t> open_calls_{0};
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::vector<std::thread> threads_;
};

}  // namespace dbsidecar::server
