#include "pool/caller_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbsidecar::pool {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using testing::ElementsAre;

std::vector<std::string> NamesOf(const CallerTable& table) {
  std::vector<std::string> names;
  for (const CallerFigures& caller : table.Report()) names.push_back(caller.caller);
  return names;
}

uint64_t CallsOf(const CallerTable& table, std::string_view name) {
  for (const CallerFigures& caller : table.Report()) {
    if (caller.caller == name) return caller.calls;
  }
  return 0;
}

TEST(CallerTableTest, EachCallerIsCountedApartAndOtherIsTheLast) {
  CallerTable table(10);
  for (const char* caller : {"web", "web", "batch", "web", ""}) ++table.Of(caller, {})->calls;
  EXPECT_THAT(NamesOf(table), ElementsAre("", "batch", "web", "other"));
  EXPECT_EQ(CallsOf(table, "web"), 3u);
  EXPECT_EQ(CallsOf(table, ""), 1u);
  EXPECT_EQ(CallsOf(table, "other"), 0u);
}

TEST(CallerTableTest, WhenItIsFullNewOnesAreOther) {
  CallerTable table(2);
  for (int i = 0; i < 100; ++i) ++table.Of("caller " + std::to_string(i), {})->calls;
  EXPECT_THAT(NamesOf(table), ElementsAre("caller 0", "caller 1", "other"));
  EXPECT_EQ(CallsOf(table, "other"), 98u);
}

TEST(CallerTableTest, OneThatHasNotCalledForAnHourGivesItsPlaceUnlessACallOfItsIsInProgress) {
  CallerTable table(2);
  const Instant start{};
  CallerFigures* running = table.Of("old and running", start);
  ++running->in_progress;
  table.Of("old", start + minutes(1));
  EXPECT_EQ(table.Of("new", start + minutes(60))->caller, "other");
  EXPECT_EQ(table.Of("new", start + hours(2))->caller, "other") << "the oldest is in progress";
  --running->in_progress;
  table.Of("old and running", start + hours(2));
  EXPECT_EQ(table.Of("new", start + hours(2))->caller, "new");
  EXPECT_THAT(NamesOf(table), ElementsAre("new", "old and running", "other"));
}

TEST(CallerTableTest, ACallerThatCallsItselfOtherOrHasAGiantNameIsOther) {
  CallerTable table(10);
  ++table.Of("other", {})->calls;
  ++table.Of("other", {})->calls;
  ++table.Of(std::string(100'000, 'x'), {})->calls;
  EXPECT_THAT(NamesOf(table), ElementsAre("other")) << "a name occurs once only";
  EXPECT_EQ(CallsOf(table, "other"), 3u);
}

TEST(CallerTableTest, WithoutEntriesNothingIsCounted) {
  CallerTable table(0);
  EXPECT_EQ(table.Of("web", {}), nullptr);
  EXPECT_TRUE(table.Report().empty());
}

}  // namespace
}  // namespace dbsidecar::pool
