// What is SQLite's own in a stream: the reader's connection beside the one writer, and writes. What
// streams are, on every database, is in stream_contract_test.cc.
#include <sys/resource.h>

#include <memory>
#include <string>
#include <thread>

#include "tests/contract/database.h"
#include "tests/contract/sessions.h"
#include "tests/contract/test_sink.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using std::chrono::milliseconds;

constexpr char kEndless[] =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";

class SqliteStreamTest : public DatabaseTest {
 protected:
  void SetUp() override {
    pool_ = NewPool(SessionOptions(3));
    ASSERT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table t (id integer primary key)");
  }
  void TearDown() override { pool_.reset(); }

  // The process's, in all its threads.
  static milliseconds CpuTime() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return std::chrono::duration_cast<milliseconds>(
        std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
        std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
  }
  static size_t RowsIn(TestSink& sink) {
    size_t rows = 0;
    for (const pool::Part& part : sink.parts()) rows += part.result.rows.row_count();
    return rows;
  }

  std::unique_ptr<RunningPool> pool_;
};
INSTANTIATE_TEST_SUITE_P(, SqliteStreamTest,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory), NameOf);

// With readers beside the writer.
class SqliteFileStreamTest : public SqliteStreamTest {};
INSTANTIATE_TEST_SUITE_P(, SqliteFileStreamTest, testing::Values(Database::kSqliteFile), NameOf);

TEST_P(SqliteStreamTest, AStalledReaderStopsTheStatement) {
  TestSink sink(1);
  TestCall call(kEndless);
  call.sink = &sink;
  pool_->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(1));
  // What it has begun to collect is soon collected.
  std::this_thread::sleep_for(milliseconds(200));
  const milliseconds before = CpuTime();
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_LT(CpuTime() - before, milliseconds(100)) << "it goes on, for nobody";
  EXPECT_EQ(sink.count(), 1u);
}

TEST_P(SqliteStreamTest, PartsAreCutByBytesAndNoneIsLost) {
  TestSink sink;
  TestCall call(
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000) select i, "
      "printf('%.50c', 'x') from n");
  call.sink = &sink;
  call.part_limits.bytes_max = 10'000;
  pool_->Submit(call);
  const Outcome& outcome = call.Await();
  ASSERT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(RowsIn(sink) + outcome.result.rows.row_count(), 50'000u);
  EXPECT_EQ(outcome.result.command_tag, "SELECT 50000");
  EXPECT_GT(sink.count(), 250u);
  for (const pool::Part& part : sink.parts()) {
    EXPECT_LT(part.result.rows.data_bytes(), 10'200u);
    EXPECT_TRUE(part.result.typed_cells);
  }
}

TEST_P(SqliteStreamTest, TheFirstRowDoesNotWaitForTheOthers) {
  TestSink sink;
  // The second row takes longer than anyone waits.
  TestCall call(std::string("select 1 union all select max(i) from (") + kEndless + ")");
  call.sink = &sink;
  pool_->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(1));
  EXPECT_EQ(sink.parts()[0].result.rows.row_count(), 1u);
  EXPECT_FALSE(call.answered());
}

TEST_P(SqliteStreamTest, ARowOverTheLimitFailsTheStream) {
  TestSink sink;
  TestCall call("select 'short' union all select hex(zeroblob(10000))");
  call.sink = &sink;
  call.statement.limits.bytes_max = 1000;
  pool_->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kResultTooLarge) << call.AwaitText();
}

TEST_P(SqliteStreamTest, AnEmptyStreamHasItsColumns) {
  TestSink sink;
  TestCall call("select id from t");
  call.sink = &sink;
  pool_->Submit(call);
  const Outcome& outcome = call.Await();
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(sink.count(), 0u);
  EXPECT_EQ(outcome.result.columns.size(), 1u);
  EXPECT_EQ(outcome.result.command_tag, "SELECT 0");
}

TEST_P(SqliteStreamTest, TheRowsOfAWriteComeOnceItIsCommitted) {
  TestSink sink(1);
  TestCall call("insert into t values (1), (2), (3) returning id");
  call.sink = &sink;
  call.part_limits.rows_max = 1;
  pool_->Submit(call);
  const Outcome& outcome = call.Await();
  EXPECT_EQ(Rows(outcome), "1;2;3");
  EXPECT_EQ(outcome.result.rows_affected, 3);
  EXPECT_EQ(sink.count(), 0u);
  EXPECT_EQ(pool_->Text("select count(*) from t"), "3");
  TestCall large("insert into t values (4), (5) returning hex(zeroblob(1000))");
  large.sink = &sink;
  large.statement.limits.bytes_max = 3000;
  pool_->Submit(large);
  EXPECT_EQ(KindOf(large.Await()), ErrorKind::kResultTooLarge);
  large.AwaitDone();
  EXPECT_EQ(pool_->Text("select count(*) from t"), "3");
}

TEST_P(SqliteStreamTest, AStreamInATransactionSeesItsWritesAndACancelFailsIt) {
  const std::string token = Open(*pool_, "insert into t values (1), (2)", Begin());
  TestSink sink(1);
  TestCall call("select id from t order by id");
  call.sink = &sink;
  call.part_limits.rows_max = 1;
  call.session = In(token);
  pool_->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(1));
  pool_->Do([&] { pool_->pool().Resume(call.id); });
  ASSERT_TRUE(sink.AwaitParts(2));
  pool_->Do([&] { pool_->pool().Resume(call.id); });
  EXPECT_FALSE(call.Await().error) << call.AwaitText();
  EXPECT_EQ(call.Await().session, token);
  call.AwaitDone();
  EXPECT_EQ(RowsIn(sink), 2u);
  TestSink stalled(1);
  TestCall endless(kEndless);
  endless.sink = &stalled;
  endless.session = In(token);
  pool_->Submit(endless);
  ASSERT_TRUE(stalled.AwaitParts(1));
  pool_->Cancel(endless);
  EXPECT_EQ(KindOf(endless.Await()), ErrorKind::kCancelled);
  endless.AwaitDone();
  EXPECT_EQ(SqlState(RunIn(*pool_, "select 1", In(token))), "25P02");
  EXPECT_FALSE(RunEnd(*pool_, token, SessionUse::End::kRollback).error);
  EXPECT_EQ(pool_->Text("select count(*) from t"), "0");
}

TEST_P(SqliteFileStreamTest, AStalledReaderHoldsUpNeitherTheWriterNorOtherReaders) {
  pool_->Must("insert into t values (1), (2), (3)");
  TestSink sink(1);
  TestCall call("select id from t order by id");
  call.sink = &sink;
  call.part_limits.rows_max = 1;
  pool_->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(1));
  EXPECT_EQ(Rows(pool_->Run("insert into t values (4) returning id")), "4");
  EXPECT_FALSE(RunIn(*pool_, "delete from t where id < 3", Commit(Begin())).error);
  EXPECT_EQ(Rows(pool_->Run("select id from t order by id")), "3;4");
  for (size_t parts = 2; parts <= 3; ++parts) {
    pool_->Do([&] { pool_->pool().Resume(call.id); });
    ASSERT_TRUE(sink.AwaitParts(parts));
  }
  pool_->Do([&] { pool_->pool().Resume(call.id); });
  EXPECT_FALSE(call.Await().error) << call.AwaitText();
  EXPECT_EQ(RowsIn(sink) + call.Await().result.rows.row_count(), 3u) << "its own snapshot";
}

}  // namespace
}  // namespace dbsidecar::contract
