#include "server/cli/admin_client.h"

#include "dbsidecar/v1/admin.grpc.pb.h"
#include "server/cli/client_channel.h"

namespace dbsidecar::server::cli {

struct AdminClient::Connection : ClientChannel {
  explicit Connection(const std::string& address)
      : ClientChannel(address), admin(v1::Admin::NewStub(channel())) {}

  template <typename Method, typename Request, typename Response>
  CallOutcome Call(Method method, const Request& request, Timeout timeout, Response& response) {
    return Run(timeout, [&](grpc::ClientContext& context) {
      return (admin.get()->*method)(&context, request, &response);
    });
  }

  std::unique_ptr<v1::Admin::Stub> admin;
};

AdminClient::AdminClient(const std::string& address)
    : connection_(std::make_unique<Connection>(address)) {}

AdminClient::~AdminClient() = default;

CallOutcome AdminClient::Pause(const v1::PauseRequest& request, Timeout timeout,
                               v1::PauseResponse& response) {
  return connection_->Call(&v1::Admin::Stub::Pause, request, timeout, response);
}

CallOutcome AdminClient::Resume(const v1::ResumeRequest& request, Timeout timeout,
                                v1::ResumeResponse& response) {
  return connection_->Call(&v1::Admin::Stub::Resume, request, timeout, response);
}

CallOutcome AdminClient::Reload(const v1::ReloadRequest& request, Timeout timeout,
                                v1::ReloadResponse& response) {
  return connection_->Call(&v1::Admin::Stub::Reload, request, timeout, response);
}

CallOutcome AdminClient::Drain(const v1::DrainRequest& request, Timeout timeout,
                               v1::DrainResponse& response) {
  return connection_->Call(&v1::Admin::Stub::Drain, request, timeout, response);
}

CallOutcome AdminClient::Quit(const v1::QuitRequest& request, Timeout timeout,
                              v1::QuitResponse& response) {
  return connection_->Call(&v1::Admin::Stub::Quit, request, timeout, response);
}

CallOutcome AdminClient::ListStatements(const v1::ListStatementsRequest& request, Timeout timeout,
                                        v1::ListStatementsResponse& response) {
  return connection_->Call(&v1::Admin::Stub::ListStatements, request, timeout, response);
}

CallOutcome AdminClient::CancelStatement(const v1::CancelStatementRequest& request, Timeout timeout,
                                         v1::CancelStatementResponse& response) {
  return connection_->Call(&v1::Admin::Stub::CancelStatement, request, timeout, response);
}

CallOutcome AdminClient::ListSessions(const v1::ListSessionsRequest& request, Timeout timeout,
                                      v1::ListSessionsResponse& response) {
  return connection_->Call(&v1::Admin::Stub::ListSessions, request, timeout, response);
}

CallOutcome AdminClient::CancelSession(const v1::CancelSessionRequest& request, Timeout timeout,
                                       v1::CancelSessionResponse& response) {
  return connection_->Call(&v1::Admin::Stub::CancelSession, request, timeout, response);
}

CallOutcome AdminClient::ResizePool(const v1::ResizePoolRequest& request, Timeout timeout,
                                    v1::ResizePoolResponse& response) {
  return connection_->Call(&v1::Admin::Stub::ResizePool, request, timeout, response);
}

CallOutcome AdminClient::ResetStatistics(const v1::ResetStatisticsRequest& request, Timeout timeout,
                                         v1::ResetStatisticsResponse& response) {
  return connection_->Call(&v1::Admin::Stub::ResetStatistics, request, timeout, response);
}

CallOutcome AdminClient::SetLogLevel(const v1::SetLogLevelRequest& request, Timeout timeout,
                                     v1::SetLogLevelResponse& response) {
  return connection_->Call(&v1::Admin::Stub::SetLogLevel, request, timeout, response);
}

}  // namespace dbsidecar::server::cli
