#include "server/status_code.h"

#include "server/text.h"

namespace dbsidecar::server {

std::string_view CodeName(Code code) {
  static constexpr std::string_view kNames[kCodes] = {"OK",
                                                      "CANCELLED",
                                                      "UNKNOWN",
                                                      "INVALID_ARGUMENT",
                                                      "DEADLINE_EXCEEDED",
                                                      "NOT_FOUND",
                                                      "ALREADY_EXISTS",
                                                      "PERMISSION_DENIED",
                                                      "RESOURCE_EXHAUSTED",
                                                      "FAILED_PRECONDITION",
                                                      "ABORTED",
                                                      "OUT_OF_RANGE",
                                                      "UNIMPLEMENTED",
                                                      "INTERNAL",
                                                      "UNAVAILABLE",
                                                      "DATA_LOSS",
                                                      "UNAUTHENTICATED"};
  return kNames[static_cast<std::size_t>(code)];
}

std::string NameOfCode(int code) {
  if (code < 0 || static_cast<std::size_t>(code) >= kCodes) return Concat("code ", code);
  return std::string(CodeName(static_cast<Code>(code)));
}

}  // namespace dbsidecar::server
