// What the callers by the C++ client library share.
#pragma once

#include "bench/load/caller.h"
#include "bench/load/script.h"
#include "dbsidecar/client.h"

namespace dbsidecar::bench {

Params ParamsOf(const Statement& statement);
Outcome OutcomeOf(const Failure& failure);

}  // namespace dbsidecar::bench
