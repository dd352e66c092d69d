#include "server/query_stream_rpc.h"

#include <utility>

#include "pool/call.h"
#include "server/arena_message.h"
#include "server/byte_buffer.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/raw_message.h"
#include "server/result_encoder.h"
#include "server/stream_writer.h"

namespace dbsidecar::server {
namespace {

// How many calls wait to be accepted on a queue.
constexpr int kAcceptors = 4;

// One QueryStream from acceptance to the last event about it; deletes itself.
class StreamCall final : public pool::Call, public pool::PartSink, public StreamWriter::Owner {
 public:
  StreamCall(RpcContext& rpc, grpc::ServerCompletionQueue& queue)
      : rpc_(rpc), queue_(queue), responder_(&context_) {
    context_.AsyncNotifyWhenDone(ended_.Tag());
    rpc_.service().RequestQueryStream(&context_, &request_bytes_, &responder_, &queue_, &queue_,
                                      received_.Tag());
  }

  // --- The pool's side: loop thread. ---

  bool Take(pool::Part part) override {
    const bool here = EncodesHere(part.result);
    const bool room = writer_.Announce();
    if (here) {
      PutPart(part);
    } else {
      OnEncoder([this, part = std::move(part)] { PutPart(part); });
    }
    return room;
  }

  void Answer(pool::Outcome outcome) override {
    if (outcome.error.has_value()) {
      FinishWith(*outcome.error);
      return;
    }
    const bool here = EncodesHere(outcome.result);
    writer_.Announce();
    writer_.End(grpc::Status::OK);
    if (here) {
      PutLast(outcome);
    } else {
      OnEncoder([this, outcome = std::move(outcome)] { PutLast(outcome); });
    }
  }

  void Done() override { Release(); }

  // --- The writer's side. ---

  void OnRoom() override { rpc_.database().Resume(id); }

  void OnFinished() override {
    rpc_.CallsClosed(1);
    Release();
  }

  void Hold() override { holders_.fetch_add(1, std::memory_order_relaxed); }
  void Release() override {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

 private:
  void OnReceived(bool ok) {
    if (!ok) {  // The server shuts down; no call came.
      delete this;
      return;
    }
    new StreamCall(rpc_, queue_);
    rpc_.CallOpened();
    if (!ParseBytes(request_bytes_, *request_)) {
      FinishWith(pool::OwnError(
          pool::ErrorKind::kInvalidArgument,
          "the request is not a QueryRequest: it is not Protobuf, or one of its text fields is "
          "not valid UTF-8 (send such data as bytes_value)"));
      return;
    }
    if (std::optional<pool::Error> refusal = CheckRequest(*request_, rpc_.limits())) {
      FinishWith(*refusal);
      return;
    }
    Submit();
  }

  void Submit() {
    encoder_.emplace(request_->format(), request_->want_timing());
    id = rpc_.database().NextCallId();
    statement = ToStatement(*request_, rpc_.limits());
    statement.limits = {.bytes_max = rpc_.limits().result_bytes_max};
    session = ToSessionUse(request_->session(), 0);
    deadline = DeadlineOf(context_);
    const auto tag = request_->tags().find("caller");
    if (tag != request_->tags().end()) caller = tag->second;
    sink = this;
    part_limits.rows_max = request_->max_rows();
    Hold();
    submitted_.store(true);
    rpc_.Submit({this});
  }

  // The caller has its answer, or has left.
  void OnEnded(bool /*ok*/) {
    if (context_.IsCancelled()) {
      writer_.Break();
      if (submitted_.load()) rpc_.database().Cancel(id);
    }
    Release();
  }

  // --- Encoding: in the order in which the parts came. ---

  bool EncodesHere(const pool::Result& result) {
    return result.rows.data_bytes() <= kEncodeOnLoopMax && writer_.MakesNothing();
  }

  template <typename Task>
  void OnEncoder(Task task) {
    Hold();
    rpc_.encoder().Post([this, task = std::move(task)] {
      task();
      Release();
    });
  }

  void PutPart(const pool::Part& part) {
    auto response = std::make_unique<WireWriter>(part.result.rows.data_bytes() + 512);
    encoder_->EncodePart(part, *response);
    writer_.Put(ToByteBuffer(std::move(response)));
  }

  void PutLast(const pool::Outcome& outcome) {
    auto response = std::make_unique<WireWriter>(outcome.result.rows.data_bytes() + 512);
    encoder_->EncodeLast(outcome, *response);
    writer_.Put(ToByteBuffer(std::move(response)));
  }

  void FinishWith(const pool::Error& error) {
    KeepRetriesAway(context_, error);
    writer_.End(ToGrpcStatus(error));
  }

  RpcContext& rpc_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_bytes_;
  StreamWriter::Stream responder_;
  StreamWriter writer_{responder_, *this};
  ArenaMessage<v1::QueryRequest> request_;
  std::optional<StreamEncoder> encoder_;
  std::atomic<bool> submitted_{false};
  // OnEnded and OnFinished; the pool, once the call is submitted; each write and encoding.
  std::atomic<int> holders_{2};

  StepOf<StreamCall> received_{*this, &StreamCall::OnReceived};
  StepOf<StreamCall> ended_{*this, &StreamCall::OnEnded};
};

}  // namespace

void AcceptQueryStreams(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new StreamCall(rpc, queue); });
}

}  // namespace dbsidecar::server
