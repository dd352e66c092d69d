// The pool's errors as gRPC's status, with their details.
#pragma once

#include <grpcpp/grpcpp.h>

#include "pool/error.h"
#include "server/error_mapping.h"

namespace dbsidecar::server {

inline grpc::Status ToGrpcStatus(const pool::Error& error) {
  const google::rpc::Status status = ToRpcStatus(error);
  return {static_cast<grpc::StatusCode>(status.code()), status.message(),
          status.SerializeAsString()};
}

// For the status of a call that was not sent yet.
inline void KeepRetriesAway(grpc::ServerContext& context, const pool::Error& error) {
  // gRPC's own retries (gRFC A6).
  if (error.outcome_unknown) context.AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
}

}  // namespace dbsidecar::server
