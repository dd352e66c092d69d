#include "server/config/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/config/options.h"

namespace dbsidecar::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Config Load(const std::string& yaml, const std::vector<std::string>& flags = {}) {
  std::vector<std::string> arguments = {"--config", "a.yaml"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const LoadedConfig loaded = LoadConfig(
      arguments, {}, [&](const std::string&) -> absl::StatusOr<std::string> { return yaml; });
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : FormatProblem(loaded.problems[0]));
  return loaded.config;
}

std::vector<std::string> Shown(const std::vector<OptionDifference>& differences) {
  std::vector<std::string> lines;
  for (const OptionDifference& difference : differences) {
    lines.push_back(difference.name + ": " + difference.old_value + " -> " + difference.new_value);
  }
  return lines;
}

std::vector<std::string> Shown(const std::vector<Problem>& problems) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems) lines.push_back(FormatProblem(problem));
  return lines;
}

const OptionValue& ValueOf(const Config& config, std::string_view flag) {
  return config.values[static_cast<size_t>(&OptionOf(flag) - Options().data())];
}

TEST(ReloadTest, WhatIsTheSameIsNoChange) {
  const Config config = Load("{pool: {max: 30}}");
  const ReloadPlan plan = PlanReload(config, config, Load("{pool: {max: 30}}"));
  EXPECT_THAT(plan.applied, IsEmpty());
  EXPECT_THAT(plan.refused, IsEmpty());
  EXPECT_THAT(plan.problems, IsEmpty());
}

TEST(ReloadTest, AnOptionThatAReloadAppliesIsApplied) {
  const Config before = Load("{pool: {max: 30}}");
  const ReloadPlan plan =
      PlanReload(before, before, Load("{pool: {max: 40}, query: {timeout: 7s}}"));
  EXPECT_THAT(Shown(plan.applied),
              ElementsAre("max-connections: 30 -> 40", "query-timeout: 30s -> 7s"));
  EXPECT_EQ(plan.config.pool.connections_max, 40);
  EXPECT_EQ(ValueOf(plan.config, "max-connections").value, "40");
  EXPECT_EQ(ValueOf(plan.config, "max-connections").source, ValueSource::kFile);
}

TEST(ReloadTest, AnOptionThatNeedsARestartKeepsItsValueAndIsToldOfEachTime) {
  const Config before = Load("{grpc: {threads: 2}}");
  const Config now = Load("{grpc: {threads: 3}, pool: {max: 40}}");
  const ReloadPlan plan = PlanReload(before, before, now);
  EXPECT_THAT(Shown(plan.applied), ElementsAre("max-connections: 20 -> 40"));
  EXPECT_THAT(Shown(plan.refused), ElementsAre("grpc-threads: 2 -> 3"));
  EXPECT_EQ(plan.config.grpc_threads, 2);
  EXPECT_EQ(ValueOf(plan.config, "grpc-threads").value, "2");
  EXPECT_THAT(Shown(PlanReload(plan.read, plan.config, now).refused),
              ElementsAre("grpc-threads: 2 -> 3"));
}

TEST(ReloadTest, AnotherPasswordIsAppliedAndNotShown) {
  const Config before = Load("{database: {url: 'postgresql://app:old@db/x'}}");
  const Config now = Load("{database: {url: 'postgresql://app:new@db/x'}}");
  const ReloadPlan plan = PlanReload(before, before, now);
  EXPECT_THAT(plan.refused, IsEmpty());
  ASSERT_THAT(plan.applied, SizeIs(1));
  EXPECT_EQ(Shown(plan.applied)[0],
            "database-url: postgresql://app:***@db/x -> postgresql://app:***@db/x "
            "(another password)");
  EXPECT_EQ(plan.config.database.name, "postgresql://app:new@db/x");
}

TEST(ReloadTest, AnotherDatabaseNeedsARestart) {
  const Config before = Load("{database: {url: 'postgresql://app:old@db/x'}}");
  for (const char* url :
       {"postgresql://app:old@other/x", "postgresql://app:new@db/y", "sqlite:x"}) {
    const Config now = Load(std::string("{database: {url: '") + url + "'}}");
    const ReloadPlan plan = PlanReload(before, before, now);
    EXPECT_THAT(plan.refused, SizeIs(1)) << url;
    EXPECT_EQ(plan.config.database.name, before.database.name) << url;
  }
}

TEST(ReloadTest, WhatWasChangedByHandStaysUntilItsSourceChanges) {
  const Config read = Load("{pool: {max: 30}}");
  Change change = PlanChange(read, {{"max-connections", "50"}}, "Admin.ResizePool");
  ASSERT_THAT(change.problems, IsEmpty());
  EXPECT_EQ(ValueOf(change.config, "max-connections").source, ValueSource::kAdmin);
  const ReloadPlan same =
      PlanReload(read, change.config, Load("{pool: {max: 30}, log: {level: warn}}"));
  EXPECT_EQ(same.config.pool.connections_max, 50);
  EXPECT_EQ(ValueOf(same.config, "max-connections").source, ValueSource::kAdmin);
  EXPECT_THAT(Shown(same.applied), ElementsAre("log-level: info -> warn"));
  const ReloadPlan other = PlanReload(read, change.config, Load("{pool: {max: 31}}"));
  EXPECT_THAT(Shown(other.applied), ElementsAre("max-connections: 50 -> 31"));
  EXPECT_EQ(ValueOf(other.config, "max-connections").source, ValueSource::kFile);
}

