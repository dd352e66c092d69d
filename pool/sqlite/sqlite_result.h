// Reads what a statement yields into the pool's result.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "pool/result.h"

struct sqlite3_stmt;

namespace dbsidecar::pool {

// The nearest PostgreSQL type OID of a type as written in CREATE TABLE; 0 = none is near.
uint32_t DeclaredTypeOid(std::string_view declared_type);

std::vector<ColumnInfo> ReadColumns(sqlite3_stmt* statement);

// Adds the current row. False = it would take the data over `bytes_max` (0 = no limit); then the
// row is incomplete.
bool AddRow(sqlite3_stmt* statement, uint64_t bytes_max, RowBuffer& rows);

}  // namespace dbsidecar::pool
