// Messages from the bytes that raw methods take.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>

namespace dbsidecar::server {

// False = they are not such a message; also when a text field is not valid UTF-8.
template <typename Message>
bool ParseBytes(grpc::ByteBuffer& bytes, Message& into) {
  grpc::ProtoBufferReader reader(&bytes);
  return reader.status().ok() && into.ParseFromZeroCopyStream(&reader);
}

}  // namespace dbsidecar::server
