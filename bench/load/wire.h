// What the callers by the bare stub share.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "bench/load/script.h"
#include "dbsidecar/v1/query.pb.h"

namespace dbsidecar::bench {

// Null when nothing answers within some seconds.
std::shared_ptr<grpc::Channel> Connect(const std::string& address);

// `session` is the token of the transaction that the statement belongs to, if any.
void Encode(const Statement& statement, const std::string& session, v1::QueryRequest& request);

}  // namespace dbsidecar::bench
