#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "server/cli/client_options.h"
#include "server/cli/flags.h"
#include "server/cli/parameters.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using std::chrono_literals::operator""s;

constexpr Flag kFlags[] = {{"--json", false}, {"--addr", true}};

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(FlagsTest, NumbersDashesAndCommentsArePlainValues) {
  const auto split = SplitArguments({"-- a comment\nselect 1", "-5", "-.5", "-"}, kFlags);
  ASSERT_TRUE(split.ok()) << split.status();
  ASSERT_EQ(split->size(), 4u);
  for (const Argument& argument : *split) EXPECT_EQ(argument.flag, "");
}

TEST(FlagsTest, AValueFollowsItsFlagOrItsEqualsSignAlsoWhenItIsEmpty) {
  const auto split = SplitArguments({"--addr", "a:1", "--addr=", "--addr=b=c", "x"}, kFlags);
  ASSERT_TRUE(split.ok()) << split.status();
  const std::vector<Argument> expected{
      {"--addr", "a:1"}, {"--addr", ""}, {"--addr", "b=c"}, {"", "x"}};
  EXPECT_EQ(*split, expected);
}

TEST(FlagsTest, AValueThatMayBeThereStandsBehindTheEqualsSignOnly) {
  constexpr Flag kOptional[] = {{"--watch", false, true}};
  const auto split = SplitArguments({"--watch", "5", "--watch=2"}, kOptional);
  ASSERT_TRUE(split.ok()) << split.status();
  const std::vector<Argument> expected{{"--watch", ""}, {"", "5"}, {"--watch", "2"}};
  EXPECT_EQ(*split, expected);
}

TEST(FlagsTest, AfterTwoDashesEverythingIsAPlainValue) {
  const auto split = SplitArguments({"--json", "--", "--json", "--"}, kFlags);
  ASSERT_TRUE(split.ok()) << split.status();
  const std::vector<Argument> expected{{"--json", ""}, {"", "--json"}, {"", "--"}};
  EXPECT_EQ(*split, expected);
}

TEST(FlagsTest, WhatIsNotKnownIsRefusedWithTheNearestName) {
  EXPECT_EQ(MessageOf(SplitArguments({"--jsn"}, kFlags).status()),
            "--jsn is not known; did you mean --json?");
  EXPECT_FALSE(SplitArguments({"-x"}, kFlags).ok());
  EXPECT_EQ(MessageOf(SplitArguments({"--addr"}, kFlags).status()),
            "--addr needs a value after it");
  EXPECT_EQ(MessageOf(SplitArguments({"--json=1"}, kFlags).status()), "--json takes no value");
}

v1::Value Word(std::string_view word) { return ParameterFromWord(word).value(); }

TEST(ParametersTest, AWordThatReadsBackTheSameIsAnInteger) {
  EXPECT_EQ(Word("5").int_value(), 5);
  EXPECT_EQ(Word("-9223372036854775808").int_value(), INT64_MIN);
  for (const char* text : {"007", "+5", "-0", "9223372036854775808", "0x10", "5 ", ""}) {
    EXPECT_EQ(Word(text).kind_case(), v1::Value::kStringValue) << text;
    EXPECT_EQ(Word(text).string_value(), text);
    EXPECT_EQ(Word(text).type_oid(), 0u);
  }
}

TEST(ParametersTest, AShortDecimalIsADoubleAndALongOneKeepsItsDigitsAsText) {
  EXPECT_EQ(Word("2.5").double_value(), 2.5);
  EXPECT_EQ(Word("-0.125").double_value(), -0.125);
  for (const char* text : {"1.2.3", ".5", "5.", "00.5", "1e5", "0.1234567890123456789", "nan"}) {
    EXPECT_EQ(Word(text).kind_case(), v1::Value::kStringValue) << text;
  }
}

