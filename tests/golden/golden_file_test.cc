#include "tests/support/golden_file.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace dbsidecar::test_support {
namespace {

TEST(GoldenFileTest, OnlyTheLinesThatDifferAreShown) {
  EXPECT_EQ(DifferingLines("a\nb\nc\nd\n", "a\nB\nc\nd\n"), "- 2: b\n+ 2: B\n");
  EXPECT_EQ(DifferingLines("a\nb\n", "new\na\nb\n"), "+ 1: new\n");
  EXPECT_EQ(DifferingLines("a\nb\nc\n", "a\nc\n"), "- 2: b\n");
  EXPECT_EQ(DifferingLines("", "a\n"), "+ 1: a\n");
  EXPECT_EQ(DifferingLines("a\n", "a"), "- 2: \n") << "the last line has no end";
  EXPECT_EQ(DifferingLines("a\nb\n", "a\nb\n"), "");
}

TEST(GoldenFileTest, AFileThatIsNotThereFails) {
  if (std::getenv("UPDATE_GOLDEN") != nullptr) GTEST_SKIP() << "it would be written";
  EXPECT_NONFATAL_FAILURE(ExpectSameAsFile("x", "tests/golden/no_such_file"), "+ 1: x");
}

}  // namespace
}  // namespace dbsidecar::test_support
