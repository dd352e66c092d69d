// libpq's results in the pool's terms.
#pragma once

#include <libpq-fe.h>

#include <vector>

#include "pool/result.h"

namespace dbsidecar::pool {

std::vector<ColumnInfo> ColumnsOf(const PGresult* result);

void AppendRow(const PGresult* result, int row, RowBuffer& rows);

// From a command tag such as "INSERT 0 1" or "UPDATE 3"; -1 for what does not modify data.
int64_t RowsAffected(std::string_view command_tag);

}  // namespace dbsidecar::pool
