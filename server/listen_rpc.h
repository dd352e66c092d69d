// Listen on the completion queues: thousands of streams, and no thread for any.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <vector>

#include "pool/event_loop.h"
#include "pool/notifications.h"
#include "server/completion_queues.h"
#include "server/event_stream.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

class ListenRpc final : public pool::TurnEndHandler {
 public:
  // `rpc` is borrowed. `buffer_max`: notifications that may wait for a stream to be read.
  ListenRpc(RpcContext& rpc, size_t buffer_max) : rpc_(rpc), buffer_max_(buffer_max) {}

  // REQUIRES: the server has been started; the queues end before this does.
  void Accept(CompletionQueues& queues);

  size_t buffer_max() const { return buffer_max_; }

  // --- For the streams; loop thread. ---

  // Encodes a notification of that pool once, however many streams it goes to.
  const grpc::Slice& Encoded(const std::string& pool, const pool::Notification& notification);
  // Writing to a thousand streams would hold up the loop, so it is done beside it.
  void WriteSoon(EventStream& stream);
  void OnTurnEnd() override;

 private:
  RpcContext& rpc_;
  const size_t buffer_max_;
  std::string encoded_pool_;     // Of the notification in encoded_, as its subscriber named it.
  uint64_t encoded_number_ = 0;  // The same; 0 = none.
  grpc::Slice encoded_;
  std::vector<EventStream*> to_write_;  // Held.
};

}  // namespace dbsidecar::server
