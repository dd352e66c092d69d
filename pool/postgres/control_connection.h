// The control connection: what the sidecar wants to know about the server, asked over libpqxx on a
// connection that lives only as long as the questions take.
#pragma once

#include <string>

#include "pool/driver.h"
#include "pool/postgres/catalog.h"

namespace dbsidecar::pool {

struct ControlReport {
  DatabaseFacts facts;
  Catalog catalog;
  std::string error;  // Empty on success.
};

// Blocks: connects, asks, disconnects, and waits until the server has let go.
ControlReport AskServer(const std::string& conninfo);

}  // namespace dbsidecar::pool
