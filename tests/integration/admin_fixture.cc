#include "tests/integration/admin_fixture.h"

namespace dbsidecar::integration {

using google::protobuf::util::TimeUtil;

AdminSidecar::AdminSidecar(std::vector<std::string> flags, std::string url, std::string profile)
    : sidecar({.database_url = url == kNoUrl ? ""
                               : url.empty() ? PostgresServer::Shared().Url(
                                                   PostgresServer::Shared().CreateDatabase("admin"))
                                             : std::move(url),
               .profile = std::move(profile),
               .flags = std::move(flags),
               .environment = {},
               .admin = true}),
      client(sidecar.NewChannel()),
      health(sidecar.NewChannel()),
      admin_(v1::Admin::NewStub(sidecar.NewAdminChannel())) {}

grpc::Status AdminSidecar::Pause(milliseconds timeout) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::PauseRequest request;
  *request.mutable_timeout() = TimeUtil::MillisecondsToDuration(timeout.count());
  v1::PauseResponse response;
  const grpc::Status status = admin_->Pause(&context, request, &response);
  if (status.ok()) {
    EXPECT_EQ(response.state(), v1::POOL_STATE_PAUSED);
  }
  return status;
}

v1::PoolState AdminSidecar::Resume() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ResumeResponse response;
  const grpc::Status status = admin_->Resume(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.state();
}

grpc::Status AdminSidecar::Resize(std::optional<uint32_t> min, std::optional<uint32_t> max) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ResizePoolRequest request;
  if (min) request.set_min(*min);
  if (max) request.set_max(*max);
  v1::ResizePoolResponse response;
  const grpc::Status status = admin_->ResizePool(&context, request, &response);
  if (status.ok()) {
    EXPECT_EQ(response.max(), max.value_or(response.max()));
    EXPECT_EQ(response.min(), min.value_or(response.min()));
  }
  return status;
}

grpc::Status AdminSidecar::Reload(v1::ReloadResponse& response, bool dry_run) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ReloadRequest request;
  request.set_dry_run(dry_run);
  return admin_->Reload(&context, request, &response);
}

std::vector<v1::RunningStatement> AdminSidecar::Statements() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListStatementsResponse response;
  const grpc::Status status = admin_->ListStatements(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return {response.statements().begin(), response.statements().end()};
}

std::vector<v1::RunningStatement> AdminSidecar::AwaitStatements(size_t count,
                                                                v1::StatementState state) {
  std::vector<v1::RunningStatement> found;
  EXPECT_TRUE(Eventually(10s,
                         [&] {
                           found = Statements();
                           std::erase_if(found, [&](const auto& statement) {
                             return statement.state() != state;
                           });
                           return found.size() == count;
                         }))
      << found.size() << " of " << count;
  return found;
}

std::vector<v1::OpenSession> AdminSidecar::Sessions() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListSessionsResponse response;
  const grpc::Status status = admin_->ListSessions(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return {response.sessions().begin(), response.sessions().end()};
}

grpc::Status AdminSidecar::Cancel(uint64_t id, v1::CancelStatementResponse& response) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CancelStatementRequest request;
  request.set_id(id);
  return admin_->CancelStatement(&context, request, &response);
}

grpc::Status AdminSidecar::CancelSession(uint64_t id, v1::CancelSessionResponse& response) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CancelSessionRequest request;
  request.set_id(id);
  return admin_->CancelSession(&context, request, &response);
}

v1::PoolMetrics AdminSidecar::Metrics() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::MetricsResponse response;
  const grpc::Status status = client.stub().Metrics(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.pools_size() == 1 ? response.pools(0) : v1::PoolMetrics();
}

v1::HealthResponse AdminSidecar::Health() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::HealthRequest request;
  request.set_level(v1::HEALTH_LEVEL_DATABASE);
  v1::HealthResponse response;
  const grpc::Status status = client.stub().Health(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

std::string AdminSidecar::Option(const std::string& name) {
  const v1::HealthResponse report = Health();
  for (const v1::ConfigurationEntry& entry : report.database().configuration()) {
    if (entry.name() != name) continue;
    return entry.value() + " " + v1::ConfigurationSource_Name(entry.source());
  }
  return "?";
}

v1::RunningStatement TheOneThat(const std::vector<v1::RunningStatement>& statements,
                                const std::string& text) {
  for (const v1::RunningStatement& statement : statements) {
    if (statement.sql().find(text) != std::string::npos) return statement;
  }
  ADD_FAILURE() << "no statement with " << text;
  return {};
}

}  // namespace dbsidecar::integration
