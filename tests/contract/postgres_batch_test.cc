// Several statements in one call on PostgreSQL: batches and their conditions, and one statement for
// many rows.
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <pqxx/pqxx>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/batches.h"
#include "tests/contract/database.h"
#include "tests/support/postgres_server.h"
#include "tests/support/tcp_gate.h"

namespace dbsidecar::contract {
namespace {

using pool::Batch;
using pool::BatchStep;
using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::StepCondition;
using pool::StepOutcome;
using pool::TransactionStatus;
using pool::Value;
using std::chrono::milliseconds;

class PostgresBatch : public PostgresTest {
 protected:
  PostgresBatch() {
    Psql(
        "create table t (id int primary key, v text);"
        "create table parent (id int primary key);"
        "create table child (parent int references parent deferrable initially deferred);"
        "create procedure p() language plpgsql as $$ begin insert into t values (100); end $$");
  }

  std::unique_ptr<RunningPool> NewBatchPool(size_t max = 1) {
    auto pool = NewPool(max);
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }
  static Outcome Run(RunningPool& pool, BatchCall& batch) { return RunBatch(pool, batch); }
  static Outcome Run(RunningPool& pool, std::vector<BatchStep> steps, const SessionUse& use = {},
                     bool atomic = true) {
    return RunBatch(pool, std::move(steps), use, atomic);
  }
  static Outcome RunIn(RunningPool& pool, const std::string& sql, const SessionUse& use) {
    TestCall call(sql);
    call.session = use;
    pool.Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  static SessionUse Use(SessionUse::Kind kind, const std::string& token = "", bool commit = false) {
    SessionUse use;
    use.kind = kind;
    use.token = token;
    use.commit = commit;
    return use;
  }
  static std::string Ids(RunningPool& pool) {
    return pool.Text("select coalesce(string_agg(id::text, ',' order by id), '') from t");
  }
};

TEST_F(PostgresBatch, AnAtomicBatchIsOneTransaction) {
  const auto pool = NewBatchPool();
  const Outcome outcome =
      Run(*pool, {Step("insert into t values ($1, 'a')", {Integer(1)}),
                  Step("insert into t values ($1, 'a')", {Integer(2)}),
                  Step("select count(distinct xmin::text)::text from t"),
                  Step("update t set v = 'b' where id > 5"), Step("select now()::text")});
  EXPECT_TRUE(Told(outcome).starts_with("ok INSERT 0 1; ok INSERT 0 1; ok 1; ok UPDATE 0; ok "))
      << Told(outcome);
  EXPECT_EQ(outcome.steps[3].result.rows_affected, 0);
  EXPECT_EQ(outcome.steps[4].result.rows_affected, -1);
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(outcome.session, "");
  EXPECT_EQ(Ids(*pool), "1,2");
}

TEST_F(PostgresBatch, TheFirstStepThatFailsUndoesAnAtomicBatchAndIsItsError) {
  const auto pool = NewBatchPool();
  const Outcome outcome = Run(*pool, {Step("insert into t values (1)"), Step("select 1 / 0"),
                                      Step("insert into nothing values (1)")});
  EXPECT_EQ(Told(outcome), "error 0 22012step 1");
  EXPECT_FALSE(outcome.error->outcome_unknown);
  EXPECT_EQ(Ids(*pool), "");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresBatch, AFailureBesideStepsThatMayFailUndoesThemAll) {
  const auto pool = NewBatchPool();
  for (int i = 0; i < 2; ++i) {
    // The failing one first and last: before and after it other Syncs were sent.
    EXPECT_EQ(Told(Run(*pool, {MayFail(Step("insert into t values (1)")), Step("select 1 / 0"),
                               MayFail(Step("insert into t values (2)"))})),
              "error 0 22012step 1");
    EXPECT_EQ(Told(Run(*pool, {MayFail(Step("select 1 / 0")), Step("insert into t values (3)"),
                               Step("select nothing")})),
              "error 0 42703step 2");
  }
  EXPECT_EQ(Ids(*pool), "");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresBatch, StepsThatAreIndependentHaveTransactionsOfTheirOwn) {
  const auto pool = NewBatchPool();
  const Outcome outcome = RunIndependent(
      *pool,
      {Step("insert into t values (1)"), Step("insert into t values (1)"),
       Step("insert into child values (7)"), Step("select 1 / 0"), Step("insert into t values (2)"),
       Step("select count(distinct xmin::text)::text from t"), Step("vacuum t")});
  EXPECT_EQ(Told(outcome),
            "ok INSERT 0 1; failed 23505; failed 23503; failed 22012; ok INSERT 0 1; ok 2; "
            "ok VACUUM");
  EXPECT_EQ(Ids(*pool), "1,2");
}

TEST_F(PostgresBatch, NoticesBelongToTheirStep) {
  const auto pool = NewBatchPool();
  const Outcome outcome = Run(*pool, {Step("drop table if exists one_that_is_not"),
                                      Step("select 1"), Step("drop table if exists another")});
  ASSERT_EQ(outcome.steps.size(), 3u);
  ASSERT_EQ(outcome.steps[0].notices.size(), 1u);
  EXPECT_THAT(outcome.steps[0].notices[0].message, testing::HasSubstr("one_that_is_not"));
  EXPECT_EQ(outcome.steps[1].notices.size(), 0u);
  EXPECT_EQ(outcome.steps[2].notices.size(), 1u);
}

TEST_F(PostgresBatch, ReadOnlyIsEnforced) {
  Psql(
      "create function writes() returns int language sql as 'insert into t values (9) returning "
      "id'");
  const auto pool = NewBatchPool();
  for (const bool atomic : {true, false}) {
    BatchCall batch({Step("select 1"), Step("select writes()")}, atomic);
    batch.call.statement.read_only = true;
    EXPECT_EQ(Told(Run(*pool, batch)), atomic ? "error 0 25006step 1" : "ok 1; failed 25006");
  }
  EXPECT_EQ(Ids(*pool), "");
  EXPECT_EQ(Told(Run(*pool, {Step("select writes()")})), "ok 9");
}

TEST_F(PostgresBatch, SettingsAreThoseOfTheBatchAlone) {
  const auto pool = NewBatchPool();
  const std::string before = pool->Text("show TimeZone");
  for (const bool atomic : {true, false}) {
    BatchCall batch({Step("show TimeZone"), MayFail(Step("select 1 / 0")), Step("show TimeZone")},
                    atomic);
    batch.call.statement.settings.time_zone = "Asia/Tokyo";
    EXPECT_EQ(Told(Run(*pool, batch)), "ok Asia/Tokyo; failed 22012; ok Asia/Tokyo");
    EXPECT_EQ(pool->Text("show TimeZone"), before);
    BatchCall wrong({Step("insert into t values (1)")}, atomic);
    wrong.call.statement.settings.time_zone = "Mars/Olympus";
    EXPECT_EQ(Told(Run(*pool, wrong)), atomic ? "error 0 22023" : "failed 22023");
    // They have to be there before the first step of a pinned session.
    BatchCall pins({Step("show TimeZone"), Step("show TimeZone")}, atomic);
    pins.call.statement.settings.time_zone = "Asia/Tokyo";
    pins.call.session = Use(SessionUse::Kind::kPin);
    const Outcome pinned = Run(*pool, pins);
    EXPECT_EQ(Told(pinned), "ok Asia/Tokyo; ok Asia/Tokyo");
    EXPECT_EQ(Rows(RunIn(*pool, "show TimeZone", Use(SessionUse::Kind::kContinue, pinned.session))),
              "Asia/Tokyo");
    EXPECT_FALSE(RunIn(*pool, "", Use(SessionUse::Kind::kEnd, pinned.session)).error);
    BatchCall failing({Step("insert into t values (1)")}, atomic);
    failing.call.statement.settings.time_zone = "Mars/Olympus";
    failing.call.session = Use(SessionUse::Kind::kPin);
    EXPECT_EQ(Told(Run(*pool, failing)), "error 0 22023");
    EXPECT_EQ(pool->Text("show TimeZone"), before);
  }
  EXPECT_EQ(Ids(*pool), "");
}

TEST_F(PostgresBatch, InsideATransactionNothingIsIndependent) {
  const auto pool = NewBatchPool();
  EXPECT_EQ(KindOf(RunIndependent(*pool, {Step("select 1")}, Use(SessionUse::Kind::kBegin))),
            ErrorKind::kInvalidArgument);
  const Outcome begun = RunIn(*pool, "insert into t values (1)", Use(SessionUse::Kind::kBegin));
  const Outcome refused =
      RunIndependent(*pool, {Step("select 1")}, Use(SessionUse::Kind::kContinue, begun.session));
  EXPECT_EQ(KindOf(refused), ErrorKind::kInvalidArgument);
  // Nothing was sent: the transaction goes on.
  EXPECT_FALSE(
      RunIn(*pool, "select 1", Use(SessionUse::Kind::kContinue, begun.session, true)).error);
  EXPECT_EQ(Ids(*pool), "1");
  const Outcome pinned = RunIndependent(*pool,
                                        {Step("create temp table x (id int)"), Step("select 1 / 0"),
                                         Step("insert into x values (1)")},
                                        Use(SessionUse::Kind::kPin));
  EXPECT_EQ(Told(pinned), "ok CREATE TABLE; failed 22012; ok INSERT 0 1");
  EXPECT_EQ(Told(RunIndependent(*pool, {Step("select id from x")},
                                Use(SessionUse::Kind::kContinue, pinned.session))),
            "ok 1");
}

TEST_F(PostgresBatch, WhatCannotBeAStepIsRefusedBeforeAnythingRuns) {
  const auto pool = NewBatchPool();
  const auto refusal = [&](std::string_view sql, const SessionUse& use = {}) {
    const Outcome outcome = Run(*pool, {Step("insert into t values (1)"), Step(sql)}, use);
    const pool::ErrorPlace place =
        outcome.error ? outcome.error->place.value_or(pool::ErrorPlace{}) : pool::ErrorPlace{};
    EXPECT_EQ(place.part, "step") << sql;
    EXPECT_EQ(place.index, 1u) << sql;
    return KindOf(outcome);
  };
  for (const std::string_view sql : {"begin", "commit", "savepoint s", "rollback to s"}) {
    EXPECT_EQ(refusal(sql), ErrorKind::kInvalidArgument) << sql;
    EXPECT_EQ(refusal(sql, Use(SessionUse::Kind::kBegin)), ErrorKind::kInvalidArgument) << sql;
  }
  EXPECT_EQ(refusal("set timezone = 'UTC'"), ErrorKind::kNeedsSession);
  EXPECT_EQ(refusal("select 1; select 2"), ErrorKind::kInvalidArgument);
  EXPECT_EQ(refusal("select $1::int"), ErrorKind::kInvalidArgument);
  EXPECT_EQ(refusal("copy t to stdout"), ErrorKind::kUnsupported);
  EXPECT_EQ(Ids(*pool), "");
}

TEST_F(PostgresBatch, WhatMayCommitByItselfStaysInTheTransactionOfAnAtomicBatch) {
  const auto pool = NewBatchPool();
  EXPECT_EQ(Told(Run(*pool, {Step("call p()"), Step("select 1 / 0")})), "error 0 22012step 1");
  EXPECT_EQ(Told(Run(*pool, {Step("vacuum t"), Step("select 1")})), "error 0 25001step 0");
  EXPECT_EQ(Told(Run(*pool, {Step("do $$ begin insert into t values (8); commit; end $$")})),
            "error 0 2D000step 0");
  EXPECT_EQ(Ids(*pool), "");
  EXPECT_EQ(Told(Run(*pool, {Step("call p()"), Step("select 'done'")})), "ok CALL; ok done");
  EXPECT_EQ(Ids(*pool), "100");
}

TEST_F(PostgresBatch, ACancelUndoesAnAtomicBatch) {
  const auto pool = NewBatchPool();
  for (const bool waits : {false, true}) {
    std::vector<BatchStep> steps = {Step("insert into t values (1)"), Step("select pg_sleep(60)")};
    // Not sent yet when the cancel comes.
    steps.push_back(
        waits ? IfRows(1, StepCondition::Comparison::kEqual, 1, Step("insert into t values (2)"))
              : Step("insert into t values (2)"));
    BatchCall batch(steps);
    pool->Start(batch.call);
    ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
    const auto cancelled = pool::Clock::now();
    pool->Cancel(batch.call);
    const Outcome& outcome = batch.call.Await();
    EXPECT_EQ(KindOf(outcome), ErrorKind::kCancelled) << Told(outcome);
    EXPECT_FALSE(outcome.error->outcome_unknown);
    EXPECT_LE(pool::Clock::now() - cancelled, kLateness);
    batch.call.AwaitDone();
    EXPECT_EQ(Ids(*pool), "");
  }
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresBatch, ADeadlineEndsABatchAndTellsWhatBecameOfEachStep) {
  const auto pool = NewBatchPool();
  BatchCall batch({Step("insert into t values (1)"), Step("select pg_sleep(60)"),
                   If(1, StepOutcome::kFailed, Step("insert into t values (2)"))},
                  false);
  batch.call.deadline = pool::Clock::now() + milliseconds(200);
  const Outcome outcome = Run(*pool, batch);
  EXPECT_LE(batch.call.took(), milliseconds(200) + kLateness);
  ASSERT_EQ(outcome.steps.size(), 3u) << Told(outcome);
  EXPECT_EQ(outcome.steps[0].outcome, StepOutcome::kOk);
  EXPECT_EQ(outcome.steps[1].error->kind, ErrorKind::kDeadline);
  EXPECT_EQ(outcome.steps[2].error->kind, ErrorKind::kDeadline);
  EXPECT_EQ(Ids(*pool), "1");
}

TEST_F(PostgresBatch, WhenItsConnectionIsLostAnAtomicBatchIsUndoneOrUnknown) {
  const auto pool = NewBatchPool();
  BatchCall batch({Step("insert into t values (1)"), Step("select pg_sleep(60)")});
  pool->Start(batch.call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  EXPECT_GE(TerminateAll(), 1);
  const Outcome& outcome = batch.call.Await();
  // The server's last word came in a step, so the commit did not happen.
  ASSERT_TRUE(outcome.error);
  EXPECT_FALSE(outcome.error->outcome_unknown) << ErrorText(outcome);
  batch.call.AwaitDone();
  EXPECT_EQ(Psql("select count(*) from t"), "0");
}

TEST_F(PostgresBatch, WhenItsConnectionIsLostAnIndependentBatchTellsWhatIsKnown) {
  const auto pool = NewBatchPool();
  BatchCall batch({Step("insert into t values (1)"), Step("select pg_sleep(60)"),
                   If(1, StepOutcome::kOk, Step("insert into t values (2)"))},
                  false);
  pool->Start(batch.call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  EXPECT_GE(TerminateAll(), 1);
  const Outcome& outcome = batch.call.Await();
  ASSERT_EQ(outcome.steps.size(), 3u) << Told(outcome);
  EXPECT_EQ(outcome.steps[0].outcome, StepOutcome::kOk);
  EXPECT_EQ(outcome.steps[1].outcome, StepOutcome::kFailed);
  EXPECT_EQ(outcome.steps[2].error->kind, ErrorKind::kConnectionLost);
  EXPECT_FALSE(outcome.steps[2].error->outcome_unknown);
  batch.call.AwaitDone();
  EXPECT_EQ(Psql("select count(*) from t"), "1");
}

// The network fails, so the server goes on and commits.
TEST_F(PostgresBatch, WhatTheServerMayHaveCommittedIsUnknown) {
  Psql("grant all on t to app");
  for (const bool atomic : {true, false}) {
    Psql("truncate t");
    test_support::TcpGate gate(test_support::PostgresServer::Shared().port());
    config_.url = test_support::PostgresServer::Shared().TcpUrl(
        database_, test_support::PostgresServer::kPassword, gate.port());
    const auto pool = NewBatchPool();
    BatchCall batch(
        {Step("insert into t values (1)"), Step("insert into t select 2 from pg_sleep(0.3)"),
         If(1, StepOutcome::kOk, Step("insert into t values (3)"))},
        atomic);
    BatchCall sent_as_a_whole(
        {Step("insert into t values (1)"), Step("insert into t select 2 from pg_sleep(0.3)")},
        atomic);
    BatchCall& running = atomic ? sent_as_a_whole : batch;
    pool->Start(running.call);
    ASSERT_TRUE(AwaitRunning("pg_sleep"));
    gate.Cut();
    const Outcome& outcome = running.call.Await();
    if (atomic) {
      ASSERT_TRUE(outcome.error);
      EXPECT_EQ(outcome.error->kind, ErrorKind::kConnectionLost);
      EXPECT_TRUE(outcome.error->outcome_unknown) << ErrorText(outcome);
    } else {
      ASSERT_EQ(outcome.steps.size(), 3u) << Told(outcome);
      EXPECT_EQ(outcome.steps[0].outcome, StepOutcome::kOk);
      EXPECT_TRUE(outcome.steps[1].error->outcome_unknown);
      EXPECT_FALSE(outcome.steps[2].error->outcome_unknown);
    }
    running.call.AwaitDone();
    const pool::Instant end = pool::Clock::now() + kPatience;
    while (Psql("select count(*) from t") != "2" && pool::Clock::now() < end) {
    }
    EXPECT_EQ(Psql("select count(*) from t"), "2");
  }
}

// An atomic batch that still waits has sent no commit, so nothing can be unknown.
TEST_F(PostgresBatch, WhatWasNotSentToItsEndIsUndone) {
  Psql("grant all on t to app");
  test_support::TcpGate gate(test_support::PostgresServer::Shared().port());
  config_.url = test_support::PostgresServer::Shared().TcpUrl(
      database_, test_support::PostgresServer::kPassword, gate.port());
  const auto pool = NewBatchPool();
  BatchCall batch({Step("insert into t values (1)"),
                   Step("insert into t select 2 from pg_sleep(0.3)"),
                   If(1, StepOutcome::kOk, Step("insert into t values (3)"))});
  pool->Start(batch.call);
  ASSERT_TRUE(AwaitRunning("pg_sleep"));
  gate.Cut();
  const Outcome& outcome = batch.call.Await();
  EXPECT_EQ(KindOf(outcome), ErrorKind::kConnectionLost) << Told(outcome);
  EXPECT_FALSE(outcome.error->outcome_unknown) << ErrorText(outcome);
  batch.call.AwaitDone();
  const pool::Instant end = pool::Clock::now() + kPatience;
  while (test_support::PostgresServer::Shared().RunningStatements(database_, "pg_sleep") > 0 &&
         pool::Clock::now() < end) {
  }
  EXPECT_EQ(Psql("select count(*) from t"), "0");
}

// Random batches, beside the same steps one by one through libpqxx.
class BatchReference {
 public:
  explicit BatchReference(const std::string& url) : connection_(url) {}

  // As Told.
  std::string Run(const std::vector<BatchStep>& steps, bool atomic) {
    std::string told;
    try {
      pqxx::work whole(connection_);
      for (size_t i = 0; i < steps.size(); ++i) {
        if (!told.empty()) told += "; ";
        if (atomic && !steps[i].may_fail) {
          told += Tag(whole, steps[i]);
          continue;
        }
        if (!atomic && i > 0) whole.exec("commit; begin");
        try {
          pqxx::subtransaction part(whole);
          const std::string tag = Tag(part, steps[i]);
          part.commit();
          told += tag;
        } catch (const pqxx::sql_error& error) {
          told += "failed " + error.sqlstate();
        }
      }
      whole.commit();
    } catch (const pqxx::sql_error& error) {
      return "error " + error.sqlstate();
    }
    return told;
  }

 private:
  static std::string Tag(pqxx::dbtransaction& transaction, const BatchStep& step) {
    const pqxx::result result = transaction.exec(std::string(step.statement.sql));
    return result.columns() == 0 ? fmt::format("rows {}", result.affected_rows())
                                 : fmt::format("ok {}", result[0][0].c_str());
  }

  pqxx::connection connection_;
};

std::string ToldAsReference(const Outcome& outcome) {
  if (outcome.error) return "error " + outcome.error->sql.sqlstate;
  std::string text;
  for (const pool::StepResult& step : outcome.steps) {
    if (!text.empty()) text += "; ";
    if (step.error) {
      text += "failed " + step.error->sql.sqlstate;
    } else if (step.result.columns.empty()) {
      text += fmt::format("rows {}", step.result.rows_affected);
    } else {
      text += "ok " + CellText(step.result, 0, 0);
    }
  }
  return text;
}

TEST_F(PostgresBatch, RandomBatchesDoWhatTheirStepsDoThroughLibpqxx) {
  const char* const given = std::getenv("DBSIDECAR_TEST_SEED");
  const auto seed =
      given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  SCOPED_TRACE(fmt::format("DBSIDECAR_TEST_SEED={}", seed));
  std::mt19937 random(seed);
  const auto below = [&](unsigned end) { return random() % end; };
  const std::string other = test_support::PostgresServer::Shared().CreateDatabase("reference");
  test_support::PostgresServer::Shared().Psql("create table t (id int primary key, v text)", other);
  BatchReference reference(test_support::PostgresServer::Shared().Url(other));
  const auto pool = NewBatchPool();
  int failed = 0;
  for (int round = 0; round < 150; ++round) {
    const bool atomic = below(3) > 0;
    std::vector<std::string> texts;
    std::vector<BatchStep> steps;
    const unsigned count = 1 + below(8);
    texts.reserve(count);
    for (unsigned i = 0; i < count; ++i) {
      switch (below(6)) {
        case 0:
          texts.push_back("select 1 / 0");
          break;
        case 1:
          texts.push_back(fmt::format("delete from t where id % 3 = {}", below(3)));
          break;
        case 2:
          texts.emplace_back("select count(*) from t");
          break;
        default:
          texts.push_back(fmt::format("insert into t values ({})", below(30)));
          break;
      }
      steps.push_back(Step(texts.back()));
      steps.back().may_fail = below(2) == 0;
    }
    const std::string told = ToldAsReference(Run(*pool, steps, {}, atomic));
    ASSERT_EQ(told, reference.Run(steps, atomic)) << "round " << round << " atomic " << atomic;
    failed += told.starts_with("error") ? 1 : 0;
    const std::string all = "select coalesce(string_agg(id::text, ',' order by id), '') from t";
    ASSERT_EQ(Psql(all), test_support::PostgresServer::Shared().Psql(all, other)) << round;
  }
  EXPECT_GT(failed, 5);
  EXPECT_LT(failed, 145);
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresBatch, AnIdempotentBatchIsRunAgainWhenItsConnectionIsLost) {
  const auto pool = NewBatchPool();
  BatchCall batch({Step("insert into t values (1) on conflict do nothing"),
                   Step("select pg_sleep(1)"), Step("select 'ran'")});
  batch.call.statement.idempotent = true;
  batch.Settle();
  pool->Start(batch.call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(1)"));
  EXPECT_GE(TerminateAll(), 1);
  EXPECT_EQ(Told(batch.call.Await()), "ok INSERT 0 1; ok ; ok ran");
  batch.call.AwaitDone();
  EXPECT_EQ(Ids(*pool), "1");
}

TEST_F(PostgresBatch, ItsConnectionIsResetWhenAStepMayHaveLeftSomething) {
  Psql(
      "create function sets() returns int language sql as "
      "'select 1 from set_config(''timezone'', ''Asia/Tokyo'', false)'");
  const auto pool = NewBatchPool();
  const std::string before = pool->Text("show TimeZone");
  EXPECT_EQ(Told(Run(*pool, {Step("select 1"), Step("select sets()"), Step("show TimeZone")})),
            "ok 1; ok 1; ok Asia/Tokyo");
  EXPECT_EQ(pool->Text("show TimeZone"), before);
}

// --- One statement, many rows. ---

using PostgresMany = PostgresBatch;

TEST_F(PostgresMany, TheStatementRunsForEachRowInOneTransaction) {
  const auto pool = NewBatchPool();
  const Outcome outcome = RunMany(*pool, "insert into t values ($1) returning id * 10", {3, 1, 2});
  EXPECT_EQ(Rows(outcome), "30;10;20");
  EXPECT_EQ(outcome.result.rows_affected, 3);
  EXPECT_EQ(outcome.result.command_tag, "INSERT 0 1");
  EXPECT_THAT(outcome.rows_affected_by_row, testing::ElementsAre(1, 1, 1));
  EXPECT_EQ(pool->Text("select count(distinct xmin::text)::text from t"), "1");
  const Outcome update = RunMany(*pool, "update t set v = 'x' where id >= $1", {9, 2, 1});
  EXPECT_EQ(update.result.rows_affected, 5);
  EXPECT_THAT(update.rows_affected_by_row, testing::ElementsAre(0, 2, 3));
  const Outcome read = RunMany(*pool, "select id from t where id = $1", {1, 9, 2});
  EXPECT_EQ(Rows(read), "1;2");
  EXPECT_EQ(read.result.rows_affected, -1);
  EXPECT_THAT(read.rows_affected_by_row, testing::ElementsAre(-1, -1, -1));
}

TEST_F(PostgresMany, TheLimitsHoldForWhatAllRowsReturnTogether) {
  const auto pool = NewBatchPool();
  const auto run = [&](const std::string& sql, pool::ResultLimits limits) {
    const IntegerRows rows({1, 2, 3, 4, 5, 6});
    TestCall call(sql);
    call.rows = &rows;
    call.statement.limits = limits;
    pool->Submit(call);
    call.AwaitDone();
    return call.Await();
  };
  const Outcome cut =
      run("select $1::int, generate_series(1, 2)", {.rows_max = 3, .truncate = true});
  EXPECT_EQ(Rows(cut), "1,1;1,2;2,1");
  EXPECT_TRUE(cut.result.truncated);
  EXPECT_EQ(Told(run("select $1::int, generate_series(1, 2)", {.rows_max = 3})),
            fmt::format("error {} row 1", static_cast<int>(ErrorKind::kResultTooLarge)));
  const std::string wide = "insert into t values ($1, repeat('x', 400)) returning v";
  const Outcome large = run(wide, {.bytes_max = 1000});
  EXPECT_EQ(Told(large),
            fmt::format("error {} row 2", static_cast<int>(ErrorKind::kResultTooLarge)));
  EXPECT_THAT(large.error->message, testing::HasSubstr("took effect"));
  EXPECT_EQ(Ids(*pool), "1,2,3,4,5,6");
}

TEST_F(PostgresMany, ACancelLeavesNothing) {
  const auto pool = NewBatchPool();
  std::vector<int64_t> values(100'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i);
  const IntegerRows rows(std::move(values));
  TestCall call("insert into t select $1 from pg_sleep(0.01)");
  call.rows = &rows;
  pool->Start(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(0.01)"));
  pool->Cancel(call);
  const Outcome outcome = call.Await();
  EXPECT_EQ(KindOf(outcome), ErrorKind::kCancelled) << ErrorText(outcome);
  EXPECT_FALSE(outcome.error->outcome_unknown);
  call.AwaitDone();
  EXPECT_EQ(Ids(*pool), "");
}

}  // namespace
}  // namespace dbsidecar::contract
