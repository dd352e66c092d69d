// What only PostgreSQL does to a pool: sessions with state, prepared statements, and a server that
// ends connections.
#include <fmt/format.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"
#include "tests/support/postgres_server.h"
#include "tests/support/tcp_gate.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::PoolOptions;
using std::chrono::milliseconds;
using test_support::PostgresServer;
using testing::HasSubstr;
using testing::Not;

using PostgresContract = PostgresTest;

TEST_F(PostgresContract, WhatActsOnTheSessionIsRefusedAndLeavesNoTrace) {
  const auto pool = NewPool(1);
  for (const char* sql : {"begin",
                          "start transaction",
                          "savepoint s",
                          "set search_path to nowhere",
                          "reset all",
                          "set local work_mem to '1MB'",
                          "listen news",
                          "unlisten *",
                          "prepare p as select 1",
                          "execute p",
                          "deallocate all",
                          "create temp table scratch (id int)",
                          "create table pg_temp.scratch (id int)",
                          "select 1 as id into temp scratch",
                          "select pg_advisory_lock(7)",
                          "select 1 where pg_try_advisory_lock(7)",
                          "select set_config('search_path', 'nowhere', false)",
                          "discard all",
                          "declare c cursor with hold for select 1",
                          "select setseed(0.5)"}) {
    EXPECT_EQ(KindOf(pool->Run(sql)), ErrorKind::kNeedsSession) << sql;
  }
  EXPECT_EQ(pool->Text("show search_path"), "\"$user\", public");
  EXPECT_EQ(pool->Text("select count(*) from pg_listening_channels()"), "0");
  EXPECT_EQ(pool->Text("select count(*) from pg_class where relname = 'scratch'"), "0");
  EXPECT_EQ(pool->Text("select count(*) from pg_locks where locktype = 'advisory'"), "0");
  EXPECT_EQ(pool->Text("select count(*) from pg_cursors where is_holdable"), "0");
}

TEST_F(PostgresContract, WhatHidesFromTheParserIsResetBeforeTheNextCall) {
  const auto pool = NewPool(1);
  const std::string pid = pool->Text("select pg_backend_pid()");
  pool->Must("do $$ begin execute 'set search_path to nowhere'; end $$");
  EXPECT_EQ(pool->Text("show search_path"), "\"$user\", public");
  pool->Must("do $$ begin execute 'create temp table scratch (id int)'; end $$");
  EXPECT_EQ(SqlState(pool->Run("select * from scratch")), "42P01");
  pool->Must("do $$ begin perform pg_advisory_lock(7); end $$");
  EXPECT_EQ(pool->Text("select count(*) from pg_locks where locktype = 'advisory'"), "0");
  pool->Must("do $$ begin execute 'listen news'; end $$");
  EXPECT_EQ(pool->Text("select count(*) from pg_listening_channels()"), "0");
  EXPECT_EQ(pool->Text("select pg_backend_pid()"), pid) << "the connection was not kept";
}

TEST_F(PostgresContract, AFunctionOfTheUsersThatSetsStateLeavesNoneToTheNextCall) {
  const auto pool = NewPool(1);
  pool->Must(
      "create function leave_state() returns int language plpgsql as "
      "$$ begin perform set_config('work_mem', '123kB', false); return 1; end $$");
  EXPECT_EQ(pool->Text("select leave_state()"), "1");
  EXPECT_EQ(pool->Text("show work_mem"), "4MB");
}

TEST_F(PostgresContract, AReadOnlyCallCannotWriteThroughAFunctionEither) {
  const auto pool = NewPool(1);
  pool->Must("create table written (id int)");
  pool->Must(
      "create function write_one() returns int language plpgsql as "
      "$$ begin insert into written values (1); return 1; end $$");
  EXPECT_EQ(SqlState(pool->RunReadOnly("select write_one()")), "25006");
  EXPECT_EQ(pool->Text("select count(*) from written"), "0");
  EXPECT_EQ(pool->Text("select write_one()"), "1");
}

