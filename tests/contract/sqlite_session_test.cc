// What is SQLite's own in a session: the one writer, what takes the whole transaction along, and
// the state of a connection. What sessions are, on every database, is in session_contract_test.cc.
#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/contract/database.h"
#include "tests/contract/sessions.h"
#include "tests/support/raw_sqlite.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;

class SqliteSessionTest : public DatabaseTest {
 protected:
  std::unique_ptr<RunningPool> NewSessionPool(pool::PoolOptions options) {
    auto pool = NewPool(std::move(options));
    EXPECT_TRUE(pool->AwaitWarm());
    pool->Must("create table t (id integer primary key, note text)");
    return pool;
  }
  std::unique_ptr<RunningPool> NewSessionPool(size_t max) {
    return NewSessionPool(SessionOptions(max));
  }
  // Ends it, and demands that its transaction had failed.
  static void ExpectFailed(RunningPool& pool, const std::string& token) {
    EXPECT_EQ(SqlState(RunIn(pool, "select 1", In(token))), "25P02");
    EXPECT_EQ(KindOf(RunEnd(pool, token, SessionUse::End::kCommit)), ErrorKind::kTransactionFailed);
    EXPECT_EQ(pool.Text("select count(*) from t"), "0");
  }
};

INSTANTIATE_TEST_SUITE_P(, SqliteSessionTest,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory), NameOf);

// Of a file there are readers beside the writer.
class SqliteWriterTest : public SqliteSessionTest {};
INSTANTIATE_TEST_SUITE_P(, SqliteWriterTest, testing::Values(Database::kSqliteFile), NameOf);

TEST_P(SqliteSessionTest, APinnedConnectionKeepsItsStateAndTheNextCallerSeesNoneOfIt) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "create temp table scratch (id int)", Pin());
  for (const char* sql : {"insert into scratch values (1)", "pragma case_sensitive_like = on",
                          "pragma foreign_keys = off", "pragma synchronous = off",
                          "attach ':memory:' as other", "create table other.o (id int)",
                          "create table temp.t (id int)", "insert into t values (7)"}) {
    const Outcome outcome = RunIn(*pool, sql, In(token));
    EXPECT_FALSE(outcome.error) << sql << ": " << ErrorText(outcome);
  }
  EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from scratch", In(token))), "1");
  EXPECT_EQ(Rows(RunIn(*pool, "select 'a' like 'A'", In(token))), "0");
  EXPECT_EQ(Rows(RunIn(*pool, "select id from t", In(token))), "7");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRelease).error);
  EXPECT_EQ(SqlState(pool->Run("select * from scratch")), "42P01");
  EXPECT_EQ(SqlState(pool->Run("select * from other.o")), "42P01");
  EXPECT_EQ(pool->Text("select 'a' like 'A'"), "1");
  EXPECT_EQ(pool->Text("pragma foreign_keys"), "1");
  EXPECT_EQ(pool->Text("pragma synchronous"), "1");
  EXPECT_EQ(Rows(pool->Run("select id from t")), "");
  // Nor are its texts allowed to others because they were once compiled.
  EXPECT_EQ(KindOf(pool->Run("create temp table scratch (id int)")), ErrorKind::kNeedsSession);
  EXPECT_EQ(KindOf(pool->Run("pragma foreign_keys = off")), ErrorKind::kNeedsSession);
  EXPECT_EQ(KindOf(pool->Run("attach ':memory:' as other")), ErrorKind::kNeedsSession);
}

TEST_P(SqliteSessionTest, ATransactionsOwnStateIsGoneForTheNextCaller) {
  const auto pool = NewSessionPool(1);
  for (const SessionUse::End end : {SessionUse::End::kCommit, SessionUse::End::kRollback}) {
    const std::string token = Open(*pool, "pragma recursive_triggers = on", Begin());
    EXPECT_FALSE(RunIn(*pool, "create temp view v as select 1", In(token)).error);
    EXPECT_FALSE(RunEnd(*pool, token, end).error);
    EXPECT_EQ(SqlState(pool->Run("select * from v")), "42P01");
    // To look is refused to others, so it takes a session.
    const std::string next = Open(*pool, "pragma recursive_triggers", Begin());
    EXPECT_EQ(Rows(RunIn(*pool, "pragma recursive_triggers", In(next))), "0");
    EXPECT_FALSE(RunEnd(*pool, next, end).error);
  }
}

TEST_P(SqliteSessionTest, APragmaInAFailedTransactionDoesNotTakeEffect) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "savepoint s", Begin());
  EXPECT_EQ(SqlState(RunIn(*pool, "select * from nowhere", In(token))), "42P01");
  EXPECT_EQ(SqlState(RunIn(*pool, "pragma case_sensitive_like = on", In(token))), "25P02");
  EXPECT_FALSE(RunIn(*pool, "rollback to s", In(token)).error);
  EXPECT_EQ(Rows(RunIn(*pool, "select 'a' like 'A'", In(token))), "1");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
}

