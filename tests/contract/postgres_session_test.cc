// Sessions on PostgreSQL: transactions, pinned connections, and how they end.
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
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PostgresSession : public PostgresTest {
 protected:
  PostgresSession() { Psql("create table t (id int primary key)"); }

  std::unique_ptr<RunningPool> NewSessionPool(size_t max,
                                              pool::Duration idle = pool::Duration::zero(),
                                              pool::Duration transaction = pool::Duration::zero()) {
    pool::PoolOptions options = TestOptions(max);
    options.session_idle_timeout = idle;
    options.transaction_timeout = transaction;
    auto pool = NewPool(options);
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }

  static SessionUse Begin(pool::BeginOptions begin = {}) {
    SessionUse use;
    use.kind = SessionUse::Kind::kBegin;
    use.begin = begin;
    return use;
  }
  static SessionUse Pin() {
    SessionUse use;
    use.kind = SessionUse::Kind::kPin;
    return use;
  }
  static SessionUse In(const std::string& token) {
    SessionUse use;
    use.kind = SessionUse::Kind::kContinue;
    use.token = token;
    return use;
  }
  static SessionUse End(const std::string& token, SessionUse::End end) {
    SessionUse use;
    use.kind = SessionUse::Kind::kEnd;
    use.token = token;
    use.end = end;
    return use;
  }
  static SessionUse Commit(SessionUse use) {
    use.commit = true;
    return use;
  }

  static Outcome Run(RunningPool& pool, const std::string& sql, const SessionUse& use) {
    TestCall call(sql);
    call.session = use;
    pool.Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  static Outcome RunEnd(RunningPool& pool, const std::string& token, SessionUse::End end) {
    return Run(pool, "", End(token, end));
  }
  // The token of a session that this statement opens.
  static std::string Open(RunningPool& pool, const std::string& sql, const SessionUse& use) {
    const Outcome outcome = Run(pool, sql, use);
    EXPECT_FALSE(outcome.error) << ErrorText(outcome);
    EXPECT_EQ(outcome.session.size(), 32u);
    return outcome.session;
  }
  static size_t Leased(RunningPool& pool) {
    return pool.Stats().connections[static_cast<size_t>(pool::ConnectionState::kLeased)];
  }
};

TEST_F(PostgresSession, ATransactionIsSeenByOthersOnceItIsCommitted) {
  const auto pool = NewSessionPool(2);
  const Outcome first = Run(*pool, "insert into t values (1)", Begin());
  ASSERT_FALSE(first.error) << ErrorText(first);
  EXPECT_EQ(first.transaction_status, TransactionStatus::kInTransaction);
  EXPECT_EQ(pool->Stats().sessions, 1u);
  const Outcome second = Run(*pool, "insert into t values (2)", In(first.session));
  EXPECT_EQ(second.session, first.session);
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
  const Outcome end = RunEnd(*pool, first.session, SessionUse::End::kCommit);
  EXPECT_FALSE(end.error) << ErrorText(end);
  EXPECT_EQ(end.end_tag, "COMMIT");
  EXPECT_EQ(end.session, "");
  EXPECT_EQ(pool->Text("select count(*) from t"), "2");
  EXPECT_EQ(pool->Stats().sessions, 0u);
}

TEST_F(PostgresSession, ARollbackLeavesNothing) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  const Outcome end = RunEnd(*pool, token, SessionUse::End::kRollback);
  EXPECT_FALSE(end.error) << ErrorText(end);
  EXPECT_EQ(end.end_tag, "ROLLBACK");
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
}

