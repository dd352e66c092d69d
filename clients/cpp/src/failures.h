// Failures that this library finds itself, and those that the sidecar reports.
#pragma once

#include <string>
#include <string_view>

#include "dbsidecar/error.h"
#include "dbsidecar/v1/error.pb.h"

namespace dbsidecar::internal {

Failure MakeFailure(StatusCode code, std::string_view reason, std::string message);
// The sidecar's, with all its fields.
Failure ToFailure(const v1::Error& error);

// The call cannot be sent as it is.
Failure Invalid(std::string message);
// The caller's program is wrong about the state of things.
Failure WrongUse(std::string message);
// Sent, and no answer will come.
Failure FateUnknown(StatusCode code, std::string message);

}  // namespace dbsidecar::internal