TEST_P(SqliteSessionTest, WhatReachesBeyondTheConnectionIsRefusedInASessionToo) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "select 1", Pin());
  for (const char* sql :
       {"pragma journal_mode = delete", "pragma locking_mode = exclusive",
        "pragma busy_timeout = 1", "pragma hard_heap_limit = 1", "pragma writable_schema = on",
        "pragma temp_store_directory = '/'", "select load_extension('x')"}) {
    EXPECT_EQ(KindOf(RunIn(*pool, sql, In(token))), ErrorKind::kUnsupported) << sql;
    // Now it is known by its text.
    EXPECT_EQ(KindOf(RunIn(*pool, sql, In(token))), ErrorKind::kUnsupported) << sql;
  }
}

TEST_P(SqliteSessionTest, TheLastRowidIsKnownInItsSessionAndToNobodyElse) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (41, 'a')", Begin());
  const Outcome second = RunIn(*pool, "insert into t values (42, 'b')", In(token));
  EXPECT_EQ(second.result.last_insert_id, 42);
  EXPECT_EQ(Rows(RunIn(*pool, "select last_insert_rowid()", In(token))), "42");
  EXPECT_EQ(
      RunIn(*pool, "insert or ignore into t values (42, 'c')", In(token)).result.last_insert_id, 0);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select last_insert_rowid()"), "0");
  const std::string next = Open(*pool, "select last_insert_rowid()", Pin());
  EXPECT_EQ(Rows(RunIn(*pool, "select last_insert_rowid()", In(next))), "0");
}

TEST_P(SqliteSessionTest, AnInterruptedWriteTakesTheTransactionAndItsSavepointsAlong) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1, 'a')", Begin());
  EXPECT_FALSE(RunIn(*pool, "savepoint s", In(token)).error);
  TestCall call(
      "insert into t with recursive n(i) as (select 2 union all select i + 1 from n) "
      "select i, 'x' from n");
  call.session = In(token);
  call.deadline = pool::Clock::now() + milliseconds(100);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline);
  // Not known to have failed if the database took long to confirm it.
  EXPECT_NE(call.Await().transaction_status, TransactionStatus::kIdle);
  call.AwaitDone();
  const Outcome back = RunIn(*pool, "rollback to s", In(token));
  EXPECT_EQ(SqlState(back), "3B001") << ErrorText(back);
  EXPECT_EQ(back.transaction_status, TransactionStatus::kFailed);
  ExpectFailed(*pool, token);
}

TEST_P(SqliteSessionTest, AConflictThatRollsBackFailsTheTransactionLikeAnyOther) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1, 'a')", Begin());
  EXPECT_EQ(SqlState(RunIn(*pool, "insert or rollback into t values (1, 'b')", In(token))),
            "23505");
  ExpectFailed(*pool, token);
}

TEST_P(SqliteSessionTest, AFailedStatementOfAPinnedSessionWithoutATransactionFailsNothing) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1, 'a')", Pin());
  const Outcome failed = RunIn(*pool, "insert into t values (1, 'b')", In(token));
  EXPECT_EQ(SqlState(failed), "23505");
  EXPECT_EQ(failed.transaction_status, TransactionStatus::kIdle);
  EXPECT_EQ(Rows(RunIn(*pool, "insert into t values (2, 'c') returning id", In(token))), "2");
}

TEST_P(SqliteSessionTest, AWriteWhoseRowsAreTooManyIsUndoneAloneInATransaction) {
  const auto pool = NewSessionPool(1);
  const std::string token = Open(*pool, "insert into t values (1, 'a')", Begin());
  TestCall call("insert into t values (2, 'b'), (3, 'c') returning id");
  call.session = In(token);
  call.statement.limits.rows_max = 1;
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kResultTooLarge);
  call.AwaitDone();
  EXPECT_EQ(Rows(RunIn(*pool, "select id from t", In(token))), "1");
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_EQ(Rows(pool->Run("select id from t")), "1");
}

TEST_P(SqliteSessionTest, ASessionGetsItsTurnAmongManyWrites) {
  const auto pool = NewSessionPool(2);
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&] {
      while (!stop) pool->Must("insert into t (note) values ('x')");
    });
  }
  for (int i = 0; i < 20; ++i) {
    TestCall call("select count(*) from t");
    call.session = Begin();
    pool->Submit(call);
    const Outcome& begun = call.Await();
    ASSERT_FALSE(begun.error) << ErrorText(begun);
    EXPECT_LT(call.took(), std::chrono::seconds(2));
    // Nobody else writes meanwhile.
    EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from t", In(begun.session))), Rows(begun));
    EXPECT_FALSE(RunEnd(*pool, begun.session, SessionUse::End::kCommit).error);
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
}

