// A client process that is to be killed in the middle of a transaction.
#pragma once

#include <string>

namespace dbsidecar::integration {

// Begins a transaction on the sidecar at `address` and waits; first attaches, if `how` is
// "attached". Returns the exit code.
int RunVictim(const std::string& address, const std::string& how);

}  // namespace dbsidecar::integration
