// Every line of docs/databases.md names tests that show it, and those are there.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace dbsidecar {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// "Suite.Test" of every TEST, TEST_F and TEST_P in the folder.
std::set<std::string> TestsIn(const std::filesystem::path& folder) {
  std::set<std::string> tests;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".cc") continue;
    std::string text = ReadFile(entry.path());
    // A long one is broken after the comma.
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    for (const std::string macro : {"TEST(", "TEST_F(", "TEST_P("}) {
      for (size_t at = text.find(macro); at != std::string::npos; at = text.find(macro, at + 1)) {
        const size_t begin = at + macro.size();
        std::string name = text.substr(begin, text.find(')', begin) - begin);
        if (const size_t comma = name.find(','); comma != std::string::npos) {
          tests.insert(name.replace(comma, 1, "."));
        }
      }
    }
  }
  return tests;
}

// The last cells of the tables' lines.
std::vector<std::string> Proofs() {
  std::istringstream lines(ReadFile(DBSIDECAR_SOURCE_DIR "/docs/databases.md"));
  std::vector<std::string> proofs;
  for (std::string line; std::getline(lines, line);) {
    const bool heading = line.starts_with("| what |") || line.starts_with("|--");
    if (!line.starts_with("|") || heading) continue;
    const size_t end = line.rfind('|');
    const size_t begin = line.rfind('|', end - 1) + 1;
    proofs.push_back(line.substr(begin, end - begin));
  }
  return proofs;
}

TEST(DatabaseDocsTest, EveryDifferenceNamesTestsThatShowIt) {
  const std::set<std::string> tests = TestsIn(DBSIDECAR_SOURCE_DIR "/tests");
  ASSERT_GT(tests.size(), 500u);
  std::set<std::string> named;
  for (const std::string& proof : Proofs()) {
    std::istringstream words(proof);
    size_t count = 0;
    for (std::string word; words >> word; ++count) {
      ASSERT_TRUE(word.size() > 2 && word.front() == '`' && word.back() == '`') << proof;
      const std::string name = word.substr(1, word.size() - 2);
      EXPECT_TRUE(tests.contains(name)) << name;
      named.insert(name);
    }
    EXPECT_GT(count, 0u) << proof;
  }
  for (const std::string& test : tests) {
    if (test.starts_with("DatabaseDifferences.")) {
      EXPECT_TRUE(named.contains(test)) << test << " shows a difference that is not documented";
    }
  }
}

}  // namespace
}  // namespace dbsidecar
