// The verbs of the binary that talk to a running sidecar: query, health, metrics, wait.
//
// Answers go to standard output; errors, notices and warnings to standard error. Each function
// returns the exit code of the process:
//   0  it worked
//   1  the answer is an error, the service is not serving, or `wait` ran out of time
//   2  the arguments are wrong
//   3  no sidecar answers
#pragma once

#include <string>
#include <vector>

#include "server/config/config.h"

namespace dbsidecar::server {

// `arguments` are those after the verb. `--help` prints the verb's help and returns 0.
int RunQuery(const std::vector<std::string>& arguments, const Environment& environment);
int RunHealth(const std::vector<std::string>& arguments, const Environment& environment);
int RunMetrics(const std::vector<std::string>& arguments, const Environment& environment);
int RunWait(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace dbsidecar::server
