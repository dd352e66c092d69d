// Streams on PostgreSQL: when parts come, how large they are, and what ends a stream.
#include <fmt/format.h>

#include <string>
#include <thread>

#include "tests/contract/database.h"
#include "tests/contract/test_sink.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Large results are made by a function in the select list, which the server does not collect first.
class PostgresStream : public PostgresTest {
 protected:
  // A stream, its sink, and what came of it.
  struct Stream {
    Stream(RunningPool& pool, const std::string& sql, size_t capacity = 0, SessionUse use = {},
           bool read_only = false)
        : sink(capacity), call(sql) {
      call.sink = &sink;
      call.session = use;
      call.statement.read_only = read_only;
      pool.Submit(call);
    }
    uint64_t rows() {
      uint64_t count = call.Await().result.rows.row_count();
      for (const pool::Part& part : sink.parts()) count += part.result.rows.row_count();
      return count;
    }

    TestSink sink;
    TestCall call;
  };

  static bool Wait(RunningPool& pool, Stream& stream, size_t capacity) {
    for (size_t parts = capacity; !stream.call.answered(); parts += capacity) {
      const pool::Instant end = pool::Clock::now() + kPatience;
      while (!stream.call.answered() && stream.sink.count() < parts) {
        if (pool::Clock::now() > end) return false;
        std::this_thread::sleep_for(milliseconds(1));
      }
      pool.Do([&] { pool.pool().Resume(stream.call.id); });
    }
    return true;
  }
  static SessionUse Use(SessionUse::Kind kind, std::string_view token = "", bool commit = false) {
    SessionUse use;
    use.kind = kind;
    use.token = token;
    use.commit = commit;
    return use;
  }
};

TEST_F(PostgresStream, ASmallResultComesWithTheAnswerAlone) {
  const auto pool = NewPool(1);
  Stream stream(*pool, "select i, 'x' || i from generate_series(1, 3) i");
  const Outcome& outcome = stream.call.Await();
  EXPECT_EQ(Rows(outcome), "1,x1;2,x2;3,x3");
  EXPECT_EQ(outcome.result.command_tag, "SELECT 3");
  EXPECT_EQ(stream.sink.count(), 0u);
  Stream empty(*pool, "select 1 as one where false");
  ASSERT_EQ(empty.call.Await().result.columns.size(), 1u);
  EXPECT_EQ(empty.call.Await().result.columns[0].name, "one");
  Stream write(*pool, "create table made ()");
  EXPECT_EQ(write.call.Await().result.command_tag, "CREATE TABLE");
}

TEST_F(PostgresStream, PartsAreCutBySizeAndByRows) {
  const auto pool = NewPool(1);
  Stream stream(*pool, "select repeat('x', 1000) from generate_series(1, 1000)");
  EXPECT_EQ(stream.rows(), 1000u);
  EXPECT_GE(stream.sink.count(), 15u);
  for (const pool::Part& part : stream.sink.parts()) {
    EXPECT_LT(part.result.rows.data_bytes(), 64u * 1024 + 1002);
  }
  TestSink sink;
  TestCall call("select i from generate_series(1, 100) i");
  call.sink = &sink;
  call.part_limits.rows_max = 30;
  pool->Submit(call);
  const Outcome& outcome = call.Await();
  ASSERT_EQ(sink.parts().size(), 3u);
  for (const pool::Part& part : sink.parts()) EXPECT_EQ(part.result.rows.row_count(), 30u);
  EXPECT_EQ(outcome.result.rows.row_count(), 10u);
  EXPECT_EQ(outcome.result.command_tag, "SELECT 100");
}

TEST_F(PostgresStream, TheFirstPartComesEarlyAndRowsThatTrickleDoNotWaitForAFullPart) {
  const auto pool = NewPool(1);
  // The server sends what is in its buffer of 8 KiB.
  Stream stream(*pool,
                "select repeat('x', 9000) || pg_sleep(0.1)::text from generate_series(1, 10)");
  ASSERT_TRUE(stream.sink.AwaitParts(1));
  EXPECT_FALSE(stream.call.answered());
  ASSERT_TRUE(stream.sink.AwaitParts(4));
  EXPECT_FALSE(stream.call.answered()) << "the rest came with the answer only";
  EXPECT_EQ(stream.rows(), 10u);
  EXPECT_GT(stream.call.took(), seconds(1));
}

