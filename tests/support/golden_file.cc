#include "tests/support/golden_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "server/text.h"

namespace dbsidecar::test_support {

using server::Concat;

void ExpectSameAsFile(std::string_view text, const std::string& path) {
  const std::filesystem::path file = std::filesystem::path(DBSIDECAR_SOURCE_DIR) / path;
  std::ifstream stream(file, std::ios::binary);
  const std::string expected(std::istreambuf_iterator<char>(stream), {});
  if (text == expected) return;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    ADD_FAILURE() << path << " is written; look at the difference and run the test again";
    return;
  }
  ADD_FAILURE() << path << " is not what it was; run again with UPDATE_GOLDEN=1 to accept this:\n"
                << DifferingLines(expected, text);
}

std::string DifferingLines(std::string_view was, std::string_view now) {
  const std::vector<std::string_view> old_lines = server::Split(was, '\n');
  const std::vector<std::string_view> new_lines = server::Split(now, '\n');
  // common[i][j]: the most lines, in order, that the rest of both from i and j on share.
  std::vector<std::vector<size_t>> common(old_lines.size() + 1,
                                          std::vector<size_t>(new_lines.size() + 1));
  for (size_t i = old_lines.size(); i-- > 0;) {
    for (size_t j = new_lines.size(); j-- > 0;) {
      common[i][j] = old_lines[i] == new_lines[j] ? common[i + 1][j + 1] + 1
                                                  : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string difference;
  size_t i = 0;
  size_t j = 0;
  while (i < old_lines.size() || j < new_lines.size()) {
    const bool both = i < old_lines.size() && j < new_lines.size();
    if (both && old_lines[i] == new_lines[j]) {
      ++i;
      ++j;
    } else if (j == new_lines.size() || (both && common[i + 1][j] >= common[i][j + 1])) {
      difference += Concat("- ", i + 1, ": ", old_lines[i], "\n");
      ++i;
    } else {
      difference += Concat("+ ", j + 1, ": ", new_lines[j], "\n");
      ++j;
    }
  }
  return difference;
}

}  // namespace dbsidecar::test_support
