// The Admin service as the verbs call it. The only header of gRPC is in the .cc file.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "dbsidecar/v1/admin.pb.h"
#include "server/cli/call_outcome.h"

namespace dbsidecar::server::cli {

class AdminClient {
 public:
  // `address` as ListenAddress::ToString() gives it. Does not connect yet.
  explicit AdminClient(const std::string& address);
  ~AdminClient();

  using Timeout = std::chrono::milliseconds;
  CallOutcome Pause(const v1::PauseRequest& request, Timeout timeout, v1::PauseResponse& response);
  CallOutcome Resume(const v1::ResumeRequest& request, Timeout timeout,
                     v1::ResumeResponse& response);
  CallOutcome Reload(const v1::ReloadRequest& request, Timeout timeout,
                     v1::ReloadResponse& response);
  CallOutcome Drain(const v1::DrainRequest& request, Timeout timeout, v1::DrainResponse& response);
  CallOutcome Quit(const v1::QuitRequest& request, Timeout timeout, v1::QuitResponse& response);
  CallOutcome ListStatements(const v1::ListStatementsRequest& request, Timeout timeout,
                             v1::ListStatementsResponse& response);
  CallOutcome CancelStatement(const v1::CancelStatementRequest& request, Timeout timeout,
                              v1::CancelStatementResponse& response);
  CallOutcome ListSessions(const v1::ListSessionsRequest& request, Timeout timeout,
                           v1::ListSessionsResponse& response);
  CallOutcome CancelSession(const v1::CancelSessionRequest& request, Timeout timeout,
                            v1::CancelSessionResponse& response);
  CallOutcome ResizePool(const v1::ResizePoolRequest& request, Timeout timeout,
                         v1::ResizePoolResponse& response);
  CallOutcome ResetStatistics(const v1::ResetStatisticsRequest& request, Timeout timeout,
                              v1::ResetStatisticsResponse& response);
  CallOutcome SetLogLevel(const v1::SetLogLevelRequest& request, Timeout timeout,
                          v1::SetLogLevelResponse& response);

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace dbsidecar::server::cli
