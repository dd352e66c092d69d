#include "server/config/config.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "server/config/config_report.h"
#include "server/config/option_docs.h"
#include "server/config/options.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

// The only file there is, is `a.yaml`.
FileReader HoldingYaml(const std::string& content) {
  return [content](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "a.yaml") return content;
    return absl::NotFoundError("No such file or directory");
  };
}

LoadedConfig LoadYaml(const std::string& content) {
  return LoadConfig({"--config", "a.yaml"}, {}, HoldingYaml(content));
}

LoadedConfig LoadFlags(const Strings& arguments) {
  return LoadConfig(arguments, {}, HoldingYaml(""));
}

LoadedConfig LoadVariables(const Environment& environment) {
  return LoadConfig({}, environment, HoldingYaml(""));
}

Strings Problems(const LoadedConfig& loaded) {
  Strings lines;
  for (const Problem& problem : loaded.problems) lines.push_back(FormatProblem(problem));
  return lines;
}

const OptionValue& ValueOf(const LoadedConfig& loaded, std::string_view flag) {
  for (const OptionValue& value : loaded.config.values) {
    if (value.option->flag == flag) return value;
  }
  ADD_FAILURE() << "no value for " << flag;
  std::abort();
}

std::string Shown(const LoadedConfig& loaded, std::string_view flag) {
  const OptionValue& value = ValueOf(loaded, flag);
  return Concat(value.value, " (", value.origin, ")");
}

// --- Where values come from ---------------------------------------------------------------------

TEST(ConfigTest, WithoutAnyInputTheProductionProfileHolds) {
  const LoadedConfig loaded = LoadFlags({});
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  const Config& config = loaded.config;
  EXPECT_EQ(config.profile, Profile::kProduction);
  EXPECT_EQ(config.database.driver, DatabaseDriver::kSqlite);
  EXPECT_EQ(config.database.name, "dbsidecar.db");
  ASSERT_EQ(config.listen.size(), 1U);
  EXPECT_EQ(config.listen[0].ToString(), "127.0.0.1:50051");
  EXPECT_EQ(config.pool.connections_max, 20);
  EXPECT_EQ(config.pool.connections_min, 5);
  EXPECT_EQ(config.pool.idle_timeout, seconds(60));
  EXPECT_EQ(config.lifecycle.health_check_interval, minutes(5));
  EXPECT_EQ(config.query.result_bytes_max, 4 << 20);
  EXPECT_EQ(config.log.format, LogFormat::kJson);
  EXPECT_FALSE(config.pool.logging);
  EXPECT_FALSE(loaded.help_wanted);
}

TEST(ConfigTest, EveryOptionHasAValueInTheOrderOfTheTable) {
  const LoadedConfig loaded = LoadFlags({});
  ASSERT_EQ(loaded.config.values.size(), Options().size());
  for (std::size_t i = 0; i < Options().size(); ++i) {
    EXPECT_EQ(loaded.config.values[i].option, &Options()[i]);
  }
}

TEST(ConfigTest, AProfileChangesTheDefaults) {
  const LoadedConfig loaded = LoadFlags({"--profile", "test"});
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.profile, Profile::kTest);
  EXPECT_EQ(loaded.config.pool.connections_max, 4);
  EXPECT_EQ(loaded.config.pool.lifetime, milliseconds(0));
  EXPECT_TRUE(loaded.config.pool.logging);
  EXPECT_EQ(loaded.config.log.format, LogFormat::kText);
  EXPECT_EQ(Shown(loaded, "max-connections"), "4 (profile test)");
  EXPECT_EQ(Shown(loaded, "grpc-threads"), "1 (default)");
}

TEST(ConfigTest, AFlagBeatsTheEnvironmentWhichBeatsTheFileWhichBeatsTheProfile) {
  const std::string yaml = "pool:\n  max: 11\n  min: 3\n  waiters_max: 33\n";
  const LoadedConfig loaded = LoadConfig(
      {"--config=a.yaml", "--profile=development", "--max-connections=13"},
      {{"DBSIDECAR_MAX_CONNECTIONS", "12"}, {"DBSIDECAR_MIN_CONNECTIONS", "4"}}, HoldingYaml(yaml));
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.pool.connections_max, 13);
  EXPECT_EQ(loaded.config.pool.connections_min, 4);
  EXPECT_EQ(loaded.config.pool.waiters_max, 33);
  EXPECT_EQ(Shown(loaded, "max-connections"), "13 (flag --max-connections)");
  EXPECT_EQ(Shown(loaded, "min-connections"), "4 (environment DBSIDECAR_MIN_CONNECTIONS)");
  EXPECT_EQ(Shown(loaded, "waiters-max"), "33 (file a.yaml:4 pool.waiters_max)");
  EXPECT_EQ(Shown(loaded, "idle-timeout"), "30s (profile development)");
  EXPECT_EQ(Shown(loaded, "config"), "a.yaml (flag --config)");
}

TEST(ConfigTest, TheProfileObeysTheSamePrecedence) {
  const auto profile = [](const Strings& arguments, const Environment& environment) {
    return LoadConfig(arguments, environment, HoldingYaml("profile: test")).config.profile;
  };
  EXPECT_EQ(profile({"--config=a.yaml"}, {}), Profile::kTest);
  EXPECT_EQ(profile({"--config=a.yaml"}, {{"DBSIDECAR_PROFILE", "development"}}),
            Profile::kDevelopment);
  EXPECT_EQ(
      profile({"--config=a.yaml", "--profile=production"}, {{"DBSIDECAR_PROFILE", "development"}}),
      Profile::kProduction);
}

TEST(ConfigTest, TheFileMayBeNamedInTheEnvironment) {
  const LoadedConfig loaded =
      LoadConfig({}, {{"DBSIDECAR_CONFIG", "a.yaml"}}, HoldingYaml("grpc: {threads: 2}"));
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.grpc_threads, 2);
}

TEST(ConfigTest, ListenIsRepeatableAsFlagCommaSeparatedInTheEnvironmentAndAListInTheFile) {
  const Strings expected = {"127.0.0.1:1", "unix:/run/x.sock"};
  const auto listen = [](const LoadedConfig& loaded) {
    Strings addresses;
    for (const ListenAddress& address : loaded.config.listen) {
      addresses.push_back(address.ToString());
    }
    return addresses;
  };
  EXPECT_EQ(listen(LoadFlags({"--listen", "127.0.0.1:1", "--listen=unix:/run/x.sock"})), expected);
  EXPECT_EQ(listen(LoadVariables({{"DBSIDECAR_LISTEN", "127.0.0.1:1, unix:/run/x.sock"}})),
            expected);
  EXPECT_EQ(listen(LoadYaml("listen: [127.0.0.1:1, unix:/run/x.sock]")), expected);
  EXPECT_EQ(listen(LoadYaml("listen: 127.0.0.1:1,unix:/run/x.sock")), expected);
}

