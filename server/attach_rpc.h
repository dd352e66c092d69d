// Attach on the completion queues: a stream for each client process, as long as it lives.
#pragma once

#include <mutex>
#include <set>

#include "pool/time.h"
#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

class AttachStream;

class AttachRpc {
 public:
  // `rpc` is borrowed.
  explicit AttachRpc(RpcContext& rpc) : rpc_(rpc) {}

  // REQUIRES: the server has been started; the queues end before this does.
  void Accept(CompletionQueues& queues);

  // Tells every client that the sidecar is about to stop, and how long it still has. From now on
  // none can attach.
  void Drain(pool::Duration remaining);
  // Ends the streams.
  void End();

  // --- For the streams; any thread. ---

  // False: it came too late.
  bool Add(AttachStream& stream);
  void Remove(AttachStream& stream);

 private:
  RpcContext& rpc_;
  std::mutex mutex_;  // Guards all below.
  bool draining_ = false;
  std::set<AttachStream*> streams_;
};

}  // namespace dbsidecar::server
