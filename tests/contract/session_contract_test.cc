// Sessions, over every real database: transactions, pinned connections, and how they end.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"
#include "tests/contract/sessions.h"
#include "tests/support/postgres_server.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;
using std::chrono::seconds;

class SessionContract : public DatabaseTest {
 protected:
  std::unique_ptr<RunningPool> NewSessionPool(size_t max,
                                              pool::Duration idle = pool::Duration::zero(),
                                              pool::Duration transaction = pool::Duration::zero()) {
    auto pool = NewPool(SessionOptions(max, idle, transaction));
    EXPECT_TRUE(pool->AwaitWarm());
    pool->Must("create table if not exists t (id int primary key)");
    return pool;
  }

  // Takes a good part of a second.
  std::string SlowStatement() const {
    return IsPostgres() ? "select pg_sleep(0.5)"
                        : "with recursive n(i) as (select 1 union all select i + 1 from n "
                          "where i < 4000000) select max(i) from n";
  }
  static std::string Count(RunningPool& pool) { return pool.Text("select count(*) from t"); }
};

// With one connection, so nothing here looks from outside while a session is open.
INSTANTIATE_TEST_SUITE_P(, SessionContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

// A database in memory has one connection, on which nobody sees a session's transaction.
class SessionsBesideOthers : public SessionContract {};
INSTANTIATE_TEST_SUITE_P(, SessionsBesideOthers,
                         testing::Values(Database::kSqliteFile, Database::kPostgres), NameOf);

TEST_P(SessionsBesideOthers, ATransactionIsSeenByOthersOnceItIsCommitted) {
  const auto pool = NewSessionPool(2);
  const Outcome first = RunIn(*pool, "insert into t values (1)", Begin());
  ASSERT_FALSE(first.error) << ErrorText(first);
  EXPECT_EQ(first.transaction_status, TransactionStatus::kInTransaction);
  EXPECT_EQ(pool->Stats().sessions, 1u);
  const Outcome second = RunIn(*pool, "insert into t values (2)", In(first.session));
  EXPECT_EQ(second.session, first.session);
  EXPECT_EQ(Count(*pool), "0");
  const Outcome end = RunEnd(*pool, first.session, SessionUse::End::kCommit);
  EXPECT_FALSE(end.error) << ErrorText(end);
  EXPECT_EQ(end.end_tag, "COMMIT");
  EXPECT_EQ(end.session, "");
  EXPECT_EQ(Count(*pool), "2");
  EXPECT_EQ(pool->Stats().sessions, 0u);
}

TEST_P(SessionContract, ARollbackLeavesNothing) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from t", In(token))), "1");
  const Outcome end = RunEnd(*pool, token, SessionUse::End::kRollback);
  EXPECT_FALSE(end.error) << ErrorText(end);
  EXPECT_EQ(end.end_tag, "ROLLBACK");
  EXPECT_EQ(Count(*pool), "0");
}

