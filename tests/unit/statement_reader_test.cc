#include "server/cli/statement_reader.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/cli/progress.h"
#include "server/cli/prompt_commands.h"

namespace dbsidecar::server::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Line by line, and the rest at the end as if it had a semicolon.
std::vector<std::string> Statements(const std::vector<std::string>& lines) {
  StatementReader reader;
  std::vector<std::string> statements;
  for (const std::string& line : lines) {
    reader.Add(line);
    while (const auto statement = reader.Next()) statements.push_back(*statement);
  }
  if (const auto rest = reader.Rest()) statements.push_back("rest: " + *rest);
  return statements;
}

char ExpectedAfter(const std::string& line) {
  StatementReader reader;
  reader.Add(line);
  while (reader.Next()) {
  }
  return reader.expects();
}

TEST(StatementReaderTest, ASemicolonEndsAStatement) {
  EXPECT_THAT(Statements({"select 1; select", "  2;select 3"}),
              ElementsAre("select 1", "select\n  2", "rest: select 3"));
  EXPECT_THAT(Statements({"", " ;;", "-- nothing", "/* nor */ ; "}), IsEmpty());
}

TEST(StatementReaderTest, NotWhereItIsPartOfSomething) {
  for (const char* text : {
           "select 'a;b'",
           "select 'it''s;'",
           "select E'\\';'",
           "select \"a;b\"",
           "select \"a\"\";\"",
           "select $$a;b$$",
           "select $x$ $$;$$ $y$; $x$",
           "select 1 -- a;b",
           "select /* a; /* b; */ c; */ 1",
           "create rule r as on insert to t do (select 1; select 2)",
           "create trigger t after insert on a begin select 1; select case when 1 then 2 end; end",
           "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
       }) {
    const std::string line = text;
    const bool comment_at_end = line.find("-- ") != std::string::npos;
    EXPECT_THAT(Statements({line, ";select 2;"}), ElementsAre(line, "select 2")) << text;
    if (!comment_at_end) {
      EXPECT_THAT(Statements({line + ";"}), ElementsAre(line)) << text;
    }
  }
}

TEST(StatementReaderTest, WhatOnlyLooksSoDoesNotHoldOn) {
  for (const char* text : {
           "begin",
           "select a$b$c from t",
           "select $1",
           "select 'a\\'",
           "select 1 as \"begin\"",
           "create table trigger_log (a int)",
           "select case when true then 1 end",
           "select 1)",
       }) {
    const std::string line = text;
    EXPECT_THAT(Statements({line + "; select 2;"}), ElementsAre(line, "select 2")) << text;
  }
}

TEST(StatementReaderTest, ItSaysWhatItWaitsFor) {
  EXPECT_EQ(ExpectedAfter(""), '=');
  EXPECT_EQ(ExpectedAfter("select 1;"), '=');
  EXPECT_EQ(ExpectedAfter("-- comment"), '=');
  EXPECT_EQ(ExpectedAfter("select 1"), '-');
  EXPECT_EQ(ExpectedAfter("select 'a"), '\'');
  EXPECT_EQ(ExpectedAfter("select E'a\\'"), '\'');
  EXPECT_EQ(ExpectedAfter("select \"a"), '"');
  EXPECT_EQ(ExpectedAfter("select $a$ $b$"), '$');
  EXPECT_EQ(ExpectedAfter("select /* a"), '*');
  EXPECT_EQ(ExpectedAfter("select (1"), '(');
}

TEST(StatementReaderTest, WhatIsForgottenIsGone) {
  StatementReader reader;
  reader.Add("select 'a");
  EXPECT_FALSE(reader.Next());
  EXPECT_FALSE(reader.empty());
  reader.Clear();
  EXPECT_TRUE(reader.empty());
  reader.Add("select 1;");
  EXPECT_EQ(reader.Next(), "select 1");
}

TEST(PromptCommandsTest, EveryCommandIsThereForBothOrSaysThatItIsNot) {
  for (const char* command : {"d", "dt", "dv", "di", "ds", "dn", "df", "du", "l"}) {
    for (const bool sqlite : {false, true}) {
      const std::vector<CatalogQuery> queries = CatalogQueries(sqlite, command, "");
      ASSERT_EQ(queries.size(), 1u) << command;
      if (queries[0].sql.empty()) {
        EXPECT_TRUE(sqlite) << command;
        EXPECT_NE(queries[0].title, "");
      } else {
        EXPECT_THAT(queries[0].parameters, ElementsAre("%"));
      }
    }
  }
  EXPECT_THAT(CatalogQueries(false, "nonsense", ""), IsEmpty());
}

TEST(PromptCommandsTest, WildcardsArePatternsAndNothingElseIs) {
  EXPECT_THAT(CatalogQueries(false, "dt", "a_b*c?")[0].parameters, ElementsAre("a\\_b%c_"));
  EXPECT_EQ(CatalogQueries(false, "d", "a*").size(), 1u);
  EXPECT_GT(CatalogQueries(false, "d", "a").size(), 1u);
}

TEST(ProgressTest, ItSaysWhatThereIs) {
  EXPECT_EQ(TextOfProgress(12, 0, 0), "12 s");
  EXPECT_EQ(TextOfProgress(2, 999, 1048576), "2 s, 999 rows, 1.0 MiB");
  EXPECT_EQ(TextOfProgress(2, 1234567, 0), "2 s, 1 234 567 rows");
}

}  // namespace
}  // namespace dbsidecar::server::cli
