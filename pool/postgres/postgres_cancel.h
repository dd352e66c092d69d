// A cancel request to the server.
#pragma once

#include <libpq-fe.h>

namespace dbsidecar::pool {

// Takes `cancel` over. Blocks until the server has passed it on, or cannot be reached. False when
// it took longer than 2 s: libpq cannot be told to give up, so the request is left to a thread of
// its own, and may still arrive.
bool SendCancel(PGcancel* cancel);

}  // namespace dbsidecar::pool