TEST(ConfigTest, ABooleanFlagNeedsNoValue) {
  EXPECT_TRUE(LoadFlags({"--log-calls"}).config.log.calls);
  EXPECT_TRUE(LoadFlags({"--log-calls=true"}).config.log.calls);
  EXPECT_FALSE(
      LoadConfig({"--log-calls=false"}, {{"DBSIDECAR_LOG_CALLS", "true"}}).config.log.calls);
}

TEST(ConfigTest, HealthCheckIntervalIsMillisecondsInTheEnvironmentOnly) {
  const LoadedConfig loaded = LoadVariables({{"HEALTH_CHECK_INTERVAL", "60000"}});
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.lifecycle.health_check_interval, minutes(1));
  EXPECT_EQ(
      Problems(LoadFlags({"--health-check-interval=60000"})),
      Strings{"health-check-interval = \"60000\" (flag --health-check-interval): has no unit; "
              "write a number with its unit: 500ms, 10s, 5min, 1h"});
}

TEST(ConfigTest, EnablePoolLoggingIsAnEnvironmentVariable) {
  EXPECT_TRUE(LoadVariables({{"ENABLE_POOL_LOGGING", "true"}}).config.pool.logging);
  EXPECT_FALSE(LoadVariables({{"ENABLE_POOL_LOGGING", "0"}}).config.pool.logging);
}

TEST(ConfigTest, HelpIsNoticedAmongOtherArguments) {
  EXPECT_TRUE(LoadFlags({"--help"}).help_wanted);
  EXPECT_TRUE(LoadFlags({"--max-connections", "3", "-h"}).help_wanted);
}

TEST(ConfigTest, TheDocumentedExampleIsValid) {
  const LoadedConfig loaded = LoadYaml(ExampleYaml());
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.database.driver, DatabaseDriver::kPostgres);
  EXPECT_EQ(loaded.config.listen.size(), 2U);
  EXPECT_EQ(loaded.config.pool.connections_max, 40);
  EXPECT_EQ(loaded.config.query.query_timeout, seconds(20));
}

TEST(ConfigTest, AnEmptyFileOrSectionIsFine) {
  for (const std::string& yaml :
       Strings{"", "\n", "# nothing\n", "pool:\n", "pool: {}\n", "---\n"}) {
    EXPECT_TRUE(LoadYaml(yaml).ok()) << yaml << FormatProblems(LoadYaml(yaml).problems);
  }
}

// --- Problems -----------------------------------------------------------------------------------

TEST(ConfigProblemTest, AllProblemsOfAllSourcesAreListedAtOnce) {
  const LoadedConfig loaded = LoadConfig(
      {"--config", "a.yaml", "--max-conections", "5", "--idle-timeout", "10"},
      {{"DBSIDECAR_LOG_LEVEL", "loud"}, {"DATABASE_URL", "mysql://app:s3cret@db/orders"}},
      HoldingYaml("pool:\n  mxa: 7\n  min: 30\n"));
  EXPECT_EQ(
      FormatProblems(loaded.problems),
      "the configuration has 6 problems:\n"
      "  flag --max-conections: is not known; did you mean --max-connections?\n"
      "  file a.yaml:2 pool.mxa: is not known; did you mean pool.max?\n"
      "  database-url = \"mysql://app:***@db/orders\" (environment DATABASE_URL): names no "
      "database "
      "that this program knows; write postgresql://user@host/database, sqlite:name.db, "
      "sqlite::memory: or file:name.db?mode=ro\n"
      "  log-level = \"loud\" (environment DBSIDECAR_LOG_LEVEL): is not one of its values; write "
      "debug, info, warn, error\n"
      "  idle-timeout = \"10\" (flag --idle-timeout): has no unit; write a number with its unit: "
      "500ms, 10s, 5min, 1h\n"
      "  min-connections = \"30\" (file a.yaml:3 pool.min): is more than max-connections = 20 "
      "(profile production); lower the one or raise the other\n");
}

TEST(ConfigProblemTest, ABadValueCountsEvenWhereABetterSourceOverridesIt) {
  const LoadedConfig loaded =
      LoadConfig({"--max-connections=8"}, {{"DBSIDECAR_MAX_CONNECTIONS", "many"}}, HoldingYaml(""));
  EXPECT_EQ(Problems(loaded),
            Strings{"max-connections = \"many\" (environment DBSIDECAR_MAX_CONNECTIONS): is not a "
                    "whole number; write digits only, such as 20"});
}

TEST(ConfigProblemTest, AnOptionThatIsWrongIsNotAlsoComparedWithOthers) {
  const LoadedConfig loaded = LoadFlags({"--max-connections=0", "--min-connections=9999"});
  EXPECT_EQ(Problems(loaded),
            Strings{"max-connections = \"0\" (flag --max-connections): is out of range; write 1 to "
                    "10000 connections"});
}

TEST(ConfigProblemTest, AnUnknownFlagIsRefusedWithTheNearestName) {
  EXPECT_EQ(Problems(LoadFlags({"--databse-url=sqlite:secret.db"})),
            Strings{"flag --databse-url: is not known; did you mean --database-url?"});
  EXPECT_EQ(Problems(LoadFlags({"--frobnicate", "7"})),
            Strings{"flag --frobnicate: is not known; see dbsidecar serve --help"});
  EXPECT_EQ(Problems(LoadFlags({"-x"})),
            Strings{"flag -x: is not known; see dbsidecar serve --help"});
}

TEST(ConfigProblemTest, AValueWithoutAFlagIsRefusedAndNotRepeated) {
  const Strings expected = {
      "arguments: hold a value that belongs to no flag; write --flag=value, also for booleans"};
  EXPECT_EQ(Problems(LoadFlags({"hunter2"})), expected);
  EXPECT_EQ(Problems(LoadFlags({"--log-calls", "false"})), expected);
  EXPECT_EQ(Problems(LoadFlags({""})), expected);
}

TEST(ConfigProblemTest, AFlagWithoutItsValueIsRefused) {
  const Strings expected = {
      "max-connections (flag --max-connections): has no value; write one after the flag, or leave "
      "the flag out"};
  EXPECT_EQ(Problems(LoadFlags({"--max-connections"})), expected);
  EXPECT_EQ(Problems(LoadFlags({"--max-connections", "--log-calls"})), expected);
  EXPECT_EQ(Problems(LoadFlags({"--max-connections="})), expected);
  EXPECT_EQ(Problems(LoadFlags({"--max-connections", ""})), expected);
  EXPECT_EQ(Problems(LoadFlags({"--max-connections=", "--min-connections=1"})), expected);
}

TEST(ConfigProblemTest, AFlagGivenTwiceIsRefused) {
  EXPECT_EQ(Problems(LoadFlags({"--max-connections=3", "--max-connections=3"})),
            Strings{"max-connections (flag --max-connections): is given 2 times; give it once"});
}

TEST(ConfigProblemTest, ANegativeNumberIsAValueAndOutOfRange) {
  EXPECT_EQ(
      Problems(LoadFlags({"--max-connections", "-5"})),
      Strings{"max-connections = \"-5\" (flag --max-connections): is out of range; write 1 to "
              "10000 connections"});
}

