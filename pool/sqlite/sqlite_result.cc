#include "pool/sqlite/sqlite_result.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <string>

#include "pool/sqlite/statement_text.h"

namespace dbsidecar::pool {
namespace {

struct TypeName {
  std::string_view word;
  uint32_t oid;
};

constexpr uint32_t kBool = 16, kBytea = 17, kInt8 = 20, kText = 25, kFloat8 = 701, kNumeric = 1700;

constexpr std::array<TypeName, 22> kTypeNames = {{
    {"BIGINT", kInt8},   {"BLOB", kBytea},     {"BOOL", kBool},      {"BOOLEAN", kBool},
    {"CHAR", kText},     {"CHARACTER", kText}, {"CLOB", kText},      {"DECIMAL", kNumeric},
    {"DOUBLE", kFloat8}, {"FLOAT", kFloat8},   {"INT", kInt8},       {"INT2", kInt8},
    {"INT8", kInt8},     {"INTEGER", kInt8},   {"MEDIUMINT", kInt8}, {"NUMERIC", kNumeric},
    {"NVARCHAR", kText}, {"REAL", kFloat8},    {"SMALLINT", kInt8},  {"TEXT", kText},
    {"TINYINT", kInt8},  {"VARCHAR", kText},
}};

std::string_view View(const void* bytes, int size) {
  return {static_cast<const char*>(bytes), static_cast<size_t>(size)};
}

bool Exceeds(const RowBuffer& rows, uint64_t added, uint64_t bytes_max) {
  return bytes_max > 0 && rows.data_bytes() + added > bytes_max;
}

// Asks before it copies, so that one huge cell costs nothing beyond what SQLite holds itself.
bool AddCell(sqlite3_stmt* statement, int column, uint64_t bytes_max, RowBuffer& rows) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      rows.AddInteger(sqlite3_column_int64(statement, column));
      break;
    case SQLITE_FLOAT:
      rows.AddDouble(sqlite3_column_double(statement, column));
      break;
    case SQLITE_TEXT: {
      const void* text = sqlite3_column_text(statement, column);
      const int size = sqlite3_column_bytes(statement, column);
      if (Exceeds(rows, static_cast<uint64_t>(size), bytes_max)) return false;
      rows.AddText(View(text, size));
      break;
    }
    case SQLITE_BLOB: {
      const void* blob = sqlite3_column_blob(statement, column);
      const int size = sqlite3_column_bytes(statement, column);
      if (Exceeds(rows, static_cast<uint64_t>(size), bytes_max)) return false;
      rows.AddBlob(View(blob, size));
      break;
    }
    default:
      rows.AddNull();
      break;
  }
  return !Exceeds(rows, 0, bytes_max);
}

}  // namespace

uint32_t DeclaredTypeOid(std::string_view declared_type) {
  const auto end = std::find_if_not(declared_type.begin(), declared_type.end(), IsWordCharacter);
  const std::string word =
      UpperCase(declared_type.substr(0, static_cast<size_t>(end - declared_type.begin())));
  const auto it = std::find_if(kTypeNames.begin(), kTypeNames.end(),
                               [&word](const TypeName& name) { return name.word == word; });
  return it == kTypeNames.end() ? 0 : it->oid;
}

std::vector<ColumnInfo> ReadColumns(sqlite3_stmt* statement) {
  std::vector<ColumnInfo> columns(static_cast<size_t>(sqlite3_column_count(statement)));
  for (size_t i = 0; i < columns.size(); ++i) {
    const int column = static_cast<int>(i);
    const char* name = sqlite3_column_name(statement, column);
    const char* declared_type = sqlite3_column_decltype(statement, column);
    if (name != nullptr) columns[i].name = name;
    if (declared_type != nullptr) {
      columns[i].declared_type = declared_type;
      columns[i].type_oid = DeclaredTypeOid(declared_type);
    }
  }
  return columns;
}

bool AddRow(sqlite3_stmt* statement, uint64_t bytes_max, RowBuffer& rows) {
  const int columns = static_cast<int>(rows.column_count());
  for (int column = 0; column < columns; ++column) {
    if (!AddCell(statement, column, bytes_max, rows)) return false;
  }
  return true;
}

}  // namespace dbsidecar::pool
