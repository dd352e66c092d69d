// The `traceparent` of an RPC, from its metadata.
#pragma once

#include <grpcpp/grpcpp.h>

#include <iterator>

#include "pool/trace_context.h"

namespace dbsidecar::server {

// Borrowed from the context. Of several none counts: none can be told to be the right one.
inline pool::TraceContext TraceOf(const grpc::ServerContext& context) {
  const auto [first, last] = context.client_metadata().equal_range("traceparent");
  if (first == last || std::next(first) != last) return {};
  return pool::TraceContext::Parse({first->second.data(), first->second.size()});
}

}  // namespace dbsidecar::server
