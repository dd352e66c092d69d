// What `dbsidecar config check` prints.
#pragma once

#include <string>
#include <vector>

#include "server/config/config.h"

namespace dbsidecar::server {

// A line `name = value  (source)` per option, aligned; secrets are redacted.
std::string FormatConfigCheck(const Config& config);

// A heading with the count, and a line per problem; empty when there is none.
std::string FormatProblems(const std::vector<Problem>& problems);

// {"ok": bool, "options": [{"name", "value", "source", "origin"}], "problems": [{"option",
// "origin", "value", "message"}]}; `source` is one of default, profile, file, environment, flag
// and rule. `options` is empty when there are problems. Ends with a newline.
std::string FormatConfigCheckJson(const LoadedConfig& loaded);

}  // namespace dbsidecar::server