TEST(ConfigProblemTest, ValuesOfTheWrongTypeAreRefusedWithTheRemedy) {
  const Environment environment = {{"DBSIDECAR_GRPC_THREADS", "two"},
                                   {"DBSIDECAR_LOG_CALLS", "maybe"},
                                   {"DBSIDECAR_RESULT_BYTES_MAX", "4MB"},
                                   {"DBSIDECAR_WAIT_TIMEOUT", "soon"}};
  EXPECT_EQ(
      Problems(LoadVariables(environment)),
      (Strings{"grpc-threads = \"two\" (environment DBSIDECAR_GRPC_THREADS): is not a whole "
               "number; write digits only, such as 20",
               "log-calls = \"maybe\" (environment DBSIDECAR_LOG_CALLS): is neither true nor "
               "false; write true or false",
               "result-bytes-max = \"4MB\" (environment DBSIDECAR_RESULT_BYTES_MAX): is not a "
               "size; write a number with its unit: 512KiB, 4MiB, 1GiB",
               "wait-timeout = \"soon\" (environment DBSIDECAR_WAIT_TIMEOUT): is not a "
               "duration; write a number with its unit: 500ms, 10s, 5min, 1h"}));
}

TEST(ConfigProblemTest, ValuesOutOfRangeAreRefusedWithTheRange) {
  EXPECT_EQ(
      Problems(LoadFlags({"--wait-timeout=0", "--idle-timeout=1ms", "--result-bytes-max=2GiB"})),
      (Strings{
          "wait-timeout = \"0\" (flag --wait-timeout): is out of range; write 1ms to 1h",
          "idle-timeout = \"1ms\" (flag --idle-timeout): is out of range; write 10ms to 24h, or "
          "0 (off)",
          "result-bytes-max = \"2GiB\" (flag --result-bytes-max): is out of range; write 1KiB "
          "to 1GiB"}));
}

TEST(ConfigProblemTest, AnUnknownVariableIsRefusedUnlessAClientVerbReadsIt) {
  EXPECT_EQ(Problems(LoadVariables({{"DBSIDECAR_MAX_CONECTIONS", "5"},
                                    {"DBSIDECAR_ADDR", "127.0.0.1:1"},
                                    {"DBSIDECAR_ADMIN_ADDR", "unix:/a"},
                                    {"OTHER_PROGRAM", "x"}})),
            Strings{"environment DBSIDECAR_MAX_CONECTIONS: is not known; did you mean "
                    "DBSIDECAR_MAX_CONNECTIONS?"});
  EXPECT_EQ(Problems(LoadVariables({{"DBSIDECAR_FROBNICATION_FACTOR", "5"}})),
            Strings{"environment DBSIDECAR_FROBNICATION_FACTOR: is not known; unset it"});
}

TEST(ConfigProblemTest, VariablesThatKubernetesSetsForAServiceAreIgnored) {
  const LoadedConfig loaded = LoadVariables({{"DBSIDECAR_SERVICE_HOST", "10.0.0.1"},
                                             {"DBSIDECAR_SERVICE_PORT", "50051"},
                                             {"DBSIDECAR_SERVICE_PORT_GRPC", "50051"},
                                             {"DBSIDECAR_PORT", "tcp://10.0.0.1:50051"},
                                             {"DBSIDECAR_PORT_50051_TCP", "tcp://10.0.0.1:50051"},
                                             {"DBSIDECAR_PORT_50051_TCP_ADDR", "10.0.0.1"},
                                             {"DBSIDECAR_PORT_50051_TCP_PROTO", "tcp"}});
  EXPECT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_FALSE(LoadVariables({{"DBSIDECAR_PORT", "50051"}}).ok());
}

TEST(ConfigProblemTest, AnEmptyVariableIsRefusedRatherThanIgnored) {
  EXPECT_EQ(Problems(LoadVariables({{"DATABASE_URL", ""}})),
            Strings{"database-url (environment DATABASE_URL): is empty; set it, or unset the "
                    "variable"});
}

TEST(ConfigProblemTest, AFileThatCannotBeReadIsRefused) {
  EXPECT_EQ(Problems(LoadFlags({"--config=b.yaml"})),
            Strings{"config = \"b.yaml\" (flag --config): cannot be read: No such file or "
                    "directory; correct the path or the file's permissions"});
}

TEST(ConfigProblemTest, AFileThatIsNotYamlIsRefusedWithTheLine) {
  const Strings problems = Problems(LoadYaml("pool:\n  max: [1\n"));
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].substr(0, 39), "file a.yaml:3: is not valid YAML: end o");
  EXPECT_TRUE(problems[0].ends_with("; correct the file")) << problems[0];
}

TEST(ConfigProblemTest, AFileThatHoldsSomethingElseThanOneMappingIsRefused) {
  EXPECT_EQ(Problems(LoadYaml("- a\n- b\n")),
            Strings{"file a.yaml: does not hold a mapping; write `key: value` lines"});
  EXPECT_EQ(Problems(LoadYaml("just words")),
            Strings{"file a.yaml: does not hold a mapping; write `key: value` lines"});
  EXPECT_EQ(Problems(LoadYaml("listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n")),
            Strings{"file a.yaml: holds more than one YAML document, or text that belongs to none; "
                    "leave one mapping"});
}

TEST(ConfigProblemTest, KeysThatAreNotKnownAreRefusedOncePerKey) {
  EXPECT_EQ(Problems(LoadYaml("pol:\n  max: 3\nquery:\n  tiemout: 3s\n? [a]\n: b\n")),
            (Strings{"file a.yaml:1 pol: is not known; remove it",
                     "file a.yaml:4 query.tiemout: is not known; did you mean query.timeout?",
                     "file a.yaml:5: has a key that is not plain text; see the documentation"}));
}

TEST(ConfigProblemTest, AKeyThatIsThereTwiceIsRefused) {
  EXPECT_EQ(Problems(LoadYaml("pool:\n  max: 3\n  max: 4\n")),
            Strings{"max-connections (file a.yaml:3 pool.max): is there twice; leave one"});
  EXPECT_EQ(Problems(LoadYaml("pool:\n  max: 3\npool:\n  min: 1\n")),
            Strings{"file a.yaml:3 pool: is there twice; leave one"});
}

TEST(ConfigProblemTest, ValuesOfTheWrongShapeInTheFileAreRefused) {
  EXPECT_EQ(Problems(LoadYaml("pool: 3\nlog:\n  level: [info]\n  calls:\ngrpc:\n  threads: {a: b}\n"
                              "listen: [[a]]\n")),
            (Strings{"file a.yaml:1 pool: is a section; write its settings indented below it",
                     "log-level (file a.yaml:3 log.level): is not a single value; write debug, "
                     "info, warn, error",
                     "log-calls (file a.yaml:4 log.calls): has no value; write one, or remove the "
                     "key",
                     "grpc-threads (file a.yaml:6 grpc.threads): is not a single value; write 1 to "
                     "64 threads",
                     "listen (file a.yaml:7 listen): is not a single value; write addresses"}));
}

