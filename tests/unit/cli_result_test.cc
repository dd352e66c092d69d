#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "server/cli/display_text.h"
#include "server/cli/result_cells.h"
#include "server/cli/result_csv.h"
#include "server/cli/result_json.h"
#include "server/cli/result_table.h"

namespace dbsidecar::server::cli {
namespace {

using std::chrono_literals::operator""us;

v1::Column& AddColumn(v1::ResultSet& result, const std::string& name, unsigned type_oid) {
  v1::ColumnInfo& info = *result.add_columns();
  info.set_name(name);
  info.set_type_oid(type_oid);
  return *result.add_data();
}

// id | name | note: a number, an empty text, a NULL and text that needs care.
v1::ResultSet People() {
  v1::ResultSet result;
  result.set_row_count(3);
  result.set_rows_affected(-1);
  result.set_command_tag("SELECT 3");
  v1::Column& ids = AddColumn(result, "id", 23);
  for (const int id : {1, 20, 300}) ids.add_ints(id);
  v1::Column& names = AddColumn(result, "name", 25);
  for (const char* name : {"Zo\u00eb", "\u6771\u4eac", ""}) names.add_strings(name);
  v1::Column& notes = AddColumn(result, "note", 25);
  for (const char* note : {"a\nb", "", "say \"x, y\""}) notes.add_strings(note);
  notes.add_nulls(1);
  return result;
}

TEST(ResultTableTest, ColumnsAreAlignedByWidthAndNullDiffersFromEmpty) {
  EXPECT_EQ(TableOfResult(People(), 1234us),
            "  id | name | note\n"
            "-----+------+------------\n"
            "   1 | Zo\u00eb  | a\\nb\n"
            "  20 | \u6771\u4eac | NULL\n"
            " 300 |      | say \"x, y\"\n"
            "(3 rows, 1.2 ms)\n");
}

TEST(ResultTableTest, AStatementWithoutColumnsIsItsCommandTag) {
  v1::ResultSet result;
  result.set_command_tag("CREATE TABLE");
  result.set_rows_affected(-1);
  EXPECT_EQ(TableOfResult(result, 10us), "CREATE TABLE\n");
}

TEST(ResultTableTest, ReturningShowsRowsAndTagAndACutResultSaysSo) {
  v1::ResultSet result;
  AddColumn(result, "n", 20).add_ints(7);
  result.set_row_count(1);
  result.set_rows_affected(1);
  result.set_command_tag("INSERT 0 1");
  EXPECT_EQ(TableOfResult(result, 10us), " n\n---\n 7\n(1 row, 10 us)\nINSERT 0 1\n");
  result.set_rows_affected(-1);
  result.set_truncated(true);
  EXPECT_EQ(TableOfResult(result, 10us),
            " n\n---\n 7\n(1 row, 10 us; there are more, which --max-rows left out)\n");
}

TEST(ResultTableTest, AResultWithoutRowsStillShowsItsColumns) {
  v1::ResultSet result;
  AddColumn(result, "n", 20);
  EXPECT_EQ(TableOfResult(result, 0us), " n\n---\n(0 rows, 0 us)\n");
  EXPECT_EQ(JsonOfResult(result), "[]\n");
  EXPECT_EQ(CsvOfResult(result), "n\n");
}

TEST(ResultTableTest, ElapsedTimesAreShortAndRoundWithoutAStrayUnit) {
  EXPECT_EQ(TextOfElapsed(std::chrono::nanoseconds(999'499)), "999 us");
  EXPECT_EQ(TextOfElapsed(std::chrono::nanoseconds(999'600)), "1.0 ms");
  EXPECT_EQ(TextOfElapsed(std::chrono::milliseconds(2500)), "2.50 s");
}

TEST(ResultJsonTest, TypesSurviveAndBigIntegersStayExact) {
  v1::ResultSet result;
  result.set_row_count(2);
  v1::Column& big = AddColumn(result, "big", 20);
  big.add_ints(9007199254740993);
  big.add_ints(std::numeric_limits<std::int64_t>::min());
  v1::Column& ratio = AddColumn(result, "ratio", 701);
  ratio.add_doubles(0.1);
  ratio.add_doubles(std::nan(""));
  v1::Column& exact = AddColumn(result, "exact", 1700);
  exact.add_strings("-0.10000000000000000001");
  exact.add_strings("Infinity");
  v1::Column& raw = AddColumn(result, "raw", 17);
  raw.add_blobs(std::string("\0\xff", 2));
  raw.add_blobs("");
  raw.add_nulls(1);
  v1::Column& flag = AddColumn(result, "flag", 16);
  flag.add_bools(true);
  flag.add_bools(false);
  v1::Column& document = AddColumn(result, "document", 3802);
  document.add_strings(R"({"a": 1})");
  document.add_strings("");
  ASSERT_TRUE(CheckShape(result).ok());

  const std::string json = JsonOfResult(result);
  EXPECT_EQ(json,
            "[\n"
            R"({"big":9007199254740993,"ratio":0.1,"exact":-0.10000000000000000001,)"
            R"("raw":"\\x00ff","flag":true,"document":"{\"a\": 1}"},)"
            "\n"
            R"({"big":-9223372036854775808,"ratio":"NaN","exact":"Infinity","raw":null,)"
            R"("flag":false,"document":""})"
            "\n]\n");
  EXPECT_TRUE(nlohmann::json::accept(json));
}

TEST(ResultJsonTest, ARepeatedColumnNameLosesNoCell) {
  v1::ResultSet result;
  result.set_row_count(1);
  int number = 0;
  for (const char* name : {"a", "a", "a_2", "a", ""})
    AddColumn(result, name, 23).add_ints(++number);
  EXPECT_EQ(JsonOfResult(result), "[\n{\"a\":1,\"a_3\":2,\"a_2\":3,\"a_4\":4,\"\":5}\n]\n");
}

TEST(ResultJsonTest, TextIsEscapedSoThatARowStaysOnItsLine) {
  const std::string json = JsonOfResult(People());
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 5);
  EXPECT_EQ(nlohmann::json::parse(json)[0]["note"], "a\nb");
  EXPECT_EQ(nlohmann::json::parse(json)[1]["note"], nullptr);
  EXPECT_EQ(nlohmann::json::parse(json)[2]["name"], "");
}

TEST(ResultCsvTest, NullIsUnquotedAndWhatNeedsQuotesHasThem) {
  EXPECT_EQ(CsvOfResult(People()),
            "id,name,note\n"
            "1,Zo\u00eb,\"a\nb\"\n"
            "20,\u6771\u4eac,\n"
            "300,\"\",\"say \"\"x, y\"\"\"\n");
  EXPECT_EQ(CsvOfResult(v1::ResultSet()), "");
}

TEST(ResultCellsTest, MixedAndAllNullColumnsAndRowMessagesAreRead) {
  v1::ResultSet result;
  result.set_row_count(2);
  v1::Column& mixed = AddColumn(result, "mixed", 0);
  mixed.add_mixed()->set_int_value(5);
  mixed.add_mixed();
  mixed.add_nulls(1);
  AddColumn(result, "nothing", 25);
  ASSERT_TRUE(CheckShape(result).ok());
  EXPECT_EQ(CellAt(result, 0, 0).int_value(), 5);
  EXPECT_EQ(CellAt(result, 1, 0).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(CellAt(result, 0, 1).kind_case(), v1::Value::KIND_NOT_SET);

  v1::ResultSet rows;
  rows.add_columns();
  rows.set_row_count(1);
  rows.add_rows()->add_values()->set_bool_value(true);
  ASSERT_TRUE(CheckShape(rows).ok());
  EXPECT_EQ(TextOfCell(CellAt(rows, 0, 0)), "true");
}

TEST(ResultCellsTest, AnAnswerThatLacksCellsIsRefused) {
  v1::ResultSet short_column = People();
  short_column.mutable_data(0)->mutable_ints()->RemoveLast();
  EXPECT_FALSE(CheckShape(short_column).ok());
  v1::ResultSet no_column = People();
  no_column.mutable_data()->RemoveLast();
  EXPECT_FALSE(CheckShape(no_column).ok());
  v1::ResultSet short_row;
  short_row.add_columns();
  short_row.set_row_count(1);
  short_row.add_rows();
  EXPECT_FALSE(CheckShape(short_row).ok());
}

TEST(DisplayTextTest, WhatWouldSteerTheTerminalIsEscaped) {
  EXPECT_EQ(Displayable("\x1b[2J\r\t\x7f"), "\\x1b[2J\\x0d\\t\\x7f");
  EXPECT_EQ(Displayable("a\u202eb\u0085"), "a\\u202eb\\u0085");
  EXPECT_EQ(Displayable("\xff\xe6\x97z\xed\xa0\x80"), "\\xff\\xe6\\x97z\\xed\\xa0\\x80");
  EXPECT_EQ(Displayable("a\nb", LineBreaks::kKeep), "a\nb");
  EXPECT_EQ(Displayable("Zo\u00eb \U0001f600"), "Zo\u00eb \U0001f600");
}

TEST(DisplayTextTest, WideCharactersTakeTwoColumnsAndCombiningOnesNone) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("\u6771\u4eac"), 4u);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1u);
  EXPECT_EQ(DisplayWidth("\U0001f600"), 2u);
}

}  // namespace
}  // namespace dbsidecar::server::cli
