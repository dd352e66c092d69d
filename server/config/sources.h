// The places where option values are written: arguments, environment variables and a YAML file.
//
// Reading a source finds values and what is wrong with the way they are given (an unknown name, a
// missing value, a value twice); what a value means is not its business.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/config/config.h"
#include "server/config/options.h"

namespace dbsidecar::server {

// A value as somebody wrote it. Lists are joined by commas.
struct GivenValue {
  const Option* option = nullptr;
  std::string text;
  ValueSource source = ValueSource::kDefault;
  std::string origin;
  std::string pool = {};  // The named pool whose it is alone; empty = it is for all.
};

struct SourceReading {
  std::vector<GivenValue> values;    // At most one per option and pool.
  std::vector<std::string> pools{};  // Those that the file names, in its order.
  std::vector<Problem> problems;
  bool help_wanted = false;  // Arguments only.
};

SourceReading ReadArguments(const std::vector<std::string>& arguments);
SourceReading ReadEnvironment(const Environment& environment);
// `path` is for messages.
SourceReading ReadYaml(const std::string& path, const std::string& content);

}  // namespace dbsidecar::server
