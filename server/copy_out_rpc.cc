#include "server/copy_out_rpc.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "dbsidecar/v1/copy.pb.h"
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
constexpr uint64_t kChunkBytes = 64 * 1024;
constexpr uint64_t kChunkBytesMax = 4 * 1024 * 1024;

// One CopyOut from acceptance to the last event about it; deletes itself. There is nothing to
// encode but lengths, so it all happens on the loop's thread.
class CopyOutCall final : public pool::Call, public pool::PartSink, public StreamWriter::Owner {
 public:
  CopyOutCall(RpcContext& rpc, grpc::ServerCompletionQueue& queue)
      : rpc_(rpc), queue_(queue), responder_(&context_) {
    context_.AsyncNotifyWhenDone(ended_.Tag());
    rpc_.service().RequestCopyOut(&context_, &request_bytes_, &responder_, &queue_, &queue_,
                                  received_.Tag());
  }

  bool Take(pool::Part part) override { return PutData(part.copy); }

  void Answer(pool::Outcome outcome) override {
    if (outcome.error.has_value()) {
      FinishWith(*outcome.error);
      return;
    }
    PutData(outcome.copy);
    writer_.Announce();
    writer_.End(grpc::Status::OK);
    auto message = std::make_unique<WireWriter>();
    EncodeCopyResult(outcome, request_->start().want_timing(),
                     v1::CopyOutResponse::kResultFieldNumber, *message);
    writer_.Put(ToByteBuffer(std::move(message)));
  }

  void Done() override { Release(); }

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
    new CopyOutCall(rpc_, queue_);
    rpc_.CallOpened();
    if (!ParseBytes(request_bytes_, *request_)) {
      FinishWith(pool::OwnError(pool::ErrorKind::kInvalidArgument,
                                "the request is not a CopyOutRequest: it is not Protobuf, or one "
                                "of its text fields is not valid UTF-8"));
    } else if (std::optional<pool::Error> refusal = CheckCopy(request_->start())) {
      FinishWith(*refusal);
    } else {
      Submit();
    }
  }

  void Submit() {
    const v1::CopyStart& start = request_->start();
    id = rpc_.database().NextCallId();
    statement = ToStatement(start, pool::StatementForm::kCopyOut);
    session = ToSessionUse(start.session(), 0);
    deadline = DeadlineOf(context_);
    const auto tag = start.tags().find("caller");
    if (tag != start.tags().end()) caller = tag->second;
    sink = this;
    const uint64_t wish = request_->chunk_bytes();
    part_limits.bytes_max = wish == 0 ? kChunkBytes : std::min(wish, kChunkBytesMax);
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

  // False = no more for now.
  bool PutData(const pool::CopyData& copy) {
    bool room = true;
    if (copy.format) {
      room = writer_.Announce();
      auto message = std::make_unique<WireWriter>();
      const size_t end = message->End();
      message->Varint(v1::CopyFormat::kColumnCountFieldNumber, copy.format->columns);
      message->Varint(v1::CopyFormat::kBinaryFieldNumber, copy.format->binary);
      message->Begin(v1::CopyOutResponse::kFormatFieldNumber, end);
      writer_.Put(ToByteBuffer(std::move(message)));
    }
    if (!copy.bytes.empty()) {
      room = writer_.Announce();
      auto message = std::make_unique<WireWriter>(copy.bytes.size() + 16);
      message->Element(v1::CopyOutResponse::kDataFieldNumber, std::string_view(copy.bytes));
      writer_.Put(ToByteBuffer(std::move(message)));
    }
    return room;
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
  ArenaMessage<v1::CopyOutRequest> request_;
  std::atomic<bool> submitted_{false};
  // OnEnded and OnFinished; the pool, once the call is submitted; each write.
  std::atomic<int> holders_{2};

  StepOf<CopyOutCall> received_{*this, &CopyOutCall::OnReceived};
  StepOf<CopyOutCall> ended_{*this, &CopyOutCall::OnEnded};
};

}  // namespace

void AcceptCopiesOut(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new CopyOutCall(rpc, queue); });
}

}  // namespace dbsidecar::server
