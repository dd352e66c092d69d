// Several statements in one call, over every database that has statements: batches and their
// conditions, and one statement for many rows.
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/batches.h"
#include "tests/contract/database.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::BatchStep;
using pool::ErrorKind;
using pool::Outcome;
using pool::StepCondition;
using pool::StepOutcome;
using pool::TransactionStatus;
using std::chrono::milliseconds;

// Fails while it runs, on both.
constexpr std::string_view kFails = "insert into filled values (1)";

class BatchContract : public DatabaseTest {
 protected:
  BatchContract() : pool_(NewPool(2)) {
    EXPECT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table t (id integer primary key, v text)");
    pool_->Must("create table filled (id integer primary key)");
    pool_->Must("insert into filled values (1)");
    pool_->Must("create table parent (id integer primary key)");
    pool_->Must(
        "create table child (parent integer references parent (id) deferrable initially deferred)");
  }

  Outcome Run(std::vector<BatchStep> steps, const pool::SessionUse& use = {}) {
    return RunBatch(*pool_, std::move(steps), use);
  }
  // In order; "" for none.
  std::string Ids() { return Rows(pool_->Run("select id from t order by id")); }
  // The rows of a long table, to be counted.
  static std::string Numbers(int count) {
    return fmt::format(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i "
        "from n",
        count);
  }

  std::unique_ptr<RunningPool> pool_;
};

