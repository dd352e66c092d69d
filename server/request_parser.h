// From a QueryRequest to the pool's statement.
#pragma once

#include <optional>

#include "dbsidecar/v1/query.pb.h"
#include "pool/error.h"
#include "pool/statement.h"

namespace dbsidecar::server {

struct RequestLimits {
  uint64_t result_rows_max = 0;   // For requests that set no max_rows; 0 = no limit.
  uint64_t result_bytes_max = 0;  // 0 = no limit.
  size_t parameters_max = 65535;
};

// Borrows text and bytes from `request`.
pool::Statement ToStatement(const v1::QueryRequest& request, const RequestLimits& limits);

// What in `request` cannot be served, or nothing.
std::optional<pool::Error> CheckRequest(const v1::QueryRequest& request,
                                        const RequestLimits& limits);

}  // namespace dbsidecar::server
