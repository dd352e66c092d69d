// What is SQLite's own in calls with several statements: readers and the one writer, what takes the
// whole transaction along, and what sets the connection.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/batches.h"
#include "tests/contract/database.h"
#include "tests/contract/sessions.h"
#include "tests/support/raw_sqlite.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::TransactionStatus;
using std::chrono::milliseconds;

class SqliteBatchTest : public DatabaseTest {
 protected:
  SqliteBatchTest() : pool_(NewPool(3)) {
    EXPECT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table t (id integer primary key, v text, n real)");
  }
  std::string Ids() { return Rows(pool_->Run("select id from t order by id")); }
  Outcome RunScript(const std::string& sql, const pool::SessionUse& use = {}) {
    TestCall call(sql);
    call.statement.form = pool::StatementForm::kScript;
    call.session = use;
    pool_->Submit(call);
    call.AwaitDone();
    return call.Await();
  }

  std::unique_ptr<RunningPool> pool_;
};
INSTANTIATE_TEST_SUITE_P(, SqliteBatchTest,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory), NameOf);

// Of a file there are readers beside the writer.
class SqliteWriterBatchTest : public SqliteBatchTest {};
INSTANTIATE_TEST_SUITE_P(, SqliteWriterBatchTest, testing::Values(Database::kSqliteFile), NameOf);

TEST_P(SqliteWriterBatchTest, WhatOnlyReadsRunsBesideTheWriter) {
  const std::string token = Open(*pool_, "insert into t (id) values (1)", Begin());
  for (const bool atomic : {true, false}) {
    EXPECT_EQ(
        Told(RunBatch(*pool_, {Step("select count(*) from t"), Step("select 'x'")}, {}, atomic)),
        "ok 0; ok x");
  }
  EXPECT_EQ(Rows(RunMany(*pool_, "select $1 + count(*) from t", {1, 2})), "1;2");
  pool::Description description;
  TestCall described("insert into t (id) values ($1)");
  described.description = &description;
  pool_->Submit(described);
  described.AwaitDone();
  EXPECT_FALSE(described.Await().error);
  EXPECT_EQ(description.parameter_types.size(), 1u);
  // What writes waits for it: a batch for any of its steps, a script always.
  BatchCall writes({Step("select 1"), Step("insert into t (id) values (2)")});
  TestCall script("select 1");
  script.statement.form = pool::StatementForm::kScript;
  writes.Settle();
  pool_->Submit(writes.call);
  pool_->Submit(script);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_FALSE(writes.call.answered());
  EXPECT_FALSE(script.answered());
  EXPECT_FALSE(RunEnd(*pool_, token, pool::SessionUse::End::kCommit).error);
  EXPECT_EQ(Told(writes.call.Await()), "ok 1; ok INSERT 0 1");
  EXPECT_FALSE(script.Await().error);
  writes.call.AwaitDone();
  script.AwaitDone();
  EXPECT_EQ(Ids(), "1;2");
}

TEST_P(SqliteWriterBatchTest, AnAtomicBatchReadsOneSnapshot) {
  const std::string slow =
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000) "
      "select max(i) from n";
  BatchCall batch({Step("select count(*) from t"), Step(slow), Step("select count(*) from t")});
  batch.Settle();
  pool_->Start(batch.call);
  // Somewhere in the second step, most likely; before the first one both see the row.
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_FALSE(batch.call.answered());
  pool_->Must("insert into t (id) values (1)");
  EXPECT_FALSE(batch.call.answered()) << "the write did not wait for the readers";
  const Outcome& outcome = batch.call.Await();
  ASSERT_EQ(outcome.steps.size(), 3u) << ErrorText(outcome);
  EXPECT_EQ(CellText(outcome.steps[0].result, 0, 0), CellText(outcome.steps[2].result, 0, 0));
  batch.call.AwaitDone();
}

TEST_P(SqliteBatchTest, AFailureThatTakesTheTransactionAlongFailsAllOfAnAtomicBatch) {
  const std::vector<pool::BatchStep> steps = {
      Step("insert into t (id) values (1)"),
      MayFail(Step("insert or rollback into t (id) values (1)")),
      Step("insert into t (id) values (2)")};
  EXPECT_EQ(Told(RunBatch(*pool_, steps)), "error 0 23505step 1");
  EXPECT_EQ(Ids(), "");
  const std::string token = Open(*pool_, "insert into t (id) values (7)", Begin());
  const Outcome failed = RunBatch(*pool_, steps, In(token));
  EXPECT_EQ(Told(failed), "error 0 23505step 1");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kFailed);
  EXPECT_FALSE(RunEnd(*pool_, token, pool::SessionUse::End::kRollback).error);
  EXPECT_EQ(Ids(), "");
}

