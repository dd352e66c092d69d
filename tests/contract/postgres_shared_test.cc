// Several callers on one PostgreSQL connection, and several reads before one Sync. `now()` is the
// start of the transaction, so statements with the same one ran in one transaction.
#include <fmt/format.h>

#include <algorithm>
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
using std::chrono::milliseconds;

using Calls = std::vector<std::unique_ptr<TestCall>>;

constexpr char kTransaction[] = "select now()::text, $1::int";

class PostgresShared : public PostgresTest {
 protected:
  // One connection, shared by whoever may.
  std::unique_ptr<RunningPool> NewSharedPool() {
    pool::PoolOptions options = TestOptions(1);
    options.core.shared_max = 1;
    // The machine may be slow; what is to be tested is who may share.
    options.core.stalled_after = std::chrono::seconds(20);
    options.core.evict_after = pool::Duration::zero();
    auto pool = NewPool(options);
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }

  static std::unique_ptr<TestCall> Read(const std::string& sql,
                                        std::vector<pool::Value> parameters = {}) {
    auto call = std::make_unique<TestCall>(sql, std::move(parameters));
    call->statement.read_only = true;
    return call;
  }

  // Until experience says that it is short, and it is prepared.
  static void Practise(RunningPool& pool, const std::string& sql,
                       const std::vector<pool::Value>& parameters = {}) {
    for (int i = 0; i < 40; ++i) EXPECT_FALSE(pool.Run(sql, parameters).error) << sql;
  }

  static void SubmitTogether(RunningPool& pool, const Calls& calls) {
    std::vector<TestCall*> all;
    for (const auto& call : calls) all.push_back(call.get());
    pool.SubmitTogether(all);
  }

  // The transactions in which they ran, by now().
  static std::set<std::string> Transactions(const Calls& calls) {
    std::set<std::string> times;
    for (const auto& call : calls) times.insert(call->AwaitText());
    return times;
  }
};

TEST_F(PostgresShared, ReadsThatComeTogetherAreOneTransaction) {
  const auto pool = NewSharedPool();
  Practise(*pool, kTransaction, {Integer(0)});
  // On a busy machine they look long, and long ones do not share a Sync.
  size_t fewest = 20;
  for (int round = 0; round < 20 && fewest > 1; ++round) {
    Calls calls;
    for (int i = 0; i < 20; ++i) calls.push_back(Read(kTransaction, {Integer(i)}));
    SubmitTogether(*pool, calls);
    fewest = std::min(fewest, Transactions(calls).size());
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(CellText(calls[static_cast<size_t>(i)]->Await().result, 0, 1), std::to_string(i));
    }
  }
  EXPECT_EQ(fewest, 1u);
}

TEST_F(PostgresShared, ATableThatOthersMadeIsSoonTreatedLikeAnyOther) {
  const auto pool = NewSharedPool();
  Psql("create table newcomer (id int); insert into newcomer values (1)");
  const std::string sql = "select now()::text, id from newcomer";
  EXPECT_FALSE(pool->Run(sql).error);
  const pool::Instant give_up = pool::Clock::now() + kPatience;
  size_t transactions = 0;
  while (transactions != 1 && pool::Clock::now() < give_up) {
    Practise(*pool, sql);
    Calls calls;
    for (int i = 0; i < 5; ++i) calls.push_back(Read(sql));
    SubmitTogether(*pool, calls);
    transactions = Transactions(calls).size();
  }
  EXPECT_EQ(transactions, 1u);
}

TEST_F(PostgresShared, WhatIsNotDeclaredToReadIsATransactionOfItsOwn) {
  const auto pool = NewSharedPool();
  Practise(*pool, kTransaction, {Integer(0)});
  Calls calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(std::make_unique<TestCall>(kTransaction, std::vector{Integer(i)}));
  }
  SubmitTogether(*pool, calls);
  EXPECT_EQ(Transactions(calls).size(), 10u);
}

