// What statements yield: values, results, tags and limits.
#include <cmath>
#include <limits>

#include "tests/support/sqlite_fixture.h"

namespace dbsidecar::pool {
namespace {

using SqliteStatementTest = SqliteMemoryTest;

std::string_view TextAt(const Result& result, size_t row, size_t column) {
  return result.rows.bytes(result.rows.at(row, column));
}

TEST_F(SqliteStatementTest, EveryKindOfValueTravelsThereAndBack) {
  const std::string nul("a\0b", 3);
  const Result result =
      probe_.RunWell("SELECT $1, $2, $3, $4, $5, $6, typeof($2)",
                     {Null(), Bool(true), Integer(std::numeric_limits<int64_t>::min()), Double(0.1),
                      Text("gr\xC3\xBC\xC3\x9F"), Bytes(nul)});
  ASSERT_EQ(result.rows.row_count(), 1u);
  EXPECT_EQ(result.rows.at(0, 0).kind, CellKind::kNull);
  EXPECT_EQ(result.rows.at(0, 1).integer, 1);
  EXPECT_EQ(result.rows.at(0, 2).kind, CellKind::kInteger);
  EXPECT_EQ(result.rows.at(0, 2).integer, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(result.rows.at(0, 3).kind, CellKind::kDouble);
  EXPECT_EQ(result.rows.at(0, 3).real, 0.1);
  EXPECT_EQ(result.rows.at(0, 4).kind, CellKind::kText);
  EXPECT_EQ(TextAt(result, 0, 4), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(result.rows.at(0, 5).kind, CellKind::kBlob);
  EXPECT_EQ(TextAt(result, 0, 5), nul);
  EXPECT_EQ(TextAt(result, 0, 6), "integer");
}

TEST_F(SqliteStatementTest, EmptyTextAndEmptyBytesAreNotNull) {
  const Result result =
      probe_.RunWell("SELECT $1, $2", {Text(std::string_view()), Bytes(std::string_view())});
  EXPECT_EQ(result.rows.at(0, 0).kind, CellKind::kText);
  EXPECT_EQ(result.rows.at(0, 1).kind, CellKind::kBlob);
  EXPECT_EQ(result.rows.at(0, 1).size, 0u);
}

TEST_F(SqliteStatementTest, InfinityIsAValueAndNaNIsRefused) {
  const Result result = probe_.RunWell("SELECT $1", {Double(-HUGE_VAL)});
  EXPECT_EQ(result.rows.at(0, 0).real, -HUGE_VAL);
  const Error error = probe_.RunBadly("SELECT $1, $2", {Integer(1), Double(std::nan(""))});
  EXPECT_EQ(error.kind, ErrorKind::kInvalidArgument);
  EXPECT_NE(error.message.find("$2 is NaN"), std::string::npos) << error.message;
}

TEST_F(SqliteStatementTest, TextWithANulCharacterIsRefused) {
  const Error error = probe_.RunBadly("SELECT $1", {Text(std::string_view("a\0b", 3))});
  EXPECT_EQ(error.kind, ErrorKind::kInvalidArgument);
}

TEST_F(SqliteStatementTest, ParametersAreTakenByTheirNumbers) {
  const Result result = probe_.RunWell("SELECT $2, $1, $2", {Integer(1), Integer(2)});
  EXPECT_EQ(result.rows.at(0, 0).integer, 2);
  EXPECT_EQ(result.rows.at(0, 1).integer, 1);
  EXPECT_EQ(result.rows.at(0, 2).integer, 2);
  EXPECT_EQ(probe_.RunWell("SELECT ?2 - ?1", {Integer(1), Integer(3)}).rows.at(0, 0).integer, 2);
  EXPECT_EQ(probe_.RunWell("SELECT ? - ?", {Integer(3), Integer(1)}).rows.at(0, 0).integer, 2);
  EXPECT_EQ(
      probe_.RunWell("SELECT $1 + $3", {Integer(1), Integer(9), Integer(2)}).rows.at(0, 0).integer,
      3);
}

TEST_F(SqliteStatementTest, AWrongNumberOfParametersNamesBothCounts) {
  const Error few = probe_.RunBadly("SELECT $1, $3", {Integer(1), Integer(2)});
  EXPECT_EQ(few.kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(few.message, "the statement needs 3 parameters, but 2 were given");
  const Error many = probe_.RunBadly("SELECT $1", {Integer(1), Integer(2)});
  EXPECT_EQ(many.message, "the statement needs 1 parameter, but 2 were given");
}

TEST_F(SqliteStatementTest, OtherParameterNamesAreRefused) {
  for (const char* sql :
       {"SELECT :name", "SELECT @a", "SELECT $1::int", "SELECT $0", "SELECT $x"}) {
    EXPECT_EQ(probe_.RunBadly(sql, {Integer(1)}).kind, ErrorKind::kInvalidArgument) << sql;
  }
}

TEST_F(SqliteStatementTest, ParametersOfOneCallAreGoneInTheNext) {
  probe_.RunWell("SELECT $1", {Text("secret")});
  EXPECT_EQ(probe_.RunWell("SELECT $1", {Null()}).rows.at(0, 0).kind, CellKind::kNull);
}

TEST_F(SqliteStatementTest, TenThousandParametersAreFine) {
  std::string sql = "SELECT 1 WHERE 10000 IN ($1";
  std::vector<Value> parameters(10'000, Integer(1));
  for (int i = 2; i <= 10'000; ++i) sql += ",$" + std::to_string(i);
  parameters.back() = Integer(10'000);
  EXPECT_EQ(probe_.RunWell(sql + ")", parameters).rows.row_count(), 1u);
}

TEST_F(SqliteStatementTest, ColumnsHaveNamesAndTypes) {
  probe_.RunWell("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), at DATE)");
  const Result result = probe_.RunWell("SELECT id, name AS n, at, id + 1 FROM t");
  ASSERT_EQ(result.columns.size(), 4u);
  EXPECT_EQ(result.columns[0].name, "id");
  EXPECT_EQ(result.columns[0].type_oid, 20u);
  EXPECT_EQ(result.columns[0].declared_type, "INTEGER");
  EXPECT_EQ(result.columns[1].name, "n");
  EXPECT_EQ(result.columns[1].type_oid, 25u);
  EXPECT_EQ(result.columns[1].declared_type, "VARCHAR(20)");
  EXPECT_EQ(result.columns[2].type_oid, 0u);
  EXPECT_EQ(result.columns[2].declared_type, "DATE");
  EXPECT_EQ(result.columns[3].declared_type, "");
  EXPECT_EQ(result.rows.row_count(), 0u);
  EXPECT_EQ(result.command_tag, "SELECT 0");
  EXPECT_EQ(result.rows_affected, -1);
}

TEST_F(SqliteStatementTest, APreparedStatementFollowsAChangeOfTheSchema) {
  probe_.RunWell("CREATE TABLE t (a)");
  EXPECT_EQ(probe_.RunWell("SELECT * FROM t").columns.size(), 1u);
  probe_.RunWell("ALTER TABLE t ADD COLUMN b");
  EXPECT_EQ(probe_.RunWell("SELECT * FROM t").columns.size(), 2u);
}

TEST_F(SqliteStatementTest, ChangesReportTagsRowsAndIds) {
  Result result = probe_.RunWell("CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)");
  EXPECT_EQ(result.command_tag, "CREATE TABLE");
  EXPECT_EQ(result.rows_affected, -1);
  result = probe_.RunWell("INSERT INTO t VALUES (7, 1), (8, 2)");
  EXPECT_EQ(result.command_tag, "INSERT 0 2");
  EXPECT_EQ(result.rows_affected, 2);
  EXPECT_EQ(result.last_insert_id, 8);
  result = probe_.RunWell("UPDATE t SET a = a + 10");
  EXPECT_EQ(result.command_tag, "UPDATE 2");
  EXPECT_EQ(result.last_insert_id, 0);
  result = probe_.RunWell("REPLACE INTO t VALUES (7, 3)");
  EXPECT_EQ(result.command_tag, "INSERT 0 1");
  result = probe_.RunWell("DELETE FROM t WHERE id = 99");
  EXPECT_EQ(result.command_tag, "DELETE 0");
  EXPECT_EQ(result.rows_affected, 0);
  EXPECT_EQ(probe_.RunWell("SELECT * FROM t").command_tag, "SELECT 2");
  EXPECT_EQ(probe_.RunWell("DROP TABLE t").command_tag, "DROP TABLE");
}

TEST_F(SqliteStatementTest, AnInsertThatDoesNothingShowsNoIdOfAnother) {
  probe_.RunWell("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  EXPECT_EQ(probe_.RunWell("INSERT INTO t VALUES (41)").last_insert_id, 41);
  const Result result = probe_.RunWell("INSERT INTO t VALUES (41) ON CONFLICT DO NOTHING");
  EXPECT_EQ(result.rows_affected, 0);
  EXPECT_EQ(result.last_insert_id, 0);
  EXPECT_EQ(probe_.RunWell("SELECT last_insert_rowid()").rows.at(0, 0).integer, 0);
}

TEST_F(SqliteStatementTest, WithIsNamedAfterWhatItDoes) {
  probe_.RunWell("CREATE TABLE t (a)");
  probe_.RunWell("CREATE TABLE log (a)");
  probe_.RunWell("CREATE TRIGGER r DELETE ON t BEGIN INSERT INTO log VALUES (old.a); END");
  const std::string with = "WITH w(x) AS (VALUES (1), (2)) ";
  EXPECT_EQ(probe_.RunWell(with + "SELECT * FROM w").command_tag, "SELECT 2");
  Result result = probe_.RunWell(with + "INSERT INTO t SELECT x FROM w");
  EXPECT_EQ(result.command_tag, "INSERT 0 2");
  EXPECT_EQ(result.last_insert_id, 2);
  EXPECT_EQ(probe_.RunWell(with + "UPDATE t SET a = 5 WHERE a IN (SELECT x FROM w)").command_tag,
            "UPDATE 2");
  EXPECT_EQ(probe_.RunWell(with + "DELETE FROM t WHERE a > (SELECT max(x) FROM w)").command_tag,
            "DELETE 2");
}

TEST_F(SqliteStatementTest, ReturningGivesRows) {
  probe_.RunWell("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const Result result = probe_.RunWell("INSERT INTO t (a) VALUES ('x'), ('y') RETURNING id, a");
  ASSERT_EQ(result.rows.row_count(), 2u);
  EXPECT_EQ(result.rows.at(1, 0).integer, 2);
  EXPECT_EQ(TextAt(result, 1, 1), "y");
  EXPECT_EQ(result.command_tag, "INSERT 0 2");
  EXPECT_EQ(result.rows_affected, 2);
}

TEST_F(SqliteStatementTest, ARowLimitTruncatesAReadWithoutRunningItOn) {
  ProbeCall call("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n");
  call.statement.limits.rows_max = 5;
  call.statement.limits.truncate = true;
  const Outcome outcome = probe_.Run(call).outcome;
  ASSERT_FALSE(outcome.error.has_value());
  EXPECT_EQ(outcome.result.rows.row_count(), 5u);
  EXPECT_TRUE(outcome.result.truncated);
  EXPECT_EQ(outcome.result.command_tag, "SELECT 5");
}

TEST_F(SqliteStatementTest, AResultOfExactlyTheRowLimitIsNotTruncated) {
  ProbeCall call("VALUES (1), (2)");
  call.statement.limits.rows_max = 2;
  call.statement.limits.truncate = true;
  EXPECT_FALSE(probe_.Run(call).outcome.result.truncated);
}

TEST_F(SqliteStatementTest, ARowLimitDoesNotCutAWriteShort) {
  probe_.RunWell("CREATE TABLE t (a)");
  ProbeCall call("INSERT INTO t VALUES (1), (2), (3) RETURNING a");
  call.statement.limits.rows_max = 1;
  call.statement.limits.truncate = true;
  const Outcome outcome = probe_.Run(call).outcome;
  EXPECT_EQ(outcome.result.rows.row_count(), 1u);
  EXPECT_TRUE(outcome.result.truncated);
  EXPECT_EQ(outcome.result.rows_affected, 3);
  EXPECT_EQ(probe_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 3);
}

TEST_F(SqliteStatementTest, AResultOverTheByteLimitNamesTheRemedy) {
  ProbeCall call("SELECT zeroblob(50) UNION ALL SELECT zeroblob(51)");
  call.statement.limits.bytes_max = 100;
  const ProbeEvent event = probe_.Run(call);
  ASSERT_TRUE(event.outcome.error.has_value());
  EXPECT_EQ(event.outcome.error->kind, ErrorKind::kResultTooLarge);
  EXPECT_EQ(event.outcome.error->message,
            "the result is over the limit of 100 bytes; use QueryStream, max_rows, or LIMIT in the "
            "statement");
  EXPECT_EQ(event.outcome.result.rows.row_count(), 0u);
  EXPECT_EQ(event.condition, Condition::kClean);
}

TEST_F(SqliteStatementTest, AWriteWhoseResultIsTooLargeLeavesNothingBehind) {
  probe_.RunWell("CREATE TABLE t (a)");
  ProbeCall call("INSERT INTO t VALUES (zeroblob(40)), (zeroblob(80)) RETURNING a");
  call.statement.limits.bytes_max = 100;
  const ProbeEvent event = probe_.Run(call);
  ASSERT_TRUE(event.outcome.error.has_value());
  EXPECT_EQ(event.outcome.error->kind, ErrorKind::kResultTooLarge);
  EXPECT_NE(event.outcome.error->message.find("nothing took effect"), std::string::npos);
  EXPECT_EQ(event.condition, Condition::kClean);
  EXPECT_EQ(probe_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 0);
  call.statement.limits.bytes_max = 1000;
  EXPECT_FALSE(probe_.Run(call).outcome.error.has_value());
  EXPECT_EQ(probe_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 2);
}

TEST_F(SqliteStatementTest, MoreTextsThanTheCacheHoldsStillRun) {
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(probe_.RunWell("SELECT " + std::to_string(i % 300)).rows.at(0, 0).integer, i % 300);
  }
  const std::string long_text = "SELECT '" + std::string(1 << 20, 'x') + "'";
  EXPECT_EQ(probe_.RunWell(long_text).rows.at(0, 0).size, 1u << 20);
}

TEST_F(SqliteStatementTest, VacuumRunsAndVacuumIntoIsRefused) {
  EXPECT_EQ(probe_.RunWell("VACUUM").command_tag, "VACUUM");
  TemporaryFolder folder;
  const std::string copy = folder / "copy.db";
  EXPECT_EQ(probe_.RunBadly("VACUUM INTO '" + copy + "'").kind, ErrorKind::kUnsupported);
  EXPECT_EQ(probe_.RunBadly("VACUUM INTO $1", {Text(copy)}).kind, ErrorKind::kUnsupported);
  EXPECT_FALSE(std::filesystem::exists(copy));
}

}  // namespace
}  // namespace dbsidecar::pool
