// Frames of replies, and what they say to a caller.
#pragma once

#include <google/protobuf/arena.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>

#include "dbsidecar/result.h"
#include "dbsidecar/v1/pipeline.pb.h"

namespace dbsidecar::internal {

// A frame of replies and the memory that they live in: parsed once, shared by all its Results.
class ReplyFrame {
 public:
  explicit ReplyFrame(size_t bytes);
  ~ReplyFrame();
  ReplyFrame(const ReplyFrame&) = delete;
  ReplyFrame& operator=(const ReplyFrame&) = delete;

  // False: it is not a PipelineResponse.
  bool Parse(grpc::ByteBuffer& bytes);
  const v1::PipelineResponse& message() const { return message_; }

 private:
  google::protobuf::Arena arena_;
  v1::PipelineResponse& message_;
};

// `reply` is one of the frame's.
Outcome ToOutcome(const std::shared_ptr<ReplyFrame>& frame, const v1::Reply& reply);

}  // namespace dbsidecar::internal
