// Messages as the bytes that raw methods take and give.
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

template <typename Message>
grpc::ByteBuffer ToBytes(const Message& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  // Fails only above 2 GiB, which the limits keep away from here.
  (void)grpc::SerializationTraits<Message>::Serialize(message, &bytes, &own);
  return bytes;
}

}  // namespace dbsidecar::server
