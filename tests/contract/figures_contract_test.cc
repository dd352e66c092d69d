// What the pool counts by statement, by caller and by lane, and what it tells of slow statements.
#include <fmt/format.h>

#include <string>

#include "gmock/gmock.h"
#include "tests/contract/batches.h"
#include "tests/contract/database.h"
#include "tests/contract/sessions.h"
#include "tests/contract/test_sink.h"

namespace dbsidecar::contract {
namespace {

using pool::StatementCounts;
using std::chrono::hours;
using std::chrono::nanoseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class FiguresContract : public DatabaseTest {
 protected:
  static pool::PoolOptions Counting(size_t max = 2) {
    pool::PoolOptions options = SessionOptions(max, {}, {});
    options.statements_max = 100;
    options.callers_max = 10;
    options.keeps_statement_texts = true;
    return options;
  }
  static pool::StatementsReport Report(RunningPool& pool) {
    pool::StatementsReport report;
    pool.Do([&] { report = pool.pool().ReportStatements(); });
    return report;
  }
  // Of the statement whose text, without constants, is this.
  static StatementCounts CountsOf(RunningPool& pool, const std::string& text) {
    for (const pool::StatementFigures& statement : Report(pool).statements) {
      if (statement.text == text) return statement.counts;
    }
    return {};
  }
  std::string Constant(int number = 1) const {
    return IsPostgres() ? fmt::format("${}", number) : "?";
  }
};

INSTANTIATE_TEST_SUITE_P(, FiguresContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

TEST_P(FiguresContract, StatementsThatDifferInConstantsAreCountedTogether) {
  const auto pool = NewPool(Counting());
  pool->Must("create table t (id int primary key)");
  for (int i = 0; i < 3; ++i) pool->Must(fmt::format("insert into t values ({})", i));
  EXPECT_NE(pool->Text("insert into t values (1)"), "") << "is there already";
  pool->Must("insert into t select id + 10 from t where id < 2");
  for (int i = 0; i < 10; ++i) pool->Must("select id from t order by id");
  const StatementCounts inserts =
      CountsOf(*pool, fmt::format("insert into t values ({})", Constant()));
  EXPECT_EQ(inserts.calls, 4u);
  EXPECT_EQ(inserts.failed, 1u);
  EXPECT_EQ(inserts.rows, 3u);
  EXPECT_EQ(inserts.execute.count(), 4u);
  const StatementCounts selects = CountsOf(*pool, "select id from t order by id");
  EXPECT_EQ(selects.calls, 10u);
  EXPECT_EQ(selects.rows, 50u);
  EXPECT_GT(selects.execute.sum_seconds(), 0);
}

TEST_P(FiguresContract, InSessionsAndStreamsToo) {
  const auto pool = NewPool(Counting());
  pool->Must("create table t (id int)");
  TestCall begin("insert into t values (1)");
  begin.session.kind = pool::SessionUse::Kind::kBegin;
  pool->Submit(begin);
  TestCall second("insert into t values (2)");
  second.session.kind = pool::SessionUse::Kind::kContinue;
  const std::string token = begin.Await().session;
  second.session.token = token;
  second.session.commit = true;
  pool->Submit(second);
  EXPECT_EQ(KindOf(second.Await()), std::nullopt);
  const StatementCounts inserts =
      CountsOf(*pool, fmt::format("insert into t values ({})", Constant()));
  EXPECT_EQ(inserts.calls, 2u);
  EXPECT_EQ(inserts.rows, 2u);
  TestSink sink;
  TestCall stream("select id from t order by id");
  stream.sink = &sink;
  stream.part_limits.rows_max = 1;
  pool->Submit(stream);
  EXPECT_EQ(KindOf(stream.Await()), std::nullopt);
  EXPECT_EQ(CountsOf(*pool, "select id from t order by id").rows, 2u);
}

TEST_P(FiguresContract, EachStepOfABatchIsCountedWithoutATimeOfItsOwn) {
  const auto pool = NewPool(Counting());
  pool->Must("create table t (id int primary key)");
  const pool::Batch batch{
      .atomic = true,
      .steps = {Step("insert into t values (1)"), Step("insert into t values (2)"),
                MayFail(Step("insert into t values (2)")),
                If(0, pool::StepOutcome::kFailed, Step("delete from t"))}};
  TestCall call("");
  call.batch = &batch;
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), std::nullopt);
  const std::string insert = fmt::format("insert into t values ({})", Constant());
  EXPECT_EQ(CountsOf(*pool, insert).calls, 3u);
  EXPECT_EQ(CountsOf(*pool, insert).failed, 1u);
  EXPECT_EQ(CountsOf(*pool, insert).rows, 2u);
  EXPECT_EQ(CountsOf(*pool, insert).execute.count(), 0u);
  EXPECT_EQ(CountsOf(*pool, "delete from t").calls, 0u) << "it was skipped";
  const pool::Batch failing{.atomic = true,
                            .steps = {Step("delete from t"), Step("insert into t values (3)"),
                                      Step("insert into t values (3)")}};
  TestCall failed("");
  failed.batch = &failing;
  pool->Submit(failed);
  EXPECT_NE(KindOf(failed.Await()), std::nullopt);
  EXPECT_EQ(CountsOf(*pool, insert).failed, 2u);
  EXPECT_EQ(CountsOf(*pool, "delete from t").calls, 0u) << "it was undone with the rest";
}

TEST_P(FiguresContract, CallersAreCountedApart) {
  const auto pool = NewPool(Counting());
  pool->Must("create table t (id int)");
  for (const char* sql : {"select id from t", "select id from nowhere", "select id from t"}) {
    TestCall call(sql);
    call.caller = "web";
    pool->Submit(call);
    call.Await();
  }
  std::vector<pool::CallerFigures> callers;
  pool->Do([&] { callers = pool->pool().ReportCallers(); });
  ASSERT_THAT(callers, SizeIs(3));
  EXPECT_EQ(callers[0].caller, "");
  EXPECT_EQ(callers[0].calls, 1u);
  EXPECT_EQ(callers[1].caller, "web");
  EXPECT_EQ(callers[1].calls, 3u);
  EXPECT_EQ(callers[1].failed, 1u);
  EXPECT_EQ(callers[1].in_progress, 0u);
  EXPECT_EQ(callers[1].queue_wait.count(), 3u);
  EXPECT_EQ(callers[2].caller, "other");
}

TEST_P(FiguresContract, ACallThatWaitsIsInProgressAndOneRefusedByALimitIsTold) {
  pool::PoolOptions options = Counting(1);
  options.core.waiters_max = 1;
  const auto pool = NewPool(options);
  const auto web = [&] {
    pool::CallerFigures found;
    pool->Do([&] {
      for (const pool::CallerFigures& caller : pool->pool().ReportCallers()) {
        if (caller.caller == "web") found = caller;
      }
    });
    return found;
  };
  TestCall pin("select 1");
  pin.session.kind = pool::SessionUse::Kind::kPin;
  pool->Submit(pin);
  ASSERT_EQ(KindOf(pin.Await()), std::nullopt);
  TestCall waits("select 2");
  TestCall refused("select 3");
  waits.caller = refused.caller = "web";
  pool->Submit(waits);
  pool->Submit(refused);
  EXPECT_EQ(KindOf(refused.Await()), pool::ErrorKind::kQueueFull);
  EXPECT_EQ(web().in_progress, 1u);
  EXPECT_EQ(web().refused, 1u);
  EXPECT_EQ(web().calls, 1u);
  EXPECT_EQ(web().queue_wait.count(), 0u) << "it got no connection";
  EXPECT_EQ(CountsOf(*pool, fmt::format("select {}", Constant())).calls, 1u)
      << "what did not run is not counted";
  const pool::PoolStats stats = pool->Stats();
  size_t waiting = 0;
  for (const pool::LaneStats& lane : stats.lanes) waiting += lane.waiting;
  EXPECT_EQ(waiting, 1u);
  EXPECT_TRUE(stats.oldest_wait.has_value());
  EXPECT_TRUE(stats.oldest_lease.has_value()) << "the session's";
}

TEST_P(FiguresContract, TheLanesAreToldByNameAndMakeUpThePool) {
  const auto pool = NewPool(Counting(4));
  pool->Must("create table t (id int)");
  for (int i = 0; i < 10; ++i) pool->Must("select id from t");
  ASSERT_TRUE(pool->AwaitWarm());
  const pool::PoolStats stats = pool->Stats();
  size_t total = 0;
  uint64_t statements = 0;
  std::string names;
  for (const pool::LaneStats& lane : stats.lanes) {
    names += std::string(lane.name) + " ";
    total += lane.total;
    statements += lane.statements;
  }
  const std::string expected = GetParam() == Database::kPostgres     ? "leased shared "
                               : GetParam() == Database::kSqliteFile ? "reader writer "
                                                                     : "writer ";
  EXPECT_EQ(names, expected);
  EXPECT_EQ(total, stats.total);
  EXPECT_EQ(statements, 11u);
}

TEST_P(FiguresContract, WhatRunsForLongerThanTheLimitIsToldOf) {
  pool::PoolOptions options = Counting();
  options.slow_statement = nanoseconds(1);
  const auto pool = NewPool(options);
  pool->Must("create table t (id int)");
  TestCall call("select id from t where id = 17");
  call.caller = "web";
  call.rpc = "Query";
  pool->Submit(call);
  call.Await();
  pool->Text("select 4 from nowhere");
  std::vector<SlowReport> slow = pool->SlowStatements();
  ASSERT_THAT(slow, SizeIs(3));
  EXPECT_EQ(slow[1].caller, "web");
  EXPECT_EQ(slow[1].rpc, "Query");
  EXPECT_THAT(slow[1].fingerprint, SizeIs(16));
  EXPECT_THAT(slow[1].text, Not(HasSubstr("17")));
  EXPECT_FALSE(slow[1].failed);
  EXPECT_TRUE(slow[2].failed);
  pool->Do([&] { pool->pool().SetSlowStatement(hours(1)); });
  pool->Must("select id from t");
  pool->Do([&] { pool->pool().SetSlowStatement(nanoseconds(0)); });
  pool->Must("select id from t");
  EXPECT_THAT(pool->SlowStatements(), SizeIs(3)) << "not any more";
}

TEST_P(FiguresContract, TheFingerprintIsToldWhenNothingIsCountedByIt) {
  pool::PoolOptions options = SessionOptions(2, {}, {});
  options.slow_statement = nanoseconds(1);
  const auto pool = NewPool(options);
  pool->Must("select 1");
  ASSERT_THAT(pool->SlowStatements(), SizeIs(1));
  EXPECT_THAT(pool->SlowStatements()[0].fingerprint, SizeIs(16));
  EXPECT_EQ(pool->SlowStatements()[0].text, "");
  EXPECT_THAT(Report(*pool).statements, IsEmpty());
}

}  // namespace
}  // namespace dbsidecar::contract