TEST_F(PostgresSession, BeginAndCommitRideWithOneStatement) {
  const auto pool = NewSessionPool(1);
  const Outcome outcome = Run(*pool, "insert into t values (1)", Commit(Begin()));
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.session, "");
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(outcome.result.command_tag, "INSERT 0 1");
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
  const std::string token = Open(*pool, "insert into t values (2)", Begin());
  EXPECT_EQ(Run(*pool, "insert into t values (3)", Commit(In(token))).session, "");
  EXPECT_EQ(pool->Text("select count(*) from t"), "3");
  EXPECT_EQ(KindOf(Run(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
}

TEST_F(PostgresSession, ACommitThatFailsIsTheCallsErrorAndEndsTheSession) {
  Psql("create table late (id int unique deferrable initially deferred)");
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into late values (1)", Begin());
  const Outcome failed = Run(*pool, "insert into late values (1)", Commit(In(token)));
  EXPECT_EQ(SqlState(failed), "23505");
  EXPECT_EQ(KindOf(Run(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  const std::string another = Open(*pool, "insert into late values (2), (2)", Begin());
  EXPECT_EQ(SqlState(RunEnd(*pool, another, SessionUse::End::kCommit)), "23505");
  EXPECT_EQ(pool->Text("select count(*) from late"), "0");
}

TEST_F(PostgresSession, AStatementThatWouldOpenATransactionAndFailsOpensNone) {
  const auto pool = NewSessionPool(1);
  const Outcome failed = Run(*pool, "select 1 / 0", Begin());
  EXPECT_EQ(SqlState(failed), "22012");
  EXPECT_EQ(failed.session, "");
  EXPECT_EQ(pool->Stats().sessions, 0u);
  // Its one connection is free again, and not in a transaction.
  EXPECT_EQ(pool->Text("insert into t values (1) returning id"), "1");
}

TEST_F(PostgresSession, AFailedTransactionRefusesStatementsUntilASavepointOrItsEnd) {
  const auto pool = NewSessionPool(2);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_FALSE(Run(*pool, "savepoint s", In(token)).error);
  const Outcome failed = Run(*pool, "insert into t values (1)", In(token));
  EXPECT_EQ(SqlState(failed), "23505");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kFailed);
  EXPECT_EQ(SqlState(Run(*pool, "select 1", In(token))), "25P02");
  EXPECT_EQ(Run(*pool, "rollback to s", In(token)).transaction_status,
            TransactionStatus::kInTransaction);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");

  const std::string doomed = Open(*pool, "insert into t values (2)", Begin());
  EXPECT_EQ(SqlState(Run(*pool, "select 1 / 0", In(doomed))), "22012");
  EXPECT_EQ(KindOf(RunEnd(*pool, doomed, SessionUse::End::kCommit)), ErrorKind::kTransactionFailed);
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
}

TEST_F(PostgresSession, IsolationAndModeAreThoseAskedFor) {
  const auto pool = NewSessionPool(2);
  const std::string token =
      Open(*pool, "select 1",
           Begin({.isolation = pool::BeginOptions::Isolation::kSerializable, .read_only = true}));
  EXPECT_EQ(Rows(Run(*pool, "show transaction_isolation", In(token))), "serializable");
  EXPECT_EQ(Rows(Run(*pool, "select count(*) from t", In(token))), "0");
  pool->Must("insert into t values (1)");
  EXPECT_EQ(Rows(Run(*pool, "select count(*) from t", In(token))), "0") << "the snapshot moved";
  EXPECT_EQ(SqlState(Run(*pool, "insert into t values (2)", In(token))), "25006");
}

TEST_F(PostgresSession, APinnedConnectionKeepsItsStateAndTheNextCallerSeesNoneOfIt) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "create temp table scratch (id int)", Pin());
  EXPECT_FALSE(Run(*pool, "set search_path to pg_temp", In(token)).error);
  EXPECT_FALSE(Run(*pool, "select pg_advisory_lock(7)", In(token)).error);
  EXPECT_FALSE(Run(*pool, "prepare mine as select 1", In(token)).error);
  EXPECT_FALSE(Run(*pool, "listen news", In(token)).error);
  EXPECT_FALSE(Run(*pool, "insert into scratch values (1)", In(token)).error);
  EXPECT_EQ(Rows(Run(*pool, "select count(*) from scratch", In(token))), "1");
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
  EXPECT_FALSE(Run(*pool, "select set_config('search_path', 'nowhere', false)", In(token)).error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("show work_mem"), "4MB");
  EXPECT_EQ(pool->Text("show search_path"), "\"$user\", public");
}

TEST_F(PostgresSession, ReleaseRefusesWhileATransactionIsOpenAndKeepsTheSession) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_EQ(KindOf(RunEnd(*pool, token, SessionUse::End::kRelease)), ErrorKind::kTransactionOpen);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
}

TEST_F(PostgresSession, AutoPinFollowsTheTransactionThatTheTextsOpenAndClose) {
  const auto pool = NewSessionPool(2);
  SessionUse automatic;
  automatic.auto_pin = true;
  const Outcome begun = Run(*pool, "begin", automatic);
  ASSERT_FALSE(begun.error) << ErrorText(begun);
  ASSERT_NE(begun.session, "");
  SessionUse inside = In(begun.session);
  inside.auto_pin = true;
  EXPECT_EQ(Run(*pool, "insert into t values (1)", inside).session, begun.session);
  EXPECT_EQ(Run(*pool, "commit", inside).session, "");
  EXPECT_EQ(Leased(*pool), 0u);
  EXPECT_EQ(Run(*pool, "select count(*) from t", automatic).session, "");
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
  EXPECT_EQ(KindOf(Run(*pool, "set work_mem to '1MB'", automatic)), ErrorKind::kNeedsSession);
  EXPECT_EQ(KindOf(pool->Run("begin")), ErrorKind::kNeedsSession);
}

TEST_F(PostgresSession, TokensThatAreNoneAreAllAlike) {
  const auto pool = NewSessionPool(1);
  const std::string ended = Open(*pool, "select 1", Pin());
  EXPECT_FALSE(RunEnd(*pool, ended, SessionUse::End::kRelease).error);
  const std::string message = ErrorText(Run(*pool, "select 1", In(ended)));
  for (const std::string& token : {std::string("x"), std::string(32, '0'), std::string(10'000, 'a'),
                                   ended.substr(1), std::string("\0", 1)}) {
    EXPECT_EQ(ErrorText(Run(*pool, "select 1", In(token))), message);
    EXPECT_EQ(ErrorText(RunEnd(*pool, token, SessionUse::End::kCommit)), message);
  }
  EXPECT_THAT(message, testing::Not(testing::HasSubstr(ended)));
}

TEST_F(PostgresSession, AnIdleSessionIsRolledBackAndItsConnectionServesOthers) {
  const auto pool = NewSessionPool(1, milliseconds(200));
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_FALSE(Run(*pool, "select 1", In(token)).error) << "it was not idle";
  }
  EXPECT_EQ(pool->Text("select count(*) from t"), "0") << "waited for the session to end";
  EXPECT_EQ(KindOf(Run(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  EXPECT_EQ(pool->Stats().sessions_revoked["idle_timeout"], 1u);
}

TEST_F(PostgresSession, ATransactionThatIsOpenForTooLongIsRolledBackWhateverItDoes) {
  const auto pool = NewSessionPool(1, pool::Duration::zero(), milliseconds(300));
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  TestCall call("select pg_sleep(60)");
  call.session = In(token);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline) << call.AwaitText();
  EXPECT_LT(call.took(), seconds(2));
  call.AwaitDone();
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
  EXPECT_EQ(pool->Stats().sessions_revoked["transaction_timeout"], 1u);
}

TEST_F(PostgresSession, ACallerCanLowerTheTimeLimitsButNotRaiseThem) {
  const auto pool = NewSessionPool(2, seconds(1));
  SessionUse low = Begin();
  low.idle_timeout = milliseconds(100);
  SessionUse high = Begin();
  high.idle_timeout = seconds(100);
  const std::string sooner = Open(*pool, "select 1", low);
  const std::string later = Open(*pool, "select 1", high);
  const pool::Instant start = pool::Clock::now();
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 1; }));
  EXPECT_FALSE(Run(*pool, "select 1", In(later)).error);
  EXPECT_LT(pool::Clock::now() - start, seconds(1));
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 0; }));
}

