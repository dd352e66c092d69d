// What only PostgreSQL has in a session. What sessions are, on every database, is in
// session_contract_test.cc.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "tests/contract/database.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::SessionUse;

class PostgresSession : public PostgresTest {
 protected:
  PostgresSession() { Psql("create table t (id int primary key)"); }

  std::unique_ptr<RunningPool> NewSessionPool(size_t max) {
    auto pool = NewPool(SessionOptions(max));
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }
};

TEST_F(PostgresSession, IsolationAndModeAreThoseAskedFor) {
  const auto pool = NewSessionPool(1);
  const std::string token =
      Open(*pool, "select 1",
           Begin({.isolation = pool::BeginOptions::Isolation::kSerializable, .read_only = true}));
  EXPECT_EQ(Rows(RunIn(*pool, "show transaction_isolation", In(token))), "serializable");
  EXPECT_EQ(Rows(RunIn(*pool, "show transaction_read_only", In(token))), "on");
}

TEST_F(PostgresSession, AutoPinIsForTransactionsOnly) {
  const auto pool = NewSessionPool(1);
  EXPECT_EQ(KindOf(RunIn(*pool, "set work_mem to '1MB'", AutoPin())), ErrorKind::kNeedsSession);
}

TEST_F(PostgresSession, APinnedConnectionKeepsItsStateAndTheNextCallerSeesNoneOfIt) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "create temp table scratch (id int)", Pin());
  EXPECT_FALSE(RunIn(*pool, "set search_path to pg_temp", In(token)).error);
  EXPECT_FALSE(RunIn(*pool, "select pg_advisory_lock(7)", In(token)).error);
  EXPECT_FALSE(RunIn(*pool, "prepare mine as select 1", In(token)).error);
  EXPECT_FALSE(RunIn(*pool, "listen news", In(token)).error);
  EXPECT_FALSE(RunIn(*pool, "insert into scratch values (1)", In(token)).error);
  EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from scratch", In(token))), "1");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRelease).error);
  EXPECT_EQ(pool->Text("show search_path"), "\"$user\", public");
  EXPECT_EQ(SqlState(pool->Run("select * from scratch")), "42P01");
  EXPECT_EQ(pool->Text("select count(*) from pg_locks where locktype = 'advisory'"), "0");
  EXPECT_EQ(pool->Text("select count(*) from pg_prepared_statements where name = 'mine'"), "0");
  EXPECT_EQ(pool->Text("select count(*) from pg_listening_channels()"), "0");
}

TEST_F(PostgresSession, ATransactionsOwnStateIsGoneForTheNextCaller) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "set work_mem to '123kB'", Begin());
  EXPECT_FALSE(RunIn(*pool, "select set_config('search_path', 'nowhere', false)", In(token)).error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("show work_mem"), "4MB");
  EXPECT_EQ(pool->Text("show search_path"), "\"$user\", public");
}

TEST_F(PostgresSession, AConnectionLostInATransactionEndsTheSessionAndNothingIsUnknown) {
  const auto pool = NewSessionPool(2);
  const std::string running = Open(*pool, "insert into t values (1)", Begin());
  const std::string idle = Open(*pool, "insert into t values (2)", Begin());
  TestCall call("select pg_sleep(60)");
  call.session = In(running);
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  EXPECT_GE(TerminateAll(), 2);
  ASSERT_TRUE(call.Await().error);
  EXPECT_FALSE(call.Await().error->outcome_unknown) << call.AwaitText();
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 0; }));
  for (const std::string& token : {running, idle}) {
    EXPECT_EQ(KindOf(RunIn(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  }
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
}

TEST_F(PostgresSession, ADefinitionInATransactionIsHeededAfterItsCommit) {
  const auto pool = NewSessionPool(2);
  Psql(
      "create function spoil() returns trigger language plpgsql as $$ begin "
      "perform set_config('my.secret', 'of one caller', false); return new; end $$");
  pool->Must("insert into t values (1)");
  const std::string token = Open(
      *pool, "create trigger s before insert on t for each row execute function spoil()", Begin());
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  for (int i = 2; i < 5; ++i) {
    pool->Must(fmt::format("insert into t values ({})", i));
    EXPECT_EQ(pool->Text("select coalesce(current_setting('my.secret', true), '')"), "");
  }
}

TEST_F(PostgresSession, ManySessionsLeaveEveryConnectionFreeAndClean) {
  const auto pool = NewSessionPool(4);
  for (int i = 0; i < 200; ++i) {
    SessionUse use = i % 3 == 0 ? Pin() : Begin();
    const std::string token = Open(*pool, "select set_config('my.secret', 'x', false)", use);
    const SessionUse::End end =
        i % 3 == 0 ? SessionUse::End::kRelease
                   : (i % 3 == 1 ? SessionUse::End::kCommit : SessionUse::End::kRollback);
    EXPECT_FALSE(RunEnd(*pool, token, end).error);
    EXPECT_EQ(pool->Text("select coalesce(current_setting('my.secret', true), '')"), "");
  }
  EXPECT_EQ(Leased(*pool), 0u);
}

// A literal is read when its statement is prepared.
TEST_F(PostgresSession, ATextMeansWhatTheSettingsOfTheMomentSay) {
  const auto pool = NewSessionPool(1);
  const std::string date = "select date '1/8/1999'";
  const std::string token = Open(*pool, "select 1", Pin());
  const auto run = [&](const std::string& sql) {
    const pool::Outcome outcome = RunIn(*pool, sql, In(token));
    EXPECT_FALSE(outcome.error) << sql << ": " << ErrorText(outcome);
    return Rows(outcome);
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(date), "1999-01-08");
  run("set datestyle = 'iso, dmy'");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(date), "1999-08-01");
  run("reset datestyle");
  EXPECT_EQ(run(date), "1999-01-08");
  run("begin");
  run("select set_config('datestyle', 'iso, dmy', true)");
  EXPECT_EQ(run(date), "1999-08-01");
  run("rollback");
  EXPECT_EQ(run(date), "1999-01-08");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRelease).error);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool->Text(date), "1999-01-08");
}

TEST_F(PostgresSession, OutsideATransactionAChangedDefinitionIsNotNoticed) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Pin());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(RunIn(*pool, "select * from t", In(token)).error);
  Psql("alter table t add name text; insert into t values (1, 'new')");
  EXPECT_EQ(Rows(RunIn(*pool, "select * from t", In(token))), "1,new");
}

TEST_F(PostgresSession, InATransactionAnErrorOfTheTextIsNotCalledAConflict) {
  const auto pool = NewSessionPool(1);
  Psql("create function f() returns int language sql as 'select 1'");
  const std::string call = "select f()";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool->Text(call), "1");
  Psql("drop function f()");
  const std::string token = Open(*pool, "select 1", Begin());
  EXPECT_EQ(SqlState(RunIn(*pool, call, In(token))), "42883");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
}

}  // namespace
}  // namespace dbsidecar::contract
