#include "server/query_stream_rpc.h"

#include <memory>
#include <optional>
#include <utility>

#include "server/byte_buffer.h"
#include "server/result_encoder.h"
#include "server/server_stream_call.h"

namespace dbsidecar::server {
namespace {

// One QueryStream from acceptance to the last event about it; deletes itself.
class StreamCall final : public ServerStreamCall<v1::QueryRequest, v1::QueryRequest> {
 public:
  StreamCall(RpcContext& context, grpc::ServerCompletionQueue& queue)
      : ServerStreamCall(context, queue, Rpc::kQueryStream) {
    context.service().RequestQueryStream(&context_, &request_bytes_, &responder_, &queue, &queue,
                                         ReceivedTag());
  }

  // --- The pool's side: loop thread. ---

  bool Take(pool::Part part) override {
    const bool here = EncodesHere(part.result);
    const bool room = writer().Announce();
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
    writer().Announce();
    writer().End(grpc::Status::OK);
    if (here) {
      PutLast(outcome);
    } else {
      OnEncoder([this, outcome = std::move(outcome)] { PutLast(outcome); });
    }
  }

 private:
  void AcceptNext() override { new StreamCall(rpc_context(), queue()); }
  const v1::QueryRequest& start() const override { return request(); }
  std::optional<pool::Error> Check() const override {
    return CheckRequest(request(), rpc_context().limits());
  }

  void Prepare() override {
    encoder_.emplace(request().format(), request().want_timing());
    statement = ToStatement(request(), rpc_context().limits());
    statement.limits = {.bytes_max = rpc_context().limits().result_bytes_max};
    part_limits.rows_max = request().max_rows();
  }

  // --- Encoding: in the order in which the parts came. ---

  bool EncodesHere(const pool::Result& result) {
    return result.rows.data_bytes() <= kEncodeOnLoopMax && writer().MakesNothing();
  }

  template <typename Task>
  void OnEncoder(Task task) {
    Hold();
    rpc_context().encoder().Post([this, task = std::move(task)] {
      task();
      Release();
    });
  }

  void PutPart(const pool::Part& part) {
    auto response = std::make_unique<WireWriter>(part.result.rows.data_bytes() + 512);
    encoder_->EncodePart(part, *response);
    writer().Put(ToByteBuffer(std::move(response)));
  }

  void PutLast(const pool::Outcome& outcome) {
    auto response = std::make_unique<WireWriter>(outcome.result.rows.data_bytes() + 512);
    encoder_->EncodeLast(outcome, *response);
    writer().Put(ToByteBuffer(std::move(response)));
  }

  std::optional<StreamEncoder> encoder_;
};

}  // namespace

void AcceptQueryStreams(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kStreamAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new StreamCall(rpc, queue); });
}

}  // namespace dbsidecar::server