// Each among reads that share a Sync, which it must not be a part of.
TEST_F(PostgresShared, WhatWritesLocksOrIsVolatileNeverSharesATransaction) {
  Psql("create table t (id int); insert into t values (1); create sequence s");
  Psql("create function stamp() returns text stable language sql as 'select now()::text'");
  const auto pool = NewSharedPool();
  Practise(*pool, kTransaction, {Integer(0)});
  const char* const statements[] = {
      "select now()::text, random()",
      "select now()::text from t for update",
      "select now()::text, nextval('s')",
      "select now()::text, pg_advisory_xact_lock(1)",
      "select now()::text, clock_timestamp()",
      "select stamp()",
      "with w as (insert into t values (2) returning now()::text) select * from w",
      "insert into t values (3) returning now()::text",
      "update t set id = id returning now()::text",
  };
  for (const char* sql : statements) {
    SCOPED_TRACE(sql);
    Practise(*pool, sql);
    Calls calls;
    for (int i = 0; i < 3; ++i) calls.push_back(Read(kTransaction, {Integer(i)}));
    calls.push_back(std::make_unique<TestCall>(sql));
    // Declared to read, too, which the database refuses to those that write.
    calls.push_back(Read(sql));
    for (int i = 0; i < 3; ++i) calls.push_back(Read(kTransaction, {Integer(i)}));
    SubmitTogether(*pool, calls);
    std::set<std::string> shared;
    for (const size_t i : {0u, 1u, 2u, 5u, 6u, 7u}) shared.insert(calls[i]->AwaitText());
    EXPECT_LE(shared.size(), 2u) << "the reads did not share";
    EXPECT_FALSE(shared.contains(calls[3]->AwaitText()));
    EXPECT_FALSE(shared.contains(calls[4]->AwaitText()));
  }
}

TEST_F(PostgresShared, ACallDeclaredToReadThatWritesIsRefusedByTheDatabase) {
  Psql("create table t (id int); create sequence s");
  const auto pool = NewSharedPool();
  for (const char* sql : {"insert into t values (1)", "select nextval('s')",
                          "with w as (insert into t values (1) returning id) select * from w",
                          "select id from t for update"}) {
    SCOPED_TRACE(sql);
    Practise(*pool, sql);
    Psql("truncate t");
    Calls calls;
    for (int i = 0; i < 3; ++i) calls.push_back(Read(sql));
    SubmitTogether(*pool, calls);
    for (const auto& call : calls) EXPECT_EQ(SqlState(call->Await()), "25006");
    EXPECT_EQ(Psql("select count(*) from t"), "0");
  }
}

TEST_F(PostgresShared, AnErrorReachesItsOwnCallerAndTheNeighboursTheirAnswers) {
  const auto pool = NewSharedPool();
  const std::string divide = "select 100 / $1::int";
  Practise(*pool, divide, {Integer(1)});
  for (const size_t guilty : {0u, 7u, 19u}) {
    SCOPED_TRACE(guilty);
    Calls calls;
    for (size_t i = 0; i < 20; ++i) {
      calls.push_back(Read(divide, {Integer(i == guilty ? 0 : static_cast<int>(i) + 1)}));
    }
    SubmitTogether(*pool, calls);
    for (size_t i = 0; i < 20; ++i) {
      if (i == guilty) {
        EXPECT_EQ(SqlState(calls[i]->Await()), "22012");
      } else {
        EXPECT_EQ(calls[i]->AwaitText(), std::to_string(100 / (static_cast<int>(i) + 1)));
      }
      EXPECT_EQ(calls[i]->answers(), 1);
    }
  }
}

TEST_F(PostgresShared, ManyThatFailTogetherAllGetTheirOwnError) {
  const auto pool = NewSharedPool();
  const std::string divide = "select $1::int, 100 / $2::int";
  Practise(*pool, divide, {Integer(1), Integer(1)});
  Calls calls;
  for (int i = 0; i < 60; ++i) calls.push_back(Read(divide, {Integer(i), Integer(i % 2)}));
  SubmitTogether(*pool, calls);
  for (size_t i = 0; i < 60; ++i) {
    if (i % 2 == 0) {
      EXPECT_EQ(SqlState(calls[i]->Await()), "22012");
    } else {
      EXPECT_EQ(calls[i]->AwaitText(), std::to_string(i));
    }
  }
}

TEST_F(PostgresShared, AStatementThatCannotBePreparedDoesNotSpoilItsNeighbours) {
  Psql("create table t (id int)");
  const auto pool = NewSharedPool();
  const std::string doomed = "select count(*) from t where $1 > 0";
  Practise(*pool, kTransaction, {Integer(0)});
  Practise(*pool, doomed, {Integer(1)});
  Psql("drop table t");
  for (int round = 0; round < 3; ++round) {
    Calls calls;
    for (int i = 0; i < 9; ++i) {
      calls.push_back(i % 3 == 1 ? Read(doomed, {Integer(1)}) : Read(kTransaction, {Integer(i)}));
    }
    SubmitTogether(*pool, calls);
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(SqlState(calls[i]->Await()), i % 3 == 1 ? "42P01" : "");
    }
  }
}

