// Transactions and sessions, against a scripted sidecar: what is sent, in which order, and what the
// owner is told.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/client_cpp/fake_sidecar.h"

namespace dbsidecar::client_test {
namespace {

// Serves sessions as the contract has it, one statement at a time, and keeps what it was sent.
//
// The SQL decides: "fail" fails, "slow" waits until the test lets it go on, "hang" is never
// answered, "die" breaks the stream, of "expired" the session is not found; anything else succeeds.
class SessionScript {
 public:
  grpc::Status operator()(FakeStream& stream) {
    for (v1::Call call = stream.ReadCall(); call.id() != 0 || call.cancel_id() != 0;
         call = stream.ReadCall()) {
      if (call.cancel_id() != 0) continue;
      Note(call);
      const std::string& sql = call.query().sql();
      if (sql == "die") return grpc::Status(grpc::StatusCode::UNAVAILABLE, "as scripted");
      if (sql == "hang") continue;
      if (sql == "slow") WaitUntilLetGo();
      Answer(stream, call);
    }
    return grpc::Status::OK;
  }

  std::vector<v1::Call> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  size_t size() { return calls().size(); }
  void LetGo() { let_go_ = true; }

 private:
  void Note(const v1::Call& call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(call);
  }
  void WaitUntilLetGo() {
    EXPECT_TRUE(Eventually([&] { return let_go_.load(); }));
  }
  void Answer(FakeStream& stream, const v1::Call& call) {
    if (call.has_end_session()) {
      if (call.end_session().end() == v1::SESSION_END_RELEASE && refuse_release) {
        return stream.AnswerError(call.id(), MakeError(9, "SQL_ERROR", "25001"));
      }
      const bool commit = call.end_session().end() == v1::SESSION_END_COMMIT;
      return stream.AnswerEnd(call.id(), commit ? "COMMIT" : "ROLLBACK");
    }
    const v1::SessionControl& session = call.query().session();
    if (call.query().sql() == "fail") {
      return stream.AnswerError(call.id(), MakeError(10, "SQL_ERROR", "40001"));
    }
    if (call.query().sql() == "expired") {
      return stream.AnswerError(call.id(), MakeError(5, "SESSION_NOT_FOUND"));
    }
    const bool opens = session.has_begin() || session.has_pin();
    const std::string token =
        call.query().has_session() && !session.commit()
            ? (opens ? "token-" + std::to_string(++tokens_) : session.session())
            : "";
    stream.AnswerNumber(call.id(), static_cast<int64_t>(size()), token);
  }

 public:
  std::atomic<bool> refuse_release = false;

 private:
  std::mutex mutex_;
  std::vector<v1::Call> calls_;
  std::atomic<int> tokens_ = 0;
  std::atomic<bool> let_go_ = false;
};

class SessionTest : public ::testing::Test {
 protected:
  SessionScript script;
  FakeSidecar sidecar{[this](FakeStream& stream) { return script(stream); }};
  Client client{sidecar.address()};

