// The parameters of `dbsidecar query`, as words on the command line.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "dbsidecar/v1/value.pb.h"

namespace dbsidecar::server::cli {

// A bare word. An integer in its usual form (`-5`, but not `+5` or `007`) and a decimal number of
// at most 15 digits (`2.5`) are sent as numbers; everything else, `true` and `1e5` included, as
// text whose type the database infers.
absl::StatusOr<v1::Value> ParameterFromWord(std::string_view word);

// `TYPE:VALUE` with TYPE one of int, float, text, bool, bytes, null: `int:5`, `text:007`,
// `bytes:\x00ff`, `null:`. The error says what is wrong and what to write instead.
absl::StatusOr<v1::Value> ParameterFromTypedWord(std::string_view word);

}  // namespace dbsidecar::server::cli
