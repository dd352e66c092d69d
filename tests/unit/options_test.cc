#include "server/config/options.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

#include "server/config/option_docs.h"
#include "server/text.h"
#include "tests/support/golden_file.h"

namespace dbsidecar::server {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Profile kProfiles[] = {Profile::kProduction, Profile::kDevelopment, Profile::kTest};

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(OptionsTest, NamesAreUnique) {
  std::set<std::string_view> flags;
  std::set<std::string_view> variables;
  std::set<std::string_view> keys;
  for (const Option& option : Options()) {
    EXPECT_TRUE(flags.insert(option.flag).second) << option.flag;
    EXPECT_TRUE(variables.insert(option.environment).second) << option.environment;
    if (!option.yaml_key.empty()) {
      EXPECT_TRUE(keys.insert(option.yaml_key).second) << option.yaml_key;
    }
  }
}

TEST(OptionsTest, EnvironmentNamesFollowFromFlagsExceptTheThreeThatOthersDefine) {
  const std::set<std::string_view> fixed = {"DATABASE_URL", "HEALTH_CHECK_INTERVAL",
                                            "ENABLE_POOL_LOGGING"};
  std::size_t found = 0;
  for (const Option& option : Options()) {
    if (fixed.contains(option.environment)) {
      ++found;
      continue;
    }
    std::string expected = "dbsidecar_";
    for (const char c : option.flag) expected.push_back(c == '-' ? '_' : c);
    EXPECT_EQ(ToLower(option.environment), expected);
  }
  EXPECT_EQ(found, fixed.size());
}

TEST(OptionsTest, NoKeyIsAnOptionAndASectionAtOnce) {
  for (const Option& option : Options()) {
    for (const Option& other : Options()) {
      if (option.yaml_key.empty()) continue;
      EXPECT_FALSE(other.yaml_key.starts_with(Concat(option.yaml_key, "."))) << option.yaml_key;
    }
  }
}

TEST(OptionsTest, EveryDefaultIsValidAndInItsShortestForm) {
  for (const Profile profile : kProfiles) {
    for (const Option& option : Options()) {
      Config config;
      const std::string_view text = DefaultOf(option, profile);
      const absl::Status status = Assign(option, text, ValueSource::kProfile, config);
      EXPECT_TRUE(status.ok()) << option.flag << ": " << Message(status);
      EXPECT_EQ(FormatValue(option, config), text) << option.flag;
    }
  }
}

TEST(OptionsTest, EveryLimitIsAcceptedAndOneBeyondIsNot) {
  std::size_t checked = 0;
  for (const Option& option : Options()) {
    const bool limited = option.type == OptionType::kInteger ||
                         option.type == OptionType::kDuration || option.type == OptionType::kBytes;
    if (!limited) continue;
    ++checked;
    const auto assign = [&](std::int64_t number) {
      Config config;
      const std::string text = Concat(number, option.type == OptionType::kDuration ? "ms" : "");
      return Assign(option, text, ValueSource::kFlag, config).ok();
    };
    EXPECT_TRUE(assign(option.min)) << option.flag;
    EXPECT_TRUE(assign(option.max)) << option.flag;
    EXPECT_FALSE(assign(option.max + 1)) << option.flag;
    if (option.min > 1 || option.zero.empty()) {
      EXPECT_FALSE(assign(option.min - 1)) << option.flag;
    }
    EXPECT_EQ(assign(0), option.min == 0 || !option.zero.empty()) << option.flag;
  }
  EXPECT_GT(checked, 20U);
}

TEST(OptionsTest, EveryOptionHasAFieldOfItsOwn) {
  Config config;
  std::set<const void*> fields;
  for (const Option& option : Options()) {
    const void* address =
        std::visit([](auto* field) -> const void* { return field; }, option.field(config));
    EXPECT_TRUE(fields.insert(address).second) << option.flag;
  }
}

TEST(OptionsTest, HelpIsOneOrTwoSentences) {
  for (const Option& option : Options()) {
    EXPECT_TRUE(option.help.ends_with('.')) << option.flag;
    EXPECT_LT(option.help.size(), 160U) << option.flag;
  }
}

TEST(OptionsTest, ProfilesHaveTheDefaultsOfTheDesign) {
  const auto defaults = [](std::string_view flag) {
    const Option& option = OptionOf(flag);
    return Concat(option.production, " ", option.development, " ", option.test);
  };
  EXPECT_EQ(defaults("max-connections"), "20 10 4");
  EXPECT_EQ(defaults("min-connections"), "5 2 0");
  EXPECT_EQ(defaults("idle-timeout"), "1min 30s 5s");
  EXPECT_EQ(defaults("connect-timeout"), "10s 10s 2s");
  EXPECT_EQ(defaults("statement-timeout"), "30s 1min 5s");
  EXPECT_EQ(defaults("query-timeout"), "30s 1min 5s");
  EXPECT_EQ(defaults("keep-alive-after"), "10s 5s 0");
  EXPECT_EQ(defaults("lifetime"), "30min 30min 0");
  EXPECT_EQ(defaults("wait-timeout"), "10s 30s 2s");
  EXPECT_EQ(defaults("waiters-max"), "1000 1000 100");
  EXPECT_EQ(defaults("health-check-interval"), "5min 5min 1s");
  EXPECT_EQ(defaults("pool-logging"), "false true true");
  EXPECT_EQ(defaults("drain-delay"), "5s 0 0");
  EXPECT_EQ(defaults("drain-timeout"), "20s 5s 2s");
  EXPECT_EQ(defaults("log-format"), "json text text");
}

TEST(ValuesTest, DurationsHaveUnits) {
  const auto parse = [](std::string_view text) {
    return ParseDuration(text, BareNumber::kRefused).value_or(milliseconds(-1));
  };
  EXPECT_EQ(parse("500ms"), milliseconds(500));
  EXPECT_EQ(parse("10s"), seconds(10));
  EXPECT_EQ(parse("5min"), minutes(5));
  EXPECT_EQ(parse("5m"), minutes(5));
  EXPECT_EQ(parse("1h"), hours(1));
  EXPECT_EQ(parse("0"), milliseconds(0));
  EXPECT_EQ(parse("8760h"), kDurationMax);
}

TEST(ValuesTest, OtherDurationsAreRefusedWithTheRemedy) {
  const auto refuse = [](std::string_view text) {
    return Message(ParseDuration(text, BareNumber::kRefused).status());
  };
  const std::string remedy = "; write a number with its unit: 500ms, 10s, 5min, 1h";
  EXPECT_EQ(refuse("10"), "has no unit" + remedy);
  EXPECT_EQ(refuse("-1s"), "is negative" + remedy);
  for (const std::string_view text :
       {"", "s", "1.5s", "10 s", "1h30min", "10S", "1d", "+1s", "10s "}) {
    EXPECT_EQ(refuse(text), "is not a duration" + remedy) << text;
  }
  EXPECT_EQ(refuse("8761h"), "is longer than a year; write a shorter duration");
  EXPECT_EQ(refuse("99999999999999999999s"), "is longer than a year; write a shorter duration");
  EXPECT_EQ(refuse("9223372036854775807h"), "is longer than a year; write a shorter duration");
}

TEST(ValuesTest, ABareNumberIsMillisecondsOnlyWhereItIsSaidSo) {
  EXPECT_EQ(*ParseDuration("300000", BareNumber::kMilliseconds), minutes(5));
  EXPECT_EQ(*ParseDuration("5min", BareNumber::kMilliseconds), minutes(5));
  EXPECT_FALSE(ParseDuration("300000", BareNumber::kRefused).ok());
}

TEST(ValuesTest, DurationsAreWrittenInTheLargestWholeUnit) {
  EXPECT_EQ(FormatDuration(milliseconds(0)), "0");
  EXPECT_EQ(FormatDuration(milliseconds(1500)), "1500ms");
  EXPECT_EQ(FormatDuration(seconds(90)), "90s");
  EXPECT_EQ(FormatDuration(minutes(30)), "30min");
  EXPECT_EQ(FormatDuration(hours(48)), "48h");
}

TEST(ValuesTest, SizesHaveBinaryUnits) {
  EXPECT_EQ(*ParseBytes("4MiB"), 4 << 20);
  EXPECT_EQ(*ParseBytes("1GiB"), 1 << 30);
  EXPECT_EQ(*ParseBytes("512KiB"), 512 << 10);
  EXPECT_EQ(*ParseBytes("7B"), 7);
  EXPECT_EQ(*ParseBytes("4096"), 4096);
  EXPECT_EQ(FormatBytes(4 << 20), "4MiB");
  EXPECT_EQ(FormatBytes(1025), "1025B");
  EXPECT_EQ(FormatBytes(0), "0");
}

TEST(ValuesTest, OtherSizesAreRefusedWithTheRemedy) {
  const auto refuse = [](std::string_view text) { return Message(ParseBytes(text).status()); };
  const std::string remedy = "; write a number with its unit: 512KiB, 4MiB, 1GiB";
  for (const std::string_view text : {"", "4MB", "4M", "4mib", "MiB", "4.5MiB", "4 MiB"}) {
    EXPECT_EQ(refuse(text), "is not a size" + remedy) << text;
  }
  EXPECT_EQ(refuse("-4MiB"), "is negative" + remedy);
  EXPECT_EQ(refuse("9223372036854775807GiB"), "is too large; write a smaller size");
}

TEST(ValuesTest, BooleansHaveFourSpellings) {
  for (const std::string_view yes : {"true", "TRUE", "on", "yes", "1"}) {
    EXPECT_TRUE(*ParseBoolean(yes)) << yes;
  }
  for (const std::string_view no : {"false", "False", "off", "no", "0"}) {
    EXPECT_FALSE(*ParseBoolean(no)) << no;
  }
  for (const std::string_view text : {"", "2", "y", "enabled", " true"}) {
    EXPECT_EQ(Message(ParseBoolean(text).status()),
              "is neither true nor false; write true or false")
        << text;
  }
}

TEST(ValuesTest, IntegersAreDigits) {
  EXPECT_EQ(*ParseInteger("20"), 20);
  EXPECT_EQ(*ParseInteger("-1"), -1);
  for (const std::string_view text : {"", "1_000", "0x10", "1e3", "+1", " 1", "1.0", "many"}) {
    EXPECT_EQ(Message(ParseInteger(text).status()),
              "is not a whole number; write digits only, such as 20")
        << text;
  }
  EXPECT_EQ(Message(ParseInteger("99999999999999999999").status()),
            "is too large; write a smaller number");
}

TEST(OptionDocsTest, HelpFitsInto100Columns) {
  const std::string help = ServeHelp();
  for (const std::string_view line : Split(help, '\n')) EXPECT_LE(line.size(), 100U) << line;
}

TEST(OptionDocsTest, TheDocumentIsGeneratedFromTheTable) {
  test_support::ExpectSameAsFile(ConfigurationMarkdown(), "docs/configuration.md");
}

TEST(OptionDocsTest, HelpAndTheDocumentNameEveryOption) {
  const std::string help = ServeHelp();
  const std::string document = ConfigurationMarkdown();
  for (const Option& option : Options()) {
    EXPECT_NE(help.find(Concat("  --", option.flag)), std::string::npos) << option.flag;
    EXPECT_NE(help.find(option.environment), std::string::npos) << option.environment;
    EXPECT_NE(document.find(Concat("| `--", option.flag, "` | `", option.environment, "` |")),
              std::string::npos)
        << option.flag;
  }
}

}  // namespace
}  // namespace dbsidecar::server
