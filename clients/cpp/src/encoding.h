// Calls as bytes: the fields of their requests, and frames of them.
#pragma once

#include <optional>
#include <string>

#include "clients/cpp/src/call.h"
#include "dbsidecar/client.h"

namespace dbsidecar::internal {

// Puts the fields of a statement's QueryRequest into `body`, without its session.
std::optional<Failure> EncodeStatement(const Statement& statement, const ClientOptions& client,
                                       std::string& body);

// The SessionControl and QueryRequest fields that open a session.
std::shared_ptr<SessionState> NewTransaction(const TransactionOptions& options);
std::shared_ptr<SessionState> NewSession(const SessionOptions& options);

// What `call` adds to a frame at most, in bytes.
size_t FrameBytes(const Call& call);
// Adds the call to a frame: a PipelineRequest.
void AppendCall(const Call& call, Instant now, std::string& frame);
void AppendCancel(uint64_t id, std::string& frame);

// What the sidecar is told a call may take, so that its answer comes before the caller's deadline.
std::chrono::nanoseconds SidecarTimeout(std::chrono::nanoseconds remaining);

}  // namespace dbsidecar::internal