TEST_F(PostgresStream, AStalledReaderHoldsTheServerBack) {
  const auto pool = NewPool(1);
  Psql("create table counted (n int); create sequence s");
  Stream stream(*pool, "select nextval('s'), repeat('x', 1000), generate_series(1, 50000)", 2);
  ASSERT_TRUE(stream.sink.AwaitParts(2));
  std::this_thread::sleep_for(milliseconds(300));
  const int64_t stopped_at = std::stoll(Psql("select last_value from s"));
  EXPECT_LT(stopped_at, 15'000) << "so much was read although nobody took it";
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(std::stoll(Psql("select last_value from s")), stopped_at);
  EXPECT_TRUE(Wait(*pool, stream, 2));
  EXPECT_EQ(stream.rows(), 50'000u);
}

TEST_F(PostgresStream, AnErrorInTheMiddleEndsTheStreamWithItsFields) {
  const auto pool = NewPool(1);
  Stream stream(*pool, "select 1 / (50000 - i) from generate_series(1, 100000) i");
  const Outcome& outcome = stream.call.Await();
  EXPECT_EQ(SqlState(outcome), "22012");
  EXPECT_GT(stream.sink.count(), 0u);
  EXPECT_EQ(pool->Text("select 7"), "7");
}

TEST_F(PostgresStream, ARowOverTheLimitIsAnError) {
  const auto pool = NewPool(1);
  TestSink sink;
  TestCall call("select repeat('x', i * 100000) from generate_series(1, 1000) i");
  call.sink = &sink;
  call.statement.limits.bytes_max = 1'000'000;
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kResultTooLarge);
  EXPECT_EQ(sink.count(), 9u);
  EXPECT_EQ(pool->Text("select 7"), "7");
}

TEST_F(PostgresStream, ACancelledStreamLeavesTheConnectionToOthers) {
  const auto pool = NewPool(1);
  for (int round = 0; round < 20; ++round) {
    Stream stream(*pool, "select generate_series(1, 100000000)", round % 2 == 0 ? 1 : 0);
    ASSERT_TRUE(stream.sink.AwaitParts(1));
    const pool::Instant cancelled = pool::Clock::now();
    pool->Cancel(stream.call);
    EXPECT_EQ(pool->Text("select 7"), "7") << "hit by the cancel of another";
    EXPECT_LT(pool::Clock::now() - cancelled, seconds(1));
    EXPECT_EQ(KindOf(stream.call.Await()), ErrorKind::kCancelled);
  }
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresStream, AStreamSharesItsConnectionWithNobody) {
  pool::PoolOptions options = TestOptions(1);
  options.core.shared_max = 1;
  const auto pool = NewPool(options);
  ASSERT_TRUE(pool->AwaitWarm());
  for (int i = 0; i < 20; ++i) pool->Must("select 1 as short");
  TestSink sink(1);
  TestCall stream("select 1 as short");
  stream.sink = &sink;
  Stream other(*pool, "select generate_series(1, 1000000)", 1);
  ASSERT_TRUE(other.sink.AwaitParts(1));
  TestCall behind("select 1 as short");
  pool->Submit(behind);
  pool->Submit(stream);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(behind.answered()) << "it was put behind a stream";
  EXPECT_EQ(pool->Stats().waiting, 2u);
  pool->Cancel(other.call);
  EXPECT_EQ(behind.AwaitText(), "1");
  EXPECT_EQ(stream.AwaitText(), "1");
}

TEST_F(PostgresStream, ALostConnectionRunsAgainOnlyWhatHasNotDeliveredYet) {
  const auto pool = NewPool(1);
  Stream begun(*pool, "select generate_series(1, 10000000)", 1, {}, true);
  ASSERT_TRUE(begun.sink.AwaitParts(1));
  TerminateAll();
  pool->Do([&] { pool->pool().Resume(begun.call.id); });
  // What was on its way may still come, and then fill the sink.
  EXPECT_TRUE(Wait(*pool, begun, 1));
  const Outcome& lost = begun.call.Await();
  EXPECT_TRUE(KindOf(lost) == ErrorKind::kConnectionLost || SqlState(lost) == "57P01")
      << ErrorText(lost);
  TestSink sink;
  TestCall not_begun("select pg_sleep(0.5), 'not begun'");
  not_begun.sink = &sink;
  not_begun.statement.read_only = true;
  pool->Start(not_begun);
  ASSERT_TRUE(AwaitRunning("not begun"));
  TerminateAll();
  EXPECT_EQ(not_begun.Await().result.rows.row_count(), 1u) << ErrorText(not_begun.Await());
}

TEST_F(PostgresStream, StreamsWorkInsideSessions) {
  Psql("create table t (i int)");
  const auto pool = NewPool(1);
  Stream begin(*pool, "insert into t select generate_series(1, 50000) returning i", 0,
               Use(SessionUse::Kind::kBegin));
  const std::string token = begin.call.Await().session;
  EXPECT_EQ(token.size(), 32u);
  EXPECT_EQ(begin.rows(), 50'000u);
  EXPECT_EQ(begin.call.Await().result.rows_affected, 50'000);
  EXPECT_EQ(begin.call.Await().transaction_status, TransactionStatus::kInTransaction);
  Stream in(*pool, "select * from t", 2, Use(SessionUse::Kind::kContinue, token));
  EXPECT_TRUE(Wait(*pool, in, 2));
  EXPECT_EQ(in.rows(), 50'000u);
  EXPECT_EQ(in.call.Await().session, token);
  Stream end(*pool, "select * from t", 0, Use(SessionUse::Kind::kContinue, token, true));
  EXPECT_EQ(end.rows(), 50'000u);
  EXPECT_EQ(end.call.Await().session, "");
  EXPECT_EQ(end.call.Await().end_tag, "COMMIT");
  EXPECT_EQ(Psql("select count(*) from t"), "50000");
  Stream pin(*pool, "select 1", 0, Use(SessionUse::Kind::kPin));
  EXPECT_EQ(pin.call.Await().session.size(), 32u);
}

TEST_F(PostgresStream, ACancelInASessionFailsItsTransactionAndKeepsIt) {
  Psql("create table t (i int)");
  const auto pool = NewPool(1);
  Stream begin(*pool, "insert into t values (1)", 0, Use(SessionUse::Kind::kBegin));
  const std::string token = begin.call.Await().session;
  Stream cancelled(*pool, "select generate_series(1, 100000000)", 1,
                   Use(SessionUse::Kind::kContinue, token));
  ASSERT_TRUE(cancelled.sink.AwaitParts(1));
  pool->Cancel(cancelled.call);
  EXPECT_EQ(KindOf(cancelled.call.Await()), ErrorKind::kCancelled);
  cancelled.call.AwaitDone();
  Stream failed(*pool, "select 1", 0, Use(SessionUse::Kind::kContinue, token));
  EXPECT_EQ(SqlState(failed.call.Await()), "25P02");
}

TEST_F(PostgresStream, ASessionsTimeLimitEndsAStalledStream) {
  pool::PoolOptions options = TestOptions(1);
  options.transaction_timeout = milliseconds(400);
  const auto pool = NewPool(options);
  Stream begin(*pool, "select 1", 0, Use(SessionUse::Kind::kBegin));
  const std::string token = begin.call.Await().session;
  Stream stalled(*pool, "select generate_series(1, 100000000)", 1,
                 Use(SessionUse::Kind::kContinue, token));
  EXPECT_EQ(KindOf(stalled.call.Await()), ErrorKind::kDeadline);
  EXPECT_EQ(pool->Text("select 7"), "7");
}

TEST_F(PostgresStream, AFailingCommitIsTheStreamsError) {
  Psql("create table late (i int unique deferrable initially deferred)");
  const auto pool = NewPool(1);
  Stream stream(*pool, "insert into late select 1 from generate_series(1, 20000) returning i");
  EXPECT_EQ(SqlState(stream.call.Await()), "23505");
  EXPECT_GT(stream.sink.count(), 0u);
}

}  // namespace
}  // namespace dbsidecar::contract
