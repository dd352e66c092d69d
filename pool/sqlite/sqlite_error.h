// SQLite's errors in the pool's terms. SQLSTATEs are those PostgreSQL gives for the same mistake,
// so that clients need one mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pool/error.h"

struct sqlite3;

namespace dbsidecar::pool {

// What SQLite says after a call failed.
struct SqliteReport {
  int extended_code = 0;
  std::string message;
  int32_t position = 0;  // As in SqlError.
  int system_errno = 0;

  // REQUIRES: nothing was called on `database` since the failure. `sql` is the whole text, of
  // which SQLite was given what follows the first `skipped` bytes.
  static SqliteReport Read(sqlite3* database, std::string_view sql = {}, size_t skipped = 0);

  static SqliteReport Of(int extended_code, std::string message);

  int primary_code() const { return extended_code & 0xFF; }
  // After these a connection is in an unknown state.
  bool breaks_connection() const;
};

Error StatementError(const SqliteReport& report);
// The statement was stopped on request.
Error InterruptedError();
Error ReadOnlyError(std::string_view why);
Error ErrorOf(ErrorKind kind, std::string message);
Error InvalidArgument(std::string message);

struct OpenFailure {
  Error error;
  bool permanent = false;  // As in ConnectionEvents::OnConnectFailed.
};

// A permanent failure.
OpenFailure RejectedOpen(std::string_view sqlstate, std::string message);
// Looks at the file system to name the cause and the remedy.
OpenFailure DescribeOpenFailure(const SqliteReport& report, const std::string& path);

}  // namespace dbsidecar::pool
