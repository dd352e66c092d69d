// What statements take and return, without running them, over every database that has statements.
#include <memory>
#include <string>

#include "tests/contract/database.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::Description;
using pool::ErrorKind;
using pool::Outcome;

class DescribeContract : public DatabaseTest {
 protected:
  DescribeContract() : pool_(NewPool(2)) {
    EXPECT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table t (id integer primary key, v varchar(7))");
    // PostgreSQL's catalogue is read again behind such a statement.
    const pool::Instant end = pool::Clock::now() + kPatience;
    while (!Described("select v from t").only_reads && pool::Clock::now() < end) {
    }
  }

  Outcome Describe(const std::string& sql, Description& into, const pool::SessionUse& use = {}) {
    TestCall call(sql);
    call.description = &into;
    call.session = use;
    pool_->Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  Description Described(const std::string& sql) {
    Description description;
    const Outcome outcome = Describe(sql, description);
    EXPECT_FALSE(outcome.error) << sql << ": " << ErrorText(outcome);
    return description;
  }

  std::unique_ptr<RunningPool> pool_;
};

INSTANTIATE_TEST_SUITE_P(Databases, DescribeContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

TEST_P(DescribeContract, TellsParametersAndColumnsWithoutRunning) {
  const Description insert =
      Described("insert into t (id, v) values ($1, $2) returning v, id + 1 as next");
  EXPECT_EQ(insert.parameter_types.size(), 2u);
  // SQLite's parameters have no types.
  EXPECT_EQ(insert.parameter_types[0], IsPostgres() ? 23u : 0u);
  ASSERT_EQ(insert.columns.size(), 2u);
  EXPECT_EQ(insert.columns[0].name, "v");
  EXPECT_EQ(insert.columns[0].type_oid, IsPostgres() ? 1043u : 25u);
  EXPECT_EQ(insert.columns[0].declared_type, IsPostgres() ? "" : "varchar(7)");
  EXPECT_EQ(insert.columns[1].name, "next");
  EXPECT_TRUE(Described("delete from t").columns.empty());
  EXPECT_TRUE(Described("select v from t where id = $2 or id = $1").only_reads);
  EXPECT_TRUE(insert.types.empty());
  EXPECT_EQ(pool_->Text("select count(*) from t"), "0");
}

TEST_P(DescribeContract, TellsWhetherAStatementReads) {
  EXPECT_TRUE(Described("select v from t").only_reads);
  EXPECT_NE(Described("select v from t").verdict_reason, "");
  for (const char* sql : {"insert into t (id) values (1)", "create table u (id integer)", "vacuum",
                          "begin", "create temp table x (id integer)"}) {
    const Description description = Described(sql);
    EXPECT_FALSE(description.only_reads) << sql;
    EXPECT_NE(description.verdict_reason, "") << sql;
  }
  EXPECT_EQ(SqlState(pool_->Run("select id from u")), "42P01") << "it was not run";
}

TEST_P(DescribeContract, TellsWhatAStatementNeeds) {
  for (const char* sql : {"begin", "savepoint s", "create temp table x (id integer)"}) {
    EXPECT_TRUE(Described(sql).needs_session) << sql;
  }
  for (const char* sql : {"select 1", "create table x (id integer)", "vacuum"}) {
    EXPECT_FALSE(Described(sql).needs_session) << sql;
  }
  EXPECT_TRUE(Described("vacuum").needs_own_connection);
  EXPECT_FALSE(Described("select 1").needs_own_connection);
}

TEST_P(DescribeContract, TheFingerprintIsThatOfTheShape) {
  const std::string fingerprint = Described("select v from t where id = 1").fingerprint;
  EXPECT_EQ(fingerprint.size(), 16u);
  EXPECT_EQ(Described("SELECT v\nFROM t -- a remark\nWHERE id=2").fingerprint, fingerprint);
  EXPECT_EQ(Described("select v from t where id = $1").fingerprint, fingerprint);
  EXPECT_NE(Described("select id from t where id = 1").fingerprint, fingerprint);
}

TEST_P(DescribeContract, AWrongStatementIsItsErrorAndLeavesNothing) {
  Description description;
  const Outcome outcome = Describe("select no_column from t", description);
  EXPECT_EQ(SqlState(outcome), "42703");
  EXPECT_EQ(outcome.error->sql.position, 8);
  EXPECT_EQ(KindOf(Describe("select 1; select 2", description)), ErrorKind::kInvalidArgument);
  EXPECT_EQ(KindOf(Describe("", description)), ErrorKind::kInvalidArgument);
  EXPECT_EQ(pool_->Text("select 'next'"), "next");
}

TEST_P(DescribeContract, LooksFromASessionAndHarmsNoTransaction) {
  const std::string token = Open(*pool_, "create temp table mine (x integer)", Begin());
  Description description;
  EXPECT_EQ(SqlState(Describe("select no_column from mine", description, In(token))), "42703");
  const Outcome outcome = Describe("select x from mine", description, In(token));
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.session, token);
  EXPECT_EQ(outcome.transaction_status, pool::TransactionStatus::kInTransaction);
  ASSERT_EQ(description.columns.size(), 1u);
  EXPECT_EQ(description.columns[0].name, "x");
  EXPECT_EQ(Rows(RunIn(*pool_, "select count(*) from mine", In(token))), "0");
  EXPECT_TRUE(RunIn(*pool_, "select no_column from mine", In(token)).error);
  EXPECT_EQ(SqlState(Describe("select x from mine", description, In(token))), "25P02");
  EXPECT_FALSE(RunEnd(*pool_, token, pool::SessionUse::End::kRollback).error);
}

// What another connection has changed is seen.
TEST_P(DescribeContract, TheSchemaIsThatOfNow) {
  EXPECT_EQ(Described("select * from t").columns.size(), 2u);
  for (int columns = 3; columns < 6; ++columns) {
    pool_->Must("alter table t add column c" + std::to_string(columns) + " integer");
    EXPECT_EQ(Described("select * from t").columns.size(), static_cast<size_t>(columns));
  }
}

// It is compiled, and some of SQLite's statements take effect then.
TEST_P(DescribeContract, ADescriptionChangesNothing) {
  const std::string sets =
      IsPostgres() ? "set timezone = 'Asia/Tokyo'" : "pragma case_sensitive_like = on";
  const std::string shows = IsPostgres() ? "show timezone" : "select 'a' like 'A'";
  const std::string before = pool_->Text(shows);
  EXPECT_TRUE(Described(sets).needs_session);
  const std::string token = Open(*pool_, shows, Pin());
  Description description;
  EXPECT_FALSE(Describe(sets, description, In(token)).error);
  EXPECT_TRUE(description.needs_session);
  EXPECT_EQ(Rows(RunIn(*pool_, shows, In(token))), before);
  EXPECT_FALSE(RunEnd(*pool_, token, pool::SessionUse::End::kRelease).error);
  EXPECT_EQ(pool_->Text(shows), before);
}

}  // namespace
}  // namespace dbsidecar::contract