TEST(ConfigProblemTest, TheConfigFileCannotNameAnotherOne) {
  EXPECT_EQ(Problems(LoadYaml("config: b.yaml")),
            Strings{"file a.yaml:1 config: is not known; remove it"});
}

TEST(ConfigProblemTest, AProblemIsOneLineWhateverTheInputHolds) {
  for (const std::string& line :
       Problems(LoadConfig({"--max-connections", "a\nb\x1b[2J", "--x\ny=1"},
                           {{"DBSIDECAR_\nX", "1"}}, HoldingYaml("")))) {
    EXPECT_EQ(line.find_first_of("\n\x1b"), std::string::npos) << line;
  }
}

TEST(ConfigProblemTest, ALongValueIsCut) {
  const LoadedConfig loaded = LoadFlags({"--log-level", std::string(10'000, 'x')});
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_LT(FormatProblem(loaded.problems[0]).size(), 400U);
}

// --- Options that must fit together -------------------------------------------------------------

TEST(ConfigTogetherTest, MoreThanTheMaximumCannotBeKeptOpen) {
  EXPECT_EQ(
      Problems(LoadFlags({"--max-connections=3", "--min-connections=4"})),
      Strings{"min-connections = \"4\" (flag --min-connections): is more than max-connections = 3 "
              "(flag --max-connections); lower the one or raise the other"});
  EXPECT_TRUE(LoadFlags({"--max-connections=3", "--min-connections=3"}).ok());
}

TEST(ConfigTogetherTest, ADefaultMinimumIsLoweredToTheMaximumAndSaysSo) {
  const LoadedConfig lowered = LoadFlags({"--max-connections=3"});
  ASSERT_TRUE(lowered.ok()) << FormatProblems(lowered.problems);
  EXPECT_EQ(lowered.config.pool.connections_min, 3);
  EXPECT_EQ(Shown(lowered, "min-connections"), "3 (rule: max-connections)");
  EXPECT_EQ(Shown(lowered, "max-connections"), "3 (flag --max-connections)");

  const LoadedConfig as_it_was = LoadFlags({"--max-connections=6"});
  EXPECT_EQ(as_it_was.config.pool.connections_min, 5);
  EXPECT_EQ(Shown(as_it_was, "min-connections"), "5 (profile production)");
}

TEST(ConfigTogetherTest, ASetMinimumIsNeverLowered) {
  const Environment variable = {{"DBSIDECAR_MIN_CONNECTIONS", "5"}};
  EXPECT_EQ(
      Problems(LoadConfig({"--max-connections=3"}, variable, HoldingYaml(""))),
      Strings{"min-connections = \"5\" (environment DBSIDECAR_MIN_CONNECTIONS): is more than "
              "max-connections = 3 (flag --max-connections); lower the one or raise the other"});
  EXPECT_FALSE(LoadYaml("pool:\n  max: 3\n  min: 5\n").ok());
}

TEST(ConfigTogetherTest, WithoutWaitingSomeConnectionHasToBeKeptOpen) {
  const std::string url = "--database-url=postgresql:///x";
  EXPECT_EQ(Problems(LoadFlags({url, "--waiters-max=0", "--min-connections=0"})),
            Strings{"waiters-max = \"0\" (flag --waiters-max): lets no call wait for a connection "
                    "to be opened, and min-connections = 0 (flag --min-connections) keeps too few "
                    "open; raise the one, or the other to 1"});
  EXPECT_EQ(Problems(LoadFlags({"--waiters-max=0", "--min-connections=1"})),
            Strings{"waiters-max = \"0\" (flag --waiters-max): lets no call wait for a connection "
                    "to be opened, and min-connections = 1 (flag --min-connections) keeps too few "
                    "open; raise the one, or the other to 2: one to write and one to read"});
  EXPECT_FALSE(LoadFlags({url, "--waiters-max=0", "--profile=test"}).ok());
  EXPECT_TRUE(LoadFlags({url, "--waiters-max=0", "--min-connections=1"}).ok());
  EXPECT_TRUE(LoadFlags({"--waiters-max=0"}).ok());
  EXPECT_TRUE(LoadFlags({"--waiters-max=0", "--database-url=sqlite::memory:"}).ok());
  EXPECT_TRUE(LoadFlags({url, "--min-connections=0"}).ok());
}

TEST(ConfigTogetherTest, ASqliteFileNeedsAWriterAndAReader) {
  EXPECT_EQ(
      Problems(LoadFlags({"--max-connections=1", "--min-connections=1"})),
      Strings{"max-connections = \"1\" (flag --max-connections): is too few for a SQLite file, "
              "which has one connection to write and others to read; write 2 or more"});
  EXPECT_TRUE(
      LoadFlags({"--database-url=postgresql:///x", "--max-connections=1", "--min-connections=1"})
          .ok());
}

TEST(ConfigTogetherTest, ADatabaseInMemoryHasOneConnectionForEver) {
  const LoadedConfig loaded = LoadFlags({"--database-url=sqlite::memory:"});
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.pool.connections_max, 1);
  EXPECT_EQ(loaded.config.pool.connections_min, 1);
  EXPECT_EQ(loaded.config.pool.idle_timeout, milliseconds(0));
  EXPECT_EQ(loaded.config.pool.lifetime, milliseconds(0));
  EXPECT_EQ(Shown(loaded, "max-connections"), "1 (rule: SQLite in memory)");
  EXPECT_EQ(Shown(loaded, "lifetime"), "0 (rule: SQLite in memory)");
  EXPECT_EQ(Shown(loaded, "wait-timeout"), "10s (profile production)");
}

TEST(ConfigTogetherTest, WhatContradictsADatabaseInMemoryIsRefused) {
  EXPECT_EQ(
      Problems(LoadFlags({"--database-url=sqlite::memory:", "--max-connections=4",
                          "--min-connections=2", "--idle-timeout=1s", "--lifetime=1h"})),
      (Strings{
          "max-connections = \"4\" (flag --max-connections): is not 1; a SQLite database in "
          "memory lives in one connection: leave it out, or use a file",
          "min-connections = \"2\" (flag --min-connections): is more than 1; a SQLite database "
          "in memory lives in one connection: leave it out, or use a file",
          "idle-timeout = \"1s\" (flag --idle-timeout): would end the database; a SQLite "
          "database in memory lives in one connection: leave it out, or use a file",
          "lifetime = \"1h\" (flag --lifetime): would end the database; a SQLite database in "
          "memory lives in one connection: leave it out, or use a file"}));
  EXPECT_TRUE(LoadFlags({"--database-url=sqlite::memory:", "--max-connections=1",
                         "--min-connections=0", "--idle-timeout=0", "--lifetime=0"})
                  .ok());
}

TEST(ConfigTogetherTest, ATimeThatComesTooLateToTakeEffectIsRefused) {
  EXPECT_EQ(
      Problems(
          LoadFlags({"--idle-timeout=2h", "--keep-alive-after=1h", "--statement-timeout=40s"})),
      (Strings{"idle-timeout = \"2h\" (flag --idle-timeout): never takes effect, because "
               "lifetime = 30min (profile production) comes first; lower the one or raise the "
               "other",
               "keep-alive-after = \"1h\" (flag --keep-alive-after): never takes effect, "
               "because lifetime = 30min (profile production) comes first; lower the one or "
               "raise the other",
               "statement-timeout = \"40s\" (flag --statement-timeout): never takes effect, "
               "because query-timeout = 30s (profile production) comes first; lower the one "
               "or raise the other"}));
}

TEST(ConfigTogetherTest, ADefaultThatComesTooLateIsNoProblem) {
  EXPECT_TRUE(LoadFlags({"--query-timeout=1s"}).ok());
  EXPECT_TRUE(LoadFlags({"--lifetime=1s"}).ok());
  EXPECT_TRUE(LoadFlags({"--lifetime=0", "--idle-timeout=2h"}).ok());
  EXPECT_TRUE(LoadFlags({"--query-timeout=0", "--statement-timeout=1h"}).ok());
}

TEST(ConfigTogetherTest, TheSameAddressTwiceIsRefused) {
  EXPECT_EQ(
      Problems(LoadFlags({"--listen=[::1]:7", "--listen=unix:/a", "--listen=unix:///a"})),
      Strings{"listen = \"[::1]:7,unix:/a,unix:/a\" (flag --listen): holds unix:/a a second time; "
              "leave one"});
  EXPECT_TRUE(LoadFlags({"--listen=127.0.0.1:0", "--listen=127.0.0.1:0"}).ok());
}

// --- Listen addresses ---------------------------------------------------------------------------

TEST(ListenAddressTest, AcceptsHostsAddressesAndUnixSockets) {
  for (const std::string& text :
       Strings{"127.0.0.1:50051", "0.0.0.0:1", "localhost:0", "[::1]:50051", "[::]:65535",
               "db-1.example.com:80", "unix:/run/x.sock"}) {
    const auto address = ParseListenAddress(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_EQ(address->ToString(), text);
    EXPECT_EQ(address->IsUnix(), text.starts_with("unix:"));
  }
  EXPECT_EQ(ParseListenAddress("unix:///run/x.sock")->ToString(), "unix:/run/x.sock");
}

TEST(ListenAddressTest, RefusesOthersWithTheRemedy) {
  const auto refuse = [](const std::string& text) {
    return std::string(ParseListenAddress(text).status().message());
  };
  const std::string forms = "; write 127.0.0.1:50051, [::1]:50051 or unix:/run/dbsidecar.sock";
  EXPECT_EQ(refuse(":50051"),
            "names no host; write 127.0.0.1 before the port for this host alone, or 0.0.0.0 for "
            "every network");
  EXPECT_EQ(refuse("*:50051"), "names no host; write 0.0.0.0 for every network");
  EXPECT_EQ(refuse("localhost"), "names no port; write localhost:50051");
  EXPECT_EQ(refuse("[::1]"), "names no port; write [::1]:50051");
  EXPECT_EQ(refuse("::1:50051"), "has an IPv6 address without brackets; write [::1]:50051");
  EXPECT_EQ(refuse("[::g]:1"), "has no valid IPv6 address in the brackets" + forms);
  EXPECT_EQ(refuse("1.2.3:1"), "has no valid IPv4 address" + forms);
  EXPECT_EQ(refuse("a b:1"), "has no valid host name" + forms);
  EXPECT_EQ(refuse("http://x:1"), "is a URL" + forms);
  EXPECT_EQ(refuse("/run/x.sock"), "is a path; write unix:/run/x.sock");
  for (const std::string& text : Strings{"a:", "a:x", "a:-1", "a:65536", "a:1x", "a: 1"}) {
    EXPECT_EQ(refuse(text), "has no valid port; write a number from 0 (any free port) to 65535")
        << text;
  }
  for (const std::string& text : Strings{"unix:", "unix:x.sock", "unix://x.sock"}) {
    EXPECT_EQ(refuse(text),
              "does not hold an absolute path; write unix: and a path from the root, such as "
              "unix:/run/dbsidecar.sock")
        << text;
  }
  EXPECT_EQ(refuse("unix:/run/"), "names a directory; add the name of the socket");
  EXPECT_EQ(refuse("unix:/" + std::string(107, 'x')),
            "has a path of 108 bytes, and the system allows 107; choose a shorter path");
  EXPECT_TRUE(ParseListenAddress("unix:/" + std::string(106, 'x')).ok());
}

TEST(ListenAddressTest, EveryBadEntryOfAListIsNamed) {
  EXPECT_EQ(
      Problems(LoadVariables({{"DBSIDECAR_LISTEN", "a:1,b,"}})),
      Strings{"listen = \"a:1,b,\" (environment DBSIDECAR_LISTEN): \"b\" names no port; write "
              "b:50051. \"\" is empty; write 127.0.0.1:50051, [::1]:50051 or "
              "unix:/run/dbsidecar.sock"});
}

// --- Database URLs ------------------------------------------------------------------------------

std::string RefusedUrl(std::string_view url) {
  return std::string(ParseDatabaseUrl(url).status().message());
}

TEST(DatabaseUrlTest, SqliteUrlsNameAFileOrMemory) {
  const auto name = [](std::string_view url) {
    const auto parsed = ParseDatabaseUrl(url);
    if (!parsed.ok()) return std::string(parsed.status().message());
    EXPECT_EQ(parsed->driver, DatabaseDriver::kSqlite) << url;
    return parsed->name + (parsed->in_memory ? " in memory" : "");
  };
  EXPECT_EQ(name("sqlite:relative.db"), "relative.db");
  EXPECT_EQ(name("sqlite://relative.db"), "relative.db");
  EXPECT_EQ(name("sqlite:/abs.db"), "/abs.db");
  EXPECT_EQ(name("sqlite:///abs.db"), "/abs.db");
  EXPECT_EQ(name("sqlite:a%20b.db"), "a%20b.db");
  EXPECT_EQ(name("sqlite::memory:"), ":memory: in memory");
  EXPECT_EQ(name("sqlite://:memory:"), ":memory: in memory");
  EXPECT_EQ(name("file:a.db?mode=ro"), "file:a.db?mode=ro");
  EXPECT_EQ(name("file::memory:?cache=shared"), "file::memory:?cache=shared in memory");
  EXPECT_EQ(name("file:x?cache=shared&mode=memory"), "file:x?cache=shared&mode=memory in memory");
}

TEST(DatabaseUrlTest, SqliteUrlsThatCannotBeMeantAreRefused) {
  EXPECT_EQ(RefusedUrl("sqlite:"), "names no file; write sqlite:name.db or sqlite::memory:");
  EXPECT_EQ(RefusedUrl("sqlite://"), "names no file; write sqlite:name.db or sqlite::memory:");
  EXPECT_EQ(RefusedUrl("file:"), "names no file; write file:name.db");
  EXPECT_EQ(RefusedUrl("sqlite:dir/"), "names a directory; add the name of the database file");
  EXPECT_EQ(
      RefusedUrl("sqlite::memory"),
      "names a file that starts with a colon; write sqlite::memory: for a database in memory");
  EXPECT_EQ(RefusedUrl("sqlite:file:a.db"), "has two schemes; leave sqlite: away");
  EXPECT_EQ(RefusedUrl("sqlite:a.db?mode=ro"),
            "has parameters, which sqlite: does not take; write file: in place of sqlite:, as in "
            "file:name.db?mode=ro");
  EXPECT_EQ(RefusedUrl(std::string_view("sqlite:a\0b", 10)), "holds a NUL byte; remove it");
}

TEST(DatabaseUrlTest, PostgresUrlsArePassedOnAsTheyAre) {
  for (const std::string& url :
       Strings{"postgresql://", "postgres://localhost",
               "postgresql://u:p%40ss@h1:1,h2:2/db?sslmode=require",
               "postgresql:///db?host=/run/postgresql", "postgresql://[::1]:5432/db",
               "postgresql://h/db?options=-c%20geqo%3Doff&application_name=a@b"}) {
    const auto parsed = ParseDatabaseUrl(url);
    ASSERT_TRUE(parsed.ok()) << url << ": " << parsed.status();
    EXPECT_EQ(parsed->driver, DatabaseDriver::kPostgres);
    EXPECT_EQ(parsed->name, url);
  }
}

TEST(DatabaseUrlTest, PostgresUrlsThatLibpqRefusesAreRefusedInItsWords) {
  const std::string remedy =
      "; see the connection URI format in PostgreSQL's documentation of libpq";
  EXPECT_EQ(RefusedUrl("postgresql://h/db?sslmod=require"),
            "is refused by libpq: invalid URI query parameter: \"sslmod\"" + remedy);
  EXPECT_EQ(RefusedUrl("postgresql://h/%zz"),
            "is refused by libpq: invalid percent-encoded token" + remedy);
}

// libpq repeats what it could not read.
TEST(DatabaseUrlTest, NoPartOfAPasswordIsRepeatedWhereverItIsTakenToBe) {
  for (const char* url :
       {"postgresql://h/d?user=a@S3cret&S3cret", "postgresql://h/d?password=a&S3cret",
        "postgresql://h/d?password=a&S3cret=b", "postgresql://u:%zzS3cret@h/d",
        "postgresql://[::1?sslpassword=S3cret"}) {
    const std::string refusal = RefusedUrl(url);
    EXPECT_EQ(refusal.find("S3cret"), std::string::npos) << url << ": " << refusal;
    EXPECT_GT(refusal.size(), 40u) << url;
  }
  EXPECT_EQ(RefusedUrl("postgresql://h/d?user=a@b&ss"),
            "is refused by libpq: missing key/value separator \"=\" in URI query parameter; in "
            "names and passwords write ? as %3F, @ as %40 and / as %2F");
}

TEST(DatabaseUrlTest, MistakesThatLibpqNoticesTooLateAreRefused) {
  EXPECT_EQ(RefusedUrl("postgresql://h:54x2/db"),
            "has a port that is not a number from 1 to 65535; correct it; a / : @ or ? in the user "
            "name or password is written %2F %3A %40 %3F");
  EXPECT_EQ(RefusedUrl("postgresql://h1:1,h2:0/db"), RefusedUrl("postgresql://h:54x2/db"));
  EXPECT_EQ(RefusedUrl("postgresql://u:p@ss@h/db"),
            "has an @ that is not the one before the host; in names and passwords write @ as %40 "
            "and / as %2F");
  EXPECT_EQ(RefusedUrl("postgresql://u:12/34@h/db"), RefusedUrl("postgresql://u:p@ss@h/db"));
}

TEST(DatabaseUrlTest, OtherSchemesAreRefusedWithTheAcceptedForms) {
  for (const std::string_view url : {"mysql://h/db", "orders.db", "host=h dbname=x",
                                     "POSTGRESQL://h/db", "postgresql:h", "/a.db", " sqlite:a"}) {
    EXPECT_EQ(RefusedUrl(url),
              "names no database that this program knows; write postgresql://user@host/database, "
              "sqlite:name.db, sqlite::memory: or file:name.db?mode=ro")
        << url;
  }
}

TEST(RedactUrlTest, PasswordsAreHidden) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"postgresql://app:s3cret@h:5432/db?sslmode=require",
       "postgresql://app:***@h:5432/db?sslmode=require"},
      {"postgresql://:s3cret@h/db", "postgresql://:***@h/db"},
      {"postgresql://app:p%40s%2Fs@h/db", "postgresql://app:***@h/db"},
      {"postgresql://h/db?user=app&password=s3cret&sslmode=require",
       "postgresql://h/db?user=app&password=***&sslmode=require"},
      {"postgresql://h/db?sslpassword=s3cret", "postgresql://h/db?sslpassword=***"},
      {"postgresql://h/db?p%61ssword=s3cret", "postgresql://h/db?p%61ssword=***"},
      {"postgresql://a:s3cret@h/db?password=s4cret", "postgresql://a:***@h/db?password=***"},
      {"mysql://app:s3cret@h/db", "mysql://app:***@h/db"},
  };
  for (const auto& [url, redacted] : cases) EXPECT_EQ(RedactUrl(url), redacted);
}