// SQLite itself would keep what it had done of it.
TEST_P(SqliteBatchTest, AStepThatMayFailIsUndoneWhateverItsConflictClauseKeeps) {
  EXPECT_EQ(Told(RunBatch(*pool_, {Step("insert into t (id) values (1)"),
                                   MayFail(Step("insert or fail into t (id) values (2), (1)")),
                                   Step("select count(*) from t")})),
            "ok INSERT 0 1; failed 23505; ok 1");
  EXPECT_EQ(Ids(), "1");
}

TEST_P(SqliteBatchTest, ACancelOfAStepThatMayFailFailsTheBatchAlsoWhenItIsTheLast) {
  const std::string slow = LongStatement();
  BatchCall batch({Step("insert into t (id) values (1)"), MayFail(Step(slow))});
  batch.call.deadline = pool::Clock::now() + milliseconds(100);
  EXPECT_EQ(KindOf(RunBatch(*pool_, batch)), ErrorKind::kDeadline);
  EXPECT_EQ(Ids(), "");
}

TEST_P(SqliteBatchTest, AStepWhoseResultIsTooLargeIsUndone) {
  const std::string wide =
      "insert into t (id, v) values ($1, '" + std::string(400, 'x') + "') returning v";
  for (const bool may_fail : {false, true}) {
    pool::BatchStep step = Step(wide, {Integer(2)});
    step.may_fail = may_fail;
    BatchCall batch({Step("insert into t (id) values (1)"), step});
    batch.call.statement.limits.bytes_max = 300;
    const Outcome outcome = RunBatch(*pool_, batch);
    if (may_fail) {
      ASSERT_EQ(outcome.steps.size(), 2u) << ErrorText(outcome);
      EXPECT_EQ(outcome.steps[1].error->kind, ErrorKind::kResultTooLarge);
    } else {
      EXPECT_EQ(KindOf(outcome), ErrorKind::kResultTooLarge);
    }
    EXPECT_EQ(Ids(), may_fail ? "1" : "");
  }
  const Outcome many = RunMany(*pool_, wide, {11, 12, 13}, {}, {.bytes_max = 1000});
  EXPECT_EQ(Told(many),
            fmt::format("error {} row 2", static_cast<int>(ErrorKind::kResultTooLarge)));
  EXPECT_THAT(many.error->message, testing::HasSubstr("nothing took effect"));
  EXPECT_EQ(Ids(), "1");
}

TEST_P(SqliteBatchTest, AScriptCanSetTheConnectionBeforeItsTransaction) {
  pool_->Must("create table parent (id integer primary key)");
  pool_->Must("create table child (parent integer references parent (id))");
  EXPECT_EQ(SqlState(RunScript("insert into child values (1); select 1")), "23503");
  // As SQLite's manual has it for changes of the schema.
  EXPECT_FALSE(RunScript("pragma synchronous=off; pragma foreign_keys=off; begin; insert into "
                         "child values (1); commit; "
                         "pragma foreign_keys=on")
                   .error);
  EXPECT_EQ(pool_->Text("select count(*) from child"), "1");
  EXPECT_EQ(SqlState(pool_->Run("insert into child values (2)")), "23503") << "it is reset";
}

TEST_P(SqliteBatchTest, ScriptsMakeTriggersWhoseBodiesHaveSemicolons) {
  const Outcome outcome = RunScript(
      "create trigger twice after insert on t when new.id < 10 begin insert into t (id) values "
      "(new.id + 10); select 1; end; insert into t (id) values (1); select count(*) from t");
  ASSERT_EQ(outcome.results.size(), 3u) << ErrorText(outcome);
  EXPECT_EQ(outcome.results[0].command_tag, "CREATE TRIGGER");
  EXPECT_EQ(CellText(outcome.results[2], 0, 0), "2");
}

TEST_P(SqliteBatchTest, WhatReachesBeyondTheConnectionIsRefusedInAScriptToo) {
  EXPECT_EQ(KindOf(RunScript("insert into t (id) values (1); pragma journal_mode = delete")),
            ErrorKind::kUnsupported);
  const std::string into = SqliteFile() + ".copy";
  EXPECT_EQ(KindOf(RunScript("vacuum into '" + into + "'")), ErrorKind::kUnsupported);
  EXPECT_EQ(Ids(), "");
}