TEST_F(PostgresSession, ASecondCallWhileOneRunsIsRefusedOrWaitsItsTurnOnAPipeline) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Begin());
  TestCall slow("select pg_sleep(0.3)");
  slow.session = In(token);
  pool->Submit(slow);
  EXPECT_EQ(KindOf(Run(*pool, "select 1", In(token))), ErrorKind::kSessionBusy);
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(std::make_unique<TestCall>(fmt::format("insert into t values ({})", i)));
    calls.back()->session = In(token);
    calls.back()->flow_controlled = true;
    pool->Submit(*calls.back());
  }
  TestCall end("");
  end.session = End(token, SessionUse::End::kCommit);
  end.flow_controlled = true;
  pool->Submit(end);
  EXPECT_FALSE(end.Await().error) << end.AwaitText();
  uint64_t before = 0;
  for (const auto& call : calls) {
    EXPECT_FALSE(call->Await().error) << call->AwaitText();
    EXPECT_GT(call->answered_as(), before);
    before = call->answered_as();
  }
  EXPECT_EQ(pool->Text("select count(*) from t"), "5");
}

TEST_F(PostgresSession, ACallThatWaitsItsTurnCanBeCancelledAndHasADeadline) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Begin());
  TestCall slow("select pg_sleep(0.5)");
  slow.session = In(token);
  pool->Submit(slow);
  TestCall cancelled("insert into t values (1)");
  cancelled.session = In(token);
  cancelled.flow_controlled = true;
  TestCall expired("insert into t values (2)");
  expired.session = In(token);
  expired.flow_controlled = true;
  expired.deadline = pool::Clock::now() + milliseconds(100);
  pool->Submit(cancelled);
  pool->Submit(expired);
  pool->Cancel(cancelled);
  EXPECT_EQ(KindOf(cancelled.Await()), ErrorKind::kCancelled);
  EXPECT_EQ(KindOf(expired.Await()), ErrorKind::kDeadline);
  EXPECT_FALSE(slow.Await().error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
}