INSTANTIATE_TEST_SUITE_P(Databases, BatchContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

TEST_P(BatchContract, AnAtomicBatchIsOneTransaction) {
  const Outcome outcome =
      Run({Step("insert into t values ($1, 'a')", {Integer(1)}),
           Step("insert into t values ($1, 'a')", {Integer(2)}), Step("select count(*) from t"),
           Step("update t set v = 'b' where id > 5")});
  EXPECT_EQ(Told(outcome), "ok INSERT 0 1; ok INSERT 0 1; ok 2; ok UPDATE 0");
  EXPECT_EQ(outcome.steps[2].result.rows_affected, -1);
  EXPECT_EQ(outcome.steps[3].result.rows_affected, 0);
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(outcome.session, "");
  EXPECT_EQ(Ids(), "1;2");
}

TEST_P(BatchContract, TheFirstStepThatFailsUndoesAnAtomicBatchAndIsItsError) {
  const Outcome outcome = Run({Step("insert into t (id) values (1)"), Step(kFails),
                               Step("insert into no_table values (1)")});
  EXPECT_EQ(Told(outcome), "error 0 23505step 1");
  EXPECT_FALSE(outcome.error->outcome_unknown);
  EXPECT_EQ(Told(Run({Step("insert into t (id) values (1)"), Step("select no_column from t")})),
            "error 0 42703step 1");
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, AStepSeesWhatThoseBeforeItCreated) {
  EXPECT_EQ(Told(Run({Step("create table made (id integer)"), Step("insert into made values (7)"),
                      Step("select id from made")})),
            "ok CREATE TABLE; ok INSERT 0 1; ok 7");
  EXPECT_EQ(Told(Run({Step("create table more (id integer)"), Step(kFails)})),
            "error 0 23505step 1");
  EXPECT_EQ(SqlState(pool_->Run("select id from more")), "42P01");
}

TEST_P(BatchContract, ADeferredConstraintFailsAnAtomicBatchAtItsCommit) {
  EXPECT_EQ(
      Told(Run({Step("insert into t (id) values (1)"), Step("insert into child values (7)")})),
      "error 0 23503");
  EXPECT_EQ(Told(Run({Step("insert into t (id) values (1)"),
                      MayFail(Step("insert into child values (7)"))})),
            "error 0 23503");
  EXPECT_EQ(
      Told(Run({Step("insert into child values (7)"), Step("insert into parent values (7)")})),
      "ok INSERT 0 1; ok INSERT 0 1");
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, AStepThatMayFailIsUndoneAlone) {
  const Outcome outcome =
      Run({Step("insert into t (id) values (1)"), MayFail(Step("insert into t (id) values (1)")),
           MayFail(Step("insert into t (id) values (2)")),
           MayFail(Step("insert into t (id) values (3), (1)")),
           MayFail(Step("select no_column from t")), Step("insert into t (id) values (4)")});
  EXPECT_EQ(Told(outcome),
            "ok INSERT 0 1; failed 23505; ok INSERT 0 1; failed 23505; failed 42703; "
            "ok INSERT 0 1");
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(Ids(), "1;2;4");
}

TEST_P(BatchContract, AFailureBesideStepsThatMayFailUndoesThemAll) {
  EXPECT_EQ(Told(Run({MayFail(Step("insert into t (id) values (1)")), Step(kFails),
                      MayFail(Step("insert into t (id) values (2)"))})),
            "error 0 23505step 1");
  EXPECT_EQ(Told(Run({MayFail(Step(kFails)), Step("insert into t (id) values (3)"),
                      Step("select no_column")})),
            "error 0 42703step 2");
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, StepsThatAreIndependentHaveTransactionsOfTheirOwn) {
  const Outcome outcome = RunIndependent(
      *pool_, {Step("insert into t (id) values (1)"), Step("insert into t (id) values (1)"),
               Step("insert into child values (7)"), Step("select no_column from t"),
               Step("insert into t (id) values (2)"), Step("vacuum")});
  EXPECT_EQ(Told(outcome),
            "ok INSERT 0 1; failed 23505; failed 23503; failed 42703; ok INSERT 0 1; ok VACUUM");
  EXPECT_EQ(Ids(), "1;2");
  EXPECT_EQ(Told(Run({Step("vacuum"), Step("select 1")})), "error 0 25001step 0");
}

TEST_P(BatchContract, ConditionsDecideWhetherAStepRuns) {
  using C = StepCondition::Comparison;
  for (const bool atomic : {true, false}) {
    pool_->Must("delete from t");
    pool_->Must("insert into t (id) values (1), (2), (3)");
    const Outcome outcome = RunBatch(
        *pool_,
        {MayFail(Step("insert into t (id) values (1)")),                          // 0 fails
         If(0, StepOutcome::kFailed, Step("update t set v = 'x' where id < 3")),  // 1 two rows
         If(0, StepOutcome::kOk, Step(kFails)),                                   // 2 skipped
         If(2, StepOutcome::kSkipped, Step("select 'after the skipped'")),        // 3
         IfRows(1, C::kEqual, 2, Step("select 'two'")),                           // 4
         IfRows(1, C::kNotEqual, 2, Step("select 'not two'")),                    // 5 skipped
         IfRows(1, C::kLess, 3, Step("select 'less'")),                           // 6
         IfRows(1, C::kLessOrEqual, 1, Step("select 'le'")),                      // 7 skipped
         IfRows(1, C::kGreater, 1, Step("select 'greater'")),                     // 8
         IfRows(1, C::kGreaterOrEqual, 3, Step("select 'ge'")),                   // 9 skipped
         IfRows(0, C::kGreaterOrEqual, 0, Step("select 'of a failure'")),         // 10 skipped
         IfRows(2, C::kEqual, 0, Step("select 'of a skipped'")),                  // 11 skipped
         Step("select id from t order by id"),                                    // 12 three rows
         IfRows(12, C::kEqual, 3, If(0, StepOutcome::kFailed, Step("select 'both'"))),
         IfRows(12, C::kEqual, 3, If(0, StepOutcome::kOk, Step("select 'one'")))},
        {}, atomic);
    EXPECT_EQ(Told(outcome),
              "failed 23505; ok UPDATE 2; skipped; ok after the skipped; ok two; skipped; ok less; "
              "skipped; ok greater; skipped; skipped; skipped; ok 1; ok both; skipped")
        << atomic;
    EXPECT_EQ(pool_->Text("select count(*) from t where v = 'x'"), "2");
  }
}

TEST_P(BatchContract, ARowsConditionCountsRowsThatTheLimitCutOff) {
  const std::string numbers = Numbers(50);
  BatchCall batch(
      {Step(numbers), IfRows(0, StepCondition::Comparison::kEqual, 50, Step("select 'fifty'"))});
  batch.call.statement.limits = {.rows_max = 3, .truncate = true};
  const Outcome outcome = RunBatch(*pool_, batch);
  EXPECT_EQ(Told(outcome), "ok 1; ok fifty");
  EXPECT_EQ(outcome.steps[0].result.rows.row_count(), 3u);
  EXPECT_TRUE(outcome.steps[0].result.truncated);
}

TEST_P(BatchContract, TheSizeLimitHoldsForAllStepsTogether) {
  const std::string wide(6000, 'x');
  const std::string select = "select '" + wide + "'";
  const std::vector<BatchStep> steps = {Step("select 1"), Step(select), Step(select)};
  BatchCall atomic(steps);
  atomic.call.statement.limits.bytes_max = 10'000;
  EXPECT_EQ(Told(RunBatch(*pool_, atomic)),
            fmt::format("error {} step 2", static_cast<int>(ErrorKind::kResultTooLarge)));
  BatchCall independent(steps, false);
  independent.call.statement.limits.bytes_max = 10'000;
  const Outcome outcome = RunBatch(*pool_, independent);
  ASSERT_EQ(outcome.steps.size(), 3u);
  EXPECT_EQ(outcome.steps[1].outcome, StepOutcome::kOk);
  ASSERT_EQ(outcome.steps[2].outcome, StepOutcome::kFailed);
  EXPECT_EQ(outcome.steps[2].error->kind, ErrorKind::kResultTooLarge);
}

TEST_P(BatchContract, ReadOnlyIsEnforced) {
  for (const bool atomic : {true, false}) {
    BatchCall batch({Step("select 1"), Step("insert into t (id) values (9)")}, atomic);
    batch.call.statement.read_only = true;
    EXPECT_EQ(Told(RunBatch(*pool_, batch)), atomic ? "error 0 25006step 1" : "ok 1; failed 25006");
  }
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, ABatchCanBeginContinueAndCommitATransaction) {
  const Outcome begun = Run({Step("insert into t (id) values (1)"), Step("select 'x'")}, Begin());
  EXPECT_EQ(Told(begun), "ok INSERT 0 1; ok x");
  EXPECT_EQ(begun.transaction_status, TransactionStatus::kInTransaction);
  ASSERT_EQ(begun.session.size(), 32u);
  const Outcome more =
      Run({Step("insert into t (id) values (2)"), MayFail(Step("insert into t (id) values (2)"))},
          In(begun.session));
  EXPECT_EQ(Told(more), "ok INSERT 0 1; failed 23505");
  EXPECT_EQ(more.transaction_status, TransactionStatus::kInTransaction);
  const Outcome last = Run({Step("insert into t (id) values (3)")}, Commit(In(begun.session)));
  EXPECT_EQ(Told(last), "ok INSERT 0 1");
  EXPECT_EQ(last.end_tag, "COMMIT");
  EXPECT_EQ(last.session, "");
  EXPECT_EQ(Ids(), "1;2;3");
  EXPECT_EQ(Run({Step("insert into t (id) values (4)")}, Commit(Begin())).session, "");
  EXPECT_EQ(Ids(), "1;2;3;4");
  const Outcome undone = Run({Step("insert into t (id) values (5)")}, Begin());
  EXPECT_FALSE(RunEnd(*pool_, undone.session, pool::SessionUse::End::kRollback).error);
  EXPECT_EQ(Ids(), "1;2;3;4");
}

TEST_P(BatchContract, AFailedBatchFailsTheTransactionThatItIsIn) {
  const std::string token = Open(*pool_, "insert into t (id) values (1)", Begin());
  const Outcome failed = Run({Step("insert into t (id) values (2)"), Step(kFails)}, In(token));
  EXPECT_EQ(Told(failed), "error 0 23505step 1");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kFailed);
  EXPECT_EQ(SqlState(RunIn(*pool_, "select 1", In(token))), "25P02");
  EXPECT_EQ(Told(Run({Step("select 1")}, In(token))), "error 0 25P02step 0");
  EXPECT_FALSE(RunIn(*pool_, "rollback", In(token)).error);
  EXPECT_EQ(Ids(), "");
  // The one that would have begun it leaves nothing open.
  EXPECT_EQ(Run({Step("insert into t (id) values (1)"), Step(kFails)}, Begin()).session, "");
  EXPECT_EQ(pool_->Stats().sessions, 0u);
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, InsideATransactionNothingIsIndependent) {
  EXPECT_EQ(KindOf(RunIndependent(*pool_, {Step("select 1")}, Begin())),
            ErrorKind::kInvalidArgument);
  const std::string token = Open(*pool_, "insert into t (id) values (1)", Begin());
  EXPECT_EQ(KindOf(RunIndependent(*pool_, {Step("select 1")}, In(token))),
            ErrorKind::kInvalidArgument);
  // Nothing was sent: the transaction goes on.
  EXPECT_FALSE(RunIn(*pool_, "select 1", Commit(In(token))).error);
  EXPECT_EQ(Ids(), "1");
  const Outcome pinned = RunIndependent(
      *pool_,
      {Step("create temp table x (id integer)"), Step(kFails), Step("insert into x values (1)")},
      Pin());
  EXPECT_EQ(Told(pinned), "ok CREATE TABLE; failed 23505; ok INSERT 0 1");
  EXPECT_EQ(Told(RunIndependent(*pool_, {Step("select id from x")}, In(pinned.session))), "ok 1");
  EXPECT_FALSE(RunEnd(*pool_, pinned.session, pool::SessionUse::End::kRelease).error);
  EXPECT_EQ(SqlState(pool_->Run("select id from x")), "42P01");
}