TEST(RedactUrlTest, UrlsWithoutPasswordsStayAsTheyAre) {
  for (const std::string_view url :
       {"postgresql://app@h:5432/db", "postgresql://h:5432/db?sslmode=require", "postgresql://",
        "postgresql://app:@h/db", "postgresql://h/db?password=", "sqlite:a:b@c.db",
        "file:a.db?password=x", "sqlite::memory:"}) {
    EXPECT_EQ(RedactUrl(url), url);
  }
}

TEST(RedactUrlTest, OfAMalformedUrlNoPartOfThePasswordIsLeft) {
  for (const std::string_view url :
       {"postgresql://app:pre@s3cret@h/db", "postgresql://app:pre/s3cret@h/db",
        "postgresql://app:pre?s3cret@h/db", "postgresql://app:pre?x=s3cret@h/db",
        "postgresql://h:1/db?password=pre@s3cret", "postgresql://h/db?password=pre&s3cret",
        "postgresql://h/db?password=pre&s3cret&sslmode=x", "postgresql://h/db?PASSWORD=s3cret",
        "postgresql://h/db?password=pre=s3cret", "host=h password=s3cret", "s3cret",
        "postgresql://a:x@h/db?password=pre?password=s3cret"}) {
    EXPECT_EQ(RedactUrl(url).find("s3cret"), std::string::npos) << RedactUrl(url);
  }
}

