// The QueryStream RPC on gRPC's completion queues, because a stream may live long and a thread of
// its own would be its for as long (docs/adr/0016).
#pragma once

#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

// Begins to accept. REQUIRES: the server has been started. All are borrowed.
void AcceptQueryStreams(RpcContext& rpc, CompletionQueues& queues);

}  // namespace dbsidecar::server
