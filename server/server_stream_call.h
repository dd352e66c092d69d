// What the RPCs that stream a statement's results have in common, from acceptance to the last
// event.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <optional>
#include <string>

#include "pool/call.h"
#include "server/arena_message.h"
#include "server/completion_queues.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/raw_message.h"
#include "server/rpc_context.h"
#include "server/stream_writer.h"
#include "server/trace_metadata.h"

namespace dbsidecar::server {

// How many calls of a method wait to be accepted on a queue.
inline constexpr int kStreamAcceptors = 4;

// Deletes itself after the last event. `Start` is the part of the request that says what to run and
// for whom: a QueryRequest or a CopyStart.
template <typename Request, typename Start>
class ServerStreamCall : public pool::Call, public pool::PartSink, public StreamWriter::Owner {
 public:
  ServerStreamCall(RpcContext& context, grpc::ServerCompletionQueue& queue, Rpc which)
      : responder_(&context_), rpc_(context), queue_(queue), record_(context.rpcs(), which) {
    rpc = RpcName(which);
    context_.AsyncNotifyWhenDone(ended_.Tag());
  }

  void Done() override { Release(); }
  void OnRoom() override { rpc_.pools().Resume(id); }
  void OnFinished() override {
    rpc_.CallsClosed(1);
    Release();
  }
  void Hold() override { holders_.fetch_add(1, std::memory_order_relaxed); }
  void Release() override {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

 protected:
  // The next call of this method, to be accepted in this one's place.
  virtual void AcceptNext() = 0;
  virtual const Start& start() const = 0;
  virtual std::optional<pool::Error> Check() const = 0;
  // Fills in what is this method's own: the statement and the parts.
  virtual void Prepare() = 0;

  RpcContext& rpc_context() const { return rpc_; }
  grpc::ServerCompletionQueue& queue() { return queue_; }
  const Request& request() const { return *request_; }
  StreamWriter& writer() { return writer_; }

  void FinishWith(const pool::Error& error) {
    record_.End(MapError(error).code);
    KeepRetriesAway(context_, error);
    writer_.End(ToGrpcStatus(error));
  }

  // What the method's Request... function of the service takes.
  grpc::ServerContext context_;
  grpc::ByteBuffer request_bytes_;
  StreamWriter::Stream responder_;
  void* ReceivedTag() { return received_.Tag(); }

 private:
  void OnReceived(bool ok) {
    if (!ok) {  // The server shuts down; no call came.
      delete this;
      return;
    }
    record_.Begin();
    AcceptNext();
    rpc_.CallOpened();
    if (!ParseBytes(request_bytes_, *request_)) {
      FinishWith(pool::OwnError(
          pool::ErrorKind::kInvalidArgument,
          "the request is not a " + Request::descriptor()->name() +
              ": it is not Protobuf, or one of its text fields is not valid UTF-8 (send such data "
              "as bytes_value)"));
    } else if (std::optional<pool::Error> refusal = Check()) {
      FinishWith(*refusal);
    } else {
      Submit();
    }
  }

  void Submit() {
    id = rpc_.pools().NextCallId();
    pool_name = start().pool();
    session = ToSessionUse(start().session(), 0);
    deadline = DeadlineOf(context_);
    caller = CallerOf(start().tags());
    route = RouteOf(start().tags());
    trace = TraceOf(start().tags(), TraceOf(context_));
    sink = this;
    Prepare();
    Hold();
    submitted_.store(true);
    rpc_.Submit({this});
  }

  // The caller has its answer, or has left.
  void OnEnded(bool /*ok*/) {
    const bool left = context_.IsCancelled();
    record_.End(left ? Code::kCancelled : Code::kOk);  // Unless it ended with an error.
    if (left) {
      writer_.Break();
      if (submitted_.load()) rpc_.pools().Cancel(id);
    }
    Release();
  }

  RpcContext& rpc_;
  grpc::ServerCompletionQueue& queue_;
  RpcRecord record_;
  ArenaMessage<Request> request_;
  StreamWriter writer_{responder_, *this};
  std::atomic<bool> submitted_{false};
  // OnEnded and OnFinished; the pool, once the call is submitted; each write and encoding.
  std::atomic<int> holders_{2};

  StepOf<ServerStreamCall> received_{*this, &ServerStreamCall::OnReceived};
  StepOf<ServerStreamCall> ended_{*this, &ServerStreamCall::OnEnded};
};

}  // namespace dbsidecar::server
