// Why a call failed, in the pool's own terms. The server maps it to a gRPC status (see
// server/error_mapping.h); the pool knows nothing of gRPC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dbsidecar::pool {

enum class ErrorKind {
  kDatabase,         // The database answered with an error; `sql` has it.
  kNoConnection,     // Nothing was sent: no connection could be opened.
  kConnectRejected,  // Nothing was sent: the database refuses this user, password or database name.
  kConnectionLost,   // Lost after the statement was sent; see `outcome_unknown`.
  kWaitTimeout,      // Nothing was sent: no connection became free within the wait timeout.
  kQueueFull,        // Nothing was sent: too many calls wait already.
  kDeadline,         // The call's deadline passed, or the query timeout; see `outcome_unknown`.
  kCancelled,        // The caller, or an operator, cancelled; see `outcome_unknown`.
  kDraining,         // Nothing was sent: the sidecar is stopping.
  kPaused,           // Nothing was sent: an operator has paused the pool.
  kResultTooLarge,   // The result is over its limit.
  kNeedsSession,  // The statement changes session state or opens a transaction: not in autocommit.
  kInvalidArgument,    // The call cannot be sent as it is (NUL in text, too many parameters, ...).
  kPoolNotFound,       // No pool has that name.
  kSeriesNotFound,     // No series of the history has that name.
  kHistoryOff,         // The history is switched off.
  kStatementNotFound,  // An operator's cancel: no statement with that id runs or waits.
  kSessionNotFound,    // Nothing was sent: no open session has that token.
  kSessionBusy,        // Nothing was sent: the session runs another call.
  kTransactionOpen,    // Nothing was sent: a session with an open transaction cannot be released.
  kTransactionFailed,  // The COMMIT of a failed transaction rolled it back.
  kClientNotFound,     // Nothing was sent: no client with that id is attached.
  kSubscriberDropped,  // A subscriber does not read its notifications fast enough.
  kUnsupported,        // This database cannot do it.
};

// The fields of a database's error report, named as in PostgreSQL's protocol (section 55.8 of its
// manual). SQLite's errors are given the SQLSTATE that PostgreSQL would use.
struct SqlError {
  std::string sqlstate;
  std::string severity;
  std::string message;
  std::string detail;
  std::string hint;
  int32_t position = 0;  // In characters, from 1; 0 = not known.
  std::string schema;
  std::string table;
  std::string column;
  std::string datatype;
  std::string constraint;
  std::string where;
  int32_t sqlite_extended_code = 0;
};

// Which of a call's parts failed, counting from 0.
struct ErrorPlace {
  std::string_view part;  // "step" of a batch, "row" of many, "statement" of a script: a key of
                          // Error.metadata in error.proto.
  uint64_t index = 0;
};

struct Error {
  ErrorKind kind = ErrorKind::kDatabase;
  std::string message;  // For people: what was wrong and what to do. Never SQL text or secrets.
  SqlError sql;         // `sqlstate` empty unless the database spoke.
  bool outcome_unknown = false;  // The statement may have taken effect.
  std::optional<ErrorPlace> place{};
};

// An error of our own, not the database's, of a statement that took no effect.
inline Error OwnError(ErrorKind kind, std::string message) {
  return {.kind = kind, .message = std::move(message), .sql = {}, .outcome_unknown = false};
}

}  // namespace dbsidecar::pool