TEST_P(SqliteWriterBatchTest, TheLockOfAnotherProcessIsWaitedForUntilTheDeadline) {
  RawSqlite other(SqliteFile());
  other.Run("begin immediate");
  for (const bool many : {false, true}) {
    const IntegerRows rows({1, 2});
    BatchCall batch({Step("insert into t (id) values (1)")});
    TestCall call("insert into t (id) values ($1)");
    call.rows = &rows;
    TestCall& waits = many ? call : batch.call;
    waits.deadline = pool::Clock::now() + milliseconds(200);
    pool_->Submit(waits);
    const Outcome& outcome = waits.Await();
    EXPECT_TRUE(SqlState(outcome) == "40001" || KindOf(outcome) == ErrorKind::kDeadline)
        << ErrorText(outcome);
    EXPECT_GE(waits.took(), milliseconds(150));
    waits.AwaitDone();
  }
  other.Run("rollback");
  EXPECT_EQ(Told(RunBatch(*pool_, {Step("insert into t (id) values (1)")})), "ok INSERT 0 1");
}

// --- How fast. ---

constexpr int kRows = 100'000;
constexpr char kInsert[] = "insert into t values ($1, $2, $3)";

class MixedRows final : public pool::ParameterRows {
 public:
  MixedRows() {
    for (int i = 0; i < kRows; ++i) texts_.push_back(fmt::format("the text of row {}", i));
  }
  size_t size() const override { return kRows; }
  void Get(size_t row, std::vector<pool::Value>& values) const override {
    pool::Value text;
    text.kind = pool::Value::Kind::kText;
    text.text = texts_[row];
    values.assign({Integer(static_cast<int64_t>(row)), text, Real(static_cast<double>(row) / 4)});
  }
  const std::string& text(size_t row) const { return texts_[row]; }

 private:
  std::vector<std::string> texts_;
};

double Seconds(pool::Instant since) {
  return std::chrono::duration<double>(pool::Clock::now() - since).count();
}

// One statement, prepared once, in one transaction, with the settings of the sidecar's connections.
double InsertInProcess(const std::string& path, const MixedRows& rows) {
  sqlite3* database = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  for (const char* sql :
       {"pragma journal_mode=wal", "pragma synchronous=normal", "pragma cache_size=1000",
        "pragma foreign_keys=on", "create table t (id integer primary key, v text, n real)"}) {
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sql;
  }
  const pool::Instant began = pool::Clock::now();
  sqlite3_exec(database, "begin immediate", nullptr, nullptr, nullptr);
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(database, kInsert, -1, &statement, nullptr), SQLITE_OK);
  for (int i = 0; i < kRows; ++i) {
    const std::string& text = rows.text(static_cast<size_t>(i));
    sqlite3_bind_int64(statement, 1, i);
    sqlite3_bind_text(statement, 2, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    sqlite3_bind_double(statement, 3, i / 4.0);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  EXPECT_EQ(sqlite3_exec(database, "commit", nullptr, nullptr, nullptr), SQLITE_OK);
  const double took = Seconds(began);
  sqlite3_close(database);
  return took;
}

TEST_P(SqliteWriterBatchTest, AHundredThousandRowsGoInAtTheSpeedOfALoopInTheProcess) {
  const MixedRows rows;
  double pooled = 1e9;
  double in_process = 1e9;
  for (int round = 0; round < 3; ++round) {
    pool_->Must("delete from t");
    TestCall call(kInsert);
    call.rows = &rows;
    const pool::Instant began = pool::Clock::now();
    pool_->Submit(call);
    const Outcome& outcome = call.Await();
    pooled = std::min(pooled, Seconds(began));
    EXPECT_EQ(outcome.result.rows_affected, kRows) << ErrorText(outcome);
    call.AwaitDone();
    in_process = std::min(in_process, InsertInProcess(SqliteFile() + std::to_string(round), rows));
  }
  EXPECT_EQ(Rows(pool_->Run("select count(*), sum(id), sum(n), sum(length(v)) from t")),
            "100000,4999950000,1249987500,2088890");
  fmt::print(
      "100 000 rows: {:.0f} rows/s through the pool, {:.0f} in a loop of one's own: {:.2f}\n",
      kRows / pooled, kRows / in_process, in_process / pooled);
  EXPECT_GT(in_process / pooled, 0.5);
}

}  // namespace
}  // namespace dbsidecar::contract
