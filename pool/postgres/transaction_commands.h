// The texts by which the driver itself opens and restricts transactions.
#pragma once

#include <string>

#include "pool/session.h"

namespace dbsidecar::pool {

// The rest of the implicit transaction, up to the Sync, cannot write. As a function call it gives
// no warning about running outside a transaction block.
inline constexpr char kMakeReadOnly[] =
    "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)";

std::string BeginText(const BeginOptions& options);

}  // namespace dbsidecar::pool
