#include "server/config/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "nlohmann/json.hpp"
#include "server/config/cross_checks.h"
#include "server/config/options.h"
#include "server/config/sources.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

std::string Quoted(const std::string& text) {
  constexpr std::size_t kShownMax = 200;
  const bool cut = text.size() > kShownMax;
  const std::string shown = cut ? text.substr(0, kShownMax) + "..." : text;
  return nlohmann::json(shown).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Keys and flags come from outside, too: nothing in a message may move the cursor or start a line.
std::string WithoutControls(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line.push_back(c);
    }
  }
  return line;
}

class Loader {
 public:
  LoadedConfig Load(const std::vector<std::string>& arguments, const Environment& environment,
                    const FileReader& read_file) {
    const SourceReading flags = Take(ReadArguments(arguments));
    const SourceReading variables = Take(ReadEnvironment(environment));
    loaded_.help_wanted = flags.help_wanted;
    // The file's name is needed to read it, and the profile's to know the defaults; both obey the
    // same precedence as everything else.
    AssignAll(variables, "config");
    AssignAll(flags, "config");
    const SourceReading file = Take(ReadFile(read_file));
    for (const SourceReading* source : {&file, &variables, &flags}) AssignAll(*source, "profile");

    AssignDefaults();
    for (const SourceReading* source : {&file, &variables, &flags}) AssignAll(*source, "");
    std::vector<Config> pools;
    for (const std::string& name : file.pools) pools.push_back(NamedPool(name, file));
    Finish(config(), invalid_);
    config().pools = std::move(pools);
    for (Problem& problem : CheckPools(config())) loaded_.problems.push_back(std::move(problem));
    return std::move(loaded_);
  }

 private:
  Config& config() { return loaded_.config; }

  // What may be told of a value that cannot be used.
  static std::string Shown(const Option& option, const std::string& text) {
    if (option.type == OptionType::kWebhook) return "***";
    return option.secret ? RedactUrl(text) : text;
  }

  SourceReading Take(SourceReading reading) {
    for (Problem& problem : reading.problems) {
      if (!problem.option.empty()) invalid_.insert(OptionOf(problem.option).flag);
      loaded_.problems.push_back(std::move(problem));
    }
    return reading;
  }

  SourceReading ReadFile(const FileReader& read_file) {
    const std::string path = config().config_file;
    if (path.empty()) return {};
    const auto content = read_file(path);
    if (content.ok()) return ReadYaml(path, *content);
    SourceReading unread;
    unread.problems.push_back(
        {.option = "config",
         .origin = config_file_origin_,
         .value = path,
         .message = Concat("cannot be read: ", std::string(content.status().message()),
                           "; correct the path or the file's permissions")});
    return unread;
  }

  // The configuration of a pool: what is given for it, over what is for all.
  Config NamedPool(const std::string& name, const SourceReading& file) {
    Config pool = config();
    pool.pool_name = name;
    for (OptionValue& value : pool.values) value.source = ValueSource::kInherited;
    OptionNames invalid = invalid_;
    for (const GivenValue& given : file.values) {
      if (given.pool == name) AssignGiven(given, pool, invalid);
    }
    Finish(pool, invalid);
    return pool;
  }

  void Finish(Config& config, const OptionNames& invalid) {
    ApplyMaximumRule(config);
    for (Problem& problem : CheckTogether(config, invalid)) {
      loaded_.problems.push_back(std::move(problem));
    }
    ApplyInMemoryRule(config);
  }

  // With `only`, assigns that option quietly: its problems are reported when all are assigned.
  void AssignAll(const SourceReading& source, std::string_view only) {
    for (const GivenValue& given : source.values) {
      if (!given.pool.empty()) continue;
      if (only.empty()) {
        AssignGiven(given, config(), invalid_);
      } else if (given.option->flag == only) {
        const bool assigned = Assign(*given.option, given.text, given.source, config()).ok();
        if (assigned && only == "config") config_file_origin_ = given.origin;
      }
    }
  }

  void AssignGiven(const GivenValue& given, Config& config, OptionNames& invalid) {
    const Option& option = *given.option;
    const absl::Status status = Assign(option, given.text, given.source, config);
    if (!status.ok()) {
      invalid.insert(option.flag);
      loaded_.problems.push_back({OptionName(option.flag, config), given.origin,
                                  Shown(option, given.text), std::string(status.message())});
      return;
    }
    OptionValue& value = config.values[static_cast<std::size_t>(&option - Options().data())];
    value = {&option, FormatValue(option, config), given.source, given.origin};
  }

  void AssignDefaults() {
    const Profile profile = config().profile;
    for (const Option& option : Options()) {
      const std::string_view text = DefaultOf(option, profile);
      const bool same = option.production == option.development && option.production == option.test;
      const ValueSource source = same ? ValueSource::kDefault : ValueSource::kProfile;
      // The profile is known by now, and a default must not change it.
      if (option.type != OptionType::kString && option.flag != "profile") {
        Assign(option, text, source, config()).IgnoreError();  // A test parses all defaults.
      }
      config().values.push_back({&option, std::string(text), source,
                                 same ? "default" : Concat("profile ", ProfileName(profile))});
    }
  }

  LoadedConfig loaded_;
  OptionNames invalid_;
  std::string config_file_origin_;
};

}  // namespace

std::string OptionName(std::string_view flag, const Config& config) {
  if (config.pool_name == kDefaultPool) return std::string(flag);
  return Concat("pools.", config.pool_name, ".", flag);
}

std::vector<ToldValue> ToldValues(const Config& config) {
  std::vector<ToldValue> told;
  for (const OptionValue& value : config.values) {
    told.push_back({OptionName(value.option->flag, config), value});
  }
  for (const Config& pool : config.pools) {
    for (const OptionValue& value : pool.values) {
      if (value.source == ValueSource::kInherited) continue;
      told.push_back({OptionName(value.option->flag, pool), value});
    }
  }
  return told;
}

std::string FormatProblem(const Problem& problem) {
  std::string line = problem.option;
  if (!problem.value.empty()) line += Concat(" = ", Quoted(problem.value));
  if (line.empty()) {
    line = problem.origin;
  } else if (!problem.origin.empty()) {
    line += Concat(" (", problem.origin, ")");
  }
  return WithoutControls(Concat(line, ": ", problem.message));
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  constexpr std::uintmax_t kBytesMax = 1 << 20;
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(path, error);
  if (error) return absl::NotFoundError(error.message());
  if (!regular) return absl::InvalidArgumentError("it is not a file");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return absl::UnavailableError(error.message());
  if (size > kBytesMax) return absl::InvalidArgumentError("it is larger than 1MiB");

  std::ifstream stream(path, std::ios::binary);
  if (!stream) return absl::PermissionDeniedError("it cannot be opened");
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

LoadedConfig LoadConfig(const std::vector<std::string>& arguments, const Environment& environment,
                        const FileReader& read_file) {
  return Loader().Load(arguments, environment, read_file);
}

}  // namespace dbsidecar::server