TEST_P(SessionContract, BeginAndCommitRideWithOneStatement) {
  const auto pool = NewSessionPool(1);
  const Outcome outcome = RunIn(*pool, "insert into t values (1)", Commit(Begin()));
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.session, "");
  EXPECT_EQ(outcome.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(outcome.result.command_tag, "INSERT 0 1");
  EXPECT_EQ(outcome.end_tag, "COMMIT");
  EXPECT_EQ(Count(*pool), "1");
  const std::string token = Open(*pool, "insert into t values (2)", Begin());
  EXPECT_EQ(RunIn(*pool, "insert into t values (3)", Commit(In(token))).session, "");
  EXPECT_EQ(Count(*pool), "3");
  EXPECT_EQ(KindOf(RunIn(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
}

TEST_P(SessionContract, ACommitThatFailsIsTheCallsErrorAndEndsTheSession) {
  const auto pool = NewSessionPool(1);
  pool->Must(
      "create table late (id int primary key, parent int references late (id) deferrable initially "
      "deferred)");
  const std::string token = Open(*pool, "insert into late values (1, null)", Begin());
  const Outcome failed = RunIn(*pool, "insert into late values (2, 99)", Commit(In(token)));
  EXPECT_EQ(SqlState(failed), "23503");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(KindOf(RunIn(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  const std::string another = Open(*pool, "insert into late values (3, 99)", Begin());
  EXPECT_EQ(SqlState(RunEnd(*pool, another, SessionUse::End::kCommit)), "23503");
  EXPECT_EQ(SqlState(RunIn(*pool, "insert into late values (4, 99)", Commit(Begin()))), "23503");
  EXPECT_EQ(pool->Text("select count(*) from late"), "0");
  EXPECT_EQ(pool->Stats().sessions, 0u);
}

TEST_P(SessionContract, AStatementThatWouldOpenATransactionAndFailsOpensNone) {
  const auto pool = NewSessionPool(1);
  for (const SessionUse& use : {Begin(), Commit(Begin())}) {
    const Outcome failed = RunIn(*pool, "insert into t values (1), (1)", use);
    EXPECT_EQ(SqlState(failed), "23505");
    EXPECT_EQ(failed.session, "");
  }
  EXPECT_EQ(SqlState(RunIn(*pool, "select * from nowhere", Begin())), "42P01");
  EXPECT_EQ(pool->Stats().sessions, 0u);
  // Its one connection is free again, and not in a transaction.
  EXPECT_EQ(pool->Text("insert into t values (1) returning id"), "1");
}

TEST_P(SessionContract, AFailedTransactionRefusesStatementsUntilASavepointOrItsEnd) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_FALSE(RunIn(*pool, "savepoint s", In(token)).error);
  const Outcome failed = RunIn(*pool, "insert into t values (1)", In(token));
  EXPECT_EQ(SqlState(failed), "23505");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kFailed);
  for (const char* sql : {"select 1", "insert into t values (2)", "savepoint other", "release s"}) {
    const Outcome refused = RunIn(*pool, sql, In(token));
    EXPECT_EQ(SqlState(refused), "25P02") << sql;
    EXPECT_EQ(refused.transaction_status, TransactionStatus::kFailed);
  }
  EXPECT_EQ(SqlState(RunIn(*pool, "insert into t values (3)", Commit(In(token)))), "25P02");
  EXPECT_EQ(RunIn(*pool, "rollback to s", In(token)).transaction_status,
            TransactionStatus::kInTransaction);
  EXPECT_EQ(Rows(RunIn(*pool, "select id from t", In(token))), "1");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "1");
}

TEST_P(SessionContract, TheCommitOfAFailedTransactionRollsItBackAndSaysSo) {
  const auto pool = NewSessionPool(1);
  const std::string doomed = Open(*pool, "insert into t values (2)", Begin());
  EXPECT_EQ(SqlState(RunIn(*pool, "select * from nowhere", In(doomed))), "42P01");
  EXPECT_EQ(KindOf(RunEnd(*pool, doomed, SessionUse::End::kCommit)), ErrorKind::kTransactionFailed);
  EXPECT_EQ(Count(*pool), "0");
  const std::string by_text = Open(*pool, "begin", AutoPin());
  EXPECT_FALSE(RunIn(*pool, "insert into t values (3)", In(by_text)).error);
  EXPECT_EQ(SqlState(RunIn(*pool, "selec 1", In(by_text))), "42601");
  const Outcome end = RunIn(*pool, "commit", In(by_text));
  EXPECT_FALSE(end.error) << ErrorText(end);
  EXPECT_EQ(end.result.command_tag, "ROLLBACK");
  EXPECT_EQ(end.session, "");
  EXPECT_EQ(Count(*pool), "0");
}

TEST_P(SessionContract, WhatIsRefusedBeforeItRunsLeavesTheTransactionAsItIs) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(KindOf(RunIn(*pool, "insert into t values ($1)", In(token))),
              ErrorKind::kInvalidArgument);
    EXPECT_EQ(KindOf(RunIn(*pool, "", In(token))), ErrorKind::kInvalidArgument);
    EXPECT_EQ(KindOf(RunIn(*pool, "select 1; select 2", In(token))), ErrorKind::kInvalidArgument);
  }
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "1");
}

TEST_P(SessionContract, SavepointsNestAndAreReleased) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  for (const char* sql :
       {"savepoint a", "insert into t values (2)", "savepoint b", "insert into t values (3)",
        "rollback to savepoint b", "insert into t values (4)", "release savepoint a"}) {
    const Outcome outcome = RunIn(*pool, sql, In(token));
    EXPECT_FALSE(outcome.error) << sql << ": " << ErrorText(outcome);
  }
  EXPECT_EQ(RunIn(*pool, "savepoint c", In(token)).result.command_tag, "SAVEPOINT");
  EXPECT_EQ(RunIn(*pool, "rollback to c", In(token)).result.command_tag, "ROLLBACK");
  EXPECT_EQ(RunIn(*pool, "release c", In(token)).result.command_tag, "RELEASE");
  const Outcome unknown = RunIn(*pool, "rollback to b", In(token));
  EXPECT_EQ(SqlState(unknown), "3B001");
  EXPECT_EQ(unknown.transaction_status, TransactionStatus::kFailed);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
}

