// What the pool promises to every caller, whatever the driver: one answer, in time, and a
// connection that is fit for the next call.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::PoolOptions;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

using CallContract = DatabaseTest;
INSTANTIATE_TEST_SUITE_P(, CallContract,
                         testing::Values(Database::kFake, Database::kSqliteFile,
                                         Database::kSqliteMemory, Database::kPostgres),
                         NameOf);

TEST_P(CallContract, EveryCallIsAnsweredOnceAndThenDoneOnce) {
  const auto pool = NewPool(4);
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 200; ++i) {
    calls.push_back(std::make_unique<TestCall>(fmt::format("select {}", i % 7)));
    pool->Submit(*calls.back());
  }
  for (int i = 0; i < 200; ++i) {
    calls[i]->AwaitDone();
    EXPECT_EQ(calls[i]->AwaitText(), fmt::format("{}", i % 7));
    EXPECT_EQ(calls[i]->answers(), 1);
  }
  const pool::PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.statements, 200u);
  EXPECT_EQ(stats.errors, 0u);
}

TEST_P(CallContract, ALongStatementIsAnsweredAtItsDeadlineAndItsConnectionServesTheNext) {
  const auto pool = NewPool(1);
  EXPECT_EQ(pool->Text("select 1"), "1");
  for (int i = 0; i < 5; ++i) {
    TestCall call(LongStatement());
    call.deadline = pool::Clock::now() + milliseconds(150);
    pool->Submit(call);
    EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline) << call.AwaitText();
    EXPECT_GE(call.took(), milliseconds(149));
    EXPECT_LE(call.took(), milliseconds(150) + kLateness);
    EXPECT_EQ(pool->Text(fmt::format("select {}", i)), fmt::format("{}", i));
  }
  EXPECT_EQ(pool->Stats().counters.opened, 1u) << "the connection was not kept";
}

TEST_P(CallContract, TheQueryTimeoutEndsACallThatHasNoDeadline) {
  PoolOptions options = TestOptions(1);
  options.query_timeout = milliseconds(150);
  const auto pool = NewPool(options);
  TestCall call(LongStatement());
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline) << call.AwaitText();
  EXPECT_LE(call.took(), milliseconds(150) + kLateness);
}

TEST_P(CallContract, ACallCanBringAStatementTimeout) {
  const auto pool = NewPool(1);
  EXPECT_EQ(pool->Text("select 4"), "4");
  TestCall call(LongStatement());
  call.statement.settings.statement_timeout = milliseconds(100);
  pool->Submit(call);
  // PostgreSQL itself, or the pool.
  const auto kind = KindOf(call.Await());
  EXPECT_TRUE(kind == ErrorKind::kDeadline || SqlState(call.Await()) == "57014")
      << call.AwaitText();
  EXPECT_LE(call.took(), milliseconds(100) + kLateness);
  call.AwaitDone();
  EXPECT_EQ(pool->Text("select 5"), "5");
}

TEST_P(CallContract, ASettingThatTheDatabaseDoesNotHaveIsRefused) {
  const auto pool = NewPool(1);
  TestCall call("select 1");
  call.statement.settings.time_zone = "UTC";
  pool->Submit(call);
  if (GetParam() == Database::kPostgres) {
    EXPECT_FALSE(call.Await().error) << call.AwaitText();
  } else {
    EXPECT_EQ(KindOf(call.Await()), ErrorKind::kUnsupported) << call.AwaitText();
  }
  call.AwaitDone();
}

TEST_P(CallContract, ADeadlineThatHasPassedIsAnsweredWithoutRunningTheStatement) {
  const auto pool = NewPool(1);
  EXPECT_EQ(pool->Text("select 1"), "1");
  TestCall call("select 2");
  call.deadline = pool::Clock::now() - seconds(1);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline) << call.AwaitText();
  EXPECT_FALSE(call.Await().error->outcome_unknown);
}

