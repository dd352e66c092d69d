#include "server/cli/call_outcome.h"

#include <cstddef>
#include <string_view>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/text.h"

namespace dbsidecar::server::cli {

// The sidecar's own refusals carry details; what gRPC itself reports has none.
bool CallOutcome::Unreachable() const {
  return !connected && details.empty() && (code == kUnavailable || code == kDeadlineExceeded);
}

bool CallOutcome::ConnectionLost() const {
  return connected && details.empty() && code == kUnavailable;
}

bool CallOutcome::TimedOut() const {
  return connected && details.empty() && code == kDeadlineExceeded;
}

v1::Error ErrorOf(const CallOutcome& outcome) {
  v1::Error error;
  error.set_code(outcome.code);
  error.set_message(outcome.message);
  google::rpc::Status status;
  if (!status.ParseFromString(outcome.details)) return error;
  for (const google::protobuf::Any& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    v1::SqlError sql;
    if (detail.UnpackTo(&info)) {
      error.set_reason(info.reason());
      *error.mutable_metadata() = info.metadata();
    } else if (detail.UnpackTo(&retry)) {
      *error.mutable_retry_delay() = retry.retry_delay();
    } else if (detail.UnpackTo(&sql)) {
      *error.mutable_sql() = sql;
    }
  }
  return error;
}

std::string ReasonOfUnreachable(const CallOutcome& outcome) {
  if (outcome.code == kDeadlineExceeded) return "no connection came up in time";
  // "...; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: the reason"
  constexpr std::string_view kLastError = "last error: ";
  std::string_view reason = outcome.message;
  const std::size_t found = reason.rfind(kLastError);
  if (found == std::string_view::npos) return outcome.message;
  reason.remove_prefix(found + kLastError.size());
  for (int labels = 2; labels > 0; --labels) {
    const std::size_t end = reason.find(": ");
    if (end == std::string_view::npos) return outcome.message;
    reason.remove_prefix(end + 2);
  }
  ConsumePrefix(reason, "Failed to connect to remote host: ");
  return std::string(reason);
}

}  // namespace dbsidecar::server::cli
