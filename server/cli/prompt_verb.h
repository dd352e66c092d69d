// `dbsidecar sql`: a prompt, and the same for a file or a pipe of statements.
#pragma once

#include <istream>

#include "server/cli/client_options.h"
#include "server/cli/sidecar_client.h"

namespace dbsidecar::server::cli {

// With a terminal on both sides it asks and goes on after an error; otherwise it runs `in` and
// stops at the first error, rolling back what is open. Returns an exit code.
int RunPrompt(SidecarClient& client, const PromptOptions& options, std::istream& in);

}  // namespace dbsidecar::server::cli