  // Waits until so many calls have arrived.
  std::vector<v1::Call> Calls(size_t count) {
    EXPECT_TRUE(Eventually([&] { return script.size() >= count; }));
    std::this_thread::sleep_for(20ms);  // What should not come had time to.
    EXPECT_EQ(script.size(), count);
    return script.calls();
  }
};

TEST_F(SessionTest, TheFirstStatementCarriesTheBeginAndTheOthersTheToken) {
  Transaction tx = client.Begin({.isolation = Isolation::kSerializable,
                                 .read_only = true,
                                 .deferrable = true,
                                 .idle_timeout = 2500ms,
                                 .transaction_timeout = 60s,
                                 .pool = "orders",
                                 .settings = CallSettings{.role = "clerk"}});
  tx.Query("one", 1);
  tx.Query("two");
  tx.Commit();
  const std::vector<v1::Call> calls = Calls(3);
  const v1::SessionControl& begin = calls[0].query().session();
  ASSERT_TRUE(begin.has_begin());
  EXPECT_EQ(begin.begin().isolation(), v1::ISOLATION_LEVEL_SERIALIZABLE);
  EXPECT_TRUE(begin.begin().read_only());
  EXPECT_TRUE(begin.begin().deferrable());
  EXPECT_EQ(begin.begin().idle_timeout().seconds(), 2);
  EXPECT_EQ(begin.begin().idle_timeout().nanos(), 500'000'000);
  EXPECT_EQ(begin.begin().transaction_timeout().seconds(), 60);
  EXPECT_FALSE(begin.commit());
  EXPECT_EQ(calls[0].query().pool(), "orders");
  EXPECT_EQ(calls[0].query().settings().role(), "clerk");
  EXPECT_EQ(calls[0].query().params(0).int_value(), 1);
  EXPECT_EQ(calls[1].query().session().session(), "token-1");
  EXPECT_EQ(calls[1].query().pool(), "");
  EXPECT_EQ(calls[2].end_session().session(), "token-1");
  EXPECT_EQ(calls[2].end_session().end(), v1::SESSION_END_COMMIT);
}

TEST_F(SessionTest, TheLastStatementCanCarryTheCommit) {
  Transaction tx = client.Begin();
  tx.Query("one");
  tx.CommitWith("two", 2);
  EXPECT_THROW(tx.Query("three"), Error);
  const std::vector<v1::Call> calls = Calls(2);
  EXPECT_EQ(calls[1].query().session().session(), "token-1");
  EXPECT_TRUE(calls[1].query().session().commit());
  EXPECT_EQ(calls[1].query().params(0).int_value(), 2);
}

TEST_F(SessionTest, OneStatementCanBeAWholeTransaction) {
  Transaction tx = client.Begin({.isolation = Isolation::kRepeatableRead});
  tx.CommitWith("only");
  const std::vector<v1::Call> calls = Calls(1);
  EXPECT_TRUE(calls[0].query().session().has_begin());
  EXPECT_TRUE(calls[0].query().session().commit());
}

TEST_F(SessionTest, ATransactionThatIsNotEndedIsRolledBack) {
  {
    Transaction tx = client.Begin();
    tx.Query("one");
  }
  const std::vector<v1::Call> calls = Calls(2);
  EXPECT_EQ(calls[1].end_session().session(), "token-1");
  EXPECT_EQ(calls[1].end_session().end(), v1::SESSION_END_ROLLBACK);
}

TEST_F(SessionTest, AnExceptionRollsBack) {
  try {
    Transaction tx = client.Begin();
    tx.Query("one");
    tx.Query("fail");
    tx.Commit();
    FAIL() << "did not throw";
  } catch (const SerializationFailure&) {
  }
  EXPECT_EQ(Calls(3)[2].end_session().end(), v1::SESSION_END_ROLLBACK);
}

TEST_F(SessionTest, WithoutAStatementNothingIsSent) {
  { Transaction unused = client.Begin(); }
  client.Begin().Commit();
  client.Begin().Rollback();
  { Session unused = client.Pin(); }
  Calls(0);
}

TEST_F(SessionTest, RollbackIsSentOnceAndEndsTheTransaction) {
  Transaction tx = client.Begin();
  tx.Query("one");
  tx.Rollback();
  tx.Rollback();  // Quiet.
  EXPECT_THROW(tx.Commit(), Error);
  EXPECT_THROW(tx.Query("more"), Error);
  EXPECT_EQ(Calls(2)[1].end_session().end(), v1::SESSION_END_ROLLBACK);
}

TEST_F(SessionTest, WhenTheFirstStatementFailsTheTransactionHasEnded) {
  Transaction tx = client.Begin();
  EXPECT_THROW(tx.Query("fail"), SerializationFailure);
  try {
    tx.Query("more");
    ADD_FAILURE() << "was sent";
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "TRANSACTION_FAILED");
  }
  EXPECT_THROW(tx.Commit(), Error);
  tx.Rollback();
  Calls(1);
}

TEST_F(SessionTest, StatementsMadeBeforeTheTokenIsKnownFollowInOrder) {
  Transaction tx = client.Begin();
  std::vector<std::future<Result>> results;
  results.push_back(tx.QueryAsync("slow"));
  results.push_back(tx.QueryAsync("second"));
  results.push_back(tx.QueryAsync("third"));
  std::future<Result> committed = tx.CommitAsync();
  ASSERT_TRUE(Eventually([&] { return script.size() == 1; }));
  script.LetGo();
  EXPECT_EQ(committed.get().command_tag(), "COMMIT");
  for (std::future<Result>& result : results) result.get();
  const std::vector<v1::Call> calls = Calls(4);
  EXPECT_EQ(calls[1].query().sql(), "second");
  EXPECT_EQ(calls[1].query().session().session(), "token-1");
  EXPECT_EQ(calls[2].query().sql(), "third");
  EXPECT_EQ(calls[3].end_session().session(), "token-1");
}

TEST_F(SessionTest, StatementsHeldBehindAFirstThatFailsFailToo) {
  Transaction tx = client.Begin();
  std::future<Result> first = tx.QueryAsync("fail");
  std::future<Result> second = tx.QueryAsync("second");
  std::future<Result> committed = tx.CommitAsync();
  EXPECT_THROW(first.get(), SerializationFailure);
  EXPECT_THROW(second.get(), Error);
  EXPECT_THROW(committed.get(), Error);
}

TEST_F(SessionTest, ATransactionAbandonedBeforeItsTokenIsKnownIsRolledBackAllTheSame) {
  std::future<Result> first;
  {
    Transaction tx = client.Begin();
    first = tx.QueryAsync("slow");
    ASSERT_TRUE(Eventually([&] { return script.size() == 1; }));
  }
  script.LetGo();
  first.get();
  const std::vector<v1::Call> calls = Calls(2);
  EXPECT_EQ(calls[1].end_session().session(), "token-1");
  EXPECT_EQ(calls[1].end_session().end(), v1::SESSION_END_ROLLBACK);
}

TEST_F(SessionTest, ATransactionWhoseFirstStatementTimedOutIsRolledBackWhenItsTokenComes) {
  {
    Transaction tx = client.Begin();
    EXPECT_THROW(tx.Query({.timeout = 100ms}, "slow"), OutcomeUnknown);
  }
  script.LetGo();
  const std::vector<v1::Call> calls = Calls(2);
  EXPECT_EQ(calls[1].end_session().session(), "token-1");
  EXPECT_EQ(calls[1].end_session().end(), v1::SESSION_END_ROLLBACK);
}

TEST_F(SessionTest, AHeldStatementHasItsOwnDeadline) {
  Transaction tx = client.Begin();
  std::future<Result> first = tx.QueryAsync("slow");
  EXPECT_THROW(tx.QueryAsync({.timeout = 100ms}, "second").get(), DeadlineExceeded);
  script.LetGo();
  first.get();
  tx.Commit();
  Calls(2);
}

TEST_F(SessionTest, ABrokenStreamTakesItsTransactionsAlong) {
  Transaction tx = client.Begin();
  tx.Query("one");
  Transaction idle = client.Begin();
  idle.Query("one");
  EXPECT_THROW(tx.Query("die"), SessionLost);
  EXPECT_THROW(tx.Query("more"), SessionLost);
  EXPECT_THROW(tx.Commit(), SessionLost);
  tx.Rollback();  // Quiet: it was.
  EXPECT_THROW(idle.Query("more"), SessionLost);
  // Another begins on the new stream.
  Transaction next = client.Begin();
  next.Query("one");
  next.Commit();
}

TEST_F(SessionTest, ACommitUnderWayOnABrokenStreamIsOfUnknownOutcome) {
  Transaction tx = client.Begin();
  tx.Query("one");
  EXPECT_THROW(tx.CommitWith("die"), OutcomeUnknown);
}

TEST_F(SessionTest, ATransactionThatTheSidecarHasEndedIsLost) {
  Transaction tx = client.Begin();
  tx.Query("one");
  EXPECT_THROW(tx.Query("expired"), SessionLost);
  EXPECT_THROW(tx.Query("more"), SessionLost);
  EXPECT_THROW(tx.Commit(), SessionLost);
  tx.Rollback();
  Calls(2);
}

TEST_F(SessionTest, APinnedSessionIsReleased) {
  Session session = client.Pin({.idle_timeout = 3s});
  session.Query("set");
  session.Query("show");
  session.Release();
  EXPECT_THROW(session.Query("more"), Error);
  const std::vector<v1::Call> calls = Calls(3);
  ASSERT_TRUE(calls[0].query().session().has_pin());
  EXPECT_EQ(calls[0].query().session().pin().idle_timeout().seconds(), 3);
  EXPECT_EQ(calls[1].query().session().session(), "token-1");
  EXPECT_EQ(calls[2].end_session().end(), v1::SESSION_END_RELEASE);
}

TEST_F(SessionTest, ARefusedReleaseLeavesTheSessionUsable) {
  script.refuse_release = true;
  Session session = client.Pin();
  session.Query("begin");
  EXPECT_THROW(session.Release(), SqlError);
  session.Query("commit");
  script.refuse_release = false;
  session.Release();
}

TEST_F(SessionTest, OfAPinnedSessionsBrokenStatementTheOutcomeIsUnknown) {
  Session session = client.Pin();
  session.Query("one");
  EXPECT_THROW(session.Query("die"), OutcomeUnknown);
  EXPECT_THROW(session.Query("more"), SessionLost);
}

TEST_F(SessionTest, WhatWasMovedFromIsRefusedAndNeverRunsOutsideTheTransaction) {
  Transaction tx = client.Begin();
  tx.Query("one");
  Transaction other = std::move(tx);
  EXPECT_THROW(tx.Query("two"), Error);  // NOLINT(bugprone-use-after-move): that is the test.
  other.Query("two");
  Transaction third = client.Begin();
  third.Query("three");
  third = std::move(other);  // Rolls its own back.
  third.Commit();
  const std::vector<v1::Call> calls = Calls(5);
  EXPECT_EQ(calls[3].end_session().session(), "token-2");
  EXPECT_EQ(calls[3].end_session().end(), v1::SESSION_END_ROLLBACK);
  EXPECT_EQ(calls[4].end_session().session(), "token-1");
}

TEST_F(SessionTest, ManyTransactionsAtOnceKeepApart) {
  constexpr int kTransactions = 20 / kSlower;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kTransactions; ++i) {
        Transaction tx = client.Begin();
        tx.Query("one");
        std::future<Result> later = tx.QueryAsync("two");
        tx.CommitWith("three");
        later.get();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<std::string, std::vector<std::string>> by_token;
  for (const v1::Call& call : script.calls()) {
    const std::string& token = call.query().session().session();
    if (!token.empty()) by_token[token].push_back(call.query().sql());
  }
  EXPECT_EQ(by_token.size(), size_t{8} * kTransactions);
  for (const auto& [token, statements] : by_token) {
    EXPECT_EQ(statements, (std::vector<std::string>{"two", "three"})) << token;
  }
}

}  // namespace
}  // namespace dbsidecar::client_test
