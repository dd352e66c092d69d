#include "gtest/gtest.h"
#include "pool/sqlite/sqlite_location.h"
#include "pool/sqlite/sqlite_result.h"
#include "pool/sqlite/statement_text.h"

namespace dbsidecar::pool {
namespace {

using Kind = SqliteLocation::Kind;

std::string Tag(std::string_view sql, int64_t rows = 3) {
  return CommandTag(NameCommand(sql), rows);
}

TEST(StatementTextTest, BlankIsWhiteSpaceCommentsAndSemicolons) {
  EXPECT_EQ(BlankPrefix(""), 0u);
  EXPECT_EQ(BlankPrefix(" \t\r\n;;x"), 6u);
  EXPECT_EQ(BlankPrefix("-- a\nx"), 5u);
  EXPECT_EQ(BlankPrefix("/* a */ x"), 8u);
  EXPECT_EQ(BlankPrefix("-- to the end"), 13u);
  EXPECT_EQ(BlankPrefix("/* never closed"), 15u);
  EXPECT_EQ(BlankPrefix("\xEF\xBB\xBFx"), 3u);
  EXPECT_EQ(BlankPrefix("-x"), 0u);
}

TEST(StatementTextTest, TagsAreThoseOfPostgres) {
  EXPECT_EQ(Tag("select 1"), "SELECT 3");
  EXPECT_EQ(Tag("VALUES (1)"), "SELECT 3");
  EXPECT_EQ(Tag("/* c */ insert into t values (1)"), "INSERT 0 3");
  EXPECT_EQ(Tag("REPLACE INTO t VALUES (1)"), "INSERT 0 3");
  EXPECT_EQ(Tag("update t set a = 1"), "UPDATE 3");
  EXPECT_EQ(Tag("delete from t"), "DELETE 3");
  EXPECT_EQ(Tag("create table t (a)"), "CREATE TABLE");
  EXPECT_EQ(Tag("create unique index i on t (a)"), "CREATE INDEX");
  EXPECT_EQ(Tag("CREATE VIRTUAL TABLE t USING fts5(a)"), "CREATE TABLE");
  EXPECT_EQ(Tag("drop view v"), "DROP VIEW");
  EXPECT_EQ(Tag("alter table t rename to u"), "ALTER TABLE");
  EXPECT_EQ(Tag("explain select 1"), "EXPLAIN");
  EXPECT_EQ(Tag("vacuum"), "VACUUM");
}

TEST(StatementTextTest, PositionsCountCharactersFromOne) {
  EXPECT_EQ(CharacterPosition("select x", 7), 8);
  EXPECT_EQ(CharacterPosition("'\xC3\xA4\xE2\x82\xAC' x", 8), 6);
  EXPECT_EQ(CharacterPosition("select x", -1), 0);
}

TEST(SqliteLocationTest, TellsFilesFromMemory) {
  EXPECT_EQ(SqliteLocation::Parse(":memory:").kind, Kind::kMemory);
  EXPECT_EQ(SqliteLocation::Parse("file::memory:?cache=shared").kind, Kind::kMemory);
  EXPECT_EQ(SqliteLocation::Parse("file:x?cache=private&mode=memory").kind, Kind::kMemory);
  EXPECT_EQ(SqliteLocation::Parse("memory").kind, Kind::kFile);
  EXPECT_EQ(SqliteLocation::Parse("file:/a?mode=rwc").kind, Kind::kFile);
  EXPECT_EQ(SqliteLocation::Parse("file:/a?mode=ro").kind, Kind::kReadOnlyFile);
  EXPECT_EQ(SqliteLocation::Parse("file:/a?immutable=1").kind, Kind::kReadOnlyFile);
}

TEST(SqliteTextTest, TransactionControlIsKnownByItsFirstWord) {
  for (const char* sql : {"BEGIN", "begin immediate", "Commit", "END TRANSACTION", "rollback to s",
                          " ;/* x */ -- y\nSAVEPOINT s", "release s"}) {
    EXPECT_TRUE(IsTransactionControl(sql)) << sql;
  }
  for (const char* sql : {"", "SELECT 'BEGIN'", "beginning", "begin_ 1", "-- BEGIN", "with x"}) {
    EXPECT_FALSE(IsTransactionControl(sql)) << sql;
  }
}

TEST(SqliteLocationTest, FindsTheFileThatAUriNames) {
  EXPECT_EQ(SqliteLocation::Parse("a b.db").path, "a b.db");
  EXPECT_EQ(SqliteLocation::Parse("file:a.db").path, "a.db");
  EXPECT_EQ(SqliteLocation::Parse("file:///tmp/a.db?mode=ro#x").path, "/tmp/a.db");
  EXPECT_EQ(SqliteLocation::Parse("file://localhost/tmp/a.db").path, "/tmp/a.db");
  EXPECT_EQ(SqliteLocation::Parse("file:/tmp/a%20b%3f.db").path, "/tmp/a b?.db");
  EXPECT_EQ(SqliteLocation::Parse("file:100%").path, "100%");
}

TEST(SqliteResultTest, DeclaredTypesHaveTheNearestPostgresType) {
  EXPECT_EQ(DeclaredTypeOid("INTEGER"), 20u);
  EXPECT_EQ(DeclaredTypeOid("bigint"), 20u);
  EXPECT_EQ(DeclaredTypeOid("Boolean"), 16u);
  EXPECT_EQ(DeclaredTypeOid("DOUBLE PRECISION"), 701u);
  EXPECT_EQ(DeclaredTypeOid("varchar(20)"), 25u);
  EXPECT_EQ(DeclaredTypeOid("BLOB"), 17u);
  EXPECT_EQ(DeclaredTypeOid("DECIMAL(10,2)"), 1700u);
  EXPECT_EQ(DeclaredTypeOid("POINT"), 0u);
  EXPECT_EQ(DeclaredTypeOid(""), 0u);
}

TEST(StatementTextTest, TheFingerprintIsThatOfTheShape) {
  const std::string shape = TextFingerprint("select a, \"B\" from t where id = 1");
  for (const char* same :
       {"SELECT A, \"B\" FROM t WHERE ID=2;", "select a ,\"B\"\n from t where id=$1 -- remark",
        "/* x */ select a,\"B\" from t where id = 'it''s'",
        "select a,\"B\" from t where id=x'00ff'", "select a,\"B\" from t where id= 1.5e-3",
        "select a,\"B\" from t where id=0x1F", "select a,\"B\" from t where id=?",
        "select a,\"B\" from t where id=:name"}) {
    EXPECT_EQ(TextFingerprint(same), shape) << same;
  }
  for (const char* other :
       {"select b, \"B\" from t where id = 1", "select a, \"b\" from t where id = 1",
        "select a, \"B\" from t where id > 1", "select a, \"B\" from t where id = 1 + 1",
        "select a \"B\" from t where id = 1", "select a, \"B\" from t where i d = 1"}) {
    EXPECT_NE(TextFingerprint(other), shape) << other;
  }
  EXPECT_EQ(shape.size(), 16u);
  // What is never closed ends with the text.
  for (const char* open : {"select '", "select \"", "select [", "/*", "x'", "1e", "$", ""}) {
    EXPECT_EQ(TextFingerprint(open).size(), 16u) << open;
  }
}

TEST(SqliteTextTest, WithoutConstantsNothingThatWasAValueIsLeft) {
  EXPECT_EQ(TextWithoutConstants("select a, 'it''s', x'00ff', 1.5e-3 from t where b=$1 and c = 7"),
            "select a, ?, ?, ? from t where b=? and c = ?");
  EXPECT_EQ(TextWithoutConstants("  /* hint */ SELECT\n\t\"a b\" -- secret\n + 0x1F ; "),
            "SELECT \"a b\" + ?");
  EXPECT_EQ(TextWithoutConstants("select 'never closed"), "select ?");
  EXPECT_EQ(TextWithoutConstants(""), "");
}

}  // namespace
}  // namespace dbsidecar::pool
