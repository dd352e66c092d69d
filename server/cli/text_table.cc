#include "server/cli/text_table.h"

#include <algorithm>

#include "server/cli/display_text.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

struct Column {
  std::size_t width = 0;
  bool at_right = false;
};

std::vector<std::vector<std::string>> Shown(const std::vector<std::vector<std::string>>& rows,
                                            std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> shown = rows;
  columns.resize(rows.empty() ? 0 : rows[0].size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    columns[i].at_right = shown[0][i].starts_with(">");
    if (columns[i].at_right) shown[0][i].erase(0, 1);
  }
  for (auto& row : shown) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      row[i] = Displayable(row[i]);
      columns[i].width = std::max(columns[i].width, DisplayWidth(row[i]));
    }
  }
  return shown;
}

}  // namespace

std::string TextOfTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<Column> columns;
  std::string text;
  for (const auto& row : Shown(rows, columns)) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::string padding(columns[i].width - DisplayWidth(row[i]), ' ');
      if (i > 0) line += "  ";
      line += columns[i].at_right ? Concat(padding, row[i]) : Concat(row[i], padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += Concat(line, "\n");
  }
  return text;
}

}  // namespace dbsidecar::server::cli