TEST_P(SessionContract, TransactionCommandsWhereTheyDoNotBelongAreAnsweredAsByPostgresql) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Pin());
  for (const char* sql : {"savepoint s", "rollback to s", "release s"}) {
    EXPECT_EQ(SqlState(RunIn(*pool, sql, In(token))), "25P01") << sql;
  }
  for (const char* sql : {"commit", "rollback"}) {
    const Outcome outcome = RunIn(*pool, sql, In(token));
    ASSERT_EQ(outcome.notices.size(), 1u) << sql << ErrorText(outcome);
    EXPECT_EQ(outcome.notices[0].sqlstate, "25P01");
    EXPECT_EQ(outcome.notices[0].severity, "WARNING");
  }
  EXPECT_EQ(RunIn(*pool, "begin", In(token)).transaction_status, TransactionStatus::kInTransaction);
  const Outcome again = RunIn(*pool, "begin", In(token));
  ASSERT_EQ(again.notices.size(), 1u) << ErrorText(again);
  EXPECT_EQ(again.notices[0].sqlstate, "25001");
  EXPECT_FALSE(RunIn(*pool, "insert into t values (1)", In(token)).error);
  const Outcome end = RunIn(*pool, "end", In(token));
  EXPECT_EQ(end.result.command_tag, "COMMIT");
  EXPECT_EQ(end.session, token) << "it is pinned";
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRelease).error);
  EXPECT_EQ(Count(*pool), "1");
}

TEST_P(SessionsBesideOthers, AReadOnlyTransactionKeepsItsSnapshotAndCannotWrite) {
  // SQLite: one for it, one for other readers, and the writer.
  const auto pool = NewSessionPool(3);
  for (const auto isolation : {pool::BeginOptions::Isolation::kSerializable,
                               pool::BeginOptions::Isolation::kRepeatableRead}) {
    // Taken by the first statement, whatever that is.
    const std::string token =
        Open(*pool, "select 1", Begin({.isolation = isolation, .read_only = true}));
    const std::string before = Count(*pool);
    pool->Must("insert into t select count(*) from t");
    EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from t", In(token))), before)
        << "the snapshot moved";
    EXPECT_EQ(SqlState(RunIn(*pool, "insert into t values (99)", In(token))), "25006");
    EXPECT_EQ(SqlState(RunIn(*pool, "select 1", In(token))), "25P02");
    EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
  }
  EXPECT_EQ(Count(*pool), "2");
}

TEST_P(SessionContract, AReadOnlyTransactionCannotWriteWhateverConnectionItHas) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select count(*) from t", BeginReadOnly());
  EXPECT_EQ(SqlState(RunIn(*pool, "insert into t values (1)", In(token))), "25006");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
  pool->Must("insert into t values (2)");
  const std::string another = Open(*pool, "insert into t values (3)", Begin());
  EXPECT_FALSE(RunEnd(*pool, another, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "2");
}

TEST_P(SessionContract, ReleaseRefusesWhileATransactionIsOpenAndKeepsTheSession) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_EQ(KindOf(RunEnd(*pool, token, SessionUse::End::kRelease)), ErrorKind::kTransactionOpen);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "1");
}

TEST_P(SessionContract, AutoPinFollowsTheTransactionThatTheTextsOpenAndClose) {
  const auto pool = NewSessionPool(2);
  const Outcome begun = RunIn(*pool, "begin", AutoPin());
  ASSERT_FALSE(begun.error) << ErrorText(begun);
  ASSERT_NE(begun.session, "");
  EXPECT_EQ(begun.result.command_tag, "BEGIN");
  SessionUse inside = In(begun.session);
  inside.auto_pin = true;
  EXPECT_EQ(RunIn(*pool, "insert into t values (1)", inside).session, begun.session);
  EXPECT_EQ(RunIn(*pool, "commit", inside).session, "");
  EXPECT_EQ(Leased(*pool), 0u);
  EXPECT_EQ(RunIn(*pool, "select count(*) from t", AutoPin()).session, "");
  EXPECT_EQ(RunIn(*pool, "insert into t values (2)", AutoPin()).session, "");
  EXPECT_EQ(Count(*pool), "2");
  EXPECT_EQ(SqlState(RunIn(*pool, "savepoint s", AutoPin())), "25P01");
  EXPECT_EQ(RunIn(*pool, "rollback", AutoPin()).session, "");
  EXPECT_EQ(KindOf(RunIn(*pool, "create temp table x (id int)", AutoPin())),
            ErrorKind::kNeedsSession);
  EXPECT_EQ(KindOf(pool->Run("begin")), ErrorKind::kNeedsSession);
  // Also after it was refused.
  EXPECT_NE(RunIn(*pool, "begin", AutoPin()).session, "");
}

