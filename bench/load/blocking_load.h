// A load of threads that block, as most programs are written.
#pragma once

#include <string>

#include "bench/load/load.h"

namespace dbsidecar::bench {

// `options.slots` threads share one C++ client and run the script's statements, in transactions
// where it says so. Nothing is measured when nothing answers. Returns the seconds that it took.
double RunBlockingLoad(const std::string& address, const std::string& script, int scale,
                       const LoadOptions& options, Tally& tally);

}  // namespace dbsidecar::bench
