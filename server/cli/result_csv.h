// A result as comma-separated values (RFC 4180, but with the line ends of Unix).
#pragma once

#include <string>

#include "dbsidecar/v1/value.pb.h"

namespace dbsidecar::server::cli {

// A line of column names, then a line for each row. NULL is an empty field, the empty text is `""`;
// raw bytes are in PostgreSQL's form `\x00ff`. Empty for a statement that returns no rows.
// REQUIRES: CheckShape(result) is OK.
std::string CsvOfResult(const v1::ResultSet& result);

// The same in pieces. The columns have to be there.
std::string CsvHeaderOf(const v1::ResultSet& result);
std::string CsvRowsOf(const v1::ResultSet& result);

}  // namespace dbsidecar::server::cli
