#include "server/copy_out_rpc.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "dbsidecar/v1/copy.pb.h"
#include "server/byte_buffer.h"
#include "server/result_encoder.h"
#include "server/server_stream_call.h"

namespace dbsidecar::server {
namespace {

constexpr uint64_t kChunkBytes = 64 * 1024;
constexpr uint64_t kChunkBytesMax = 4 * 1024 * 1024;

// One CopyOut from acceptance to the last event about it; deletes itself. There is nothing to
// encode but lengths, so it all happens on the loop's thread.
class CopyOutCall final : public ServerStreamCall<v1::CopyOutRequest, v1::CopyStart> {
 public:
  CopyOutCall(RpcContext& context, grpc::ServerCompletionQueue& queue)
      : ServerStreamCall(context, queue, Rpc::kCopyOut) {
    context.service().RequestCopyOut(&context_, &request_bytes_, &responder_, &queue, &queue,
                                     ReceivedTag());
  }

  bool Take(pool::Part part) override { return PutData(part.copy); }

  void Answer(pool::Outcome outcome) override {
    if (outcome.error.has_value()) {
      FinishWith(*outcome.error);
      return;
    }
    PutData(outcome.copy);
    writer().Announce();
    writer().End(grpc::Status::OK);
    auto message = std::make_unique<WireWriter>();
    EncodeCopyResult(outcome, start().want_timing(), v1::CopyOutResponse::kResultFieldNumber,
                     *message);
    writer().Put(ToByteBuffer(std::move(message)));
  }

 private:
  void AcceptNext() override { new CopyOutCall(rpc_context(), queue()); }
  const v1::CopyStart& start() const override { return request().start(); }
  std::optional<pool::Error> Check() const override { return CheckCopy(start()); }

  void Prepare() override {
    statement = ToStatement(start(), pool::StatementForm::kCopyOut);
    const uint64_t wish = request().chunk_bytes();
    part_limits.bytes_max = wish == 0 ? kChunkBytes : std::min(wish, kChunkBytesMax);
  }

  // False = no more for now.
  bool PutData(const pool::CopyData& copy) {
    bool room = true;
    if (copy.format) {
      room = writer().Announce();
      auto message = std::make_unique<WireWriter>();
      const size_t end = message->End();
      message->Varint(v1::CopyFormat::kColumnCountFieldNumber, copy.format->columns);
      message->Varint(v1::CopyFormat::kBinaryFieldNumber, copy.format->binary);
      message->Begin(v1::CopyOutResponse::kFormatFieldNumber, end);
      writer().Put(ToByteBuffer(std::move(message)));
    }
    if (!copy.bytes.empty()) {
      room = writer().Announce();
      auto message = std::make_unique<WireWriter>(copy.bytes.size() + 16);
      message->Element(v1::CopyOutResponse::kDataFieldNumber, std::string_view(copy.bytes));
      writer().Put(ToByteBuffer(std::move(message)));
    }
    return room;
  }
};

}  // namespace

void AcceptCopiesOut(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kStreamAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new CopyOutCall(rpc, queue); });
}

}  // namespace dbsidecar::server
