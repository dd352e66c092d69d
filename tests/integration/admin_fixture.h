// A sidecar with its Admin service, and calls of it as a test wants to make them.
#pragma once

#include <google/protobuf/util/time_util.h>

#include <memory>
#include <string>
#include <vector>

#include "dbsidecar/v1/admin.grpc.pb.h"
#include "tests/integration/fixture.h"

namespace dbsidecar::integration {

class AdminSidecar {
 public:
  // Its database is where its flags say.
  static constexpr const char* kNoUrl = "none";
  // On PostgreSQL's shared server, or where `url` says.
  explicit AdminSidecar(std::vector<std::string> flags = {}, std::string url = "",
                        std::string profile = "test");

  // OK, or why not.
  grpc::Status Pause(milliseconds timeout);
  v1::PoolState Resume();
  grpc::Status Resize(std::optional<uint32_t> min, std::optional<uint32_t> max);
  grpc::Status Reload(v1::ReloadResponse& response, bool dry_run = false);
  std::vector<v1::RunningStatement> Statements();
  // Once there are so many that run or wait, as `state` says; fails the test otherwise.
  std::vector<v1::RunningStatement> AwaitStatements(size_t count, v1::StatementState state);
  std::vector<v1::OpenSession> Sessions();
  grpc::Status Cancel(uint64_t id, v1::CancelStatementResponse& response);
  grpc::Status CancelSession(uint64_t id, v1::CancelSessionResponse& response);

  v1::PoolMetrics Metrics();
  v1::HealthResponse Health();
  // The value and the source of an option, by the report of what is in force.
  std::string Option(const std::string& name);

  v1::Admin::Stub& admin() { return *admin_; }
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + 20s);
  }

  SidecarProcess sidecar;
  QueryClient client;
  HealthClient health;

 private:
  std::unique_ptr<v1::Admin::Stub> admin_;
};

// The call by that text; fails the test if it is not there.
v1::RunningStatement TheOneThat(const std::vector<v1::RunningStatement>& statements,
                                const std::string& text);

}  // namespace dbsidecar::integration
