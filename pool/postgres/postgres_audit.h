// What a session left behind on its connection, as the server sees it.
#pragma once

namespace dbsidecar::pool {

// Gives a row of one text for each thing: what it is, and its name. No values, which may be secret.
extern const char kAuditText[];

}  // namespace dbsidecar::pool