TEST_P(SqliteSessionTest, AWriteWaitsForTheSessionAndIsNeverBusy) {
  pool::PoolOptions options = SessionOptions(2);
  options.core.wait_timeout = milliseconds(300);
  const auto pool = NewSessionPool(options);
  const std::string token = Open(*pool, "insert into t values (1, 'a')", Begin());
  TestCall late("insert into t values (2, 'b')");
  pool->Submit(late);
  EXPECT_EQ(KindOf(late.Await()), ErrorKind::kWaitTimeout) << late.AwaitText();
  TestCall soon("insert into t values (3, 'c')");
  pool->Submit(soon);
  TestCall next("insert into t values (4, 'd')");
  next.session = Commit(Begin());
  pool->Submit(next);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  EXPECT_FALSE(soon.Await().error) << soon.AwaitText();
  EXPECT_FALSE(next.Await().error) << next.AwaitText();
  EXPECT_EQ(Rows(pool->Run("select id from t order by id")), "1;3;4");
}

TEST_P(SqliteSessionTest, CallsBehindAStatementThatIgnoresItsCancelHaveNotRunAndAreServedLater) {
  pool::PoolOptions options = SessionOptions(1);
  options.cancel_grace = milliseconds(50);
  const auto pool = NewSessionPool(options);
  // Within one function, where SQLite does not look for an interrupt: for a second or two.
  TestCall deaf("select instr(hex(zeroblob(300000)), hex(zeroblob(150000)) || '1')");
  deaf.deadline = pool::Clock::now() + milliseconds(50);
  TestCall write("insert into t values (1, 'a')");
  TestCall read("select 7");
  TestCall expired("insert into t values (2, 'b')");
  expired.deadline = pool::Clock::now() + milliseconds(250);
  pool->SubmitTogether({&deaf, &write, &read, &expired});
  EXPECT_EQ(KindOf(deaf.Await()), ErrorKind::kDeadline) << deaf.AwaitText();
  EXPECT_TRUE(deaf.Await().error->outcome_unknown) << "it took no time: make it longer";
  EXPECT_EQ(KindOf(expired.Await()), ErrorKind::kDeadline) << expired.AwaitText();
  EXPECT_FALSE(expired.Await().error->outcome_unknown) << expired.AwaitText();
  EXPECT_FALSE(write.Await().error) << write.AwaitText();
  EXPECT_EQ(read.AwaitText(), "7");
  deaf.AwaitDone();
  EXPECT_EQ(Rows(pool->Run("select id from t")), "1");
}

TEST_P(SqliteWriterTest, ReadsAndReadOnlyTransactionsGoOnBesideTheOneThatWrites) {
  const auto pool = NewSessionPool(3);
  const std::string writing = Open(*pool, "insert into t values (1, 'a')", Begin());
  const std::string reading = Open(*pool, "select count(*) from t", BeginReadOnly());
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
  EXPECT_FALSE(RunEnd(*pool, writing, SessionUse::End::kCommit).error);
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
  EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from t", In(reading))), "0");
  EXPECT_FALSE(RunEnd(*pool, reading, SessionUse::End::kCommit).error);
}

TEST_P(SqliteWriterTest, APinnedSessionAndABeginByTextMayWriteLater) {
  const auto pool = NewSessionPool(3);
  const std::string pinned = Open(*pool, "select count(*) from t", Pin());
  EXPECT_EQ(Rows(RunIn(*pool, "insert into t values (1, 'a') returning id", In(pinned))), "1");
  EXPECT_EQ(pool->Text("select count(*) from t"), "1") << "each statement commits";
  EXPECT_FALSE(RunEnd(*pool, pinned, SessionUse::End::kRelease).error);
  RawSqlite other(SqliteFile());
  for (const char* sql : {"begin", "begin deferred transaction", "begin immediate"}) {
    const std::string token = Open(*pool, sql, AutoPin());
    EXPECT_EQ(Rows(RunIn(*pool, "select count(*) from t", In(token))), "1");
    // It has the write lock already, so nobody can come between, and its write cannot be refused.
    EXPECT_FALSE(other.RunsAtOnce("insert into t values (2, 'b')")) << sql;
    EXPECT_FALSE(RunIn(*pool, "update t set note = 'c' where id = 1", In(token)).error) << sql;
    EXPECT_FALSE(RunIn(*pool, "rollback", In(token)).error);
  }
}

TEST_P(SqliteWriterTest, ALockOfAnotherProcessIsWaitedForUntilTheDeadline) {
  const auto pool = NewSessionPool(2);
  RawSqlite other(SqliteFile());
  other.Run("begin immediate");
  TestCall call("insert into t values (1, 'a')");
  call.session = Begin();
  call.deadline = pool::Clock::now() + milliseconds(200);
  pool->Submit(call);
  EXPECT_EQ(SqlState(call.Await()), "40001") << call.AwaitText();
  call.AwaitDone();
  EXPECT_EQ(pool->Stats().sessions, 0u);
  TestCall patient("insert into t values (2, 'b')");
  patient.session = Commit(Begin());
  pool->Submit(patient);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_FALSE(patient.answered());
  other.Run("commit");
  EXPECT_FALSE(patient.Await().error) << patient.AwaitText();
}

}  // namespace
}  // namespace dbsidecar::contract
