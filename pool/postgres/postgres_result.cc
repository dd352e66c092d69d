#include "pool/postgres/postgres_result.h"

#include <charconv>
#include <string_view>

namespace dbsidecar::pool {

std::vector<ColumnInfo> ColumnsOf(const PGresult* result) {
  std::vector<ColumnInfo> columns(static_cast<size_t>(PQnfields(result)));
  for (int i = 0; i < PQnfields(result); ++i) {
    ColumnInfo& column = columns[static_cast<size_t>(i)];
    column.name = PQfname(result, i);
    column.type_oid = PQftype(result, i);
    column.type_modifier = PQfmod(result, i);
    column.table_oid = PQftable(result, i);
    column.column_number = static_cast<uint32_t>(PQftablecol(result, i));
  }
  return columns;
}

void AppendRow(const PGresult* result, int row, RowBuffer& rows) {
  const int columns = PQnfields(result);
  for (int i = 0; i < columns; ++i) {
    if (PQgetisnull(result, row, i)) {
      rows.AddNull();
    } else {
      rows.AddText({PQgetvalue(result, row, i), static_cast<size_t>(PQgetlength(result, row, i))});
    }
  }
}

int64_t RowsAffected(std::string_view command_tag) {
  const bool modifies = command_tag.starts_with("INSERT") || command_tag.starts_with("UPDATE") ||
                        command_tag.starts_with("DELETE") || command_tag.starts_with("MERGE");
  const size_t space = command_tag.rfind(' ');
  if (!modifies || space == std::string_view::npos) return -1;
  int64_t rows = -1;
  std::from_chars(command_tag.data() + space + 1, command_tag.data() + command_tag.size(), rows);
  return rows;
}

}  // namespace dbsidecar::pool
