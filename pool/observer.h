// What the pool tells the rest of the process: every method is called on the loop thread and must
// return at once.
#pragma once

#include <cstddef>
#include <string_view>

#include "pool/call_limits.h"
#include "pool/driver.h"
#include "pool/error.h"
#include "pool/pool_core.h"
#include "pool/session.h"
#include "pool/time.h"

namespace dbsidecar::pool {

// A statement that ran for longer than PoolOptions::slow_statement.
struct SlowStatement {
  const Call& call;
  const Timing& timing;
  Duration ran;             // What was slow: of a stream, the time to its first rows.
  const Error* error;       // Null on success.
  uint64_t rows = 0;        // Returned or affected.
  std::string fingerprint;  // "" = it cannot be told, or there are several.
  std::string_view text;    // Without constants; "" unless texts are kept.
};

// A call met a limit that was reached (CallLimits).
struct LimitReport {
  LimitKind kind;
  std::string_view key;  // Whose: the caller, the route, the statement's fingerprint.
  size_t max = 0;
  bool enforced = true;  // It waits, or is refused; otherwise it goes on.
};

class Observer {
 public:
  virtual ~Observer() = default;

  virtual void OnConnectionOpened(ConnectionId, Duration /*connect_time*/) {}
  virtual void OnConnectFailed(ConnectionId, const Error&, bool /*permanent*/) {}
  virtual void OnConnectionClosed(ConnectionId, CloseReason) {}
  virtual void OnLeased(ConnectionId, CallId) {}
  virtual void OnReleased(ConnectionId, Condition) {}
  virtual void OnRefused(CallId, RefuseReason) {}
  virtual void OnLimited(const LimitReport&) {}
  // A call was answered. `error` is null on success.
  virtual void OnAnswered(const Call&, const Timing&, const Error* /*error*/) {}
  // Comes before that call's OnAnswered.
  virtual void OnSlowStatement(const SlowStatement&) {}
  // The database is up or down by the latest evidence; told only when it changes.
  virtual void OnDatabaseStatus(bool /*up*/, std::string_view /*reason*/) {}
  // A session has been open for PoolOptions::session_warn_after; told once for each.
  virtual void OnSessionHeld(const SessionReport&) {}
  // Something was left behind; only with PoolOptions::session_audit.
  virtual void OnSessionAudited(const SessionAudit&) {}
  // We ended it, not its caller.
  virtual void OnSessionRevoked(const SessionReport&, std::string_view /*reason*/) {}
  // The connection that hears notifications was lost or could not be opened; or is back.
  virtual void OnListenerStatus(bool /*up*/, std::string_view /*reason*/) {}
};

}  // namespace dbsidecar::pool
