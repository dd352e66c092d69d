// The CopyOut RPC on gRPC's completion queues, as QueryStream.
#pragma once

#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

// Begins to accept. REQUIRES: the server has been started. All are borrowed.
void AcceptCopiesOut(RpcContext& rpc, CompletionQueues& queues);

}  // namespace dbsidecar::server