TEST(RedactUrlTest, NoProblemEverShowsThePassword) {
  for (const std::string& url :
       Strings{"postgresql://app:s3cret@h/db?bad=1", "postgresql://app:s3cret%zz@h/db",
               "postgresql://app:s3cret%00@h/db", "postgresql://app:s3cret@[::1/db",
               "postgresql://app:s3cret@[::1]x/db", "postgresql://app:x/s3cret@h/db",
               "postgresql://app:x@s3cret@h/db", "postgresql://h/db?password=s3cret%zz",
               "postgresql://h/db?password=x=s3cret", "postgresql://h/db?password=x&s3cret",
               "postgresql://app:s3cret@h:port/db", "host=h password=s3cret", "s3cret"}) {
    const LoadedConfig loaded = LoadVariables({{"DATABASE_URL", url}});
    EXPECT_FALSE(loaded.ok()) << url;
    EXPECT_EQ(FormatProblems(loaded.problems).find("s3cret"), std::string::npos)
        << FormatProblems(loaded.problems);
    EXPECT_EQ(FormatConfigCheckJson(loaded).find("s3cret"), std::string::npos);
  }
}

TEST(RedactUrlTest, SecretsAreGivenAsWrittenAndDecoded) {
  EXPECT_EQ(SecretsInUrl("postgresql://app:p%40ss@h/db?sslpassword=k"),
            (Strings{"p%40ss", "p@ss", "k"}));
  EXPECT_EQ(SecretsInUrl("postgresql://app@h/db"), Strings{});
  EXPECT_EQ(SecretsInUrl("sqlite:a:b@c"), Strings{});
}

