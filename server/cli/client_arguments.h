// What the arguments of all client verbs have in common: where the sidecar is, and for how long it
// is waited for.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/cli/client_options.h"
#include "server/cli/flags.h"
#include "server/config/config.h"

namespace dbsidecar::server::cli {

// Where an address comes from: the flag, the variable, else what is written here.
struct AddressSource {
  std::string_view flag;
  std::string_view variable;
  std::string_view otherwise;
};

using TakeArgument = std::function<absl::Status(const Argument&)>;

// `take` gets each argument that the verbs do not share. A flag given twice counts by its last.
absl::Status ReadClientArguments(ClientOptions& client, const std::vector<std::string>& arguments,
                                 const Environment& environment, std::span<const Flag> known,
                                 const AddressSource& source, const TakeArgument& take);

// Errors about `subject`.
absl::Status Bad(std::string_view subject, std::string_view message);
absl::Status Bad(std::string_view subject, const absl::Status& status);
absl::Status UnwantedValue(const Argument& argument);

}  // namespace dbsidecar::server::cli
