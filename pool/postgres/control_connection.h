// The control connection: what the sidecar wants to know about the server, asked over libpqxx on a
// connection that lives only as long as the questions take.
#pragma once

#include <string>
#include <unordered_map>

#include "pool/driver.h"

namespace dbsidecar::pool {

// For each function name, whether calling it may leave something behind in the session: true for
// volatile functions that are neither PostgreSQL's own nor written in C.
using FunctionCatalog = std::unordered_map<std::string, bool>;

struct ControlReport {
  DatabaseFacts facts;
  FunctionCatalog functions;
  std::string error;  // Empty on success.
};

// Blocks: connects, asks, disconnects, and waits until the server has let go.
ControlReport AskServer(const std::string& conninfo);

}  // namespace dbsidecar::pool
