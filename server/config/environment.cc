#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "server/config/nearest_name.h"
#include "server/config/sources.h"
#include "server/text.h"

extern "C" char** environ;

namespace dbsidecar::server {
namespace {

constexpr std::string_view kPrefix = "DBSIDECAR_";

// Read by the client verbs.
constexpr std::string_view kAddressVariable = "DBSIDECAR_ADDR";
constexpr std::string_view kAdminAddressVariable = "DBSIDECAR_ADMIN_ADDR";

// Kubernetes tells every container about the services of its namespace, and one may well be called
// `dbsidecar`: DBSIDECAR_SERVICE_HOST, DBSIDECAR_SERVICE_PORT_GRPC, DBSIDECAR_PORT=tcp://...,
// DBSIDECAR_PORT_50051_TCP_ADDR.
bool IsFromKubernetes(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST")) return true;
  if ((name.find("_SERVICE_PORT") != std::string_view::npos)) return true;
  if (name.ends_with("_PORT") && (value.find("://") != std::string_view::npos)) return true;
  const std::size_t port = name.find("_PORT_");
  if (port == std::string_view::npos) return false;
  const std::string_view rest = name.substr(port + 6);
  return !rest.empty() && IsDigit(rest.front());
}

Problem UnknownVariable(const std::string& name) {
  std::vector<std::string_view> candidates;
  for (const Option& option : Options()) candidates.push_back(option.environment);
  const std::string_view nearest = NearestName(name, candidates);
  return {.origin = Concat("environment ", name),
          .message = nearest.empty() ? std::string("is not known; unset it")
                                     : Concat("is not known; did you mean ", nearest, "?")};
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

SourceReading ReadEnvironment(const Environment& environment) {
  SourceReading reading;
  for (const auto& [name, value] : environment) {
    const std::string origin = Concat("environment ", name);
    const auto option = std::ranges::find(Options(), name, &Option::environment);
    if (option != Options().end()) {
      if (value.empty()) {
        reading.problems.push_back({.option = std::string(option->flag),
                                    .origin = origin,
                                    .message = "is empty; set it, or unset the variable"});
      } else {
        reading.values.push_back({&*option, value, ValueSource::kEnvironment, origin});
      }
    } else if (name.starts_with(kPrefix) && name != kAddressVariable &&
               name != kAdminAddressVariable && !IsFromKubernetes(name, value)) {
      reading.problems.push_back(UnknownVariable(name));
    }
  }
  return reading;
}

}  // namespace dbsidecar::server
