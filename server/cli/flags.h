// Splits the arguments of a client verb into flags and plain values.
//
// Made for arguments that hold SQL and numbers: `-5`, `-` and `-- a comment` are plain values, and
// `--` alone says that only plain values follow. What looks like a flag must be a known one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dbsidecar::server::cli {

struct Flag {
  std::string_view name;  // With its dashes.
  bool takes_value = false;
  bool may_have_value = false;  // After an equals sign only.
};

struct Argument {
  std::string flag;  // With its dashes; empty for a plain value.
  std::string value;

  bool operator==(const Argument&) const = default;
};

// In the order given. `-h` counts as `--help`, which is always known.
absl::StatusOr<std::vector<Argument>> SplitArguments(const std::vector<std::string>& arguments,
                                                     std::span<const Flag> known);

}  // namespace dbsidecar::server::cli
