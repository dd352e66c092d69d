// Where PostgreSQL and SQLite differ, as docs/databases.md lists it: the same call on both, and
// what comes of it on each.
#include <cmath>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "tests/contract/batches.h"
#include "tests/contract/database.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::CellKind;
using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using std::chrono::milliseconds;

class DatabaseDifferences : public DatabaseTest {
 protected:
  void SetUp() override {
    pool_ = NewPool(SessionOptions(4));
    ASSERT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table item (id integer primary key, name varchar(5), price numeric)");
    pool_->Must("insert into item values (1, 'apple', 3)");
  }
  void TearDown() override { pool_.reset(); }

  // What is expected of the database at hand.
  std::string Either(const std::string& postgres, const std::string& sqlite) const {
    return IsPostgres() ? postgres : sqlite;
  }
  // The rows, or the SQLSTATE.
  std::string Answer(const std::string& sql) {
    const Outcome outcome = pool_->Run(sql);
    return outcome.error ? outcome.error->sql.sqlstate : Rows(outcome);
  }

  std::unique_ptr<RunningPool> pool_;
};
INSTANTIATE_TEST_SUITE_P(, DatabaseDifferences,
                         testing::Values(Database::kSqliteFile, Database::kPostgres), NameOf);

TEST_P(DatabaseDifferences, ACellHasItsColumnsTypeOrOneOfItsOwn) {
  EXPECT_EQ(Answer("select 1 union all select 'x'"), Either("22P02", "1;x"));
  EXPECT_EQ(Answer("insert into item values ('two', 'x', 1)"), Either("22P02", "22000"));
  EXPECT_EQ(Answer("insert into item values (2, 'x', 'dear') returning price"),
            Either("22P02", "dear"));
}

TEST_P(DatabaseDifferences, AnExpressionHasATypeOrNone) {
  const Outcome outcome = pool_->Run("select id + 1, name from item");
  ASSERT_EQ(outcome.result.columns.size(), 2u);
  EXPECT_EQ(outcome.result.columns[0].type_oid, IsPostgres() ? 23u : 0u);
  EXPECT_EQ(outcome.result.columns[1].type_oid, IsPostgres() ? 1043u : 25u);
  EXPECT_EQ(outcome.result.columns[1].declared_type, Either("", "varchar(5)"));
  EXPECT_EQ(outcome.result.columns[1].table_oid == 0, !IsPostgres());
}

TEST_P(DatabaseDifferences, ATruthValueIsAKindOfItsOwnOrAnInteger) {
  const Outcome outcome = pool_->Run("select true, 1 = 2");
  EXPECT_EQ(outcome.result.columns[0].type_oid, IsPostgres() ? 16u : 0u);
  EXPECT_EQ(Rows(outcome), Either("t,f", "1,0"));
  EXPECT_EQ(outcome.result.rows.at(0, 0).kind, IsPostgres() ? CellKind::kText : CellKind::kInteger);
}

TEST_P(DatabaseDifferences, ALengthIsEnforcedOrNot) {
  EXPECT_EQ(Answer("insert into item values (2, 'banana', 1) returning name"),
            Either("22001", "banana"));
}

TEST_P(DatabaseDifferences, ADecimalIsExactOrADouble) {
  EXPECT_EQ(Answer("insert into item values (2, 'x', 0.1) returning price + 0.2 = 0.3"),
            Either("t", "0"));
}

TEST_P(DatabaseDifferences, ArithmeticOutOfRangeFailsOrIsADoubleOrNull) {
  EXPECT_EQ(Answer("select 1 / 0"), Either("22012", "NULL"));
  EXPECT_EQ(Answer("select 9223372036854775807 + 1"), Either("22003", "9.223372036854776e+18"));
}

TEST_P(DatabaseDifferences, LikeHeedsTheCaseOrNot) {
  EXPECT_EQ(Answer("select count(*) from item where name like 'APPLE'"), Either("0", "1"));
}

TEST_P(DatabaseDifferences, TypesOfParametersAreInferredOrThoseOfTheValues) {
  const Outcome bare = pool_->Run("select $1 + $2", {Integer(1), Integer(2)});
  EXPECT_EQ(bare.error ? SqlState(bare) : Rows(bare), Either("42725", "3"));
  EXPECT_EQ(Rows(pool_->Run("select cast($1 as integer) + cast($2 as integer)",
                            {Integer(1), Integer(2)})),
            "3");
  const Outcome cast = pool_->Run("select $1::int + 1", {Integer(1)});
  EXPECT_EQ(KindOf(cast), IsPostgres() ? std::nullopt : std::optional(ErrorKind::kInvalidArgument));
}

