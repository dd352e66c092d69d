// Results on their way to the wire: in every format a client reads back the cells that the driver
// delivered, whatever the database put into them.
#include <bit>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "server/result_encoder.h"
#include "server/utf8.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::server;
using pool::CellKind;

constexpr uint32_t kOids[] = {0, 16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1114, 1700, 2950};

// A cell as the client should see it.
struct Cell {
  CellKind kind = CellKind::kNull;
  int64_t integer = 0;
  double real = 0;
  std::string bytes;
};

std::string HexOf(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "\\x";
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

// Puts a cell of PostgreSQL's, in its text form, into `rows`. Cells of types with arrays of their
// own are what PostgreSQL can deliver, or anything at all, of which no more is asked than that it
// is read without harm: then there is no cell to compare.
std::optional<Cell> AddPostgresCell(fuzz::Input& input, uint32_t oid, pool::RowBuffer& rows) {
  Cell cell;
  cell.kind = CellKind::kText;
  std::string text;
  const bool anything = input.TakeUpTo(7) == 0;
  if (anything && WireKindOf(oid) != WireKind::kText) {
    rows.AddText(input.TakeBytes());
    return std::nullopt;
  }
  switch (WireKindOf(oid)) {
    case WireKind::kInteger:
      cell.kind = CellKind::kInteger;
      cell.integer = input.Take<int64_t>();
      text = std::to_string(cell.integer);
      break;
    case WireKind::kDouble: {
      cell.kind = CellKind::kDouble;
      cell.real = input.Take<double>();
      char buffer[64];
      text.assign(buffer, std::to_chars(buffer, buffer + sizeof(buffer), cell.real).ptr);
      if (std::isnan(cell.real)) text = "NaN";
      if (std::isinf(cell.real)) text = cell.real > 0 ? "Infinity" : "-Infinity";
      break;
    }
    case WireKind::kBool:
      cell.kind = CellKind::kInteger;
      cell.integer = input.TakeUpTo(1);
      text = cell.integer == 1 ? "t" : "f";
      break;
    case WireKind::kBytes:
      cell.kind = CellKind::kBlob;
      cell.bytes = input.TakeBytes();
      text = HexOf(cell.bytes);
      break;
    case WireKind::kText:
      text = cell.bytes = input.TakeBytes();
      break;
  }
  rows.AddText(text);
  return cell;
}

Cell AddSqliteCell(fuzz::Input& input, pool::RowBuffer& rows) {
  Cell cell;
  cell.kind = static_cast<CellKind>(1 + input.TakeUpTo(3));
  switch (cell.kind) {
    case CellKind::kNull:
      break;
    case CellKind::kInteger:
      rows.AddInteger(cell.integer = input.Take<int64_t>());
      break;
    case CellKind::kDouble:
      cell.real = input.Take<double>();
      if (std::isnan(cell.real)) cell.real = 0;  // SQLite makes it NULL.
      rows.AddDouble(cell.real);
      break;
    case CellKind::kText:
      rows.AddText(cell.bytes = input.TakeBytes());
      break;
    case CellKind::kBlob:
      rows.AddBlob(cell.bytes = input.TakeBytes());
      break;
  }
  return cell;
}

void RequireDouble(double is, double expected) {
  if (std::isnan(expected)) {
    FUZZ_REQUIRE(std::isnan(is), "");
  } else {
    FUZZ_REQUIRE(std::bit_cast<uint64_t>(is) == std::bit_cast<uint64_t>(expected),
                 std::to_string(is) + " for " + std::to_string(expected));
  }
}

// A Value as typed formats send it.
void RequireValue(const v1::Value& value, const Cell& cell) {
  switch (cell.kind) {
    case CellKind::kNull:
      FUZZ_REQUIRE(value.kind_case() == v1::Value::KIND_NOT_SET, value.ShortDebugString());
      break;
    case CellKind::kInteger: {
      const bool boolean = value.kind_case() == v1::Value::kBoolValue;
      FUZZ_REQUIRE(boolean || value.kind_case() == v1::Value::kIntValue, value.ShortDebugString());
      FUZZ_REQUIRE((boolean ? int64_t{value.bool_value()} : value.int_value()) == cell.integer,
                   value.ShortDebugString());
      break;
    }
    case CellKind::kDouble:
      FUZZ_REQUIRE(value.kind_case() == v1::Value::kDoubleValue, value.ShortDebugString());
      RequireDouble(value.double_value(), cell.real);
      break;
    case CellKind::kText:
      if (IsValidUtf8(cell.bytes)) {
        FUZZ_REQUIRE(value.kind_case() == v1::Value::kStringValue, value.ShortDebugString());
        FUZZ_REQUIRE(value.string_value() == cell.bytes, cell.bytes);
      } else {
        FUZZ_REQUIRE(value.bytes_value() == cell.bytes, cell.bytes);
      }
      break;
    case CellKind::kBlob:
      FUZZ_REQUIRE(value.kind_case() == v1::Value::kBytesValue, value.ShortDebugString());
      FUZZ_REQUIRE(value.bytes_value() == cell.bytes, cell.bytes);
      break;
  }
}

// The cell of a column of arrays as a Value.
v1::Value ValueIn(const v1::Column& column, int row) {
  v1::Value value;
  if (std::count(column.nulls().begin(), column.nulls().end(), static_cast<uint32_t>(row)) > 0) {
    return value;
  }
  if (column.ints_size() > 0) value.set_int_value(column.ints(row));
  if (column.doubles_size() > 0) value.set_double_value(column.doubles(row));
  if (column.bools_size() > 0) value.set_bool_value(column.bools(row));
  if (column.strings_size() > 0) value.set_string_value(column.strings(row));
  if (column.blobs_size() > 0) value.set_bytes_value(column.blobs(row));
  if (column.mixed_size() > 0) value = column.mixed(row);
  return value;
}

// Its text in TEXT_COLUMNS.
void RequireText(const v1::Column& column, int row, const Cell& cell, bool of_sqlite,
                 WireKind kind) {
  const std::string& text = column.strings_size() > 0 ? column.strings(row) : column.blobs(row);
  switch (cell.kind) {
    case CellKind::kNull:
      break;
    case CellKind::kInteger:
      if (kind == WireKind::kBool && !of_sqlite) {
        FUZZ_REQUIRE(text == (cell.integer == 1 ? "t" : "f"), text);
      } else {
        FUZZ_REQUIRE(text == std::to_string(cell.integer), text);
      }
      break;
    case CellKind::kDouble:
      if (!std::isnan(cell.real)) RequireDouble(std::strtod(text.c_str(), nullptr), cell.real);
      break;
    case CellKind::kText:
      FUZZ_REQUIRE(text == cell.bytes, text);
      break;
    case CellKind::kBlob:
      FUZZ_REQUIRE(text == HexOf(cell.bytes), text);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  pool::Outcome outcome;
  pool::Result& result = outcome.result;
  const bool sqlite = result.typed_cells = input.TakeUpTo(1) == 1;
  const int columns = input.TakeUpTo(4);
  for (int i = 0; i < columns; ++i) {
    pool::ColumnInfo& info = result.columns.emplace_back();
    info.name =
        IsValidUtf8(input.rest().substr(0, 3)) ? std::string(input.rest().substr(0, 3)) : "";
    info.type_oid = kOids[input.TakeUpTo(std::size(kOids) - 1)];
    info.type_modifier = input.Take<int32_t>();
  }
  result.rows.SetColumnCount(static_cast<size_t>(columns));
  std::vector<std::optional<Cell>> cells;
  while (columns > 0 && !input.empty() && result.rows.row_count() < 100) {
    for (const pool::ColumnInfo& info : result.columns) {
      if (input.TakeUpTo(5) == 0) {
        result.rows.AddNull();
        cells.emplace_back(Cell{});
      } else if (sqlite) {
        cells.push_back(AddSqliteCell(input, result.rows));
      } else {
        cells.push_back(AddPostgresCell(input, info.type_oid, result.rows));
      }
    }
  }
  for (const v1::ResultFormat format :
       {v1::RESULT_FORMAT_COLUMNS, v1::RESULT_FORMAT_ROWS, v1::RESULT_FORMAT_TEXT_COLUMNS}) {
    WireWriter out(16);
    EncodeOutcome(outcome, format, true, out);
    v1::QueryResponse response;
    FUZZ_REQUIRE(response.ParseFromArray(out.bytes().data(), static_cast<int>(out.size())), "");
    const v1::ResultSet& set = response.result();
    FUZZ_REQUIRE(set.row_count() == result.rows.row_count(), set.ShortDebugString());
    FUZZ_REQUIRE(set.columns_size() == columns, set.ShortDebugString());
    // In the same bytes as Protobuf's own encoder writes: no field twice, none in another order.
    FUZZ_REQUIRE(response.SerializeAsString().size() == out.size(), set.ShortDebugString());
    for (size_t i = 0; i < cells.size(); ++i) {
      if (!cells[i]) continue;
      const int row = static_cast<int>(i) / columns;
      const int column = static_cast<int>(i) % columns;
      const uint32_t oid = result.columns[static_cast<size_t>(column)].type_oid;
      if (format == v1::RESULT_FORMAT_ROWS) {
        RequireValue(set.rows(row).values(column), *cells[i]);
      } else if (format == v1::RESULT_FORMAT_COLUMNS) {
        RequireValue(ValueIn(set.data(column), row), *cells[i]);
      } else if (cells[i]->kind != CellKind::kNull) {
        RequireText(set.data(column), row, *cells[i], sqlite, WireKindOf(oid));
      }
    }
  }
  return 0;
}
