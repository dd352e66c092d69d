// `dbsidecar serve`: the life of the process, from configuration to exit code.
#pragma once

#include <functional>

#include "server/config/config.h"

namespace dbsidecar::server {

// Serves until it is told to stop. `load_again` reads the configuration anew, for a reload. 0 =
// stopped as asked; 1 = could not start, and the log says why.
int Serve(const Config& config, std::function<LoadedConfig()> load_again);

}  // namespace dbsidecar::server
