#include "server/reason_names.h"

namespace dbsidecar::server {

std::string_view CloseReasonName(pool::CloseReason reason) {
  switch (reason) {
    case pool::CloseReason::kConnectTimeout:
      return "connect_timeout";
    case pool::CloseReason::kIdleTimeout:
      return "idle_timeout";
    case pool::CloseReason::kLifetime:
      return "lifetime";
    case pool::CloseReason::kPingFailed:
      return "ping_failed";
    case pool::CloseReason::kResetFailed:
      return "reset_failed";
    case pool::CloseReason::kBroken:
      return "broken";
    case pool::CloseReason::kLost:
      return "lost";
    case pool::CloseReason::kDrain:
      return "drain";
    case pool::CloseReason::kMakeRoom:
      return "make_room";
    case pool::CloseReason::kResize:
      return "resize";
    case pool::CloseReason::kPause:
      return "pause";
  }
  return "";
}

std::string_view RefuseReasonName(pool::RefuseReason reason) {
  switch (reason) {
    case pool::RefuseReason::kQueueFull:
      return "queue_full";
    case pool::RefuseReason::kWaitTimeout:
      return "wait_timeout";
    case pool::RefuseReason::kDeadline:
      return "deadline";
    case pool::RefuseReason::kDraining:
      return "draining";
    case pool::RefuseReason::kConnectRejected:
      return "connect_rejected";
  }
  return "";
}

}  // namespace dbsidecar::server
