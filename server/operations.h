// What operators do to a running sidecar: the content of the service Admin, whoever asks.
#pragma once

#include <functional>
#include <optional>

#include "dbsidecar/v1/admin.pb.h"
#include "pool/error.h"
#include "pool/time.h"

namespace dbsidecar::server {

class ConfigInForce;
class Pools;
class Reports;
class StopOrders;
class TemporaryLogLevel;

// Threads: any. Each method fills its response, or says why it cannot.
class Operations {
 public:
  // How long its caller waits.
  struct Patience {
    pool::Instant deadline = pool::kNever;
    std::function<bool()> has_left;
  };

  // All are borrowed.
  Operations(Pools& pools, Reports& reports, ConfigInForce& config, StopOrders& orders,
             TemporaryLogLevel& log_level)
      : pools_(pools), reports_(reports), config_(config), orders_(orders), log_level_(log_level) {}

  using Trouble = std::optional<pool::Error>;

  Trouble Pause(const v1::PauseRequest& request, const Patience& patience,
                v1::PauseResponse& response);
  Trouble Resume(const v1::ResumeRequest& request, v1::ResumeResponse& response);
  // Also tells the log what came of it.
  Trouble Reload(const v1::ReloadRequest& request, v1::ReloadResponse& response);
  Trouble Drain(const v1::DrainRequest& request, v1::DrainResponse& response);
  Trouble Quit(v1::QuitResponse& response);
  Trouble ListStatements(const v1::ListStatementsRequest& request,
                         v1::ListStatementsResponse& response);
  Trouble CancelStatement(const v1::CancelStatementRequest& request, const Patience& patience,
                          v1::CancelStatementResponse& response);
  Trouble ListSessions(const v1::ListSessionsRequest& request, v1::ListSessionsResponse& response);
  Trouble CancelSession(const v1::CancelSessionRequest& request, const Patience& patience,
                        v1::CancelSessionResponse& response);
  Trouble ResizePool(const v1::ResizePoolRequest& request, v1::ResizePoolResponse& response);
  Trouble ResetStatistics(const v1::ResetStatisticsRequest& request,
                          v1::ResetStatisticsResponse& response);
  Trouble SetLogLevel(const v1::SetLogLevelRequest& request, v1::SetLogLevelResponse& response);

 private:
  Trouble CheckServing() const;

  Pools& pools_;
  Reports& reports_;
  ConfigInForce& config_;
  StopOrders& orders_;
  TemporaryLogLevel& log_level_;
};

}  // namespace dbsidecar::server
