// Configuration from any file, environment and arguments: every problem names where it is and what
// to do, secrets show nowhere, and what was understood can be written down and read again.
#include <string>
#include <vector>

#include "server/config/config.h"
#include "server/config/config_report.h"
#include "server/config/options.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::server;

const Option* Find(std::string_view flag) {
  for (const Option& option : Options()) {
    if (option.flag == flag) return &option;
  }
  return nullptr;
}

void RequireUseful(const Problem& problem) {
  const std::string line = FormatProblem(problem);
  FUZZ_REQUIRE(problem.message.size() > 5, line);
  FUZZ_REQUIRE(!problem.option.empty() || !problem.origin.empty() || !problem.message.empty(),
               line);
  FUZZ_REQUIRE(problem.option.empty() || Find(problem.option) != nullptr, line);
  // One line of a log, whatever was written into the file.
  for (const char c : line) {
    FUZZ_REQUIRE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, line);
  }
  FUZZ_REQUIRE(problem.option.empty() || line.find(problem.option) != std::string::npos, line);
}

// What `config check` shows of an option's value sets it again.
void RequireReadable(const LoadedConfig& loaded) {
  for (const Option& option : Options()) {
    if (option.secret || option.yaml_key.empty()) continue;
    const std::string text = FormatValue(option, loaded.config);
    if (text.empty()) continue;
    Config again;
    const absl::Status status = Assign(option, text, ValueSource::kFile, again);
    FUZZ_REQUIRE(status.ok(), std::string(option.flag) + " = " + text);
    FUZZ_REQUIRE(FormatValue(option, again) == text, std::string(option.flag) + " = " + text);
  }
}

}  // namespace

// The file, a zero byte, and texts that are environment variables (NAME=VALUE) or arguments.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const std::string file = input.TakeText();
  std::vector<std::string> arguments;
  Environment environment;
  if (!file.empty()) environment["DBSIDECAR_CONFIG"] = "fuzz.yaml";
  while (!input.empty()) {
    std::string text = input.TakeText();
    const size_t equals = text.find('=');
    if (!text.starts_with("-") && equals != std::string::npos && equals > 0) {
      environment[text.substr(0, equals)] = text.substr(equals + 1);
    } else {
      arguments.push_back(std::move(text));
    }
  }
  constexpr std::string_view kSecret = "S3cretZ9x";
  // A source of lower precedence than what may come from the input: it must not show either way.
  environment.try_emplace("DATABASE_URL", "postgresql://u:" + std::string(kSecret) + "@h/d");
  const auto read = [&](const std::string&) -> absl::StatusOr<std::string> { return file; };
  const LoadedConfig loaded = LoadConfig(arguments, environment, read);
  for (const Problem& problem : loaded.problems) RequireUseful(problem);
  const std::string json = FormatConfigCheckJson(loaded);
  const std::string shown = FormatProblems(loaded.problems) +
                            (loaded.ok() ? FormatConfigCheck(loaded.config) : std::string()) + json;
  if (file.find(kSecret) == std::string::npos) {
    FUZZ_REQUIRE(shown.find(kSecret) == std::string::npos, shown);
  }
  // The same sources, the same configuration.
  FUZZ_REQUIRE(FormatConfigCheckJson(LoadConfig(arguments, environment, read)) == json, json);
  if (loaded.ok() && !loaded.help_wanted) RequireReadable(loaded);
  return 0;
}
