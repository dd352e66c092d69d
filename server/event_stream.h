// A server stream of events (Listen, Attach) from acceptance to the last thing that happens to it.
//
// Events wait in a buffer while the one before them is being written. Whoever appends them, on any
// thread, sees to its limit.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>

#include "server/completion_queues.h"
#include "server/rpc_context.h"

namespace dbsidecar::server {

// An event as its bytes, which many streams may share.
template <typename Message>
grpc::Slice EncodeEvent(const Message& message) {
  const size_t size = message.ByteSizeLong();
  grpc::Slice slice(size);
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return slice;
}

// Deletes itself with the last of its holders.
class EventStream {
 public:
  // Any thread. True: nothing is being written, so Write must be called.
  bool Append(grpc::Slice event);
  void Write();
  // Discards what waits, and returns how many events that were.
  size_t Discard();
  // Ends the stream when what waits is written; the first call counts.
  void Finish(grpc::Status status);

  // Events that wait to be written.
  size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

  void Hold() { holders_.fetch_add(1, std::memory_order_relaxed); }
  void Release() {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

 protected:
  // Whoever derives asks the service for the next call, with the members below.
  EventStream(RpcContext& rpc, grpc::ServerCompletionQueue& queue, Rpc which);
  virtual ~EventStream();

  // A stream has come. Queue thread.
  virtual void AcceptAnother() = 0;
  virtual void Begin(grpc::ByteBuffer& request) = 0;
  // The client has left, or the stream is over. Queue thread.
  virtual void Ended() = 0;
  // An event is on its way, and `waiting` are left. Any thread.
  virtual void Taken(size_t /*waiting*/) {}

  RpcContext& rpc() { return rpc_; }
  grpc::ServerCompletionQueue& queue() { return queue_; }

  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_;

 private:
  void OnAccepted(bool ok);
  void OnWritten(bool ok);
  void OnOver(bool ok);
  void OnFinished(bool ok);
  // Returns whether an event was taken. REQUIRES: mutex_ is held.
  bool WriteNext();

  RpcContext& rpc_;
  grpc::ServerCompletionQueue& queue_;

  std::mutex mutex_;  // Guards all below but the atomics.
  std::deque<grpc::Slice> events_;
  std::optional<grpc::Status> end_;
  bool writing_ = false;
  bool finishing_ = false;
  bool gone_ = false;  // Nobody reads any more; what is still to come is dropped.
  bool accepted_already_ = false;
  RpcRecord record_;
  std::atomic<size_t> waiting_{0};
  std::atomic<int> holders_{1};  // OnOver; the operation under way; whoever derives.

  StepOf<EventStream> written_{*this, &EventStream::OnWritten};
  StepOf<EventStream> over_{*this, &EventStream::OnOver};
  StepOf<EventStream> finished_{*this, &EventStream::OnFinished};

 protected:
  StepOf<EventStream> accepted_{*this, &EventStream::OnAccepted};
};

}  // namespace dbsidecar::server