// Also the second time, when the texts are known.
TEST_P(BatchContract, WhatCannotBeAStepIsRefusedBeforeAnythingRuns) {
  for (int round = 0; round < 2; ++round) {
    for (const bool atomic : {true, false}) {
      const auto refusal = [&](std::string_view sql) {
        const Outcome outcome =
            RunBatch(*pool_, {Step("insert into t (id) values (1)"), Step(sql)}, {}, atomic);
        const pool::ErrorPlace place =
            outcome.error ? outcome.error->place.value_or(pool::ErrorPlace{}) : pool::ErrorPlace{};
        EXPECT_EQ(place.part, "step") << sql;
        EXPECT_EQ(place.index, 1u) << sql;
        return KindOf(outcome);
      };
      for (const std::string_view sql : {"begin", "commit", "savepoint s", "rollback to s"}) {
        EXPECT_EQ(refusal(sql), ErrorKind::kInvalidArgument) << sql;
      }
      EXPECT_EQ(refusal("create temp table x (id integer)"), ErrorKind::kNeedsSession);
      EXPECT_EQ(refusal("select 1; select 2"), ErrorKind::kInvalidArgument);
      EXPECT_EQ(refusal("select v from t where id = $1"), ErrorKind::kInvalidArgument);
    }
  }
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, ACancelUndoesAnAtomicBatch) {
  const std::string slow = LongStatement();
  for (const bool may_fail : {false, true}) {
    BatchStep step = Step(slow);
    step.may_fail = may_fail;
    BatchCall batch(
        {Step("insert into t (id) values (1)"), step, Step("insert into t (id) values (2)")});
    batch.Settle();
    pool_->Start(batch.call);
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_FALSE(batch.call.answered());
    const auto cancelled = pool::Clock::now();
    pool_->Cancel(batch.call);
    const Outcome& outcome = batch.call.Await();
    EXPECT_EQ(KindOf(outcome), ErrorKind::kCancelled) << Told(outcome);
    EXPECT_FALSE(outcome.error->outcome_unknown);
    EXPECT_LE(pool::Clock::now() - cancelled, kLateness);
    batch.call.AwaitDone();
    EXPECT_EQ(Ids(), "");
  }
}

