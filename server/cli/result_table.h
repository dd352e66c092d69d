// A result as a table for people.
#pragma once

#include <chrono>
#include <string>

#include "dbsidecar/v1/value.pb.h"

namespace dbsidecar::server::cli {

// Columns aligned, numbers at the right, NULL as `NULL`, then `(3 rows, 1.2 ms)`. A statement
// without columns is its command tag. REQUIRES: CheckShape(result) is OK.
std::string TableOfResult(const v1::ResultSet& result, std::chrono::nanoseconds elapsed);

// `1.2 ms`, `850 us`, `2.50 s`.
std::string TextOfElapsed(std::chrono::nanoseconds elapsed);

}  // namespace dbsidecar::server::cli