// --- config check -------------------------------------------------------------------------------

TEST(ConfigReportTest, ConfigCheckShowsEveryValueWithItsSourceAndNoPassword) {
  const LoadedConfig loaded =
      LoadConfig({"--max-connections=30"}, {{"DATABASE_URL", "postgresql://app:s3cret@h/db"}});
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  const std::string text = FormatConfigCheck(loaded.config);
  EXPECT_EQ(text.substr(0, text.find("health-listen")),
            "database-url            = postgresql://app:***@h/db  (environment DATABASE_URL)\n"
            "listen                  = 127.0.0.1:50051            (default)\n"
            "http-listen             = 127.0.0.1:10000            (profile production)\n");
  EXPECT_NE(text.find("max-connections         = 30                         (flag "
                      "--max-connections)\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("s3cret"), std::string::npos);
  // The program needs it all the same.
  EXPECT_EQ(loaded.config.database.name, "postgresql://app:s3cret@h/db");
}

TEST(ConfigReportTest, ConfigCheckAsJsonHoldsTheSame) {
  const LoadedConfig loaded = LoadVariables({{"DATABASE_URL", "postgresql://app:s3cret@h/db"}});
  const std::string text = FormatConfigCheckJson(loaded);
  EXPECT_EQ(text.find("s3cret"), std::string::npos);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json.at("ok"), true);
  EXPECT_EQ(json.at("options").size(), Options().size());
  EXPECT_EQ(json.at("options").at(0), (nlohmann::json{{"name", "database-url"},
                                                      {"value", "postgresql://app:***@h/db"},
                                                      {"source", "environment"},
                                                      {"origin", "environment DATABASE_URL"}}));
  EXPECT_TRUE(json.at("problems").empty());
}

TEST(ConfigReportTest, ProblemsAsJsonHaveTheirParts) {
  const auto json = nlohmann::json::parse(FormatConfigCheckJson(LoadFlags({"--log-level=x"})));
  EXPECT_EQ(json.at("ok"), false);
  EXPECT_TRUE(json.at("options").empty());
  EXPECT_EQ(json.at("problems"),
            (nlohmann::json::array(
                {{{"option", "log-level"},
                  {"origin", "flag --log-level"},
                  {"value", "x"},
                  {"message", "is not one of its values; write debug, info, warn, error"}}})));
}

TEST(ConfigReportTest, NoProblemsMakeNoText) { EXPECT_EQ(FormatProblems({}), ""); }

// --- Files and robustness -----------------------------------------------------------------------

TEST(ConfigFileTest, ReadsAFileAndRefusesWhatIsNone) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "config_test";
  std::filesystem::create_directories(folder);
  const std::filesystem::path path = folder / "a.yaml";
  std::ofstream(path) << "log: {level: warn}\n";
  EXPECT_EQ(ReadConfigFile(path.string()).value_or(""), "log: {level: warn}\n");
  EXPECT_EQ(ReadConfigFile((folder / "none").string()).status().message(),
            "No such file or directory");
  EXPECT_EQ(ReadConfigFile(folder.string()).status().message(), "it is not a file");
  std::ofstream(path) << std::string((1 << 20) + 1, '#');
  EXPECT_EQ(ReadConfigFile(path.string()).status().message(), "it is larger than 1MiB");
  std::filesystem::remove_all(folder);
}

