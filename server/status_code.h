// gRPC's status codes, for what does without gRPC's headers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dbsidecar::server {

// The numbers of grpc::StatusCode.
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
  kUnauthenticated = 16,
};
inline constexpr std::size_t kCodes = 17;

// "NOT_FOUND" and so on.
std::string_view CodeName(Code code);

// The same for a number that came over the wire: "code 99" for one that gRPC does not define.
std::string NameOfCode(int code);

}  // namespace dbsidecar::server
