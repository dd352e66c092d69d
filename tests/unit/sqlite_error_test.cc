// SQLite's errors as the pool reports them.
#include "pool/sqlite/sqlite_error.h"

#include <sqlite3.h>

#include "tests/support/sqlite_fixture.h"

namespace dbsidecar::pool {
namespace {

class SqliteErrorTest : public SqliteMemoryTest {
 protected:
  SqliteErrorTest() {
    probe_.RunWell(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT NOT NULL, b TEXT, c INT, "
        "CONSTRAINT positive CHECK (a > 0), UNIQUE (b, c))");
    probe_.RunWell("CREATE TABLE child (t_id INTEGER REFERENCES t (id))");
    probe_.RunWell(
        "CREATE TABLE late (t_id INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)");
    probe_.RunWell("INSERT INTO t VALUES (1, 1, 'x', 1)");
  }
};

TEST_F(SqliteErrorTest, StatementsThatFailHaveTheSqlstateOfPostgres) {
  const std::pair<const char*, const char*> cases[] = {
      {"INSERT INTO t VALUES (1, 1, 'y', 1)", "23505"},
      {"INSERT INTO t VALUES (2, 1, 'x', 1)", "23505"},
      {"INSERT INTO t VALUES (2, NULL, 'z', 1)", "23502"},
      {"INSERT INTO t VALUES (2, -1, 'z', 1)", "23514"},
      {"INSERT INTO child VALUES (99)", "23503"},
      {"INSERT INTO late VALUES (99)", "23503"},
      {"INSERT INTO t (id, a) VALUES ('text', 1)", "22000"},
      {"SELECT * FROM missing", "42P01"},
      {"SELECT missing FROM t", "42703"},
      {"INSERT INTO t (missing) VALUES (1)", "42703"},
      {"SELECT missing(1)", "42883"},
      {"SELECT abs(1, 2)", "42883"},
      {"DROP INDEX missing", "42704"},
      {"CREATE TABLE t (a)", "42P07"},
      {"ALTER TABLE t ADD COLUMN a", "42701"},
      {"SELECT a FROM t x, t y", "42702"},
      {"SELECT sum(sum(a)) FROM t", "42803"},
      {"SELECT FROM", "42601"},
      {"SELECT 'open", "42601"},
      {"SELECT abs(-9223372036854775808)", "22003"},
      {"SELECT json('{')", "22P02"},
      {"SELECT zeroblob(2000000000)", "54000"},
  };
  for (const auto& [sql, sqlstate] : cases) {
    ProbeCall call(sql);
    const ProbeEvent event = probe_.Run(call);
    ASSERT_TRUE(event.outcome.error.has_value()) << sql;
    const Error& error = *event.outcome.error;
    EXPECT_EQ(error.kind, ErrorKind::kDatabase) << sql;
    EXPECT_EQ(error.sql.sqlstate, sqlstate) << sql << ": " << error.message;
    EXPECT_EQ(error.sql.severity, "ERROR");
    EXPECT_NE(error.sql.sqlite_extended_code, 0);
    EXPECT_EQ(event.condition, Condition::kClean) << sql;
  }
  EXPECT_EQ(probe_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 1);
}

TEST_F(SqliteErrorTest, CodesThatNoTestCanProvokeAreMappedToo) {
  const std::pair<int, const char*> cases[] = {
      {SQLITE_BUSY, "40001"},
      {SQLITE_LOCKED_SHAREDCACHE, "40001"},
      {SQLITE_FULL, "53100"},
      {SQLITE_NOMEM, "53200"},
      {SQLITE_CORRUPT, "XX001"},
      {SQLITE_NOTADB, "XX001"},
      {SQLITE_AUTH, "42501"},
      {SQLITE_CANTOPEN, "08001"},
      {SQLITE_RANGE, "22023"},
      {SQLITE_IOERR_WRITE, "58030"},
      {SQLITE_READONLY, "25006"},
      {SQLITE_CONSTRAINT_TRIGGER, "P0001"},
      {SQLITE_CONSTRAINT_ROWID, "23505"},
  };
  for (const auto& [code, sqlstate] : cases) {
    const Error error = StatementError(SqliteReport::Of(code, "message"));
    EXPECT_EQ(error.sql.sqlstate, sqlstate) << code;
    EXPECT_EQ(error.sql.sqlite_extended_code, code);
    EXPECT_EQ(error.sql.message, "message");
  }
  EXPECT_TRUE(SqliteReport::Of(SQLITE_IOERR_READ, "").breaks_connection());
  EXPECT_FALSE(SqliteReport::Of(SQLITE_CONSTRAINT_CHECK, "").breaks_connection());
}

TEST_F(SqliteErrorTest, ConstraintsNameTheirTableColumnsAndName) {
  Error error = probe_.RunBadly("INSERT INTO t VALUES (2, 1, 'x', 1)");
  EXPECT_EQ(error.message, "UNIQUE constraint failed: t.b, t.c");
  EXPECT_EQ(error.sql.table, "t");
  EXPECT_EQ(error.sql.column, "b, c");
  EXPECT_EQ(error.sql.sqlite_extended_code, SQLITE_CONSTRAINT_UNIQUE);
  error = probe_.RunBadly("INSERT INTO t VALUES (2, NULL, 'z', 1)");
  EXPECT_EQ(error.sql.table, "t");
  EXPECT_EQ(error.sql.column, "a");
  error = probe_.RunBadly("INSERT INTO t VALUES (2, -1, 'z', 1)");
  EXPECT_EQ(error.sql.constraint, "positive");
  EXPECT_EQ(error.sql.table, "");
  probe_.RunWell("CREATE UNIQUE INDEX lower_b ON t (lower(b))");
  error = probe_.RunBadly("INSERT INTO t VALUES (2, 1, 'X', 1)");
  EXPECT_EQ(error.sql.constraint, "lower_b");
}

TEST_F(SqliteErrorTest, MissingThingsAreNamed) {
  EXPECT_EQ(probe_.RunBadly("SELECT * FROM missing").sql.table, "missing");
  EXPECT_EQ(probe_.RunBadly("SELECT missing FROM t").sql.column, "missing");
  const Error error = probe_.RunBadly("INSERT INTO t (missing) VALUES (1)");
  EXPECT_EQ(error.sql.table, "t");
  EXPECT_EQ(error.sql.column, "missing");
}

TEST_F(SqliteErrorTest, PositionsCountCharactersOfTheWholeText) {
  EXPECT_EQ(probe_.RunBadly("SELECT a, missing FROM t").sql.position, 11);
  EXPECT_EQ(probe_.RunBadly("/* \xC3\xA4 */ SELECT missing FROM t").sql.position, 16);
  EXPECT_EQ(probe_.RunBadly("SELECT 'gr\xC3\xBC\xC3\x9F', missing FROM t").sql.position, 16);
  EXPECT_EQ(probe_.RunBadly("INSERT INTO t VALUES (1, 1, 'y', 1)").sql.position, 0);
}

TEST_F(SqliteErrorTest, TheConnectionRunsOnAfterAnError) {
  probe_.RunBadly("INSERT INTO late VALUES (99)");
  ProbeCall call("INSERT INTO late VALUES (99) RETURNING t_id");
  call.statement.limits.bytes_max = 1000;
  const ProbeEvent event = probe_.Run(call);
  ASSERT_TRUE(event.outcome.error.has_value());
  EXPECT_EQ(event.outcome.error->sql.sqlstate, "23503");
  EXPECT_EQ(event.condition, Condition::kClean);
  EXPECT_EQ(probe_.RunWell("SELECT count(*) FROM late").rows.at(0, 0).integer, 0);
}

}  // namespace
}  // namespace dbsidecar::pool