TEST(ConfigRobustnessTest, DeepOrCircularYamlDoesNoHarm) {
  LoadYaml(std::string(100'000, '['));
  LoadYaml(std::string(100'000, '{'));
  LoadYaml("pool: &a\n  max: *a\n");
  LoadYaml("&a [*a]");
  EXPECT_FALSE(LoadYaml("pool: &a {pool: *a}").ok());
}

TEST(ConfigRobustnessTest, TextThatYamlCppReadsAsEmptyDocumentsWithoutEndIsRefused) {
  for (const std::string& yaml : Strings{",", ",x: y", "]", "}", ": x\n,"}) {
    EXPECT_FALSE(LoadYaml(yaml).ok()) << yaml;
  }
}

// A different seed each time; CONFIG_TEST_SEED in the environment repeats one.
TEST(ConfigRobustnessTest, GarbageInAnySourceIsAProblemAndNeverAnException) {
  const char* wanted = std::getenv("CONFIG_TEST_SEED");
  const unsigned seed =
      wanted != nullptr ? static_cast<unsigned>(std::stoul(wanted)) : std::random_device()();
  std::cout << "seed " << seed << std::endl;  // Flushed, for runs that do not end.
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);

  Strings pieces = {": ",  "\n", "  ",      "- ",
                    "[",   "]",  "{",       "}",
                    "&a ", "*a", "!!int ",  "|",
                    ">",   "\"", "'",       "#",
                    "?",   ",",  "%",       "---\n",
                    "\t",  "~",  "<<: ",    "\xff",
                    "=",   "-",  "--",      std::string(1, '\0'),
                    "10s", "5",  "sqlite:", "postgresql://",
                    "@",   "/"};
  for (const Option& option : Options()) {
    pieces.emplace_back(option.flag);
    pieces.emplace_back(option.yaml_key);
    for (const std::string_view part : Split(option.yaml_key, '.')) pieces.emplace_back(part);
  }
  const auto garbage = [&](std::size_t pieces_max) {
    std::string text;
    for (std::size_t i = random() % (pieces_max + 1); i > 0; --i) {
      text += random() % 8 == 0 ? std::string(1, static_cast<char>(random() % 256))
                                : pieces[random() % pieces.size()];
    }
    return text;
  };

  std::size_t refused = 0;
  for (int run = 0; run < 500; ++run) {
    Strings arguments = {"--config=a.yaml"};
    for (std::size_t i = random() % 4; i > 0; --i) arguments.push_back(garbage(4));
    if (random() % 2 == 0) arguments.push_back("--" + garbage(3));
    Environment environment;
    environment.emplace("DBSIDECAR_" + garbage(2), garbage(3));
    const Option& option = Options()[random() % Options().size()];
    if (option.flag != "config") environment.emplace(option.environment, garbage(4));

    LoadedConfig loaded;
    ASSERT_NO_THROW(loaded = LoadConfig(arguments, environment, HoldingYaml(garbage(40))));
    ASSERT_EQ(loaded.config.values.size(), Options().size());
    if (!loaded.ok()) ++refused;
    ASSERT_NO_THROW(FormatConfigCheckJson(loaded));
    const std::string report = FormatProblems(loaded.problems);
    ASSERT_EQ(std::count(report.begin(), report.end(), '\n'),
              loaded.ok() ? 0 : static_cast<std::ptrdiff_t>(loaded.problems.size()) + 1)
        << report;
  }
  EXPECT_GT(refused, 300U);
}

TEST(ConfigTest, AdminListensWhereThisHostAloneReachesIt) {
  for (const char* address :
       {"unix:/run/admin.sock", "127.0.0.1:1", "127.3.2.1:1", "localhost:1", "[::1]:1", "off"}) {
    EXPECT_TRUE(LoadFlags({"--admin-listen", address}).ok()) << address;
  }
  for (const char* address : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "db.example:1"}) {
    const Strings problems = Problems(LoadFlags({"--admin-listen", address}));
    ASSERT_EQ(problems.size(), 1u) << address;
    EXPECT_NE(problems[0].find("other hosts may reach"), std::string::npos) << problems[0];
  }
}

// --- Named pools --------------------------------------------------------------------------------

TEST(ConfigPoolsTest, APoolHasItsOwnValuesAndInheritsTheOthers) {
  const LoadedConfig loaded = LoadYaml(
      "pool: {max: 40, min: 10}\n"
      "query: {timeout: 9s, statement_timeout: 9s}\n"
      "pools:\n"
      "  reports:\n"
      "    database: {url: postgresql://reader:secret@replica/orders}\n"
      "    pool: {max: 4, min: 1}\n"
      "    query: {timeout: 1min}\n"
      "  cache: {database: {url: \"sqlite::memory:\"}}\n");
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.pool_name, "default");
  EXPECT_EQ(loaded.config.pool.connections_max, 40);
  ASSERT_EQ(loaded.config.pools.size(), 2u);
  const Config& reports = loaded.config.pools[0];
  EXPECT_EQ(reports.pool_name, "reports");
  EXPECT_EQ(reports.database.driver, DatabaseDriver::kPostgres);
  EXPECT_EQ(reports.pool.connections_max, 4);
  EXPECT_EQ(reports.query.query_timeout, minutes(1));
  EXPECT_EQ(reports.query.statement_timeout, seconds(9)) << "inherited";
  EXPECT_TRUE(reports.pools.empty());
  EXPECT_EQ(loaded.config.pools[1].pool.connections_max, 1) << "what is inherited yields to rules";
}

TEST(ConfigPoolsTest, FlagsAndVariablesAreForAllAndAPoolsOwnIsNearer) {
  const LoadedConfig loaded =
      LoadConfig({"--config=a.yaml", "--max-connections=50"}, {{"DBSIDECAR_QUERY_TIMEOUT", "50s"}},
                 HoldingYaml("pools:\n"
                             "  a:\n"
                             "    database: {url: \"sqlite:a.db\"}\n"
                             "    pool: {max: 3}\n"));
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  EXPECT_EQ(loaded.config.pool.connections_max, 50);
  EXPECT_EQ(loaded.config.pools[0].pool.connections_max, 3);
  EXPECT_EQ(loaded.config.pools[0].pool.connections_min, 3) << "lowered by the rule";
  EXPECT_EQ(loaded.config.pools[0].query.query_timeout, seconds(50));
}

TEST(ConfigPoolsTest, TheCheckShowsWhatAPoolDoesNotInherit) {
  const LoadedConfig loaded = LoadYaml(
      "pools:\n"
      "  a:\n"
      "    database: {url: \"postgresql://u:secret@h/d\"}\n"
      "    pool: {max: 3}\n");
  ASSERT_TRUE(loaded.ok()) << FormatProblems(loaded.problems);
  const std::string report = FormatConfigCheck(loaded.config);
  EXPECT_NE(report.find("pools.a.max-connections"), std::string::npos) << report;
  EXPECT_NE(report.find("(file a.yaml:4 pools.a.pool.max)"), std::string::npos) << report;
  EXPECT_NE(report.find("pools.a.database-url"), std::string::npos) << report;
  EXPECT_EQ(report.find("secret"), std::string::npos) << report;
  EXPECT_EQ(report.find("pools.a.wait-timeout"), std::string::npos) << "inherited";
  const auto json = nlohmann::json::parse(FormatConfigCheckJson(loaded));
  EXPECT_EQ(json["options"].back()["name"].get<std::string>().rfind("pools.a.", 0), 0u);
}

TEST(ConfigPoolsTest, WhatIsWrongIsNamedWithItsPool) {
  const Strings problems = Problems(LoadYaml(
      "pool: {min: 10}\n"
      "pools:\n"
      "  default: {}\n"
      "  Upper: {}\n"
      "  a: {database: {url: \"sqlite:a.db\"}, pool: {max: many}}\n"
      "  b: {database: {url: \"sqlite:b.db\"}, pool: {max: 5, min: 6}, log: {level: debug}}\n"
      "  c: 7\n"
      "  d: {database: {url: \"sqlite:a.db\"}, pool: {maxx: 3}}\n"));
  const auto has = [&](std::string_view text) {
    return std::any_of(problems.begin(), problems.end(), [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    });
  };
  EXPECT_TRUE(has("pools.default: is the pool of the top level"));
  EXPECT_TRUE(has("pools.Upper: is no name for a pool"));
  EXPECT_TRUE(has("pools.a.max-connections = \"many\" (file a.yaml:5 pools.a.pool.max)"));
  EXPECT_TRUE(has("pools.b.log.level: is the same for all pools; write it at the top level"));
  EXPECT_TRUE(has("pools.b.min-connections = \"6\" (file a.yaml:6 pools.b.pool.min)"));
  EXPECT_TRUE(has("is more than pools.b.max-connections = 5"));
  EXPECT_TRUE(has("pools.c: is a section"));
  EXPECT_TRUE(has("pools.d.pool.maxx: is not known; did you mean pool.max?"));
  EXPECT_TRUE(has("pools.d.database-url = \"sqlite:a.db\""));
  EXPECT_TRUE(has("is also the database of the pool \"a\""));
}

}  // namespace
}  // namespace dbsidecar::server