TEST_F(PostgresShared, NoticesReachTheCallerWhoseStatementRaisedThem) {
  // An IMMUTABLE function may speak up.
  Psql(
      "create function speak(int) returns int immutable language plpgsql as "
      "$$ begin raise notice 'said %', $1; return $1; end $$");
  const auto pool = NewSharedPool();
  const std::string sql = "select speak($1::int)";
  Practise(*pool, sql, {Integer(1)});
  Calls calls;
  for (int i = 0; i < 10; ++i) calls.push_back(Read(sql, {Integer(i)}));
  SubmitTogether(*pool, calls);
  for (size_t i = 0; i < 10; ++i) {
    ASSERT_EQ(calls[i]->Await().notices.size(), 1u);
    EXPECT_EQ(calls[i]->Await().notices[0].message, fmt::format("said {}", i));
  }
}

// Harmless by its functions, and as slow as its parameter says.
constexpr char kCounting[] = "select count(*) from generate_series(1, $1::int)";

TEST_F(PostgresShared, ACancelEndsItsOwnCallAndTheNeighboursGetTheirAnswers) {
  const auto pool = NewSharedPool();
  Practise(*pool, kCounting, {Integer(1)});
  for (const size_t slow : {0u, 3u, 5u}) {
    SCOPED_TRACE(slow);
    Calls calls;
    for (size_t i = 0; i < 6; ++i) {
      calls.push_back(
          Read(kCounting, {Integer(i == slow ? 2'000'000'000 : static_cast<int>(i) + 1)}));
    }
    SubmitTogether(*pool, calls);
    ASSERT_TRUE(AwaitRunning("generate_series"));
    pool->Cancel(*calls[slow]);
    EXPECT_EQ(KindOf(calls[slow]->Await()), ErrorKind::kCancelled);
    for (size_t i = 0; i < 6; ++i) {
      if (i == slow) continue;
      EXPECT_EQ(calls[i]->AwaitText(), std::to_string(i + 1));
    }
    for (const auto& call : calls) call->AwaitDone();
    Practise(*pool, kCounting, {Integer(1)});
  }
}

TEST_F(PostgresShared, AStatementThatTurnsOutSlowGoesOnElsewhereAndHoldsUpNobody) {
  Psql("create table t (id int)");
  // The parameter alone makes it slow.
  const std::string insert = "insert into t select count(*) from generate_series(1, $1::int)";
  for (const bool writes : {false, true}) {
    SCOPED_TRACE(writes);
    pool::PoolOptions options = TestOptions(2);
    options.core.shared_max = 1;
    const auto pool = NewPool(options);
    ASSERT_TRUE(pool->AwaitWarm());
    const std::string sql = writes ? insert : kCounting;
    Practise(*pool, sql, {Integer(1)});
    constexpr int kSlow = 20'000'000;  // Seconds.
    Calls calls;
    for (int i = 0; i < 10; ++i) {
      calls.push_back(std::make_unique<TestCall>(sql, std::vector{Integer(i == 4 ? kSlow : 1)}));
      calls.back()->statement.read_only = !writes;
    }
    SubmitTogether(*pool, calls);
    for (size_t i = 0; i < 10; ++i) {
      if (i == 4) continue;
      EXPECT_FALSE(calls[i]->Await().error) << calls[i]->AwaitText();
      EXPECT_LT(calls[i]->took(), milliseconds(50 + 500));
      EXPECT_FALSE(calls[4]->answered());
    }
    EXPECT_FALSE(calls[4]->Await().error) << calls[4]->AwaitText();
    EXPECT_EQ(calls[4]->answers(), 1);
    const pool::PoolStats stats = pool->Stats();
    EXPECT_EQ(stats.counters.evictions, 1);
    EXPECT_GE(stats.head_of_line.count(), 10);
    // Some of the others waited behind it until it was taken off.
    EXPECT_GE(stats.head_of_line.sum_seconds(), 0.05);
  }
  EXPECT_EQ(Psql("select count(*) from t where id = 20000000"), "1");
}

TEST_F(PostgresShared, ADeadlineEndsItsOwnCallOnTime) {
  const auto pool = NewSharedPool();
  Practise(*pool, kCounting, {Integer(1)});
  Calls calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(Read(kCounting, {Integer(i == 2 ? 2'000'000'000 : 1)}));
  }
  calls[2]->deadline = pool::Clock::now() + milliseconds(200);
  SubmitTogether(*pool, calls);
  EXPECT_EQ(KindOf(calls[2]->Await()), ErrorKind::kDeadline);
  EXPECT_LE(calls[2]->took(), milliseconds(200) + kLateness);
  for (const size_t i : {0u, 1u, 3u, 4u}) EXPECT_EQ(calls[i]->AwaitText(), "1");
}

TEST_F(PostgresShared, ALostConnectionWithManyCallsOnItAnswersEachAsItDeserves) {
  Psql("create table t (id int)");
  const auto pool = NewSharedPool();
  const std::string insert = "insert into t select $1::int from generate_series(1, $2::int)";
  Practise(*pool, kTransaction, {Integer(0)});
  Practise(*pool, insert, {Integer(0), Integer(1)});
  Calls reads;
  for (int i = 0; i < 10; ++i) reads.push_back(Read(kTransaction, {Integer(i)}));
  Calls writes;
  // The first runs until the connection goes; the others are behind it.
  for (int i = 0; i < 5; ++i) {
    writes.push_back(std::make_unique<TestCall>(
        insert, std::vector{Integer(7), Integer(i == 0 ? 100'000'000 : 1)}));
  }
  SubmitTogether(*pool, writes);
  ASSERT_TRUE(AwaitRunning("insert into t"));
  SubmitTogether(*pool, reads);
  ASSERT_TRUE(pool->Becomes([&] { return pool->pool().Stats().waiting == 0; }));
  EXPECT_GE(TerminateAll(), 1);
  // The server has said of the first that it is undone; of the others nothing is known.
  ASSERT_TRUE(writes[0]->Await().error);
  for (size_t i = 1; i < 5; ++i) {
    ASSERT_EQ(KindOf(writes[i]->Await()), ErrorKind::kConnectionLost) << writes[i]->AwaitText();
    EXPECT_TRUE(writes[i]->Await().error->outcome_unknown);
  }
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_FALSE(reads[i]->Await().error) << reads[i]->AwaitText();
    EXPECT_EQ(CellText(reads[i]->Await().result, 0, 1), std::to_string(i));
  }
  EXPECT_EQ(Psql("select count(*) from t where id = 7"), "0");
}

TEST_F(PostgresShared, ReadsOfOneSyncRunElsewhereWhenTheirConnectionIsLost) {
  const auto pool = NewSharedPool();
  const std::string count = "select count(*)::text from generate_series(1, $1::int)";
  Practise(*pool, count, {Integer(1)});
  Calls calls;
  // The first is still running when the connection goes.
  for (int i = 0; i < 10; ++i) calls.push_back(Read(count, {Integer(i == 0 ? 5'000'000 : i)}));
  SubmitTogether(*pool, calls);
  ASSERT_TRUE(AwaitRunning("select count"));
  EXPECT_GE(TerminateAll(), 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(calls[static_cast<size_t>(i)]->AwaitText(), std::to_string(i == 0 ? 5'000'000 : i));
  }
}

TEST_F(PostgresShared, AStalePlanDoesNotTouchWhatMakesOthersReadOnly) {
  Psql("create table t (id int); insert into t values (1)");
  const auto pool = NewSharedPool();
  const std::string chance = "select (random() < 2)::text";
  Practise(*pool, "select * from t");
  for (int round = 0; round < 2; ++round) {
    const auto before = Read(chance);
    pool->Submit(*before);
    EXPECT_EQ(before->AwaitText(), "true");
    Psql("alter table t add column more" + std::to_string(round) + " int");
    EXPECT_FALSE(pool->Run("select * from t").error);
    const auto after = Read(chance);
    pool->Submit(*after);
    EXPECT_EQ(after->AwaitText(), "true");
  }
}

TEST_F(PostgresShared, ADefinitionChangedBetweenReadsIsNotNoticed) {
  Psql("create table t (id int, extra text); insert into t values (1, 'a')");
  const auto pool = NewSharedPool();
  const std::string sql = "select * from t where id = $1::int";
  Practise(*pool, sql, {Integer(1)});
  const char* const changes[] = {"alter table t add column more int",
                                 "alter table t drop column extra",
                                 "drop table t; create table t (id int); insert into t values (1)"};
  for (const char* change : changes) {
    SCOPED_TRACE(change);
    Psql(change);
    Calls calls;
    for (int i = 0; i < 10; ++i) calls.push_back(Read(sql, {Integer(1)}));
    SubmitTogether(*pool, calls);
    for (const auto& call : calls) EXPECT_EQ(call->AwaitText(), "1");
  }
}

}  // namespace
}  // namespace dbsidecar::contract
