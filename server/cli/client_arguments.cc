#include "server/cli/client_arguments.h"

#include "server/cli/display_text.h"
#include "server/config/listen_address.h"
#include "server/config/values.h"
#include "server/text.h"
#include "server/utf8.h"

namespace dbsidecar::server::cli {
namespace {

absl::Status SetAddress(std::string_view origin, const std::string& text, ClientOptions& client) {
  const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
  const std::string subject = Concat(origin, " \"", Displayable(text), "\"");
  if (!address.ok()) return Bad(subject, address.status());
  if (!address->IsUnix() && address->port == 0) {
    return Bad(subject, "has port 0; write the port that the sidecar listens on");
  }
  client.address = address->ToString();
  return absl::OkStatus();
}

absl::Status SetTimeout(const std::string& text, ClientOptions& client) {
  const auto timeout = ParseDuration(text, BareNumber::kRefused);
  const std::string subject = Concat("--timeout \"", Displayable(text), "\"");
  if (!timeout.ok()) return Bad(subject, timeout.status());
  if (timeout->count() <= 0) return Bad(subject, "leaves no time; write 5s, for example");
  client.timeout = *timeout;
  return absl::OkStatus();
}

absl::Status SetDefaultAddress(const Environment& environment, const AddressSource& source,
                               ClientOptions& client) {
  client.address = std::string(source.otherwise);
  const auto found = environment.find(source.variable);
  if (found == environment.end() || found->second.empty()) return absl::OkStatus();
  return SetAddress(source.variable, found->second, client);
}

}  // namespace

// Absl's string_view may be a type of its own.
absl::Status Bad(std::string_view subject, std::string_view message) {
  return absl::InvalidArgumentError(Concat(subject, " ", message));
}

absl::Status Bad(std::string_view subject, const absl::Status& status) {
  return Bad(subject, std::string(status.message()));
}

absl::Status UnwantedValue(const Argument& argument) {
  return absl::InvalidArgumentError(
      Concat("\"", Displayable(argument.value), "\" belongs to no flag; see --help"));
}

absl::Status ReadClientArguments(ClientOptions& client, const std::vector<std::string>& arguments,
                                 const Environment& environment, std::span<const Flag> known,
                                 const AddressSource& source, const TakeArgument& take) {
  const auto split = SplitArguments(arguments, known);
  if (!split.ok()) return split.status();
  for (const Argument& argument : *split) client.help_wanted |= argument.flag == "--help";
  if (client.help_wanted) return absl::OkStatus();

  bool address_given = false;
  for (const Argument& argument : *split) address_given |= argument.flag == source.flag;
  if (!address_given) {
    if (absl::Status status = SetDefaultAddress(environment, source, client); !status.ok()) {
      return status;
    }
  }
  for (const Argument& argument : *split) {
    absl::Status status;
    if (argument.flag == source.flag) {
      status = SetAddress(source.flag, argument.value, client);
    } else if (argument.flag == "--timeout") {
      status = SetTimeout(argument.value, client);
    } else if (argument.flag == "--pool") {
      client.pool = argument.value;
      if (!IsValidUtf8(client.pool)) status = Bad("--pool", "is not valid UTF-8");
    } else {
      status = take(argument);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace dbsidecar::server::cli
