#include "server/query_rpc.h"

#include "pool/call.h"
#include "server/arena_message.h"
#include "server/byte_buffer.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/raw_message.h"
#include "server/result_encoder.h"
#include "server/trace_metadata.h"

namespace dbsidecar::server {
namespace {

// How many calls wait to be accepted on a queue, so that a burst need not wait for one another.
constexpr int kAcceptors = 16;

// One Query from acceptance to the last event about it; deletes itself.
class QueryCall final : public pool::Call {
 public:
  QueryCall(RpcContext& context, grpc::ServerCompletionQueue& queue)
      : rpc_(context), queue_(queue), responder_(&context_), record_(context.rpcs(), Rpc::kQuery) {
    context_.AsyncNotifyWhenDone(ended_.Tag());
    rpc_.service().RequestQuery(&context_, &request_bytes_, &responder_, &queue_, &queue_,
                                received_.Tag());
  }

  void Answer(pool::Outcome outcome) override {
    outcome_ = std::move(outcome);
    if (outcome_.result.rows.data_bytes() <= kEncodeOnLoopMax) {
      Write();
    } else {
      // Held until Finish has returned: the pool may be done with it, and the caller have it,
      // before.
      holders_.fetch_add(1);
      rpc_.encoder().Post([this] {
        Write();
        Release();
      });
    }
  }

  void Done() override { Release(); }

 private:
  void OnReceived(bool ok) {
    if (!ok) {  // The server shuts down; no call came.
      delete this;
      return;
    }
    record_.Begin();
    new QueryCall(rpc_, queue_);
    rpc_.CallOpened();
    if (!ParseBytes(request_bytes_, *request_)) {
      Refuse(
          "the request is not a QueryRequest: it is not Protobuf, or one of its text fields is "
          "not valid UTF-8 (send such data as bytes_value)");
      return;
    }
    if (std::optional<pool::Error> refusal = CheckRequest(*request_, rpc_.limits())) {
      Refuse(*refusal);
      return;
    }
    Submit();
  }

  void Submit() {
    id = rpc_.pools().NextCallId();
    pool_name = request_->pool();
    statement = ToStatement(*request_, rpc_.limits());
    session = ToSessionUse(request_->session(), 0);
    deadline = DeadlineOf(context_);
    caller = CallerOf(request_->tags());
    route = RouteOf(request_->tags());
    rpc = RpcName(Rpc::kQuery);
    trace = TraceOf(request_->tags(), TraceOf(context_));
    holders_.fetch_add(1);
    submitted_.store(true);
    rpc_.Submit({this});
  }

  // The caller has its answer, or has left.
  void OnEnded(bool /*ok*/) {
    if (submitted_.load() && context_.IsCancelled()) rpc_.pools().Cancel(id);
    Release();
  }

  void OnFinished(bool /*ok*/) {
    rpc_.CallsClosed(1);
    Release();
  }

  void Write() {
    if (outcome_.error.has_value()) {
      FinishWith(*outcome_.error);
      return;
    }
    auto response = std::make_unique<WireWriter>(outcome_.result.rows.data_bytes() + 512);
    EncodeOutcome(outcome_, request_->format(), request_->want_timing(), *response);
    const uint64_t limit = statement.limits.bytes_max;
    if (limit != 0 && response->size() > limit) {
      FinishWith(pool::ResultTooLarge(statement.limits, outcome_.result.rows_affected >= 0));
      return;
    }
    record_.End(Code::kOk);
    responder_.Finish(ToByteBuffer(std::move(response)), grpc::Status::OK, finished_.Tag());
  }

  void Refuse(std::string why) {
    Refuse(pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why)));
  }
  void Refuse(const pool::Error& error) { FinishWith(error); }

  void FinishWith(const pool::Error& error) {
    record_.End(MapError(error).code);
    KeepRetriesAway(context_, error);
    responder_.FinishWithError(ToGrpcStatus(error), finished_.Tag());
  }

  void Release() {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

  RpcContext& rpc_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_bytes_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> responder_;
  ArenaMessage<v1::QueryRequest> request_;
  pool::Outcome outcome_;
  RpcRecord record_;
  std::atomic<bool> submitted_{false};
  // OnEnded and OnFinished; the pool, once the call is submitted; the encoder.
  std::atomic<int> holders_{2};

  StepOf<QueryCall> received_{*this, &QueryCall::OnReceived};
  StepOf<QueryCall> ended_{*this, &QueryCall::OnEnded};
  StepOf<QueryCall> finished_{*this, &QueryCall::OnFinished};
};

}  // namespace

void AcceptQueries(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new QueryCall(rpc, queue); });
}

}  // namespace dbsidecar::server
