#include "pool/statement_figures.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "pool/driver.h"

namespace dbsidecar::pool {
namespace {

// Its shapes are the texts up to the first digit; "?" has none. Counts how often it is asked.
class ShapesByPrefix final : public Driver {
 public:
  std::string_view name() const override { return "shapes"; }
  std::vector<LaneShape> Lanes(size_t, size_t) const override { return {}; }
  Classification Classify(const Statement&) override { return {}; }
  std::string Fingerprint(std::string_view sql) const override {
    ++asked;
    return sql == "?" ? "" : std::string(sql.substr(0, sql.find_first_of("0123456789")));
  }
  std::string WithoutConstants(std::string_view sql) const override {
    return Fingerprint(sql) + "$1";
  }
  std::optional<Error> Describe(const Statement&, Description&) override { return std::nullopt; }
  std::unique_ptr<Connection> NewConnection(ConnectionId, size_t, ConnectionEvents&) override {
    return nullptr;
  }
  DatabaseFacts facts() const override { return {}; }
  bool facts_take_a_place() const override { return false; }
  void RefreshFacts(std::function<void(bool)>) override {}

  mutable int asked = 0;
};

class StatementTableTest : public testing::Test {
 protected:
  // As a call that runs `sql` now does it.
  void Run(StatementTable& table, std::string_view sql, StatementFiguresPlace* place = nullptr) {
    const auto figures = table.Of(sql, place, now_ += std::chrono::seconds(1));
    ++figures->counts.calls;
    figures->counts.execute.Record(std::chrono::milliseconds(1));
  }
  static uint64_t CallsOf(const StatementsReport& report, std::string_view fingerprint) {
    for (const StatementFigures& statement : report.statements) {
      if (statement.fingerprint == fingerprint) return statement.counts.calls;
    }
    return 0;
  }

  ShapesByPrefix driver_;
  Instant now_{};
};

TEST_F(StatementTableTest, TextsThatMayNoLongerBeShownAreForgotten) {
  StatementTable table(driver_, 10, true);
  Run(table, "select 1");
  EXPECT_EQ(table.Report().statements.at(0).text, "select $1");
  table.KeepTexts(false);
  EXPECT_EQ(table.Report().statements.at(0).text, "");
}

TEST_F(StatementTableTest, TextsOfOneShapeAreCountedTogether) {
  StatementTable table(driver_, 10, false);
  Run(table, "select 1");
  Run(table, "select 2");
  Run(table, "insert 1");
  const StatementsReport report = table.Report();
  EXPECT_EQ(report.statements.size(), 2u);
  EXPECT_EQ(CallsOf(report, "select "), 2u);
  EXPECT_EQ(CallsOf(report, "insert "), 1u);
  EXPECT_EQ(report.other.calls, 0u);
}

TEST_F(StatementTableTest, ATextThatHasAPlaceIsLookedAtOnce) {
  StatementTable table(driver_, 10, false);
  StatementFiguresPlace place;
  for (int i = 0; i < 5; ++i) Run(table, "select 1", &place);
  EXPECT_EQ(driver_.asked, 1);
  EXPECT_EQ(CallsOf(table.Report(), "select "), 5u);
}

TEST_F(StatementTableTest, WhenItIsFullTheOneUnusedForLongestIsCountedAsOther) {
  StatementTable table(driver_, 2, false);
  StatementFiguresPlace place_of_a;
  Run(table, "a1", &place_of_a);
  Run(table, "b1");
  Run(table, "b1");
  Run(table, "a1", &place_of_a);
  Run(table, "c1");
  StatementsReport report = table.Report();
  EXPECT_EQ(report.statements.size(), 2u);
  EXPECT_EQ(CallsOf(report, "a"), 2u);
  EXPECT_EQ(CallsOf(report, "c"), 1u);
  EXPECT_EQ(report.other.calls, 2u) << "those of b";
  EXPECT_EQ(report.other.execute.count(), 2u);
  Run(table, "d1");
  Run(table, "a1", &place_of_a);
  report = table.Report();
  EXPECT_EQ(CallsOf(report, "a"), 1u) << "its place had become another's, which its text must hear";
  EXPECT_EQ(report.other.calls, 5u) << "those of b, a, and c";
}

TEST_F(StatementTableTest, AnEntryThatComesBackIsAnotherEntry) {
  StatementTable table(driver_, 1, false);
  Run(table, "a1");
  const uint64_t first = table.Report().statements[0].id;
  Run(table, "b1");
  Run(table, "a1");
  EXPECT_GT(table.Report().statements[0].id, first);
}

TEST_F(StatementTableTest, WhatHasNoShapeOrIsVeryLongIsOther) {
  StatementTable table(driver_, 10, false);
  Run(table, "?");
  Run(table, std::string(200'000, 'x'));
  EXPECT_TRUE(table.Report().statements.empty());
  EXPECT_EQ(table.Report().other.calls, 2u);
  EXPECT_EQ(driver_.asked, 1) << "the long one is not read";
}

TEST_F(StatementTableTest, TextsAreKeptOnlyWhenAskedForAndAreCut) {
  StatementTable without(driver_, 10, false);
  Run(without, "select 1");
  EXPECT_EQ(without.Report().statements[0].text, "");
  StatementTable with(driver_, 10, true);
  Run(with, "select 1");
  EXPECT_EQ(with.Report().statements[0].text, "select $1");
  std::string umlauts;
  for (int i = 0; i < 2000; ++i) umlauts += "\xC3\xA4";
  Run(with, "x" + umlauts);
  for (const StatementFigures& statement : with.Report().statements) {
    if (statement.fingerprint == "select ") continue;
    EXPECT_EQ(statement.text, ("x" + umlauts).substr(0, 1999) + "...") << "no half characters";
  }
}

TEST_F(StatementTableTest, WithoutEntriesNothingIsCounted) {
  StatementTable table(driver_, 0, true);
  EXPECT_EQ(table.Of("select 1", nullptr, now_), nullptr);
  EXPECT_EQ(driver_.asked, 0);
}

TEST(StatementCountsTest, WhatIsAddedAndTakenAwayLeavesNoTrace) {
  StatementCounts counts;
  counts.calls = 3;
  for (int i = 1; i < 1000; ++i) counts.execute.Record(std::chrono::nanoseconds(i * 1237));
  const double before = counts.execute.sum_seconds();
  StatementCounts more;
  more.calls = 2;
  for (int i = 1; i < 1000; ++i) more.execute.Record(std::chrono::nanoseconds(i * 7919));
  counts += more;
  counts -= more;
  EXPECT_EQ(counts.calls, 3u);
  EXPECT_EQ(counts.execute.sum_seconds(), before) << "to the last digit";
}

}  // namespace
}  // namespace dbsidecar::pool
