// What a pooled connection does not run, and which lane runs the rest.
#include "tests/support/sqlite_fixture.h"

namespace dbsidecar::pool {
namespace {

class SqliteRefusalTest : public SqliteFileTest {
 protected:
  SqliteRefusalTest() : reader_(loop_, *driver_, kReader, 1), writer_(loop_, *driver_, kWriter, 2) {
    reader_.OpenWell();
    writer_.OpenWell();
    writer_.RunWell("CREATE TABLE t (a)");
  }

  ConnectionProbe reader_;
  ConnectionProbe writer_;
};

TEST_F(SqliteRefusalTest, TransactionsNeedASession) {
  for (const char* sql : {"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "END", "ROLLBACK", "SAVEPOINT s",
                          "RELEASE s", "ROLLBACK TO s"}) {
    const Error error = reader_.RunBadly(sql);
    EXPECT_EQ(error.kind, ErrorKind::kNeedsSession) << sql;
    EXPECT_NE(error.message.find("SessionControl.begin"), std::string::npos) << error.message;
    EXPECT_EQ(writer_.RunBadly(sql).kind, ErrorKind::kNeedsSession) << sql;
  }
}

TEST_F(SqliteRefusalTest, WhatChangesTheConnectionNeedsASession) {
  for (const char* sql :
       {"ATTACH ':memory:' AS m", "ATTACH '' AS m", "DETACH m", "CREATE TEMP TABLE x (a)",
        "CREATE TABLE temp.x (a)", "CREATE TEMPORARY VIEW v AS SELECT 1",
        "CREATE TEMP TRIGGER r DELETE ON t BEGIN SELECT 1; END", "PRAGMA query_only = OFF",
        "PRAGMA foreign_keys = OFF", "PRAGMA temp_store = FILE", "PRAGMA temp_store(1)",
        "PRAGMA cache_size = 1"}) {
    EXPECT_EQ(reader_.RunBadly(sql).kind, ErrorKind::kNeedsSession) << sql;
    EXPECT_EQ(writer_.RunBadly(sql).kind, ErrorKind::kNeedsSession) << sql;
  }
  EXPECT_NE(writer_.RunBadly("pragma Cache_Size = 7").message.find("PRAGMA CACHE_SIZE"),
            std::string::npos);
}

TEST_F(SqliteRefusalTest, PragmasThatReachBeyondTheConnectionAreNotServed) {
  for (const char* sql : {"PRAGMA journal_mode = DELETE", "PRAGMA busy_timeout = 1",
                          "PRAGMA wal_checkpoint", "PRAGMA writable_schema = ON", "PRAGMA what"}) {
    EXPECT_EQ(reader_.RunBadly(sql).kind, ErrorKind::kUnsupported) << sql;
    EXPECT_EQ(writer_.RunBadly(sql).kind, ErrorKind::kUnsupported) << sql;
  }
}

TEST_F(SqliteRefusalTest, PragmasThatReportRunOnAReader) {
  for (const char* sql :
       {"PRAGMA table_info(t)", "PRAGMA table_list", "PRAGMA index_list('t')",
        "PRAGMA foreign_key_check", "PRAGMA integrity_check", "PRAGMA quick_check(5)",
        "PRAGMA database_list", "PRAGMA user_version", "PRAGMA journal_mode", "PRAGMA encoding",
        "PRAGMA temp_store", "SELECT * FROM pragma_table_info('t')"}) {
    EXPECT_GT(reader_.RunWell(sql).columns.size(), 0u) << sql;
  }
}

TEST_F(SqliteRefusalTest, PragmasThatWriteTheDatabaseRunOnTheWriter) {
  for (const char* sql : {"PRAGMA user_version = 7", "PRAGMA optimize"}) {
    EXPECT_EQ(reader_.Run(sql).kind, ProbeEvent::Kind::kWrongLane) << sql;
    writer_.RunWell(sql);
  }
  EXPECT_EQ(reader_.RunWell("PRAGMA user_version").rows.at(0, 0).integer, 7);
}

TEST_F(SqliteRefusalTest, LoadExtensionIsNotAllowed) {
  EXPECT_EQ(reader_.RunBadly("SELECT load_extension('x')").kind, ErrorKind::kUnsupported);
}

TEST_F(SqliteRefusalTest, ARefusalIsKnownByItsTextAfterwards) {
  EXPECT_FALSE(Classify("BEGIN").refusal.has_value());
  reader_.RunBadly("BEGIN");
  ASSERT_TRUE(Classify("BEGIN").refusal.has_value());
  EXPECT_EQ(Classify("BEGIN").refusal->kind, ErrorKind::kNeedsSession);
}

TEST_F(SqliteRefusalTest, AMissingTableIsNotRememberedAsARefusal) {
  reader_.RunBadly("SELECT * FROM later");
  EXPECT_FALSE(Classify("SELECT * FROM later").refusal.has_value());
  writer_.RunWell("CREATE TABLE later (a)");
  reader_.RunWell("SELECT * FROM later");
}

TEST_F(SqliteRefusalTest, AWriteOnAReaderIsSentToTheWriterWithoutBeingRun) {
  const std::string sql = "INSERT INTO t VALUES (1)";
  EXPECT_EQ(Classify(sql).lane, kReader);
  const ProbeEvent event = reader_.Run(sql);
  EXPECT_EQ(event.kind, ProbeEvent::Kind::kWrongLane);
  EXPECT_EQ(event.lane, kWriter);
  EXPECT_EQ(Classify(sql).lane, kWriter);
  EXPECT_EQ(reader_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 0);
  EXPECT_EQ(writer_.RunWell(sql).rows_affected, 1);
  EXPECT_EQ(reader_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 1);
}

TEST_F(SqliteRefusalTest, EveryKindOfWriteBelongsToTheWriter) {
  for (const char* sql :
       {"CREATE TABLE u (a)", "DROP TABLE u", "DROP TABLE IF EXISTS u",
        "CREATE TABLE IF NOT EXISTS t (a)", "UPDATE t SET a = 1", "DELETE FROM t RETURNING a",
        "CREATE INDEX i ON t (a)", "VACUUM", "ANALYZE", "REINDEX",
        "WITH w AS (SELECT 1) INSERT INTO t SELECT * FROM w"}) {
    EXPECT_EQ(reader_.Run(sql).kind, ProbeEvent::Kind::kWrongLane) << sql;
    writer_.RunWell(sql);
  }
  EXPECT_GT(reader_.RunWell("EXPLAIN INSERT INTO t VALUES (1)").rows.row_count(), 0u);
}

TEST_F(SqliteRefusalTest, AWriteInACallMarkedReadOnlyIsRefused) {
  for (ConnectionProbe* probe : {&reader_, &writer_}) {
    ProbeCall call("INSERT INTO t VALUES (1)");
    call.statement.read_only = true;
    const ProbeEvent event = probe->Run(call);
    ASSERT_EQ(event.kind, ProbeEvent::Kind::kReply);
    ASSERT_TRUE(event.outcome.error.has_value());
    EXPECT_EQ(event.outcome.error->kind, ErrorKind::kDatabase);
    EXPECT_EQ(event.outcome.error->sql.sqlstate, "25006");
  }
  EXPECT_EQ(reader_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 0);
}

TEST_F(SqliteRefusalTest, AnEmptyStatementIsRefused) {
  for (const char* sql : {"", "  \n", ";;", "-- nothing", "/* nothing */ ;"}) {
    const Error error = reader_.RunBadly(sql);
    EXPECT_EQ(error.kind, ErrorKind::kInvalidArgument) << sql;
    EXPECT_EQ(error.message, "the statement is empty");
  }
}

TEST_F(SqliteRefusalTest, OnlyOneStatementPerCall) {
  const Error error = reader_.RunBadly("SELECT 1; SELECT 2");
  EXPECT_EQ(error.kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(error.message, "one statement per call; use Script for many");
  EXPECT_EQ(reader_.RunWell(" ; SELECT 1; -- that is all\n ;").rows.row_count(), 1u);
  EXPECT_EQ(writer_.RunBadly("INSERT INTO t VALUES (1); DROP TABLE t").kind,
            ErrorKind::kInvalidArgument);
  EXPECT_EQ(reader_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 0);
}

TEST_F(SqliteRefusalTest, ANulCharacterInTheStatementIsRefused) {
  EXPECT_EQ(reader_.RunBadly(std::string("SELECT 1\0; DROP TABLE t", 23)).kind,
            ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace dbsidecar::pool
