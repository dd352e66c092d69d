// A database URL and our settings as one libpq connection string.
#pragma once

#include <string>

#include "pool/time.h"

namespace dbsidecar::pool {

struct PostgresConfig {
  std::string url;  // postgresql:// or a keyword/value string, with all that libpq accepts in it.
  Duration connect_timeout = std::chrono::seconds(10);    // For each host, unless the URL says it.
  Duration statement_timeout = std::chrono::seconds(30);  // The server's own limit; 0 = none.
  Duration keepalive_after = std::chrono::seconds(10);    // TCP keep-alive; 0 = off.
  size_t prepared_max = 256;                              // Prepared statements per connection.
  bool trace_comments = false;  // A sampled call's `traceparent` goes into its statement.
};

// REQUIRES: the URL parses (ValidateConninfo). What the URL says wins over our settings, but for
// the encoding, which is always UTF-8.
std::string BuildConninfo(const PostgresConfig& config);

// REQUIRES: the same. What the connections get by BuildConninfo; 0 = nothing, or what the URL says.
Duration StatementTimeoutOf(const PostgresConfig& config);

// Empty when `url` parses; libpq's complaint otherwise.
std::string ValidateConninfo(const std::string& url);

}  // namespace dbsidecar::pool
