// The Query RPC on gRPC's completion-queue API, which costs less per call than the callback API
// (docs/adr). Requests and replies are raw bytes here, so that this code decides how they are
// parsed and written.
#pragma once

#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

// Begins to accept. REQUIRES: the server has been started. All are borrowed.
void AcceptQueries(RpcContext& rpc, CompletionQueues& queues);

}  // namespace dbsidecar::server