TEST_F(PostgresSession, ACancelledStatementFailsItsTransactionAndTheSessionStays) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  TestCall call("select pg_sleep(60)");
  call.session = In(token);
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  call.AwaitDone();
  EXPECT_EQ(SqlState(Run(*pool, "select 1", In(token))), "25P02");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
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
    EXPECT_EQ(KindOf(Run(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  }
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
}

TEST_F(PostgresSession, SessionsEndWithTheirOwner) {
  const auto pool = NewSessionPool(3);
  SessionUse owned = Begin();
  owned.owner = 77;
  const std::string first = Open(*pool, "insert into t values (1)", owned);
  const std::string second = Open(*pool, "insert into t values (2)", owned);
  const std::string other = Open(*pool, "insert into t values (3)", Begin());
  TestCall running("select pg_sleep(60)");
  running.session = In(second);
  pool->Submit(running);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  pool->Do([&] { pool->pool().EndSessionsOf(77); });
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 1; }));
  EXPECT_FALSE(RunEnd(*pool, other, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select id from t"), "3");
  EXPECT_EQ(pool->Stats().sessions_revoked["client_gone"], 2u);
}

TEST_F(PostgresSession, ADrainLetsOpenSessionsFinishAndBeginsNoNewOnes) {
  const auto pool = NewSessionPool(2);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  pool->Do([&] { pool->pool().Drain(); });
  EXPECT_EQ(KindOf(Run(*pool, "select 1", Begin())), ErrorKind::kDraining);
  EXPECT_FALSE(Run(*pool, "insert into t values (2)", In(token)).error);
  bool quiet = true;
  pool->Do([&] { quiet = pool->pool().quiet(); });
  EXPECT_FALSE(quiet);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Psql("select count(*) from t"), "2");
}

TEST_F(PostgresSession, AReadOnlyCallInASessionDoesNotMakeTheRestOfItReadOnly) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Begin());
  TestCall read("select count(*) from t");
  read.session = In(token);
  read.statement.read_only = true;
  pool->Submit(read);
  EXPECT_EQ(read.AwaitText(), "0");
  read.AwaitDone();
  TestCall write("insert into t values (1)");
  write.session = In(token);
  write.statement.read_only = true;
  pool->Submit(write);
  EXPECT_EQ(SqlState(write.Await()), "25006");
  write.AwaitDone();
  EXPECT_FALSE(Run(*pool, "insert into t values (2)", In(token)).error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select id from t"), "2");
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

}  // namespace
}  // namespace dbsidecar::contract
