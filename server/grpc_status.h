// The pool's errors as gRPC statuses with their details.
#pragma once

#include <grpcpp/grpcpp.h>

#include "pool/error.h"
#include "server/error_mapping.h"

namespace dbsidecar::server {

inline grpc::Status StatusOf(const pool::Error& error) {
  const google::rpc::Status status = ToRpcStatus(error);
  return {static_cast<grpc::StatusCode>(status.code()), status.message(),
          status.SerializeAsString()};
}

}  // namespace dbsidecar::server
