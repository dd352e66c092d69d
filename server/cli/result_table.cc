#include "server/cli/result_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "server/cli/display_text.h"
#include "server/cli/result_cells.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

struct TableColumn {
  std::string title = {};
  std::vector<std::string> cells = {};
  std::size_t width = 0;
  bool at_right = false;
};

TableColumn ReadColumn(const v1::ResultSet& result, int index) {
  TableColumn column{.title = Displayable(result.columns(index).name())};
  column.at_right = IsNumeric(result, index);
  column.width = DisplayWidth(column.title);
  for (int row = 0; row < static_cast<int>(result.row_count()); ++row) {
    const v1::Value cell = CellAt(result, row, index);
    const bool is_null = cell.kind_case() == v1::Value::KIND_NOT_SET;
    column.cells.push_back(is_null ? "NULL" : Displayable(TextOfCell(cell)));
    column.width = std::max(column.width, DisplayWidth(column.cells.back()));
  }
  return column;
}

std::string Aligned(const std::string& text, const TableColumn& column, bool last) {
  const std::string padding(column.width - DisplayWidth(text), ' ');
  if (column.at_right) return Concat(padding, text);
  return last ? text : Concat(text, padding);
}

template <typename CellOf>
void AppendLine(std::string& out, const std::vector<TableColumn>& columns, const CellOf& cell_of) {
  for (const TableColumn& column : columns) {
    const bool last = &column == &columns.back();
    out += &column == &columns.front() ? " " : " | ";
    out += Aligned(cell_of(column), column, last);
  }
  out += '\n';
}

void AppendRule(std::string& out, const std::vector<TableColumn>& columns) {
  for (const TableColumn& column : columns) {
    if (&column != &columns.front()) out += '+';
    out.append(column.width + 2, '-');
  }
  out += '\n';
}

std::string Footer(const v1::ResultSet& result, std::chrono::nanoseconds elapsed) {
  const std::string cut = result.truncated() ? "; there are more, which --max-rows left out" : "";
  return fmt::format("({} row{}, {}{})\n", result.row_count(), result.row_count() == 1 ? "" : "s",
                     TextOfElapsed(elapsed), cut);
}

}  // namespace

std::string TextOfElapsed(std::chrono::nanoseconds elapsed) {
  const auto nanoseconds = static_cast<double>(elapsed.count());
  if (nanoseconds < 999'500) return fmt::format("{:.0f} us", nanoseconds / 1e3);
  if (nanoseconds < 999.95e6) return fmt::format("{:.1f} ms", nanoseconds / 1e6);
  return fmt::format("{:.2f} s", nanoseconds / 1e9);
}

std::string TableOfResult(const v1::ResultSet& result, std::chrono::nanoseconds elapsed) {
  const std::string tag = Displayable(result.command_tag());
  if (result.columns_size() == 0) return Concat(tag.empty() ? "OK" : tag, "\n");

  std::vector<TableColumn> columns;
  columns.reserve(static_cast<size_t>(result.columns_size()));
  for (int i = 0; i < result.columns_size(); ++i) columns.push_back(ReadColumn(result, i));
  std::string out;
  AppendLine(out, columns, [](const TableColumn& column) { return column.title; });
  AppendRule(out, columns);
  for (std::size_t row = 0; row < result.row_count(); ++row) {
    AppendLine(out, columns, [row](const TableColumn& column) { return column.cells[row]; });
  }
  out += Footer(result, elapsed);
  if (result.rows_affected() >= 0 && !tag.empty()) out += Concat(tag, "\n");
  return out;
}

}  // namespace dbsidecar::server::cli
