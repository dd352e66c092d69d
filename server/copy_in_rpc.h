// The CopyIn RPC on gRPC's completion queues, because its stream lives as long as the data comes.
#pragma once

#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

// Begins to accept. REQUIRES: the server has been started. All are borrowed.
void AcceptCopiesIn(RpcContext& rpc, CompletionQueues& queues);

}  // namespace dbsidecar::server
