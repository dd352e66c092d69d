// Texts about the options that are generated from their table.
#pragma once

#include <string>

namespace dbsidecar::server {

// What `dbsidecar serve --help` prints.
std::string ServeHelp();

// The content of docs/configuration.md.
std::string ConfigurationMarkdown();

// The file that docs/configuration.md shows.
std::string ExampleYaml();

}  // namespace dbsidecar::server
