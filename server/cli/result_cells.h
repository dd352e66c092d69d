// Reads single cells of a result, whichever of its forms the result has.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "dbsidecar/v1/value.pb.h"

namespace dbsidecar::server::cli {

// Whether every column has a cell for every row, as the contract says. The functions below, and
// everything that prints a result, require it.
absl::Status CheckShape(const v1::ResultSet& result);

// No kind set = NULL.
v1::Value CellAt(const v1::ResultSet& result, int row, int column);

// As PostgreSQL writes it; empty for NULL.
std::string TextOfCell(const v1::Value& cell);

// The shortest text that reads back as the same number; `NaN`, `Infinity` and `-Infinity`.
std::string TextOfDouble(double number);

// Whether people expect the column's cells aligned at the right.
bool IsNumeric(const v1::ResultSet& result, int column);

// The OID of PostgreSQL's `numeric`, whose cells travel as text.
inline constexpr unsigned kNumericOid = 1700;

}  // namespace dbsidecar::server::cli
