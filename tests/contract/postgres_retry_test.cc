// What is run again because it failed for a reason that may pass, and what is not.
#include <thread>

#include "tests/contract/database.h"
#include "tests/contract/running_pool.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PostgresRetry : public PostgresTest {
 protected:
  // conflict(n, state) fails n times and then answers how often it was called, in all.
  PostgresRetry() {
    Psql(
        "create sequence calls;"
        "create function conflict(failures int, state text) returns bigint language plpgsql as $$ "
        "declare call bigint := nextval('calls'); begin "
        "if call <= failures then raise exception 'conflict' using errcode = state; end if; "
        "return call; end $$");
  }

  std::string Calls() const { return Psql("select last_value from calls"); }
};

TEST_F(PostgresRetry, AConflictIsRunAgainIfThatDoesNoHarm) {
  const auto pool = NewPool(2);
  for (const char* state : {"40001", "40P01"}) {
    Psql("alter sequence calls restart");
    TestCall call(std::string("select conflict(2, '") + state + "')");
    call.statement.idempotent = true;
    pool->Submit(call);
    EXPECT_EQ(call.AwaitText(), "3") << state;
  }
  EXPECT_EQ(pool->Stats().retries, 4u);
  EXPECT_EQ(pool->Stats().errors, 0u);
}

TEST_F(PostgresRetry, OtherErrorsAndOtherCallsAreNot) {
  const auto pool = NewPool(2);
  const Outcome conflict = pool->Run("select conflict(2, '40001')");
  EXPECT_EQ(SqlState(conflict), "40001");
  EXPECT_EQ(Calls(), "1");
  TestCall other("select conflict(2, '55P03')");
  other.statement.idempotent = true;
  pool->Submit(other);
  EXPECT_EQ(SqlState(other.Await()), "55P03");
  EXPECT_EQ(Calls(), "2");
  Psql("alter sequence calls restart");
  const std::string token = RunIn(*pool, "select 1", Begin()).session;
  TestCall in_session("select conflict(2, '40001')");
  in_session.session = In(token);
  in_session.statement.idempotent = true;
  pool->Submit(in_session);
  EXPECT_EQ(SqlState(in_session.Await()), "40001");
  EXPECT_EQ(Calls(), "1");
  RunIn(*pool, "", End(token, pool::SessionUse::End::kRollback));
  EXPECT_EQ(pool->Stats().retries, 0u);
}

TEST_F(PostgresRetry, AConflictThatStaysIsReportedAfterAWhile) {
  const auto pool = NewPool(2);
  TestCall call("select conflict(1000, '40001')");
  call.statement.idempotent = true;
  const pool::Instant start = pool::Clock::now();
  pool->Submit(call);
  EXPECT_EQ(SqlState(call.Await()), "40001");
  EXPECT_FALSE(call.Await().error->outcome_unknown);
  // At least the lower halves of 10, 20 and 40 ms.
  EXPECT_GE(pool::Clock::now() - start, milliseconds(35));
  EXPECT_EQ(Calls(), "4");
}

TEST_F(PostgresRetry, NothingIsRunAgainAfterTheDeadline) {
  const auto pool = NewPool(2);
  TestCall call("select conflict(1000, '40001'), pg_sleep(0.1)");
  call.statement.idempotent = true;
  call.deadline = pool::Clock::now() + milliseconds(4);
  pool->Submit(call);
  EXPECT_TRUE(call.Await().error.has_value());
  call.AwaitDone();
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_LE(std::stoi(Calls()), 1);
}

TEST_F(PostgresRetry, ACallThatWaitsToBeRunAgainCanBeCancelled) {
  const auto pool = NewPool(2);
  for (int i = 0; i < 20; ++i) {
    TestCall call("select conflict(1000000, '40001')");
    call.statement.idempotent = true;
    pool->Submit(call);
    std::this_thread::sleep_for(milliseconds(1 + i));
    pool->Cancel(call);
    const Outcome& outcome = call.Await();
    EXPECT_TRUE(KindOf(outcome) == ErrorKind::kCancelled || SqlState(outcome) == "40001")
        << ErrorText(outcome);
    call.AwaitDone();
  }
  EXPECT_TRUE(pool->Becomes([&] { return pool->pool().quiet(); }));
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresRetry, TwoThatDeadlockBothSucceed) {
  Psql(
      "create table t (id int primary key, n int); insert into t values (1, 0), (2, 0);"
      "alter database " +
      database_ + " set deadlock_timeout = '50ms'");
  const auto pool = NewPool(2);
  // Each locks one row, waits until the other has locked its own, and wants that one as well.
  const auto text = [](int first, int second) {
    return "with a as (update t set n = n + 1 where id = " + std::to_string(first) +
           " returning id), w as (select pg_sleep(0.3) from a)"
           " update t set n = n + 1 where id = " +
           std::to_string(second) + " and exists (select from w)";
  };
  TestCall one(text(1, 2));
  TestCall two(text(2, 1));
  for (TestCall* call : {&one, &two}) call->statement.idempotent = true;
  pool->SubmitTogether({&one, &two});
  EXPECT_FALSE(one.Await().error) << ErrorText(one.Await());
  EXPECT_FALSE(two.Await().error) << ErrorText(two.Await());
  EXPECT_EQ(Psql("select string_agg(n::text, ',') from t"), "2,2");
  EXPECT_GE(pool->Stats().retries, 1u) << "they did not deadlock";
}

}  // namespace
}  // namespace dbsidecar::contract