TEST_P(BatchContract, ADeadlineEndsABatchAndTellsWhatBecameOfEachStep) {
  const std::string slow = LongStatement();
  BatchCall batch({Step("insert into t (id) values (1)"), Step(slow),
                   If(1, StepOutcome::kFailed, Step("insert into t (id) values (2)")),
                   If(1, StepOutcome::kOk, Step("insert into t (id) values (3)"))},
                  false);
  batch.call.deadline = pool::Clock::now() + milliseconds(200);
  const Outcome outcome = RunBatch(*pool_, batch);
  EXPECT_LE(batch.call.took(), milliseconds(200) + kLateness);
  ASSERT_EQ(outcome.steps.size(), 4u) << Told(outcome);
  EXPECT_EQ(outcome.steps[0].outcome, StepOutcome::kOk);
  for (const size_t step : {1u, 2u, 3u}) {
    ASSERT_TRUE(outcome.steps[step].error) << step;
    EXPECT_EQ(outcome.steps[step].error->kind, ErrorKind::kDeadline) << step;
  }
  EXPECT_EQ(Ids(), "1");
}

TEST_P(BatchContract, ACancelInATransactionFailsIt) {
  const std::string slow = LongStatement();
  const std::string token = Open(*pool_, "insert into t (id) values (1)", Begin());
  BatchCall batch({Step("insert into t (id) values (2)"), Step(slow)});
  batch.call.session = In(token);
  batch.call.deadline = pool::Clock::now() + milliseconds(150);
  const Outcome outcome = RunBatch(*pool_, batch);
  EXPECT_EQ(KindOf(outcome), ErrorKind::kDeadline);
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kFailed);
  EXPECT_EQ(SqlState(RunIn(*pool_, "select 1", In(token))), "25P02");
  EXPECT_FALSE(RunEnd(*pool_, token, pool::SessionUse::End::kRollback).error);
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, ThousandsOfStepsGoThrough) {
  const std::string text(2000, 'x');
  pool::Value value;
  value.kind = pool::Value::Kind::kText;
  value.text = text;
  for (const bool atomic : {true, false}) {
    std::vector<BatchStep> steps;
    for (int i = 0; i < 3000; ++i) {
      steps.push_back(Step("insert into t values ($1, $2) returning v, id",
                           {Integer(i + (atomic ? 0 : 10'000)), value}));
    }
    const Outcome outcome = RunBatch(*pool_, steps, {}, atomic);
    ASSERT_EQ(outcome.steps.size(), 3000u) << ErrorText(outcome);
    EXPECT_EQ(CellText(outcome.steps[2999].result, 0, 1), atomic ? "2999" : "12999");
  }
  EXPECT_EQ(Rows(pool_->Run("select count(*), sum(length(v)) from t")), "6000,12000000");
}

// What a batch does, done by hand: its steps one by one, in a session with savepoints or in
// autocommit.
class StepByStep {
 public:
  explicit StepByStep(RunningPool& pool) : pool_(pool) {}

  // As Told.
  std::string Run(const std::vector<BatchStep>& steps, bool atomic) {
    Outcome all;
    all.steps.resize(steps.size());
    const std::string token = atomic ? Open(pool_, "select 1", Begin()) : "";
    for (size_t i = 0; i < steps.size(); ++i) {
      if (!ConditionsHold(steps[i], all.steps)) continue;
      const std::string sql(steps[i].statement.sql);
      Outcome one = atomic ? InTransaction(token, sql, steps[i].may_fail) : pool_.Run(sql);
      if (one.error && atomic && !steps[i].may_fail) {
        RunEnd(pool_, token, pool::SessionUse::End::kRollback);
        one.error->place = {.part = "step", .index = i};
        return Told(one);
      }
      all.steps[i].outcome = one.error ? StepOutcome::kFailed : StepOutcome::kOk;
      all.steps[i].rows_returned = one.result.rows.row_count();
      all.steps[i].error = one.error;
      all.steps[i].result = std::move(one.result);
    }
    if (atomic) {
      EXPECT_FALSE(RunEnd(pool_, token, pool::SessionUse::End::kCommit).error);
    }
    return Told(all);
  }

 private:
  static bool ConditionsHold(const BatchStep& step, const std::vector<pool::StepResult>& results) {
    for (const StepCondition& condition : step.conditions) {
      if (!Holds(condition, results[condition.step])) return false;
    }
    return true;
  }

  Outcome InTransaction(const std::string& token, const std::string& sql, bool may_fail) {
    if (!may_fail) return RunIn(pool_, sql, In(token));
    EXPECT_FALSE(RunIn(pool_, "savepoint s", In(token)).error);
    Outcome outcome = RunIn(pool_, sql, In(token));
    if (outcome.error) {
      EXPECT_FALSE(RunIn(pool_, "rollback to s", In(token)).error);
    }
    EXPECT_FALSE(RunIn(pool_, "release s", In(token)).error);
    return outcome;
  }

  RunningPool& pool_;
};

TEST_P(BatchContract, RandomBatchesDoWhatTheirStepsDoOneByOne) {
  const char* const given = std::getenv("DBSIDECAR_TEST_SEED");
  const auto seed =
      given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  SCOPED_TRACE(fmt::format("DBSIDECAR_TEST_SEED={}", seed));
  std::mt19937 random(seed);
  const auto below = [&](unsigned end) { return random() % end; };
  pool_->Must("create table r (id integer primary key, v text)");
  StepByStep reference(*pool_);
  // Of table t or r, with the same numbers.
  const auto text = [](unsigned kind, unsigned number, char table) {
    switch (kind) {
      case 0:
        return fmt::format("select no_column from {}", table);
      case 1:
        return fmt::format("delete from {} where id % 3 = {}", table, number % 3);
      case 2:
        return fmt::format("select count(*) from {}", table);
      case 3:
        return fmt::format("insert into {} (id) values ({}), ({}) returning id", table, number,
                           number / 2);
      default:
        return fmt::format("insert into {} (id) values ({})", table, number);
    }
  };
  int failed = 0;
  for (int round = 0; round < 100; ++round) {
    const bool atomic = below(3) > 0;
    const unsigned count = 1 + below(8);
    std::vector<std::string> texts;
    texts.reserve(2 * count);
    std::vector<BatchStep> batch;
    std::vector<BatchStep> one_by_one;
    for (unsigned i = 0; i < count; ++i) {
      const unsigned kind = below(7);
      const unsigned number = below(30);
      BatchStep step;
      step.may_fail = below(2) == 0;
      if (i > 0 && below(3) == 0) {
        StepCondition condition{.step = below(i)};
        if (below(2) == 0) {
          condition.outcome = static_cast<StepOutcome>(below(3));
        } else {
          condition.comparison = static_cast<StepCondition::Comparison>(below(6));
          condition.rows = below(3);
        }
        step.conditions.push_back(condition);
      }
      step.statement.sql = texts.emplace_back(text(kind, number, 't'));
      batch.push_back(step);
      step.statement.sql = texts.emplace_back(text(kind, number, 'r'));
      one_by_one.push_back(step);
    }
    const std::string told = Told(RunBatch(*pool_, batch, {}, atomic));
    ASSERT_EQ(told, reference.Run(one_by_one, atomic)) << "round " << round << " atomic " << atomic;
    failed += told.starts_with("error") ? 1 : 0;
    ASSERT_EQ(Ids(), Rows(pool_->Run("select id from r order by id"))) << round;
  }
  EXPECT_GT(failed, 3);
  EXPECT_LT(failed, 97);
}

// --- One statement, many rows. ---

TEST_P(BatchContract, AStatementRunsForEachRowInOneTransaction) {
  const Outcome outcome =
      RunMany(*pool_, "insert into t (id) values ($1) returning id * 10", {3, 1, 2});
  EXPECT_EQ(Rows(outcome), "30;10;20");
  EXPECT_EQ(outcome.result.rows_affected, 3);
  EXPECT_EQ(outcome.result.command_tag, "INSERT 0 1");
  EXPECT_THAT(outcome.rows_affected_by_row, testing::ElementsAre(1, 1, 1));
  const Outcome update = RunMany(*pool_, "update t set v = 'x' where id >= $1", {9, 2, 1});
  EXPECT_EQ(update.result.rows_affected, 5);
  EXPECT_EQ(update.result.command_tag, "UPDATE 3");
  EXPECT_THAT(update.rows_affected_by_row, testing::ElementsAre(0, 2, 3));
  const Outcome read = RunMany(*pool_, "select id from t where id = $1", {1, 9, 2});
  EXPECT_EQ(Rows(read), "1;2");
  EXPECT_EQ(read.result.rows_affected, -1);
  EXPECT_EQ(read.result.command_tag, "SELECT 1");
  EXPECT_THAT(read.rows_affected_by_row, testing::ElementsAre(-1, -1, -1));
}

TEST_P(BatchContract, ARowThatFailsIsNamedAndNothingStays) {
  std::vector<int64_t> values(5000);
  std::iota(values.begin(), values.end(), 0);
  values[4321] = 7;
  EXPECT_EQ(Told(RunMany(*pool_, "insert into t (id) values ($1)", values)),
            "error 0 23505row 4321");
  EXPECT_EQ(Ids(), "");
  EXPECT_EQ(Told(RunMany(*pool_, "insert into child values ($1)", {1, 2})), "error 0 23503");
}

TEST_P(BatchContract, NoRowsAreNothing) {
  const Outcome outcome = RunMany(*pool_, "insert into t (id) values ($1)", {});
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.result.rows_affected, 0);
  EXPECT_EQ(Ids(), "");
}

TEST_P(BatchContract, TheLimitsHoldForWhatAllRowsReturnTogether) {
  const std::string two = "select $1 + i from (select 1 as i union all select 2) x order by i";
  const Outcome cut = RunMany(*pool_, two, {10, 20, 30}, {}, {.rows_max = 3, .truncate = true});
  EXPECT_EQ(Rows(cut), "11;12;21");
  EXPECT_TRUE(cut.result.truncated);
  EXPECT_EQ(Told(RunMany(*pool_, two, {10, 20, 30}, {}, {.rows_max = 3})),
            fmt::format("error {} row 1", static_cast<int>(ErrorKind::kResultTooLarge)));
}

TEST_P(BatchContract, TheWrongNumberOfParametersIsRefused) {
  EXPECT_EQ(KindOf(RunMany(*pool_, "insert into t values ($1, $2)", {1})),
            ErrorKind::kInvalidArgument);
  const std::string token = Open(*pool_, "select 1", Begin());
  EXPECT_EQ(KindOf(RunMany(*pool_, "commit", {1}, In(token))), ErrorKind::kInvalidArgument);
}

TEST_P(BatchContract, RowsCanBePartOfATransaction) {
  const Outcome begun = RunMany(*pool_, "insert into t (id) values ($1)", {1, 2}, Begin());
  ASSERT_FALSE(begun.error) << ErrorText(begun);
  const Outcome rest =
      RunMany(*pool_, "insert into t (id) values ($1)", {3, 4}, Commit(In(begun.session)));
  EXPECT_EQ(rest.end_tag, "COMMIT");
  EXPECT_EQ(Ids(), "1;2;3;4");
  const Outcome again = RunMany(*pool_, "insert into t (id) values ($1)", {5}, Begin());
  const Outcome failed =
      RunMany(*pool_, "insert into t (id) values ($1)", {6, 1}, In(again.session));
  EXPECT_EQ(Told(failed), "error 0 23505row 1");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kFailed);
  EXPECT_FALSE(RunEnd(*pool_, again.session, pool::SessionUse::End::kRollback).error);
  EXPECT_EQ(Ids(), "1;2;3;4");
}

TEST_P(BatchContract, ACancelOfManyRowsLeavesNothing) {
  // None of them takes long: it is between them that a cancel comes.
  std::vector<int64_t> values(3'000'000);
  std::iota(values.begin(), values.end(), 0);
  const IntegerRows rows(std::move(values));
  for (const bool by_deadline : {false, true}) {
    TestCall call("insert into t values ($1, 'x')");
    call.rows = &rows;
    if (by_deadline) call.deadline = pool::Clock::now() + milliseconds(100);
    pool_->Start(call);
    if (!by_deadline) {
      std::this_thread::sleep_for(milliseconds(50));
      pool_->Cancel(call);
    }
    const Outcome& outcome = call.Await();
    EXPECT_EQ(KindOf(outcome), by_deadline ? ErrorKind::kDeadline : ErrorKind::kCancelled)
        << ErrorText(outcome);
    call.AwaitDone();
    EXPECT_EQ(Ids(), "");
  }
}

}  // namespace
}  // namespace dbsidecar::contract
