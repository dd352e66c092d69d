// Scripts, texts with any number of statements, over every database that has statements.
#include <fmt/format.h>

#include <string>
#include <thread>

#include "tests/contract/database.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct Options {
  bool separate = false;
  SessionUse session = {};
  pool::ResultLimits limits = {};
  pool::CallSettings settings = {};
  pool::Duration time = seconds(30);
};

class ScriptContract : public DatabaseTest {
 protected:
  ScriptContract() : pool_(NewPool(2)) {
    EXPECT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table t (id integer primary key)");
  }

  Outcome Run(const std::string& sql, const Options& options = Options()) {
    TestCall call(sql);
    call.statement.form = pool::StatementForm::kScript;
    call.statement.separate_transactions = options.separate;
    call.statement.limits = options.limits;
    call.statement.settings = options.settings;
    call.session = options.session;
    call.deadline = pool::Clock::now() + options.time;
    pool_->Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  Outcome RunIn(const std::string& sql, const SessionUse& use) {
    Options options;
    options.session = use;
    return Run(sql, options);
  }
  static std::string Tags(const Outcome& outcome) {
    if (outcome.error) return ErrorText(outcome);
    std::string tags;
    for (const pool::Result& result : outcome.results) tags += result.command_tag + ";";
    return tags;
  }
  static uint64_t FailedStatement(const Outcome& outcome) {
    if (!outcome.error || !outcome.error->place) return 999;
    EXPECT_EQ(outcome.error->place->part, "statement");
    return outcome.error->place->index;
  }
  std::string Ids() { return Rows(pool_->Run("select id from t order by id")); }

  std::unique_ptr<RunningPool> pool_;
};

INSTANTIATE_TEST_SUITE_P(Databases, ScriptContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

TEST_P(ScriptContract, EveryStatementHasItsResult) {
  const Outcome outcome =
      Run("insert into t values (1), (2);\n select id, 'x' as c from t order by id; ; /* ; */ "
          "select 1 where 1 = 2; create table u (id integer); update t set id = id + 10");
  EXPECT_EQ(Tags(outcome), "INSERT 0 2;SELECT 2;SELECT 0;CREATE TABLE;UPDATE 2;");
  ASSERT_EQ(outcome.results.size(), 5u);
  EXPECT_EQ(outcome.results[0].rows_affected, 2);
  EXPECT_EQ(outcome.results[1].columns[1].name, "c");
  EXPECT_EQ(CellText(outcome.results[1], 1, 0), "2");
  EXPECT_EQ(outcome.results[2].columns.size(), 1u);
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(Ids(), "11;12");
}

TEST_P(ScriptContract, AnErrorUndoesAllAndSaysWhere) {
  const Outcome failed = Run("insert into t values (1); select '\u00e4'; select * from no_table");
  EXPECT_EQ(SqlState(failed), "42P01");
  EXPECT_EQ(FailedStatement(failed), 2u);
  // SQLite does not say where a table is missing.
  EXPECT_EQ(failed.error->sql.position, IsPostgres() ? 53 : 0);
  const Outcome column = Run("insert into t values (1); select '\u00e4'; select no_column from t");
  EXPECT_EQ(SqlState(column), "42703");
  EXPECT_EQ(column.error->sql.position, 46);
  EXPECT_EQ(Ids(), "");
  const Outcome late = Run("create table u (id integer); insert into t values (2), (2)");
  EXPECT_EQ(SqlState(late), "23505");
  EXPECT_EQ(FailedStatement(late), 1u);
  EXPECT_EQ(SqlState(pool_->Run("select * from u")), "42P01");
  EXPECT_EQ(SqlState(Run("insert into t values (1); selec 2")), "42601");
  EXPECT_EQ(Ids(), "");
}

TEST_P(ScriptContract, TransactionsOfItsOwnAreKept) {
  const Outcome outcome =
      Run("begin; insert into t values (1); commit; begin; insert into t values (2); insert into t "
          "values (2); commit");
  EXPECT_EQ(SqlState(outcome), "23505");
  EXPECT_EQ(FailedStatement(outcome), 5u);
  EXPECT_EQ(Ids(), "1");
  EXPECT_EQ(Tags(Run("begin; insert into t values (5); rollback; insert into t values (6)")),
            "BEGIN;INSERT 0 1;ROLLBACK;INSERT 0 1;");
  EXPECT_EQ(Ids(), "1;6");
}

TEST_P(ScriptContract, WhatComesBeforeABeginBelongsToItsTransaction) {
  EXPECT_EQ(Tags(Run("insert into t values (1); begin; insert into t values (2); rollback")),
            "INSERT 0 1;BEGIN;INSERT 0 1;ROLLBACK;");
  EXPECT_EQ(Ids(), "");
  // A COMMIT without a BEGIN commits what has run so far.
  const Outcome committed = Run("insert into t values (3); commit; insert into t values (4), (4)");
  EXPECT_EQ(SqlState(committed), "23505");
  EXPECT_EQ(Ids(), "3");
  const Outcome warned = Run("insert into t values (5); commit");
  ASSERT_EQ(warned.notices.size(), 1u);
  EXPECT_EQ(warned.notices[0].sqlstate, "25P01");
  EXPECT_EQ(Ids(), "3;5");
  EXPECT_EQ(SqlState(Run("insert into t values (6); savepoint s")), "25P01");
  EXPECT_EQ(Tags(Run("begin; savepoint s; insert into t values (7); rollback to s; commit")),
            "BEGIN;SAVEPOINT;INSERT 0 1;ROLLBACK;COMMIT;");
  EXPECT_EQ(Ids(), "3;5");
}

TEST_P(ScriptContract, ATransactionLeftOpenIsRolledBackUnlessASessionHoldsIt) {
  EXPECT_EQ(KindOf(Run("begin; insert into t values (1)")), ErrorKind::kNeedsSession);
  EXPECT_EQ(Ids(), "");
  const Outcome held = RunIn("begin; insert into t values (1)", AutoPin());
  ASSERT_EQ(held.session.size(), 32u) << ErrorText(held);
  EXPECT_EQ(RunIn("insert into t values (2); commit", In(held.session)).session, "");
  EXPECT_EQ(Ids(), "1;2");
  EXPECT_EQ(RunIn("insert into t values (3); select 1", AutoPin()).session, "");
  EXPECT_EQ(Ids(), "1;2;3");
}

TEST_P(ScriptContract, SeparateTransactionsStopAtTheFirstErrorAndKeepWhatWasBefore) {
  Options separate;
  separate.separate = true;
  EXPECT_EQ(Tags(Run("insert into t values (1); vacuum; analyze t", separate)),
            "INSERT 0 1;VACUUM;ANALYZE;");
  const Outcome failed =
      Run("insert into t values (2); select '\u00e4'; select no_column from t; insert into t "
          "values (3)",
          separate);
  EXPECT_EQ(SqlState(failed), "42703");
  EXPECT_EQ(FailedStatement(failed), 2u);
  EXPECT_EQ(failed.error->sql.position, 46);
  EXPECT_EQ(Ids(), "1;2");
  EXPECT_EQ(SqlState(Run("vacuum; select 1")), "25001");
  EXPECT_EQ(Tags(Run("vacuum;")), "VACUUM;") << "one statement is no transaction of several";
  EXPECT_EQ(Tags(Run("", separate)), "");
}

TEST_P(ScriptContract, SeparateTransactionsAreRefusedInsideOne) {
  const std::string token = Open(*pool_, "insert into t values (1)", Begin());
  Options options;
  options.session = In(token);
  options.separate = true;
  EXPECT_EQ(KindOf(Run("select 1", options)), ErrorKind::kInvalidArgument);
  options.separate = false;
  EXPECT_EQ(Tags(Run("select 1", options)), "SELECT 1;") << "the transaction goes on";
}

TEST_P(ScriptContract, NothingInTheTextDoesNothing) {
  for (const char* text : {"", " ; ;", "-- only a remark", "/* and */ -- this"}) {
    EXPECT_EQ(Tags(Run(text)), "") << text;
  }
}

TEST_P(ScriptContract, WhatItSetsIsNotSeenByTheNext) {
  const std::string sets = IsPostgres() ? "set timezone = 'Asia/Tokyo'" : "pragma foreign_keys=off";
  const std::string shows = IsPostgres() ? "show timezone" : "pragma foreign_keys";
  const std::string before = pool_->Text(shows);
  const Outcome outcome = Run(sets + "; create temp table left_behind (id integer); " + shows);
  ASSERT_EQ(outcome.results.size(), 3u) << ErrorText(outcome);
  EXPECT_NE(CellText(outcome.results[2], 0, 0), before);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pool_->Text(shows), before);
    EXPECT_EQ(SqlState(pool_->Run("select * from left_behind")), "42P01");
  }
}

