#include <gtest/gtest.h>

#include "server/config/option_docs.h"
#include "tests/support/golden_file.h"

namespace dbsidecar::golden {
namespace {

TEST(HelpTest, ServeHelp) {
  test_support::ExpectSameAsFile(server::ServeHelp(), "tests/golden/help/serve.txt");
}

}  // namespace
}  // namespace dbsidecar::golden
