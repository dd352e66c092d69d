// From the pool's errors to gRPC's: one table, as data.
#pragma once

#include <string_view>

#include "dbsidecar/v1/error.pb.h"
#include "google/rpc/status.pb.h"
#include "pool/error.h"
#include "server/status_code.h"

namespace dbsidecar::server {

struct MappedError {
  Code code = Code::kUnknown;
  std::string_view reason;  // ErrorInfo.reason, UPPER_SNAKE_CASE.
  bool retry = false;       // RetryInfo is attached: the caller may try the whole thing again.
};

MappedError MapError(const pool::Error& error);

// The code for an error that the database reported.
MappedError MapSqlstate(std::string_view sqlstate);

// Everything as one message: code, text, ErrorInfo, RetryInfo where retry helps, SqlError where the
// database spoke. At most 7 KiB when serialised: long fields are cut, and end in "...".
google::rpc::Status ToRpcStatus(const pool::Error& error);
// The same for a call among others on a stream.
void FillError(const pool::Error& error, v1::Error& into);

}  // namespace dbsidecar::server
