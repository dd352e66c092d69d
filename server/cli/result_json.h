// A result as JSON for programs.
#pragma once

#include <string>

#include "dbsidecar/v1/value.pb.h"

namespace dbsidecar::server::cli {

// An array with an object for each row, one to a line; `[]` for a statement that returns no rows.
//
// Integers and `numeric` are numbers with all their digits, also beyond 2^53; NaN and the
// infinities are strings; raw bytes are strings in PostgreSQL's form `\x00ff`; every other type,
// `json` included, is a string in PostgreSQL's text form. A column name that occurs again gets
// `_2`, `_3`... REQUIRES: CheckShape(result) is OK.
std::string JsonOfResult(const v1::ResultSet& result);

// The objects alone, without the array around them and a line end after the last.
std::string JsonRowsOf(const v1::ResultSet& result);

}  // namespace dbsidecar::server::cli
