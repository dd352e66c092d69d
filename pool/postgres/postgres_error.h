// libpq's error reports in the pool's terms.
#pragma once

#include <libpq-fe.h>

#include "pool/error.h"

namespace dbsidecar::pool {

// What libpq says, on one line: of several hosts or attempts it speaks on several.
std::string OneLine(std::string text);

// REQUIRES: an error or notice result.
SqlError SqlErrorOf(const PGresult* result);

// kDatabase, with the database's own message.
Error DatabaseError(const PGresult* result);

// Why `conn` did not come up, and whether trying again is pointless.
struct ConnectError {
  Error error;
  bool permanent = false;
};
ConnectError ConnectErrorOf(const PGconn* conn);

// True for errors that only say that a prepared statement's plan has gone stale.
bool IsStalePlan(const PGresult* result);
// True for errors that may say that, and may be about the text itself.
bool MayBeStalePlan(const PGresult* result);

// False: it is libpq's own, such as a lost connection.
bool IsFromServer(const PGresult* error);

// "FATAL" or worse: the server ends the connection after it.
bool IsFatal(const PGresult* result);

}  // namespace dbsidecar::pool