TEST_P(CallContract, ACancelledStatementIsAnsweredPromptlyAndItsConnectionServesTheNext) {
  const auto pool = NewPool(1);
  TestCall call(LongStatement());
  pool->Start(call);
  const pool::Instant cancelled = pool::Clock::now();
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled) << call.AwaitText();
  EXPECT_LE(pool::Clock::now() - cancelled, kLateness);
  EXPECT_EQ(pool->Text("select 5"), "5");
  EXPECT_EQ(pool->Stats().counters.opened, 1u) << "the connection was not kept";
}

TEST_P(CallContract, ACancelNeverHitsTheNextStatement) {
  const auto pool = NewPool(1);
  for (int i = 0; i < 200; ++i) {
    TestCall hit(LongStatement());
    pool->Start(hit);
    TestCall next(fmt::format("select {}", i));
    pool->Cancel(hit);
    pool->Submit(next);
    ASSERT_EQ(next.AwaitText(), fmt::format("{}", i));
    ASSERT_EQ(KindOf(hit.Await()), ErrorKind::kCancelled) << hit.AwaitText();
  }
  EXPECT_EQ(pool->Stats().counters.opened, 1u) << "a connection was given up";
}

TEST_P(CallContract, ACallCancelledWhileItWaitsNeverReachesTheDatabase) {
  const auto pool = NewPool(1);
  TestCall holder(LongStatement());
  TestCall waiter("select 1");
  pool->Start(holder);
  pool->Submit(waiter);
  pool->Cancel(waiter);
  EXPECT_EQ(KindOf(waiter.Await()), ErrorKind::kCancelled);
  EXPECT_THAT(waiter.AwaitText(), HasSubstr("nothing was sent to the database"));
  EXPECT_FALSE(waiter.Await().error->outcome_unknown);
  EXPECT_FALSE(holder.answered());
  // SQLite's connections have a queue of their own, out of which it was taken.
  const bool queues = GetParam() == Database::kSqliteFile || GetParam() == Database::kSqliteMemory;
  EXPECT_EQ(pool->Stats().counters.granted, queues ? 2u : 1u);
}

TEST_P(CallContract, WaitingBeyondTheWaitTimeoutIsAnsweredInTimeWithTheDiagnosis) {
  PoolOptions options = TestOptions(1);
  options.core.wait_timeout = milliseconds(200);
  const auto pool = NewPool(options);
  EXPECT_EQ(pool->Text("select 1"), "1");
  TestCall holder(LongStatement());
  holder.caller = "reports";
  TestCall waiter("select 2");
  pool->Start(holder);
  pool->Submit(waiter);
  EXPECT_EQ(KindOf(waiter.Await()), ErrorKind::kWaitTimeout);
  EXPECT_GE(waiter.took(), milliseconds(199));
  EXPECT_LE(waiter.took(), milliseconds(200) + kLateness);
  EXPECT_THAT(waiter.AwaitText(),
              HasSubstr("no connection within 0.2 s (pool \"orders\": 1 of 1 leased, 0 connecting, "
                        "1 waiting; oldest lease "));
  EXPECT_THAT(waiter.AwaitText(), HasSubstr("caller \"reports\""));
}

TEST_P(CallContract, AFullQueueRefusesTheNextCallAtOnce) {
  PoolOptions options = TestOptions(1);
  options.core.waiters_max = 2;
  const auto pool = NewPool(options);
  EXPECT_EQ(pool->Text("select 1"), "1");
  TestCall holder(LongStatement());
  TestCall first("select 1");
  TestCall second("select 2");
  TestCall third("select 3");
  pool->Start(holder);
  pool->Submit(first);
  pool->Submit(second);
  pool->Submit(third);
  EXPECT_EQ(KindOf(third.Await()), ErrorKind::kQueueFull) << third.AwaitText();
  EXPECT_THAT(third.AwaitText(), HasSubstr("1 of 1 leased"));
  EXPECT_FALSE(first.answered());
  pool->Cancel(holder);
  EXPECT_EQ(first.AwaitText(), "1");
  EXPECT_EQ(second.AwaitText(), "2");
}

