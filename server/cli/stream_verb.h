// dbsidecar query --stream: rows as they come, with the memory of one part.
#pragma once

#include "dbsidecar/v1/query.pb.h"
#include "server/cli/client_options.h"
#include "server/cli/sidecar_client.h"

namespace dbsidecar::server::cli {

// The exit code. Rows go to standard output as CSV, or as JSON if that is asked for.
int StreamQuery(SidecarClient& client, const v1::QueryRequest& request,
                const QueryOptions& options);

}  // namespace dbsidecar::server::cli