TEST(ReloadTest, WhatWouldContradictAChangeByHandIsAProblem) {
  const Config read = Load("{pool: {min: 1, max: 30}}");
  const Change change = PlanChange(read, {{"max-connections", "3"}}, "Admin.ResizePool");
  const ReloadPlan plan = PlanReload(read, change.config, Load("{pool: {min: 5, max: 30}}"));
  EXPECT_THAT(Shown(plan.problems),
              ElementsAre(HasSubstr("is more than max-connections = 3 (Admin.ResizePool)")));
}

TEST(ReloadTest, AChangeByHandIsRefusedForWhatTheConfigurationWouldBeRefusedFor) {
  const Config read = Load("{pool: {min: 2, max: 4}}");
  EXPECT_THAT(Shown(PlanChange(read, {{"max-connections", "0"}}, "Admin.ResizePool").problems),
              ElementsAre(HasSubstr("is out of range; write 1 to 10000 connections")));
  EXPECT_THAT(Shown(PlanChange(read, {{"max-connections", "1"}}, "Admin.ResizePool").problems),
              testing::Contains(HasSubstr("min-connections")));
}

// Whatever the type of an option's value, its changes are seen and taken.
TEST(ReloadTest, EveryOptionsValueCanBeComparedAndCopied) {
  const Config config = Load("");
  for (const Option& option : Options()) {
    EXPECT_TRUE(SameValue(option, config, config)) << option.flag;
    Config other;
    CopyValue(option, config, other);
    EXPECT_TRUE(SameValue(option, config, other)) << option.flag;
    EXPECT_EQ(FormatValue(option, other), FormatValue(option, config)) << option.flag;
  }
}

constexpr const char* kWithPool =
    "{pool: {max: 30}, pools: {a: {database: {url: \"sqlite:a.db\"}, pool: {max: 3}}}}";

TEST(ReloadPoolsTest, APoolsOwnValueChangesForItAlone) {
  const Config before = Load(kWithPool);
  const ReloadPlan plan = PlanReload(
      before, before,
      Load("{pool: {max: 30}, pools: {a: {database: {url: \"sqlite:a.db\"}, pool: {max: 4}}}}"));
  EXPECT_THAT(Shown(plan.applied),
              ElementsAre("pools.a.max-connections: 3 -> 4", "pools.a.min-connections: 3 -> 4"));
  EXPECT_EQ(plan.config.pools[0].pool.connections_max, 4);
  EXPECT_EQ(plan.config.pool.connections_max, 30);
}

TEST(ReloadPoolsTest, AnInheritedValueChangesForAll) {
  const Config before = Load(kWithPool);
  const ReloadPlan plan = PlanReload(
      before, before,
      Load("{pool: {max: 30}, log: {calls: true}, query: {timeout: 40s}, pools: {a: {database: "
           "{url: \"sqlite:a.db\"}, pool: {max: 3}}}}"));
  EXPECT_THAT(Shown(plan.applied),
              ElementsAre("query-timeout: 30s -> 40s", "log-calls: false -> true",
                          "pools.a.query-timeout: 30s -> 40s"));
  EXPECT_TRUE(plan.config.pools[0].log.calls) << "not a pool's own, and the same in all";
}

TEST(ReloadPoolsTest, OtherPoolsWaitForARestart) {
  const Config before = Load(kWithPool);
  const ReloadPlan plan = PlanReload(before, before, Load("{pool: {max: 30}, log: {calls: true}}"));
  EXPECT_THAT(Shown(plan.refused), ElementsAre("pools: a -> "));
  EXPECT_THAT(Shown(plan.applied), ElementsAre("log-calls: false -> true"));
  ASSERT_EQ(plan.config.pools.size(), 1u);
  EXPECT_TRUE(plan.config.pools[0].log.calls);
  EXPECT_THAT(plan.read.pools, SizeIs(1)) << "told of again the next time";
}

TEST(ReloadPoolsTest, APoolsLimitIsChangedByHand) {
  const Config read = Load(kWithPool);
  const Change change = PlanChange(read, {{"max-connections", "9"}}, "Admin.ResizePool", "a");
  EXPECT_THAT(change.problems, IsEmpty());
  EXPECT_EQ(change.config.pools[0].pool.connections_max, 9);
  EXPECT_EQ(change.config.pool.connections_max, 30);
  const ReloadPlan plan = PlanReload(read, change.config, Load(kWithPool));
  EXPECT_EQ(plan.config.pools[0].pool.connections_max, 9) << "the file says what it said";
}

}  // namespace
}  // namespace dbsidecar::server
