// Short lists as aligned columns.
#pragma once

#include <string>
#include <vector>

namespace dbsidecar::server::cli {

// The first row is the heading. Cells are made displayable; every row has as many. Columns whose
// heading begins with `>` are aligned at the right. No line ends with spaces.
std::string TextOfTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace dbsidecar::server::cli
