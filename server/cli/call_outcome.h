// How a call to the sidecar ended.
#pragma once

#include <string>

#include "dbsidecar/v1/error.pb.h"

namespace dbsidecar::server::cli {

// Numbers of gRPC status codes that decide something here.
inline constexpr int kDeadlineExceeded = 4;
inline constexpr int kUnavailable = 14;

struct CallOutcome {
  int code = 0;  // A gRPC status code; 0 = OK.
  std::string message = {};
  std::string details = {};  // A serialised google.rpc.Status; empty when the sidecar sent none.
  bool connected = false;    // There was a connection to the sidecar when the call began.

  bool ok() const { return code == 0; }
  // The sidecar never got the call.
  bool Unreachable() const;
  // It may have got it, but the connection broke before an answer came.
  bool ConnectionLost() const;
  // It may have got it, but this process gave up before an answer came.
  bool TimedOut() const;
};

// The outcome with its details taken apart. Details that cannot be read are left out.
v1::Error ErrorOf(const CallOutcome& outcome);

// Why no connection came up, without gRPC's preamble.
std::string ReasonOfUnreachable(const CallOutcome& outcome);

}  // namespace dbsidecar::server::cli
