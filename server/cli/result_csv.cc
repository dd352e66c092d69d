#include "server/cli/result_csv.h"

#include "server/cli/result_cells.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

std::string Field(const std::string& text) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return Concat("\"", ReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string FieldOfCell(const v1::Value& cell) {
  return cell.kind_case() == v1::Value::KIND_NOT_SET ? "" : Field(TextOfCell(cell));
}

}  // namespace

std::string CsvOfResult(const v1::ResultSet& result) {
  return result.columns_size() == 0 ? "" : Concat(CsvHeaderOf(result), CsvRowsOf(result));
}

std::string CsvHeaderOf(const v1::ResultSet& result) {
  std::string out;
  for (int column = 0; column < result.columns_size(); ++column) {
    if (column > 0) out += ',';
    out += Field(result.columns(column).name());
  }
  return out + '\n';
}

std::string CsvRowsOf(const v1::ResultSet& result) {
  std::string out;
  for (int row = 0; row < static_cast<int>(result.row_count()); ++row) {
    for (int column = 0; column < result.columns_size(); ++column) {
      if (column > 0) out += ',';
      out += FieldOfCell(CellAt(result, row, column));
    }
    out += '\n';
  }
  return out;
}

}  // namespace dbsidecar::server::cli
