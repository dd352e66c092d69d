// `dbsidecar serve`: the life of the process, from configuration to exit code.
#pragma once

#include "server/config/config.h"

namespace dbsidecar::server {

// Serves until a signal. 0 = stopped as asked; 1 = could not start, and the log says why.
int Serve(const Config& config);

}  // namespace dbsidecar::server
