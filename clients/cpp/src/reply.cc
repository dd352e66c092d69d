#include "clients/cpp/src/reply.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>

#include "clients/cpp/src/failures.h"
#include "clients/cpp/src/result_access.h"

namespace dbsidecar::internal {
namespace {

// With ThreadSanitizer, Protobuf's headers give maps another layout than a library built without it
// has (map_field.h), and a map on an arena is destroyed by the library.
#if defined(__SANITIZE_THREAD__)
constexpr bool kOnArena = false;
#else
constexpr bool kOnArena = true;
#endif

// A block that holds a frame of small replies, so that most frames cost one allocation.
google::protobuf::ArenaOptions ArenaFor(size_t bytes) {
  google::protobuf::ArenaOptions options;
  options.start_block_size = std::clamp<size_t>(bytes * 8, 1024, 64 * 1024);
  options.max_block_size = 256 * 1024;
  return options;
}

Result ToResult(const v1::EndSessionResponse& ended) {
  auto response = std::make_shared<v1::QueryResponse>();
  response->mutable_result()->set_rows_affected(-1);
  response->mutable_result()->set_command_tag(ended.command_tag());
  *response->mutable_notices() = ended.notices();
  return ResultAccess::Make(std::move(response));
}

}  // namespace

ReplyFrame::ReplyFrame(size_t bytes)
    : arena_(ArenaFor(bytes)),
      message_(*google::protobuf::Arena::CreateMessage<v1::PipelineResponse>(kOnArena ? &arena_
                                                                                      : nullptr)) {}

ReplyFrame::~ReplyFrame() {
  if (!kOnArena) delete &message_;
}

bool ReplyFrame::Parse(grpc::ByteBuffer& bytes) {
  grpc::ProtoBufferReader reader(&bytes);
  return reader.status().ok() && message_.ParseFromZeroCopyStream(&reader);
}

Outcome ToOutcome(const std::shared_ptr<ReplyFrame>& frame, const v1::Reply& reply) {
  switch (reply.outcome_case()) {
    case v1::Reply::kResponse:
      return ResultAccess::Make(std::shared_ptr<const v1::QueryResponse>(frame, &reply.response()));
    case v1::Reply::kError:
      return ToFailure(reply.error());
    case v1::Reply::kSessionEnded:
      return ToResult(reply.session_ended());
    case v1::Reply::OUTCOME_NOT_SET:
      break;
  }
  return FateUnknown(StatusCode::kInternal,
                     "the sidecar's reply is of a kind that this client does not know");
}

}  // namespace dbsidecar::internal