TEST_P(CallContract, WaitersAreServedInTheOrderInWhichTheyCame) {
  const auto pool = NewPool(1);
  TestCall holder(LongStatement());
  pool->Start(holder);
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(std::make_unique<TestCall>(fmt::format("select {}", i)));
    pool->Submit(*calls.back());
  }
  pool->Cancel(holder);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(calls[i]->AwaitText(), fmt::format("{}", i));
  for (int i = 1; i < 10; ++i) EXPECT_LT(calls[i - 1]->answered_as(), calls[i]->answered_as());
}

TEST_P(CallContract, ADrainFinishesAcceptedCallsRefusesNewOnesAndLeavesNothing) {
  const auto pool = NewPool(1);
  TestCall running(LongStatement());
  TestCall waiting("select 3");
  pool->Start(running);
  pool->Submit(waiting);
  pool->Do([&] { pool->pool().Drain(); });
  TestCall late("select 4");
  pool->Submit(late);
  EXPECT_EQ(KindOf(late.Await()), ErrorKind::kDraining) << late.AwaitText();
  EXPECT_FALSE(running.answered());
  EXPECT_FALSE(waiting.answered());
  pool->Cancel(running);
  EXPECT_EQ(waiting.AwaitText(), "3");
  EXPECT_TRUE(pool->Becomes([&] { return pool->pool().empty(); }));
  EXPECT_EQ(pool->Stats().total, 0u);
}

TEST_P(CallContract, CancelAllAnswersWhatRunsAndWhatWaits) {
  const auto pool = NewPool(1);
  TestCall running(LongStatement());
  TestCall waiting("select 3");
  pool->Start(running);
  pool->Submit(waiting);
  EXPECT_TRUE(pool->Becomes([&] { return pool->pool().Stats().waiting == 1; }));
  pool->Do([&] {
    pool->pool().Drain();
    pool->pool().CancelAll();
  });
  EXPECT_EQ(KindOf(waiting.Await()), ErrorKind::kDraining) << waiting.AwaitText();
  EXPECT_EQ(KindOf(running.Await()), ErrorKind::kDeadline) << running.AwaitText();
  EXPECT_THAT(running.AwaitText(), HasSubstr("the sidecar stopped"));
  EXPECT_TRUE(pool->Becomes([&] { return pool->pool().empty(); }));
}

TEST_P(CallContract, CancellingACallThatIsAnsweredDoesNothing) {
  const auto pool = NewPool(1);
  TestCall call("select 1");
  pool->Submit(call);
  call.AwaitDone();
  pool->Cancel(call);
  EXPECT_EQ(pool->Text("select 2"), "2");
  EXPECT_EQ(call.AwaitText(), "1");
}

TEST_P(CallContract, TheHealthCheckPingsAnIdleConnection) {
  // PostgreSQL is asked for its facts too, which takes a place of its own.
  PoolOptions options = TestOptions(GetParam() == Database::kPostgres ? 2 : 1);
  options.core.min = 1;
  options.health_check_interval = milliseconds(20);
  const auto pool = NewPool(options);
  EXPECT_EQ(pool->Text("select 1"), "1");
  const pool::Instant answered = pool::Clock::now();
  // The database is heard of later than that, although nobody calls.
  EXPECT_TRUE(pool->Becomes([&] {
    const pool::PoolStats stats = pool->pool().Stats();
    return *stats.last_success_age + milliseconds(1) < pool::Clock::now() - answered;
  }));
  EXPECT_EQ(pool->Text("select 2"), "2");
  EXPECT_TRUE(pool->Stats().database_up);
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_P(CallContract, AnIdleConnectionOverTheMinimumRetiresAfterTheIdleTimeout) {
  PoolOptions options = TestOptions(4);
  options.core.min = 0;
  options.core.idle_timeout = milliseconds(50);
  const auto pool = NewPool(options);
  EXPECT_EQ(pool->Text("select 1"), "1");
  // SQLite's database in memory lives on its one connection, whatever `min` says.
  const size_t left = GetParam() == Database::kSqliteMemory ? 1 : 0;
  EXPECT_TRUE(pool->Becomes([&] { return pool->pool().Stats().total == left; }));
  EXPECT_EQ(pool->Text("select 2"), "2");
}

}  // namespace
}  // namespace dbsidecar::contract
