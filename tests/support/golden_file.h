// Texts that are kept in a file of the repository, so that a change to them is seen and meant.
#pragma once

#include <string>
#include <string_view>

namespace dbsidecar::test_support {

// Fails, with the lines that differ, unless `text` is what is in the file at `path`, from the root
// of the repository. With UPDATE_GOLDEN=1 in the environment the file is written; the test fails
// nevertheless, so that nobody leaves it on.
void ExpectSameAsFile(std::string_view text, const std::string& path);

// The lines that only one of the two has, with their number: "-" for those of `was`, "+" for those
// of `now`.
std::string DifferingLines(std::string_view was, std::string_view now);

}  // namespace dbsidecar::test_support
