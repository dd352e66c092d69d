// The verbs of the binary that talk to a running sidecar: query, sql, listen, health, ...
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

// The parts of the client verbs are in a namespace of their own: they look at results from the
// other side than the server does, and would share names with it.
namespace dbsidecar::server::cli {

// `arguments` are those after the verb. `--help` prints the verb's help and returns 0.
int RunQuery(const std::vector<std::string>& arguments, const Environment& environment);
int RunSql(const std::vector<std::string>& arguments, const Environment& environment);
int RunDescribe(const std::vector<std::string>& arguments, const Environment& environment);
int RunHealth(const std::vector<std::string>& arguments, const Environment& environment);
int RunMetrics(const std::vector<std::string>& arguments, const Environment& environment);
int RunWait(const std::vector<std::string>& arguments, const Environment& environment);
int RunListen(const std::vector<std::string>& arguments, const Environment& environment);
int RunAdmin(const std::vector<std::string>& arguments, const Environment& environment);
int RunTop(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace dbsidecar::server::cli

namespace dbsidecar::server {

using cli::RunAdmin;
using cli::RunDescribe;
using cli::RunHealth;
using cli::RunListen;
using cli::RunMetrics;
using cli::RunQuery;
using cli::RunSql;
using cli::RunTop;
using cli::RunWait;

}  // namespace dbsidecar::server
