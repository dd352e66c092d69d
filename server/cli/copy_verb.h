// dbsidecar query --copy-in and --copy-out: COPY from standard input and to standard output.
#pragma once

#include "server/cli/client_options.h"
#include "server/cli/sidecar_client.h"

namespace dbsidecar::server::cli {

// The exit code. The data goes from or to the standard streams, what became of it to standard
// error.
int CopyIn(SidecarClient& client, const QueryOptions& options);
int CopyOut(SidecarClient& client, const QueryOptions& options);

}  // namespace dbsidecar::server::cli
