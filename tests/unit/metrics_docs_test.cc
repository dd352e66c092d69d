// docs/metrics.md names what /metrics tells: no more, no less.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace dbsidecar::server {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(DBSIDECAR_SOURCE_DIR "/" + path);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> Found(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

// The first cells of the tables' rows; a row may have several names.
std::string NameCells(const std::string& page) {
  std::string cells;
  for (const std::string& row : Found(page, std::regex("\n\\| (`[^|]*) \\|"))) cells += row + " ";
  return cells;
}

TEST(MetricsDocsTest, EveryMetricIsDocumentedAndNothingElse) {
  const std::set<std::string> told =
      Found(Read("tests/golden/metrics/prometheus.txt"), std::regex("# TYPE ([a-z_]+) "));
  const std::set<std::string> documented =
      Found(NameCells(Read("docs/metrics.md")), std::regex("`([a-z_]+)`"));
  EXPECT_GT(told.size(), 30u);
  EXPECT_EQ(documented, told);
}

}  // namespace
}  // namespace dbsidecar::server