TEST_P(SessionContract, TokensThatAreNoneAreAllAlike) {
  const auto pool = NewSessionPool(1);
  const std::string ended = Open(*pool, "select 1", Pin());
  EXPECT_FALSE(RunEnd(*pool, ended, SessionUse::End::kRelease).error);
  const std::string message = ErrorText(RunIn(*pool, "select 1", In(ended)));
  for (const std::string& token : {std::string("x"), std::string(32, '0'), std::string(10'000, 'a'),
                                   ended.substr(1), std::string("\0", 1)}) {
    EXPECT_EQ(ErrorText(RunIn(*pool, "select 1", In(token))), message);
    EXPECT_EQ(ErrorText(RunEnd(*pool, token, SessionUse::End::kCommit)), message);
  }
  EXPECT_THAT(message, testing::Not(testing::HasSubstr(ended)));
}

TEST_P(SessionContract, AnIdleSessionIsRolledBackAndItsConnectionServesOthers) {
  const auto pool = NewSessionPool(1, milliseconds(200));
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_FALSE(RunIn(*pool, "select 1", In(token)).error) << "it was not idle";
  }
  EXPECT_EQ(Count(*pool), "0") << "waited for the session to end";
  EXPECT_EQ(KindOf(RunIn(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  EXPECT_EQ(pool->Stats().sessions_revoked["idle_timeout"], 1u);
}

TEST_P(SessionContract, ATransactionThatIsOpenForTooLongIsRolledBackWhateverItDoes) {
  const auto pool = NewSessionPool(1, pool::Duration::zero(), milliseconds(300));
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  TestCall call(LongStatement());
  call.session = In(token);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline) << call.AwaitText();
  EXPECT_LT(call.took(), seconds(2));
  call.AwaitDone();
  EXPECT_EQ(Count(*pool), "0");
  EXPECT_EQ(pool->Stats().sessions_revoked["transaction_timeout"], 1u);
}

TEST_P(SessionsBesideOthers, ACallerCanLowerTheTimeLimitsButNotRaiseThem) {
  const auto pool = NewSessionPool(2, seconds(1));
  SessionUse low = BeginReadOnly();
  low.idle_timeout = milliseconds(100);
  SessionUse high = Begin();
  high.idle_timeout = seconds(100);
  const std::string sooner = Open(*pool, "select 1", low);
  const std::string later = Open(*pool, "select 1", high);
  const pool::Instant start = pool::Clock::now();
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 1; }));
  EXPECT_FALSE(RunIn(*pool, "select 1", In(later)).error);
  EXPECT_LT(pool::Clock::now() - start, seconds(1));
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 0; }));
}

TEST_P(SessionContract, ASecondCallWhileOneRunsIsRefusedOrWaitsItsTurnOnAPipeline) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Begin());
  TestCall slow(SlowStatement());
  slow.session = In(token);
  pool->Submit(slow);
  EXPECT_EQ(KindOf(RunIn(*pool, "select 1", In(token))), ErrorKind::kSessionBusy);
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
  EXPECT_EQ(Count(*pool), "5");
}

TEST_P(SessionContract, ACallThatWaitsItsTurnCanBeCancelledAndHasADeadline) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Begin());
  TestCall slow(SlowStatement());
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
  EXPECT_FALSE(slow.Await().error) << slow.AwaitText();
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "0");
}

TEST_P(SessionContract, ACancelledStatementFailsItsTransactionAndTheSessionStays) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_FALSE(RunIn(*pool, "savepoint s", In(token)).error);
  TestCall call(LongStatement());
  call.session = In(token);
  pool->Submit(call);
  ASSERT_TRUE(AwaitRunning(call));
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  call.AwaitDone();
  EXPECT_EQ(SqlState(RunIn(*pool, "select 1", In(token))), "25P02");
  EXPECT_FALSE(RunIn(*pool, "rollback to s", In(token)).error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "1");
}

