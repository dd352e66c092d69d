#include "server/cli/result_cells.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "server/cli/display_text.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

// Of the one array that is filled; 0 when every cell is NULL.
int CellCount(const v1::Column& column) {
  return std::max({column.ints_size(), column.doubles_size(), column.bools_size(),
                   column.strings_size(), column.blobs_size(), column.mixed_size()});
}

absl::Status Malformed(std::string_view what) {
  return absl::InternalError(Concat("the sidecar's answer is malformed: ", what));
}

absl::Status CheckRows(const v1::ResultSet& result) {
  if (result.rows_size() != static_cast<int>(result.row_count())) {
    return Malformed("it does not have the rows that it announces");
  }
  for (const v1::Row& row : result.rows()) {
    if (row.values_size() != result.columns_size()) {
      return Malformed("a row does not have a cell for each column");
    }
  }
  return absl::OkStatus();
}

bool IsNumericOid(unsigned type_oid) {
  switch (type_oid) {
    case 20:           // bigint
    case 21:           // smallint
    case 23:           // integer
    case 26:           // oid
    case 700:          // real
    case 701:          // double precision
    case kNumericOid:  // numeric
      return true;
    default:  // Any other number: the database's types are not ours to list.
      return false;
  }
}

}  // namespace

absl::Status CheckShape(const v1::ResultSet& result) {
  if (result.rows_size() > 0) return CheckRows(result);
  if (result.data_size() == 0 && (result.columns_size() == 0 || result.row_count() == 0)) {
    return absl::OkStatus();
  }
  if (result.data_size() != result.columns_size()) {
    return Malformed("it does not have cells for each column");
  }
  for (const v1::Column& column : result.data()) {
    const int count = CellCount(column);
    if (count != 0 && count != static_cast<int>(result.row_count())) {
      return Malformed("a column does not have a cell for each row");
    }
  }
  return absl::OkStatus();
}

v1::Value CellAt(const v1::ResultSet& result, int row, int column) {
  if (result.rows_size() > 0) return result.rows(row).values(column);
  const v1::Column& data = result.data(column);
  v1::Value cell;
  if (std::ranges::binary_search(data.nulls(), static_cast<unsigned>(row))) return cell;
  if (data.ints_size() > 0) {
    cell.set_int_value(data.ints(row));
  } else if (data.doubles_size() > 0) {
    cell.set_double_value(data.doubles(row));
  } else if (data.bools_size() > 0) {
    cell.set_bool_value(data.bools(row));
  } else if (data.strings_size() > 0) {
    cell.set_string_value(data.strings(row));
  } else if (data.blobs_size() > 0) {
    cell.set_bytes_value(data.blobs(row));
  } else if (data.mixed_size() > 0) {
    cell = data.mixed(row);
  }
  return cell;
}

std::string TextOfDouble(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  char buffer[32];
  const auto written = std::to_chars(std::begin(buffer), std::end(buffer), number);
  return std::string(buffer, written.ptr);
}

std::string TextOfCell(const v1::Value& cell) {
  switch (cell.kind_case()) {
    case v1::Value::kBoolValue:
      return cell.bool_value() ? "true" : "false";
    case v1::Value::kIntValue:
      return std::to_string(cell.int_value());
    case v1::Value::kDoubleValue:
      return TextOfDouble(cell.double_value());
    case v1::Value::kStringValue:
      return cell.string_value();
    case v1::Value::kBytesValue:
      return HexOfBytes(cell.bytes_value());
    case v1::Value::KIND_NOT_SET:
      return "";
  }
  return "";
}

bool IsNumeric(const v1::ResultSet& result, int column) {
  if (IsNumericOid(result.columns(column).type_oid())) return true;
  if (column >= result.data_size()) return false;
  const v1::Column& data = result.data(column);
  return data.ints_size() > 0 || data.doubles_size() > 0;
}

}  // namespace dbsidecar::server::cli