TEST_F(PostgresContract, AConnectionTerminatedWhileItRunsIsAnErrorAndThePoolRecovers) {
  const auto pool = NewPool(1);
  TestCall call("select pg_sleep(60)");
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  EXPECT_GE(TerminateAll(), 1);
  const Outcome& outcome = call.Await();
  ASSERT_TRUE(outcome.error);
  // Either the server's farewell, which says that nothing took effect, or a plain loss.
  if (outcome.error->kind == ErrorKind::kDatabase) {
    EXPECT_EQ(SqlState(outcome), "57P01");
    EXPECT_FALSE(outcome.error->outcome_unknown);
  } else {
    EXPECT_EQ(outcome.error->kind, ErrorKind::kConnectionLost);
    EXPECT_TRUE(outcome.error->outcome_unknown);
  }
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresContract, AReadThatIsTerminatedIsRunAgainAndInTheEndLeavesNothingUnknown) {
  const auto pool = NewPool(1);
  TestCall call("select pg_sleep(60)");
  call.statement.read_only = true;
  pool->Submit(call);
  for (uint64_t run = 1; run <= 3; ++run) {
    EXPECT_FALSE(call.answered());
    ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().counters.opened == run; }));
    ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
    EXPECT_GE(TerminateAll(), 1);
  }
  ASSERT_TRUE(call.Await().error);
  EXPECT_FALSE(call.Await().error->outcome_unknown);
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresContract, AnIdempotentWriteThatIsTerminatedIsRunAgain) {
  const auto pool = NewPool(1);
  pool->Must("create table t (id int primary key)");
  TestCall call("insert into t select 1 from pg_sleep(0.3) on conflict do nothing");
  call.statement.idempotent = true;
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning("insert into t"));
  EXPECT_GE(TerminateAll(), 1);
  EXPECT_FALSE(call.Await().error) << call.AwaitText();
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
}

// The server goes on; only the network between it and the pool is broken.
class PostgresBehindAGate : public PostgresTest {
 protected:
  PostgresBehindAGate() {
    config_.url =
        PostgresServer::Shared().TcpUrl(database_, PostgresServer::kPassword, gate_.port());
    Psql("create table written (id int)");
    Psql("grant all on written to app");
  }

  test_support::TcpGate gate_{PostgresServer::Shared().port()};
};

constexpr auto kCuts = {&test_support::TcpGate::Cut, &test_support::TcpGate::Reset};

TEST_F(PostgresBehindAGate, AReadWhoseConnectionIsCutIsRunAgain) {
  const auto pool = NewPool(1);
  int round = 0;
  for (const auto cut : kCuts) {
    const std::string sql = fmt::format("select {} from pg_sleep(0.5)", ++round);
    TestCall call(sql);
    call.statement.read_only = true;
    pool->Submit(call);
    ASSERT_TRUE(AwaitRunning(sql));
    (gate_.*cut)();
    EXPECT_EQ(call.AwaitText(), std::to_string(round));
  }
}

TEST_F(PostgresBehindAGate, AReadThatRanForLongerThanItMayWaitIsRunAgainAllTheSame) {
  PoolOptions options = TestOptions(1);
  options.core.wait_timeout = milliseconds(400);
  const auto pool = NewPool(options);
  TestCall call("select 7 from pg_sleep(0.7)");
  call.statement.read_only = true;
  pool->Start(call);
  std::this_thread::sleep_for(milliseconds(500));
  gate_.Cut();
  EXPECT_EQ(call.AwaitText(), "7");
}

TEST_F(PostgresBehindAGate, AWriteWhoseConnectionIsCutMayTakeEffectAndSaysSo) {
  const auto pool = NewPool(1);
  int round = 0;
  for (const auto cut : kCuts) {
    const std::string sql = fmt::format("insert into written select {} from pg_sleep(1)", ++round);
    TestCall call(sql);
    pool->Submit(call);
    ASSERT_TRUE(AwaitRunning(sql));
    (gate_.*cut)();
    ASSERT_EQ(KindOf(call.Await()), ErrorKind::kConnectionLost) << call.AwaitText();
    EXPECT_TRUE(call.Await().error->outcome_unknown);
    EXPECT_THAT(call.Await().error->message, HasSubstr("whether it took effect is unknown"));
    EXPECT_EQ(pool->Text("select 1"), "1");
    // Of a client that is gone the server learns only when it answers: too late to undo anything.
    EXPECT_TRUE(pool->Becomes(
        [&] { return Psql("select max(id) from written") == std::to_string(round); }));
  }
}

TEST_F(PostgresBehindAGate, AnIdempotentWriteThatIsLostAndNotRunAgainInTimeIsOfUnknownOutcome) {
  PoolOptions options = TestOptions(1);
  options.core.wait_timeout = milliseconds(300);
  const auto pool = NewPool(options);
  TestCall call("insert into written select 1 from pg_sleep(0.5)");
  call.statement.idempotent = true;
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning("insert into written"));
  gate_.Cut();
  gate_.Freeze();  // Nobody gets in any more.
  ASSERT_TRUE(call.Await().error) << call.AwaitText();
  EXPECT_TRUE(call.Await().error->outcome_unknown) << ErrorText(call.Await());
  EXPECT_THAT(call.Await().error->message, HasSubstr("an earlier run"));
  EXPECT_EQ(pool->Stats().outcomes_unknown, 1u);
  gate_.Thaw();
}

