// From what was encoded to what gRPC sends, without copying it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string_view>

#include "server/wire_writer.h"

namespace dbsidecar::server {

inline grpc::ByteBuffer ToByteBuffer(std::unique_ptr<WireWriter> message) {
  const std::string_view bytes = message->bytes();
  const grpc::Slice slice(
      const_cast<char*>(bytes.data()), bytes.size(),
      [](void* owner) { delete static_cast<WireWriter*>(owner); }, message.release());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace dbsidecar::server
