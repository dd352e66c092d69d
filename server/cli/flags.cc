#include "server/cli/flags.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "server/config/nearest_name.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

constexpr Flag kHelp{"--help", false};

bool IsFlagCharacter(char c) { return IsLetter(c) || IsDigit(c) || c == '-' || c == '_'; }

// `--name`, `--name=value` or `-x`; neither a number nor SQL that starts with a comment.
bool LooksLikeFlag(std::string_view argument) {
  if (!ConsumePrefix(argument, "-")) return false;
  ConsumePrefix(argument, "-");
  const std::string_view name = argument.substr(0, argument.find('='));
  return !name.empty() && IsLetter(name.front()) && std::ranges::all_of(name, IsFlagCharacter);
}

const Flag* Find(std::string_view name, std::span<const Flag> known) {
  if (name == kHelp.name || name == "-h") return &kHelp;
  const auto found = std::ranges::find(known, name, &Flag::name);
  return found == known.end() ? nullptr : &*found;
}

absl::Status Unknown(std::string_view name, std::span<const Flag> known) {
  std::vector<std::string_view> candidates{kHelp.name};
  for (const Flag& flag : known) candidates.push_back(flag.name);
  const std::string_view nearest = NearestName(name, candidates);
  return absl::InvalidArgumentError(
      nearest.empty() ? Concat(name, " is not known; see --help")
                      : Concat(name, " is not known; did you mean ", nearest, "?"));
}

}  // namespace

absl::StatusOr<std::vector<Argument>> SplitArguments(const std::vector<std::string>& arguments,
                                                     std::span<const Flag> known) {
  std::vector<Argument> result;
  bool flags_ended = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!flags_ended && argument == "--") {
      flags_ended = true;
    } else if (flags_ended || !LooksLikeFlag(argument)) {
      result.push_back({"", argument});
    } else {
      const std::size_t equals = argument.find('=');
      const std::string name = argument.substr(0, equals);
      const Flag* flag = Find(name, known);
      if (flag == nullptr) return Unknown(name, known);
      Argument& added = result.emplace_back(Argument{std::string(flag->name), ""});
      if (!flag->takes_value && !flag->may_have_value) {
        if (equals != std::string::npos) {
          return absl::InvalidArgumentError(Concat(name, " takes no value"));
        }
      } else if (equals != std::string::npos) {
        added.value = argument.substr(equals + 1);
      } else if (!flag->takes_value) {
        // It stands alone.
      } else if (++i < arguments.size()) {
        added.value = arguments[i];
      } else {
        return absl::InvalidArgumentError(Concat(name, " needs a value after it"));
      }
    }
  }
  return result;
}

}  // namespace dbsidecar::server::cli