TEST_F(PostgresBehindAGate, AnIdleConnectionThatIsCutIsReplacedUnseen) {
  const auto pool = NewPool(1);
  uint64_t opened = 1;
  for (const auto cut : kCuts) {
    EXPECT_EQ(pool->Text("select 1"), "1");
    (gate_.*cut)();
    ++opened;
    ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().counters.opened == opened; }));
  }
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresBehindAGate, ACallOverASilentNetworkIsAnsweredInTimeAndThePoolRecovers) {
  const auto pool = NewPool(1);
  for (const bool read_only : {true, false}) {
    ASSERT_EQ(pool->Text("select 1"), "1");
    gate_.Freeze();
    TestCall call("select 2");
    call.statement.read_only = read_only;
    call.deadline = pool::Clock::now() + milliseconds(300);
    pool->Submit(call);
    ASSERT_EQ(KindOf(call.Await()), ErrorKind::kDeadline) << call.AwaitText();
    EXPECT_EQ(call.Await().error->outcome_unknown, !read_only);
    EXPECT_LE(call.took(), milliseconds(300) + kLateness);
    gate_.Thaw();
    EXPECT_EQ(pool->Text("select 3"), "3");
  }
}

TEST_F(PostgresContract, IdleConnectionsThatTheServerEndsAreReplaced) {
  PoolOptions options = TestOptions(4);
  options.core.min = 3;
  const auto pool = NewPool(options);
  const auto idle = [&] {
    return pool->pool().Stats().connections[static_cast<size_t>(pool::ConnectionState::kIdle)];
  };
  ASSERT_TRUE(pool->Becomes([&] { return idle() == 3; }));
  EXPECT_GE(TerminateAll(), 3);
  ASSERT_TRUE(
      pool->Becomes([&] { return idle() == 3 && pool->pool().Stats().counters.opened == 6; }));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresContract, TheServerNeverSeesMoreConnectionsThanTheMaximum) {
  PoolOptions options = TestOptions(3);
  options.core.lifetime = milliseconds(20);  // Connections come and go all the time.
  options.health_check_interval = milliseconds(15);
  const auto pool = NewPool(options);
  int most = 0;
  for (int round = 0; round < 25; ++round) {
    std::vector<std::unique_ptr<TestCall>> calls;
    for (int i = 0; i < 8; ++i) {
      calls.push_back(std::make_unique<TestCall>("select pg_sleep(0.01)"));
      pool->Submit(*calls.back());
    }
    most = std::max(most, Connections());
    for (auto& call : calls) EXPECT_FALSE(call->Await().error) << call->AwaitText();
    most = std::max(most, Connections());
  }
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 2) << "nothing was measured";
  EXPECT_GT(pool->Stats().counters.opened, 6u) << "connections did not come and go";
}

TEST_F(PostgresContract, AnUnknownDatabaseAndAWrongPasswordAreToldAtOnce) {
  const PostgresServer& server = PostgresServer::Shared();
  for (const auto& [url, sqlstate] : {std::pair{server.Url("missing"), "3D000"},
                                      std::pair{server.TcpUrl(database_, "wrong"), "28000"}}) {
    config_.url = url;
    const auto pool = NewPool(1);
    TestCall call("select 1");
    pool->Submit(call);
    EXPECT_EQ(KindOf(call.Await()), ErrorKind::kConnectRejected) << call.AwaitText();
    EXPECT_EQ(SqlState(call.Await()), sqlstate);
    EXPECT_THAT(call.Await().error->message, Not(HasSubstr("wrong")));
    EXPECT_LE(call.took(), std::chrono::seconds(5));
  }
}

TEST_F(PostgresContract, ALostPreparedStatementIsPreparedAgainUnseen) {
  const auto pool = NewPool(1);
  pool->Must("create table shape (a int)");
  pool->Must("insert into shape values (1)");
  const std::string prepared =
      "select count(*) from pg_prepared_statements "
      "where name like 'dbsidecar%' and statement like '%from shape'";
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(pool->Text("select a from shape"), "1");
    EXPECT_EQ(pool->Text(prepared), "1");
    pool->Must("do $$ begin execute 'deallocate all'; end $$");
  }
  EXPECT_EQ(pool->Text("select a from shape"), "1");
}

TEST_F(PostgresContract, APreparedStatementLostWithoutAResetIsPreparedAgainUnseen) {
  // In a trigger that came from elsewhere, and that the pool has not heard of yet.
  Psql("create table shape (a int)");
  const auto pool = NewPool(1);
  EXPECT_EQ(pool->Text("select count(*) from shape"), "0");
  Psql(
      "create function forget() returns trigger language plpgsql as "
      "$$ begin execute 'deallocate all'; return new; end $$;"
      "create trigger forget before insert on shape for each row execute function forget()");
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(pool->Text("select 'same text'"), "same text");
    pool->Must("insert into shape values (1)");
  }
  EXPECT_EQ(pool->Text("select 'same text'"), "same text");
}

