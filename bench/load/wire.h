// What the callers by the bare stub share.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "bench/load/caller.h"
#include "bench/load/script.h"
#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/query.pb.h"

namespace dbsidecar::bench {

// Null when nothing answers within some seconds.
std::shared_ptr<grpc::Channel> Connect(const std::string& address);

// What a failed call is in the tally.
Outcome OutcomeOf(const grpc::Status& status);

void Encode(const Statement& statement, v1::BatchStep& step);

// `session` is the token of the transaction that the statement belongs to, if any.
void Encode(const Statement& statement, const std::string& session, v1::QueryRequest& request);

}  // namespace dbsidecar::bench