TEST_P(SessionContract, ADeadlineInATransactionFailsItAndIsKept) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  TestCall call(LongStatement());
  call.session = In(token);
  call.deadline = pool::Clock::now() + milliseconds(200);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline);
  EXPECT_LT(call.took(), milliseconds(200) + kLateness);
  EXPECT_FALSE(call.Await().error->outcome_unknown);
  call.AwaitDone();
  EXPECT_EQ(SqlState(RunIn(*pool, "select 1", In(token))), "25P02");
  EXPECT_EQ(KindOf(RunEnd(*pool, token, SessionUse::End::kCommit)), ErrorKind::kTransactionFailed);
  EXPECT_EQ(Count(*pool), "0");
}

TEST_P(SessionContract, AStatementThatIsCancelledBeforeItOpensATransactionOpensNone) {
  const auto pool = NewSessionPool(1);
  TestCall call(LongStatement());
  call.session = Begin();
  pool->Start(call);
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  call.AwaitDone();
  EXPECT_EQ(pool->Stats().sessions, 0u);
  EXPECT_EQ(pool->Text("insert into t values (1) returning id"), "1");
}

TEST_P(SessionContract, AResultThatIsTooLargeLeavesTheTransactionOpen) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1), (2), (3)", Begin());
  TestCall call("select id from t");
  call.session = In(token);
  call.statement.limits.rows_max = 2;
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kResultTooLarge);
  call.AwaitDone();
  EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from t", In(token))), "3");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "3");
}

TEST_P(SessionsBesideOthers, SessionsEndWithTheirOwner) {
  const auto pool = NewSessionPool(3);
  SessionUse reading = BeginReadOnly();
  reading.owner = 77;
  SessionUse writing = Begin();
  writing.owner = 77;
  const std::string first = Open(*pool, "select count(*) from t", reading);
  const std::string second = Open(*pool, "insert into t values (2)", writing);
  const std::string other = Open(*pool, "select count(*) from t", BeginReadOnly());
  TestCall running(LongStatement());
  running.session = In(second);
  pool->Submit(running);
  ASSERT_TRUE(AwaitRunning(running));
  pool->Do([&] { pool->pool().EndSessionsOf(77); });
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().sessions == 1; }));
  for (const std::string& token : {first, second}) {
    EXPECT_EQ(KindOf(RunIn(*pool, "select 1", In(token))), ErrorKind::kSessionNotFound);
  }
  EXPECT_FALSE(RunEnd(*pool, other, SessionUse::End::kCommit).error);
  EXPECT_EQ(Count(*pool), "0");
  EXPECT_EQ(pool->Stats().sessions_revoked["client_gone"], 2u);
}

TEST_P(SessionsBesideOthers, ADrainLetsOpenSessionsFinishAndBeginsNoNewOnes) {
  auto pool = NewSessionPool(2);
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  pool->Do([&] { pool->pool().Drain(); });
  EXPECT_EQ(KindOf(RunIn(*pool, "select 1", Begin())), ErrorKind::kDraining);
  EXPECT_FALSE(RunIn(*pool, "insert into t values (2)", In(token)).error);
  bool quiet = true;
  pool->Do([&] { quiet = pool->pool().quiet(); });
  EXPECT_FALSE(quiet);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  pool.reset();
  EXPECT_EQ(Count(*NewSessionPool(1)), "2");
}

TEST_P(SessionContract, AReadOnlyCallInASessionDoesNotMakeTheRestOfItReadOnly) {
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
  EXPECT_FALSE(RunIn(*pool, "insert into t values (2)", In(token)).error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select id from t"), "2");
}

TEST_P(SessionContract, ManySessionsLeaveEveryConnectionFreeAndClean) {
  const auto pool = NewSessionPool(4);
  for (int i = 0; i < 100; ++i) {
    const bool pinned = i % 3 == 0;
    const std::string token =
        Open(*pool, "create temp table mine (id int)", pinned ? Pin() : Begin());
    // It hides the table of all.
    EXPECT_FALSE(RunIn(*pool, "create temp table t (id int)", In(token)).error);
    EXPECT_FALSE(RunIn(*pool, "insert into t values (1)", In(token)).error);
    const SessionUse::End end =
        pinned ? SessionUse::End::kRelease
               : (i % 3 == 1 ? SessionUse::End::kCommit : SessionUse::End::kRollback);
    EXPECT_FALSE(RunEnd(*pool, token, end).error);
    EXPECT_EQ(SqlState(pool->Run("select * from mine")), "42P01");
    EXPECT_EQ(Count(*pool), "0");
    EXPECT_FALSE(pool->Run("delete from t").error);
  }
  EXPECT_EQ(Leased(*pool), 0u);
  EXPECT_EQ(pool->Stats().sessions, 0u);
}

}  // namespace
}  // namespace dbsidecar::contract