TEST_F(PostgresContract, PreparedStatementsOverTheLimitAreForgottenOnTheServerToo) {
  config_.prepared_max = 2;
  const auto pool = NewPool(1);
  std::set<std::string> counts;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(pool->Text(fmt::format("select {}", round)), fmt::format("{}", round));
    const int count = std::stoi(
        pool->Text("select count(*) from pg_prepared_statements where name like 'dbsidecar%'"));
    EXPECT_LE(count, 2);
    EXPECT_GE(count, 1) << "nothing was prepared";
  }
}

TEST_F(PostgresContract, AParameterWhoseColumnChangedItsTypeIsSentAnew) {
  const auto pool = NewPool(1);
  pool->Must("create table shape (a int)");
  pool->Must("insert into shape values (1)");
  const std::string sql = "select a from shape where a = $1";
  for (int i = 0; i < 4; ++i) EXPECT_EQ(pool->Text(sql, {Integer(1)}), "1");
  pool->Must("alter table shape alter column a type text using a::text");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(pool->Text(sql, {Text("1")}), "1");
}

TEST_F(PostgresContract, WhatCannotRunInATransactionRunsAlone) {
  const auto pool = NewPool(1);
  pool->Must("create table shape (a int)");
  pool->Must("vacuum shape");
  pool->Must("create index concurrently shape_a on shape (a)");
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresContract, CopyThroughACallIsRefusedAndHarmsNothing) {
  const auto pool = NewPool(1);
  pool->Must("create table shape (a int)");
  EXPECT_EQ(KindOf(pool->Run("copy shape from stdin")), ErrorKind::kUnsupported);
  EXPECT_EQ(KindOf(pool->Run("copy shape to stdout")), ErrorKind::kUnsupported);
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresContract, NoticesComeWithTheirStatement) {
  const auto pool = NewPool(1);
  const Outcome outcome = pool->Run("do $$ begin raise notice 'hear %', 'this'; end $$");
  ASSERT_EQ(outcome.notices.size(), 1u);
  EXPECT_EQ(outcome.notices[0].severity, "NOTICE");
  EXPECT_EQ(outcome.notices[0].message, "hear this");
  EXPECT_TRUE(pool->Run("select 1").notices.empty());
}

TEST_F(PostgresContract, TheServersOwnStatementTimeoutIsTheDatabasesError) {
  config_.statement_timeout = milliseconds(100);
  const auto pool = NewPool(1);
  const Outcome outcome = pool->Run("select pg_sleep(60)");
  EXPECT_EQ(KindOf(outcome), ErrorKind::kDatabase);
  EXPECT_EQ(SqlState(outcome), "57014");
  EXPECT_EQ(pool->Text("select 1"), "1");
}

TEST_F(PostgresContract, ACancelledWriteHasNoEffect) {
  const auto pool = NewPool(1);
  pool->Must("create table shape (a text)");
  TestCall call("insert into shape select pg_sleep(60)::text");
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning("insert into shape"));
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  EXPECT_FALSE(call.Await().error->outcome_unknown);
  EXPECT_EQ(pool->Text("select count(*) from shape"), "0");
}

TEST_F(PostgresContract, AnInterruptedProcedureMayHaveTakenEffectAndSaysSo) {
  const auto pool = NewPool(1);
  pool->Must("create table written (id int)");
  pool->Must(
      "create procedure write_and_wait() language plpgsql as "
      "$$ begin insert into written values (1); commit; perform pg_sleep(60); end $$");
  TestCall cancelled("call write_and_wait()");
  pool->Submit(cancelled);
  ASSERT_TRUE(AwaitRunning("write_and_wait"));
  pool->Cancel(cancelled);
  EXPECT_EQ(KindOf(cancelled.Await()), ErrorKind::kCancelled);
  EXPECT_TRUE(cancelled.Await().error->outcome_unknown);

  TestCall killed("call write_and_wait()");
  pool->Submit(killed);
  ASSERT_TRUE(AwaitRunning("write_and_wait"));
  EXPECT_GE(TerminateAll(), 1);
  EXPECT_TRUE(killed.Await().error->outcome_unknown);
}

TEST_F(PostgresContract, AReadOnlyCallCannotRunAProcedure) {
  const auto pool = NewPool(1);
  EXPECT_EQ(SqlState(pool->RunReadOnly("do $$ begin null; end $$")), "25006");
}

}  // namespace
}  // namespace dbsidecar::contract