TEST(ParametersTest, ATypedWordIsThatType) {
  EXPECT_EQ(ParameterFromTypedWord("int:-7")->int_value(), -7);
  EXPECT_EQ(ParameterFromTypedWord("text:5:6")->string_value(), "5:6");
  EXPECT_EQ(ParameterFromTypedWord("text:")->kind_case(), v1::Value::kStringValue);
  EXPECT_TRUE(std::isnan(ParameterFromTypedWord("float:nan")->double_value()));
  EXPECT_EQ(ParameterFromTypedWord("float:-inf")->double_value(), -INFINITY);
  EXPECT_TRUE(ParameterFromTypedWord("bool:true")->bool_value());
  EXPECT_EQ(ParameterFromTypedWord("bool:false")->kind_case(), v1::Value::kBoolValue);
  EXPECT_EQ(ParameterFromTypedWord("bytes:\\x00fF")->bytes_value(), std::string("\0\xff", 2));
  EXPECT_EQ(ParameterFromTypedWord("bytes:\\x")->kind_case(), v1::Value::kBytesValue);
  EXPECT_EQ(ParameterFromTypedWord("null:")->kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(ParameterFromTypedWord("null")->kind_case(), v1::Value::KIND_NOT_SET);
}

TEST(ParametersTest, AWordThatDoesNotFitItsTypeIsRefused) {
  for (const char* word : {"int:", "int:1.5", "int:9223372036854775808", "float:x", "bool:yes",
                           "bytes:ff", "bytes:\\xf", "bytes:\\xgg", "bytes:\\x-1", "null:0", "5",
                           "int", "number:5", "text:\xff"}) {
    EXPECT_FALSE(ParameterFromTypedWord(word).ok()) << word;
  }
}

TEST(ClientOptionsTest, ParametersKeepTheOrderInWhichTheyAreGiven) {
  const auto options =
      ReadQueryOptions({"--param", "text:a", "select $1", "1", "--param=null:", "b"}, {});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->sql, "select $1");
  ASSERT_EQ(options->parameters.size(), 4u);
  EXPECT_EQ(options->parameters[0].string_value(), "a");
  EXPECT_EQ(options->parameters[1].int_value(), 1);
  EXPECT_EQ(options->parameters[2].kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(options->parameters[3].string_value(), "b");
}

TEST(ClientOptionsTest, ATransactionTakesStatementsWhereverItsFlagStands) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--transaction", "select 1", "2"},
        std::vector<std::string>{"select 1", "2", "--transaction"}}) {
    const auto options = ReadQueryOptions(arguments, {});
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->statements, (std::vector<std::string>{"select 1", "2"}));
    EXPECT_TRUE(options->parameters.empty());
  }
  EXPECT_FALSE(ReadQueryOptions({"--transaction"}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"--transaction", "select $1", "--param", "int:1"}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"--transaction", "--file", "x"}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"--transaction", "--stream", "select 1"}, {}).ok());
}

TEST(ClientOptionsTest, ThePromptKeepsItsHistoryAtHomeUnlessToldNotTo) {
  const Environment environment{{"HOME", "/home/someone"}};
  EXPECT_EQ(ReadPromptOptions({}, environment)->home, "/home/someone");
  EXPECT_EQ(ReadPromptOptions({"--no-history"}, environment)->home, "");
  EXPECT_EQ(ReadPromptOptions({}, {})->home, "");
  EXPECT_EQ(ReadPromptOptions({"file.sql", "--csv"}, {})->file, "file.sql");
  EXPECT_FALSE(ReadPromptOptions({"a.sql", "b.sql"}, {}).ok());
}

TEST(ClientOptionsTest, SettingsAreThereIfAnyIsGiven) {
  const auto none = ReadQueryOptions({"select 1"}, {});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->settings.has_value());
  const auto some = ReadQueryOptions(
      {"--role", "reader", "--lock-timeout=1500ms", "--time-zone", "UTC", "select 1"}, {});
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->settings->ShortDebugString(),
            "role: \"reader\" time_zone: \"UTC\" lock_timeout { seconds: 1 nanos: 500000000 }");
  EXPECT_FALSE(ReadQueryOptions({"--statement-timeout", "0s", "select 1"}, {}).ok());
}

TEST(ClientOptionsTest, TheFlagWinsOverTheEnvironmentAndTheEnvironmentOverTheDefault) {
  const Environment environment{{"DBSIDECAR_ADDR", "unix:/run/a.sock"}};
  EXPECT_EQ(ReadWaitOptions({}, {})->client.address, "127.0.0.1:50051");
  EXPECT_EQ(ReadWaitOptions({}, environment)->client.address, "unix:/run/a.sock");
  EXPECT_EQ(ReadWaitOptions({"--addr", "[::1]:9"}, environment)->client.address, "[::1]:9");
  EXPECT_EQ(ReadWaitOptions({}, {})->client.timeout, 30s);
  EXPECT_EQ(ReadWaitOptions({"--timeout=2s"}, {})->client.timeout, 2s);
  EXPECT_EQ(ReadWaitOptions({}, {})->service, "readiness");
}

