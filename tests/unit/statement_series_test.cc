#include "server/statement_series.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace dbsidecar::server {
namespace {

using pool::Instant;
using pool::StatementFigures;
using pool::StatementsReport;
using std::chrono::minutes;
using std::chrono::seconds;

// A statement table, as far as a scrape sees it.
class Table {
 public:
  void Run(const std::string& fingerprint, int calls, seconds each = seconds(1)) {
    StatementFigures& statement = Entry(fingerprint);
    for (int i = 0; i < calls; ++i) {
      ++statement.counts.calls;
      statement.counts.execute.Record(each);
      ++calls_;
    }
  }
  // Its place becomes another's.
  void Replace(const std::string& fingerprint) {
    report_.other += Entry(fingerprint).counts;
    std::erase_if(report_.statements,
                  [&](const auto& statement) { return statement.fingerprint == fingerprint; });
  }
  const StatementsReport& report() const { return report_; }
  uint64_t calls() const { return calls_; }

 private:
  StatementFigures& Entry(const std::string& fingerprint) {
    for (StatementFigures& statement : report_.statements) {
      if (statement.fingerprint == fingerprint) return statement;
    }
    report_.statements.push_back(
        {.id = next_id_++, .fingerprint = fingerprint, .text = "", .counts = {}, .used = {}});
    return report_.statements.back();
  }

  StatementsReport report_;
  uint64_t next_id_ = 1;
  uint64_t calls_ = 0;
};

std::map<std::string, uint64_t> Calls(const std::vector<StatementFigures>& list) {
  std::map<std::string, uint64_t> calls;
  for (const StatementFigures& statement : list) {
    calls[statement.fingerprint] = statement.counts.calls;
  }
  return calls;
}

using Told = std::map<std::string, uint64_t>;

TEST(StatementSeriesTest, AStatementThatIsNewIsToldInFull) {
  StatementSeries series(2);
  Table table;
  table.Run("a", 3);
  EXPECT_EQ(Calls(series.List(table.report(), Instant())), (Told{{"a", 3}, {"other", 0}}));
  table.Run("b", 5);
  table.Run("a", 1);
  EXPECT_EQ(Calls(series.List(table.report(), Instant())),
            (Told{{"a", 4}, {"b", 5}, {"other", 0}}));
}

TEST(StatementSeriesTest, ThoseWithTheMostTimeAreListedAndTheRestIsOther) {
  StatementSeries series(2);
  Table table;
  table.Run("quick", 100, seconds(0));
  table.Run("slow", 3, seconds(10));
  table.Run("slower", 2, seconds(20));
  const auto list = series.List(table.report(), Instant());
  EXPECT_EQ(Calls(list), (Told{{"slow", 3}, {"slower", 2}, {"other", 100}}));
  EXPECT_EQ(list.back().fingerprint, "other");
}

TEST(StatementSeriesTest,
     OneThatHasTakenMuchMoreTimeOfLateGetsThePlaceOfAnotherAndNothingGoesBack) {
  StatementSeries series(1);
  Table table;
  Instant now{};
  table.Run("old", 10);
  table.Run("new", 4);
  EXPECT_EQ(Calls(series.List(table.report(), now)), (Told{{"old", 10}, {"other", 4}}));
  table.Run("new", 1);
  EXPECT_EQ(Calls(series.List(table.report(), now += seconds(30))),
            (Told{{"old", 10}, {"other", 5}}));
  table.Run("new", 100);
  // What it has counted stays in "other", and what "old" was told to have does not come to it.
  EXPECT_EQ(Calls(series.List(table.report(), now += minutes(1))),
            (Told{{"new", 0}, {"other", 105}}));
  table.Run("new", 7);
  table.Run("old", 2);
  EXPECT_EQ(Calls(series.List(table.report(), now += seconds(1))),
            (Told{{"new", 7}, {"other", 107}}));
}

TEST(StatementSeriesTest, ALittleMoreTimeIsNotEnough) {
  StatementSeries series(1);
  Table table;
  table.Run("a", 10);
  table.Run("b", 9);
  series.List(table.report(), Instant());
  table.Run("a", 10);
  table.Run("b", 14);
  EXPECT_EQ(Calls(series.List(table.report(), Instant(minutes(2)))),
            (Told{{"a", 20}, {"other", 23}}));
}

TEST(StatementSeriesTest, OneWhosePlaceInTheTableIsAnothersLeavesTheList) {
  StatementSeries series(5);
  Table table;
  table.Run("a", 10);
  series.List(table.report(), Instant());
  table.Run("a", 2);
  table.Replace("a");
  EXPECT_EQ(Calls(series.List(table.report(), Instant())), (Told{{"other", 2}}))
      << "what was not told by name is told now";
  table.Run("a", 3);
  EXPECT_EQ(Calls(series.List(table.report(), Instant())), (Told{{"a", 3}, {"other", 2}}));
}

TEST(StatementSeriesTest, NoSeriesEverGoesBack) {
  std::mt19937 random(20260725);
  StatementSeries series(5);
  Table table;
  Instant now{};
  Told latest;
  std::map<std::string, double> latest_seconds;
  for (int scrape = 0; scrape < 2000; ++scrape) {
    for (int i = 0; i < 20; ++i) {
      const std::string fingerprint = std::to_string((random() + scrape / 50) % 15);
      table.Run(fingerprint, static_cast<int>(random() % 5), seconds(random() % 3));
      if (random() % 40 == 0) table.Replace(fingerprint);
    }
    now += seconds(15);
    const auto list = series.List(table.report(), now);
    EXPECT_LE(list.size(), 6u);
    Told told = Calls(list);
    for (const StatementFigures& statement : list) {
      const std::string& name = statement.fingerprint;
      // One that was not there in between may begin anew.
      if (latest.contains(name) && name == "other") {
        ASSERT_GE(statement.counts.calls, latest[name]) << scrape;
        ASSERT_GE(statement.counts.execute.sum_seconds(), latest_seconds[name]) << scrape;
      }
      ASSERT_LE(statement.counts.calls, table.calls()) << "an underflow";
      ASSERT_LE(statement.counts.execute.count(), table.calls());
      latest_seconds[name] = statement.counts.execute.sum_seconds();
    }
    latest = std::move(told);
  }
}

}  // namespace
}  // namespace dbsidecar::server
