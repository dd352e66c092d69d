// Prints the answer to a statement.
#pragma once

#include <chrono>

#include "dbsidecar/v1/query.pb.h"
#include "server/cli/client_options.h"

namespace dbsidecar::server::cli {

// The result goes to standard output; what is not the result itself to standard error, so that
// programs can read the result. Returns an exit code.
int PrintAnswer(const v1::QueryResponse& response, const QueryOptions& options,
                std::chrono::nanoseconds elapsed);

}  // namespace dbsidecar::server::cli