TEST_P(DatabaseDifferences, NotANumberIsAValueOrRefused) {
  const Outcome outcome = pool_->Run("select cast($1 as double precision)", {Real(std::nan(""))});
  EXPECT_EQ(KindOf(outcome),
            IsPostgres() ? std::nullopt : std::optional(ErrorKind::kInvalidArgument));
}

TEST_P(DatabaseDifferences, AViolationNamesItsConstraintOrItsColumns) {
  const Outcome outcome = pool_->Run("insert into item values (1, 'x', 1)");
  EXPECT_EQ(SqlState(outcome), "23505");
  EXPECT_EQ(outcome.error->sql.constraint, Either("item_pkey", ""));
  EXPECT_EQ(outcome.error->sql.table, "item");
  EXPECT_EQ(outcome.error->sql.column, Either("", "id"));
  EXPECT_EQ(outcome.error->sql.sqlite_extended_code, IsPostgres() ? 0 : 1555);
}

TEST_P(DatabaseDifferences, TheLastRowidIsToldOrTakesReturning) {
  const Outcome outcome = pool_->Run("insert into item values (7, 'x', 1) returning id");
  EXPECT_EQ(Rows(outcome), "7");
  EXPECT_EQ(outcome.result.last_insert_id, IsPostgres() ? 0 : 7);
}

TEST_P(DatabaseDifferences, AWriteWithTooLargeAResultHasTakenEffectOrIsUndone) {
  const std::string write = "insert into item values (2, 'x', 1), (3, 'y', 1) returning id";
  const Outcome outcome = pool_->RunLimited(write, {.rows_max = 1});
  EXPECT_EQ(KindOf(outcome), ErrorKind::kResultTooLarge);
  EXPECT_EQ(pool_->Text("select count(*) from item"), Either("3", "1"));
}

TEST_P(DatabaseDifferences, TheWeakestIsolationSeesWhatOthersCommitOrNot) {
  const std::string token =
      Open(*pool_, "select count(*) from item",
           Begin({.isolation = pool::BeginOptions::Isolation::kReadCommitted, .read_only = true}));
  pool_->Must("insert into item values (2, 'x', 1)");
  EXPECT_EQ(Rows(RunIn(*pool_, "select count(*) from item", In(token))), Either("2", "1"));
}

TEST_P(DatabaseDifferences, ASecondTransactionWritesBesideTheFirstOrWaitsForIt) {
  const std::string first = Open(*pool_, "insert into item values (2, 'x', 1)", Begin());
  TestCall second("insert into item values (3, 'y', 1)");
  second.session = Begin();
  second.deadline = pool::Clock::now() + milliseconds(300);
  pool_->Submit(second);
  EXPECT_EQ(KindOf(second.Await()),
            IsPostgres() ? std::nullopt : std::optional(ErrorKind::kDeadline));
  second.AwaitDone();
  // It waited for the connection, not for a lock: nothing was sent.
  EXPECT_EQ(SqlState(second.Await()), "");
}

TEST_P(DatabaseDifferences, ACancelledWriteLeavesSavepointsOrNone) {
  const std::string token = Open(*pool_, "insert into item values (2, 'x', 1)", Begin());
  EXPECT_FALSE(RunIn(*pool_, "savepoint s", In(token)).error);
  TestCall call(Either("insert into item select i, 'z', 1 from generate_series(3, 2000000000) i",
                       "insert into item with recursive n(i) as (select 3 union all select i + 1 "
                       "from n) select i, 'z', 1 from n"));
  call.session = In(token);
  call.deadline = pool::Clock::now() + milliseconds(200);
  pool_->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline);
  call.AwaitDone();
  EXPECT_EQ(SqlState(RunIn(*pool_, "rollback to s", In(token))), Either("", "3B001"));
  EXPECT_EQ(KindOf(RunEnd(*pool_, token, SessionUse::End::kCommit)),
            IsPostgres() ? std::nullopt : std::optional(ErrorKind::kTransactionFailed));
  EXPECT_EQ(pool_->Text("select count(*) from item"), Either("2", "1"));
}

