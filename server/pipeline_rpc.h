// The Pipeline RPC: frames of independent calls over one stream, each answered when it is done.
#pragma once

#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

// Begins to accept. REQUIRES: the server has been started. All are borrowed.
void AcceptPipelines(RpcContext& rpc, CompletionQueues& queues);

}  // namespace dbsidecar::server