TEST_P(ScriptContract, ResultsAreBounded) {
  const std::string eleven =
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 11) select i from "
      "n";
  Options options;
  options.limits = {.rows_max = 10, .truncate = true, .bytes_max = 0};
  const Outcome cut = Run(eleven + "; select 1", options);
  ASSERT_EQ(cut.results.size(), 2u) << ErrorText(cut);
  EXPECT_EQ(cut.results[0].rows.row_count(), 10u);
  EXPECT_TRUE(cut.results[0].truncated);
  EXPECT_FALSE(cut.results[1].truncated);
  options.limits = {.rows_max = 10, .truncate = false, .bytes_max = 0};
  EXPECT_EQ(KindOf(Run("select 1; " + eleven, options)), ErrorKind::kResultTooLarge);
  options.limits = {.rows_max = 0, .truncate = false, .bytes_max = 100'000};
  const std::string wide = "select '" + std::string(60'000, 'x') + "'";
  EXPECT_EQ(KindOf(Run(wide + "; " + wide, options)), ErrorKind::kResultTooLarge);
}

TEST_P(ScriptContract, ItsTimeIsLimitedAndItCanBeCancelled) {
  const std::string slow = "insert into t values (1); " + LongStatement();
  Options options;
  options.time = milliseconds(200);
  const Outcome late = Run(slow, options);
  EXPECT_EQ(KindOf(late), ErrorKind::kDeadline);
  EXPECT_FALSE(late.error->outcome_unknown) << late.error->message;
  EXPECT_EQ(Ids(), "");
  TestCall call(slow);
  call.statement.form = pool::StatementForm::kScript;
  pool_->Start(call);
  std::this_thread::sleep_for(milliseconds(50));
  pool_->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  call.AwaitDone();
  EXPECT_EQ(Ids(), "");
  // With transactions of its own it may have had an effect.
  EXPECT_TRUE(Run("begin; insert into t values (1); commit; " + LongStatement(), options)
                  .error->outcome_unknown);
  EXPECT_EQ(Ids(), "1");
  Options limited;
  limited.settings.statement_timeout = milliseconds(100);
  const Outcome stopped = Run("insert into t values (2); " + LongStatement(), limited);
  ASSERT_TRUE(stopped.error);
  EXPECT_EQ(stopped.error->sql.sqlstate, "57014");
  EXPECT_EQ(Ids(), "1");
}

TEST_P(ScriptContract, ScriptsRunInSessions) {
  const Outcome begun = RunIn("insert into t values (1); insert into t values (2)", Begin());
  ASSERT_EQ(begun.session.size(), 32u) << ErrorText(begun);
  EXPECT_EQ(begun.transaction_status, TransactionStatus::kInTransaction);
  const Outcome committed = RunIn("insert into t values (3)", Commit(In(begun.session)));
  EXPECT_EQ(committed.end_tag, "COMMIT");
  EXPECT_EQ(committed.session, "");
  EXPECT_EQ(Ids(), "1;2;3");
  const Outcome failed = RunIn("insert into t values (4); selec", Begin());
  EXPECT_EQ(SqlState(failed), "42601");
  EXPECT_EQ(failed.session, "");
  EXPECT_EQ(Ids(), "1;2;3");
  const Outcome pinned = RunIn("create temp table mine (x integer)", Pin());
  EXPECT_EQ(Tags(RunIn("select x from mine; insert into mine values (1)", In(pinned.session))),
            "SELECT 0;INSERT 0 1;");
}

TEST_P(ScriptContract, AnErrorInASessionFailsItsTransaction) {
  const std::string token = Open(*pool_, "insert into t values (1)", Begin());
  const Outcome failed = RunIn("insert into t values (2); select no_column from t", In(token));
  EXPECT_EQ(SqlState(failed), "42703");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kFailed);
  EXPECT_EQ(SqlState(RunIn("select 1; select 2", In(token))), "25P02");
  EXPECT_EQ(Tags(RunIn("rollback; insert into t values (3)", In(token))), "ROLLBACK;INSERT 0 1;");
  EXPECT_EQ(Ids(), "3");
}

TEST_P(ScriptContract, ParametersAreNotForScripts) {
  EXPECT_TRUE(Run("insert into t values (1); select id from t where id = $1").error);
  EXPECT_EQ(Ids(), "");
}

}  // namespace
}  // namespace dbsidecar::contract
