#include "server/config/config_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "server/config/options.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

std::string_view SourceName(ValueSource source) {
  switch (source) {
    case ValueSource::kDefault:
      return "default";
    case ValueSource::kProfile:
      return "profile";
    case ValueSource::kFile:
      return "file";
    case ValueSource::kEnvironment:
      return "environment";
    case ValueSource::kFlag:
      return "flag";
    case ValueSource::kAdmin:
      return "admin";
    case ValueSource::kRule:
      return "rule";
    case ValueSource::kInherited:
      return "inherited";
  }
  std::abort();
}

}  // namespace

std::string FormatConfigCheck(const Config& config) {
  std::size_t name_width = 0;
  std::size_t value_width = 0;
  const std::vector<ToldValue> told = ToldValues(config);
  for (const auto& [name, value] : told) {
    name_width = std::max(name_width, name.size());
    // A long URL shall not push the sources of all the others to the right.
    if (value.value.size() <= 30) value_width = std::max(value_width, value.value.size());
  }
  std::string text;
  for (const auto& [name, value] : told) {
    text += fmt::format("{:<{}} = {:<{}}  ({})\n", name, name_width, value.value, value_width,
                        value.origin);
  }
  return text;
}

std::string FormatProblems(const std::vector<Problem>& problems) {
  if (problems.empty()) return "";
  std::string text = Concat("the configuration has ", problems.size(),
                            problems.size() == 1 ? " problem:\n" : " problems:\n");
  for (const Problem& problem : problems) {
    text += Concat("  ", FormatProblem(problem), "\n");
  }
  return text;
}

std::string FormatConfigCheckJson(const LoadedConfig& loaded) {
  using Json = nlohmann::ordered_json;
  Json options = Json::array();
  if (loaded.ok()) {
    for (const auto& [name, value] : ToldValues(loaded.config)) {
      options.push_back({{"name", name},
                         {"value", value.value},
                         {"source", SourceName(value.source)},
                         {"origin", value.origin}});
    }
  }
  Json problems = Json::array();
  for (const Problem& problem : loaded.problems) {
    problems.push_back({{"option", problem.option},
                        {"origin", problem.origin},
                        {"value", problem.value},
                        {"message", problem.message}});
  }
  const Json report = {{"ok", loaded.ok()}, {"options", options}, {"problems", problems}};
  return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace dbsidecar::server
