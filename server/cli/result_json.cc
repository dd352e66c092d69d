#include "server/cli/result_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "server/cli/display_text.h"
#include "server/cli/result_cells.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A finite `numeric`: PostgreSQL writes these as JSON does, digits around a point.
bool IsPlainNumber(std::string_view text) {
  return !text.empty() && (IsDigit(text.front()) || text.front() == '-') && IsDigit(text.back()) &&
         std::ranges::all_of(text, [](char c) { return IsDigit(c) || c == '.' || c == '-'; });
}

std::string JsonOfDouble(double number) {
  const std::string text = TextOfDouble(number);
  return std::isfinite(number) ? text : Quoted(text);
}

std::string JsonOfCell(const v1::Value& cell, unsigned type_oid) {
  switch (cell.kind_case()) {
    case v1::Value::kBoolValue:
    case v1::Value::kIntValue:
      return TextOfCell(cell);
    case v1::Value::kDoubleValue:
      return JsonOfDouble(cell.double_value());
    case v1::Value::kStringValue:
      if (type_oid == kNumericOid && IsPlainNumber(cell.string_value())) return cell.string_value();
      return Quoted(cell.string_value());
    case v1::Value::kBytesValue:
      return Quoted(HexOfBytes(cell.bytes_value()));
    case v1::Value::KIND_NOT_SET:
      return "null";
  }
  return "null";
}

// Each name once: an object that has a key twice loses a cell in most readers.
std::vector<std::string> DistinctNames(const v1::ResultSet& result) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const v1::ColumnInfo& column : result.columns()) taken.insert(column.name());
  std::set<std::string> used;
  for (const v1::ColumnInfo& column : result.columns()) {
    std::string name = column.name();
    for (int i = 2; !used.insert(name).second; ++i) {
      std::string candidate = Concat(column.name(), "_", i);
      if (!taken.contains(candidate)) name = std::move(candidate);
    }
    names.push_back(name);
  }
  return names;
}

}  // namespace

std::string JsonOfResult(const v1::ResultSet& result) {
  return result.row_count() == 0 ? "[]\n" : Concat("[\n", JsonRowsOf(result), "\n]\n");
}

std::string JsonRowsOf(const v1::ResultSet& result) {
  std::vector<std::string> keys;
  for (const std::string& name : DistinctNames(result)) keys.push_back(Quoted(name) + ":");

  std::string out;
  for (int row = 0; row < static_cast<int>(result.row_count()); ++row) {
    out += row == 0 ? "{" : ",\n{";
    for (int column = 0; column < result.columns_size(); ++column) {
      if (column > 0) out += ",";
      out += keys[static_cast<std::size_t>(column)];
      out += JsonOfCell(CellAt(result, row, column), result.columns(column).type_oid());
    }
    out += "}";
  }
  return out;
}

}  // namespace dbsidecar::server::cli
