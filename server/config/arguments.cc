#include <CLI/CLI.hpp>
#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "server/config/nearest_name.h"
#include "server/config/sources.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

std::string FlagOrigin(const Option& option) { return Concat("flag --", option.flag); }

CLI::Option* AddTo(CLI::App& app, const Option& option) {
  const std::string name = Concat("--", option.flag);
  if (option.type == OptionType::kBoolean) return app.add_flag(name);
  // A missing value shall be one problem among others, not the end of the parse.
  return app.add_option(name)->expected(0, 1);
}

const Option* FindByFlag(std::string_view flag) {
  const auto found = std::ranges::find(Options(), flag, &Option::flag);
  return found == Options().end() ? nullptr : &*found;
}

// CLI11 gives `--name=` the next argument as its value, so these are taken out beforehand.
std::vector<std::string> WithoutEmptyValues(const std::vector<std::string>& arguments,
                                            SourceReading& reading) {
  std::vector<std::string> rest;
  for (const std::string& argument : arguments) {
    const bool empty_value =
        argument.starts_with("--") && argument.find('=') + 1 == argument.size();
    const Option* option =
        empty_value ? FindByFlag(std::string_view(argument).substr(2, argument.size() - 3))
                    : nullptr;
    if (option == nullptr) {
      rest.push_back(argument);
    } else {
      reading.problems.push_back(
          {.option = std::string(option->flag),
           .origin = FlagOrigin(*option),
           .message = "has no value; write one after the flag, or leave the flag out"});
    }
  }
  return rest;
}

void TakeValue(const Option& option, const std::vector<std::string>& given,
               SourceReading& reading) {
  Problem problem{.option = std::string(option.flag), .origin = FlagOrigin(option)};
  if (std::ranges::find(given, "") != given.end()) {
    problem.message = "has no value; write one after the flag, or leave the flag out";
  } else if (given.size() > 1 && option.type != OptionType::kAddressList) {
    problem.message = Concat("is given ", given.size(), " times; give it once");
  }
  if (!problem.message.empty()) {
    reading.problems.push_back(std::move(problem));
  } else if (!given.empty()) {
    reading.values.push_back({&option, Join(given, ","), ValueSource::kFlag, FlagOrigin(option)});
  }
}

Problem UnknownFlag(const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  std::vector<std::string> flags;
  for (const Option& option : Options()) flags.push_back(Concat("--", option.flag));
  flags.emplace_back("--help");
  const std::vector<std::string_view> candidates(flags.begin(), flags.end());
  const std::string_view nearest = NearestName(name, candidates);
  return {.origin = Concat("flag ", name),
          .message = nearest.empty() ? std::string("is not known; see dbsidecar serve --help")
                                     : Concat("is not known; did you mean ", nearest, "?")};
}

// What follows an unknown flag is taken for its value. An argument may be a misplaced password, so
// it is not repeated.
void RefuseExtras(const std::vector<std::string>& extras, SourceReading& reading) {
  bool after_unknown_flag = false;
  for (const std::string& extra : extras) {
    const bool is_flag = extra.size() > 1 && extra.front() == '-' && extra != "--";
    if (is_flag) {
      reading.problems.push_back(UnknownFlag(extra));
    } else if (!after_unknown_flag) {
      reading.problems.push_back(
          {.origin = "arguments",
           .message =
               "hold a value that belongs to no flag; write --flag=value, also for booleans"});
    }
    after_unknown_flag = is_flag && extra.find('=') == std::string::npos;
  }
}

}  // namespace

SourceReading ReadArguments(const std::vector<std::string>& arguments) {
  SourceReading reading;
  std::vector<std::string> rest = WithoutEmptyValues(arguments, reading);
  try {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    const CLI::Option* help = app.add_flag("-h,--help");
    std::vector<std::pair<const Option*, const CLI::Option*>> known;
    for (const Option& option : Options()) {
      known.emplace_back(&option,
                         AddTo(app, option)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
    }
    std::ranges::reverse(rest);  // As CLI11 wants them.
    app.parse(std::move(rest));
    reading.help_wanted = help->count() > 0;
    for (const auto& [option, parsed] : known) TakeValue(*option, parsed->results(), reading);
    RefuseExtras(app.remaining(), reading);
  } catch (const CLI::Error& error) {
    reading.problems.push_back(
        {.origin = "arguments", .message = Concat("are not understood: ", error.what())});
  }
  return reading;
}

}  // namespace dbsidecar::server