TEST(ClientOptionsTest, AnEmptyServiceIsNotTheSameAsNone) {
  EXPECT_FALSE(ReadHealthOptions({}, {})->service.has_value());
  EXPECT_EQ(ReadHealthOptions({"--service="}, {})->service, "");
  EXPECT_EQ(ReadHealthOptions({"--service", ""}, {})->service, "");
}

TEST(ClientOptionsTest, AWrongEnvironmentIsNamedUnlessAFlagMakesItIrrelevant) {
  const Environment environment{{"DBSIDECAR_ADDR", "nonsense"}};
  EXPECT_NE(MessageOf(ReadMetricsOptions({}, environment).status()).find("DBSIDECAR_ADDR"),
            std::string::npos);
  EXPECT_TRUE(ReadMetricsOptions({"--addr", "a:1"}, environment).ok());
  EXPECT_TRUE(ReadMetricsOptions({"--help"}, environment)->client.help_wanted);
}

TEST(ClientOptionsTest, AWatchMayBeGivenItsInterval) {
  EXPECT_FALSE(ReadMetricsOptions({}, {})->watch.has_value());
  EXPECT_EQ(ReadMetricsOptions({}, {})->client.timeout, 5s);
  EXPECT_EQ(ReadMetricsOptions({"--watch"}, {})->watch, 1s);
  EXPECT_EQ(ReadMetricsOptions({"--watch"}, {})->client.timeout, 0s) << "for ever";
  EXPECT_EQ(ReadMetricsOptions({"--watch", "5", "--json"}, {})->watch, 5s);
  EXPECT_EQ(ReadMetricsOptions({"--watch=2"}, {})->watch, 2s);
  EXPECT_EQ(ReadMetricsOptions({"--watch", "500ms"}, {})->watch->count(), 500);
  EXPECT_EQ(ReadMetricsOptions({"--watch", "--count", "3"}, {})->count, 3u);
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--watch", "0"},
                                             {"--watch=often"},
                                             {"--watch", "99ms"},
                                             {"--watch", "1", "2"},
                                             {"5"},
                                             {"--watch", "--json", "5"},
                                             {"--count", "3"},
                                             {"--watch", "--count", "0"}}) {
    EXPECT_FALSE(ReadMetricsOptions(wrong, {}).ok()) << Join(wrong, " ");
  }
}

TEST(ClientOptionsTest, HelpFitsTheTerminal) {
  for (const std::string_view help :
       {kQueryHelp, kSqlHelp, kDescribeHelp, kHealthHelp, kMetricsHelp, kWaitHelp}) {
    for (const std::string_view line : Split(help, '\n')) EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(ClientOptionsTest, WrongArgumentsAreRefused) {
  EXPECT_FALSE(ReadQueryOptions({}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"select 1", "--json", "--csv"}, {}).ok());
  for (const char* rows : {"0", "-1", "many", "4294967296", ""}) {
    EXPECT_FALSE(ReadQueryOptions({"select 1", "--max-rows", rows}, {}).ok()) << rows;
  }
  EXPECT_FALSE(ReadQueryOptions({"select 1", "--timeout", "5"}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"select 1", "--timeout", "0"}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"select 1", "--addr", "localhost"}, {}).ok());
  EXPECT_FALSE(ReadQueryOptions({"select 1", "--addr", "localhost:0"}, {}).ok());
  EXPECT_FALSE(ReadHealthOptions({"readiness"}, {}).ok());
  EXPECT_EQ(ReadHealthOptions({}, {})->level, "basic");
  EXPECT_EQ(ReadHealthOptions({"--level=database"}, {})->level, "database");
  EXPECT_FALSE(ReadHealthOptions({"--level", "all"}, {}).ok());
  EXPECT_FALSE(ReadMetricsOptions({"--service", "x"}, {}).ok());
}

}  // namespace
}  // namespace dbsidecar::server::cli
