// From the pool's errors to gRPC's: one table, as data.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "dbsidecar/v1/error.pb.h"
#include "google/rpc/status.pb.h"
#include "pool/error.h"

namespace dbsidecar::server {

// The numbers of grpc::StatusCode, so that this compiles without gRPC.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
};
inline constexpr size_t kCodes = 16;

// "NOT_FOUND" and so on.
std::string_view CodeName(Code code);

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