TEST_P(DatabaseDifferences, TheModesOfATransactionAreTextOrNot) {
  const Outcome modes = RunIn(*pool_, "begin isolation level serializable", AutoPin());
  EXPECT_EQ(SqlState(modes), Either("", "42601"));
  const Outcome immediate = RunIn(*pool_, "begin immediate", AutoPin());
  EXPECT_EQ(SqlState(immediate), Either("42601", ""));
}

TEST_P(DatabaseDifferences, TheStateOfAConnectionIsSetInItsOwnWords) {
  const std::string token = Open(*pool_, "select 1", Pin());
  EXPECT_EQ(SqlState(RunIn(*pool_, "set search_path to public", In(token))), Either("", "42601"));
  EXPECT_EQ(SqlState(RunIn(*pool_, "pragma case_sensitive_like = on", In(token))),
            Either("42601", ""));
  EXPECT_EQ(SqlState(RunIn(*pool_, "attach ':memory:' as other", In(token))), Either("42601", ""));
  EXPECT_EQ(SqlState(RunIn(*pool_, "select pg_advisory_lock(1)", In(token))), Either("", "42883"));
  EXPECT_EQ(SqlState(RunIn(*pool_, "prepare p as select 1", In(token))), Either("", "42601"));
  EXPECT_FALSE(RunIn(*pool_, "create temp table x (id int)", In(token)).error);
}

TEST_P(DatabaseDifferences, RowsAreLockedOrTheWholeDatabase) {
  EXPECT_EQ(Answer("select id from item for update"), Either("1", "42601"));
}

TEST_P(DatabaseDifferences, CopyAndListenAsTextAreKnownOrNot) {
  EXPECT_EQ(KindOf(pool_->Run("copy item to stdout")),
            IsPostgres() ? ErrorKind::kUnsupported : ErrorKind::kDatabase);
  EXPECT_EQ(SqlState(pool_->Run("copy item to stdout")), Either("", "42601"));
  EXPECT_EQ(Answer("notify news"), Either("", "42601"));
  const std::string token = Open(*pool_, "select 1", Pin());
  EXPECT_EQ(SqlState(RunIn(*pool_, "listen news", In(token))), Either("", "42601"));
}

TEST_P(DatabaseDifferences, AResultOfTextThatIsNotUtf8IsRefusedOrKept) {
  EXPECT_EQ(Answer(Either("select convert_from('\\xff', 'UTF8')", "select cast(x'ff' as text)")),
            Either("22021", "\xff"));
}

TEST_P(DatabaseDifferences, AStepWithTooLargeAResultHasTakenEffectOrIsUndone) {
  BatchCall batch({Step("insert into item values (2, 'x', 1)"),
                   Step("insert into item values (3, 'y', 1), (4, 'z', 1) returning id")});
  batch.call.statement.limits = {.rows_max = 1};
  EXPECT_EQ(Told(RunBatch(*pool_, batch)),
            fmt::format("error {} step 1", static_cast<int>(ErrorKind::kResultTooLarge)));
  EXPECT_EQ(Answer("select count(*) from item"), Either("4", "1"));
}

TEST_P(DatabaseDifferences, ATimeLimitIsForEachStatementOrForTheCall) {
  const std::string slow = LongStatement();
  BatchCall batch({Step(slow), Step("select 'the next'")}, false);
  batch.call.statement.settings.statement_timeout = milliseconds(100);
  EXPECT_EQ(Told(RunBatch(*pool_, batch)),
            Either("failed 57014; ok the next", "failed 57014; failed 57014"));
}

TEST_P(DatabaseDifferences, AScriptIsParsedAsAWholeOrStatementByStatement) {
  TestCall call("begin; insert into item values (2, 'x', 1); commit; selec");
  call.statement.form = pool::StatementForm::kScript;
  pool_->Submit(call);
  call.AwaitDone();
  EXPECT_EQ(SqlState(call.Await()), "42601");
  EXPECT_EQ(Answer("select count(*) from item"), Either("1", "2"));
}

TEST_P(DatabaseDifferences, ADescriptionHasTypesOfParametersOrTheirNumber) {
  pool::Description description;
  TestCall call("select name from item where id = $1");
  call.description = &description;
  pool_->Submit(call);
  call.AwaitDone();
  ASSERT_FALSE(call.Await().error);
  EXPECT_THAT(description.parameter_types, testing::ElementsAre(IsPostgres() ? 23u : 0u));
  EXPECT_EQ(description.columns[0].declared_type, Either("", "varchar(5)"));
}

}  // namespace
}  // namespace dbsidecar::contract
