// A statement's result as the drivers deliver it: rows of cells in one flat buffer, without a
// message or an allocation per cell. The server encodes from here straight to the wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/time.h"

namespace dbsidecar::pool {

struct ColumnInfo {
  std::string name;
  uint32_t type_oid = 0;  // PostgreSQL's type OID; for SQLite the nearest one of the declared type.
  int32_t type_modifier = -1;  // As in pg_attribute.atttypmod; -1 = none.
  uint32_t table_oid = 0;      // 0 = not a plain column of a table.
  uint32_t column_number = 0;  // In its table, from 1; 0 = not a plain column.
  std::string declared_type;   // SQLite: as written in CREATE TABLE.
};

// PostgreSQL's cells are all kText (its text form, to be read by the column's OID); SQLite's have
// the kind of the cell itself.
enum class CellKind : uint8_t { kNull, kInteger, kDouble, kText, kBlob };

class RowBuffer {
 public:
  struct Cell {
    CellKind kind = CellKind::kNull;
    uint32_t size = 0;  // kText and kBlob, in bytes.
    union {
      uint64_t offset = 0;  // kText and kBlob: where in the byte arena.
      int64_t integer;
      double real;
    };
  };

  // REQUIRES: no cell added yet.
  void SetColumnCount(size_t columns) { columns_ = columns; }

  // Cells are added row by row, left to right.
  void AddNull() { cells_.emplace_back(); }
  void AddInteger(int64_t value);
  void AddDouble(double value);
  void AddText(std::string_view text) { AddBytes(CellKind::kText, text); }
  void AddBlob(std::string_view blob) { AddBytes(CellKind::kBlob, blob); }

  size_t column_count() const { return columns_; }
  size_t row_count() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
  const Cell& at(size_t row, size_t column) const { return cells_[row * columns_ + column]; }
  // REQUIRES: a cell of kind kText or kBlob.
  std::string_view bytes(const Cell& cell) const {
    return {arena_.data() + cell.offset, cell.size};
  }
  // What the result limit counts: the cells' bytes plus two for each cell.
  uint64_t data_bytes() const { return arena_.size() + 2 * cells_.size() + fixed_bytes_; }

 private:
  void AddBytes(CellKind kind, std::string_view bytes);

  size_t columns_ = 0;
  uint64_t fixed_bytes_ = 0;  // 8 for each integer and double.
  std::vector<Cell> cells_;
  std::vector<char> arena_;
};

struct Result {
  std::vector<ColumnInfo> columns;
  bool typed_cells = false;  // SQLite: each cell has its own type, whatever its column's.
  RowBuffer rows;
  int64_t rows_affected = -1;  // -1 = not a data-modifying statement.
  std::string command_tag;     // PostgreSQL's, such as "INSERT 0 1"; synthesised for SQLite.
  int64_t last_insert_id = 0;  // SQLite only.
  bool truncated = false;      // More rows existed than `rows_max`.
};

// PostgreSQL's CopyInResponse and CopyOutResponse.
struct CopyFormat {
  bool binary = false;  // Otherwise text or csv.
  uint32_t columns = 0;
};

// Of a COPY, in the format that the statement names.
struct CopyData {
  std::optional<CopyFormat> format;  // Before the first bytes, once.
  std::string bytes;
};

struct Notice {
  std::string severity;
  std::string sqlstate;
  std::string message;
};

struct Timing {
  Duration queue{};    // From arrival to the grant of a connection.
  Duration connect{};  // The part of `queue` in which a connection was being opened for it.
  Duration execute{};  // From the grant to the last byte of the reply.
};

}  // namespace dbsidecar::pool
