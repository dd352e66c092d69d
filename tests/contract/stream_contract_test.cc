// Calls whose results come part by part: what the pool promises of them over every driver that has
// streams.
#include <fmt/format.h>

#include <string>
#include <thread>

#include "tests/contract/database.h"
#include "tests/contract/test_sink.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using std::chrono::milliseconds;
using std::chrono::seconds;

class StreamContract : public DatabaseTest {
 protected:
  // Rows from 1 to `rows` in parts of one row each.
  std::string Numbers(int rows) const {
    switch (GetParam()) {
      case Database::kFake:
        return fmt::format("stream {}", rows);
      case Database::kSqliteFile:
      case Database::kSqliteMemory:
        return fmt::format(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i "
            "from n",
            rows);
      case Database::kPostgres:
        return fmt::format("select generate_series(1, {})", rows);
    }
    return "";
  }

  static void Prepare(TestCall& call, TestSink& sink) {
    call.sink = &sink;
    call.part_limits.rows_max = 1;
  }
  static bool IsFree(RunningPool& pool) {
    return pool.Becomes([&] {
      return pool.pool().Stats().connections[static_cast<size_t>(pool::ConnectionState::kLeased)] ==
             0;
    });
  }
};

INSTANTIATE_TEST_SUITE_P(, StreamContract,
                         testing::Values(Database::kFake, Database::kSqliteFile,
                                         Database::kSqliteMemory, Database::kPostgres),
                         NameOf);

TEST_P(StreamContract, AllRowsComeInOrderAndTheColumnsOnce) {
  const auto pool = NewPool(1);
  TestSink sink(3);
  TestCall call(Numbers(100));
  Prepare(call, sink);
  pool->Submit(call);
  for (size_t parts = 3; parts < 100; parts += 3) {
    ASSERT_TRUE(sink.AwaitParts(parts));
    pool->Do([&] { pool->pool().Resume(call.id); });
  }
  const Outcome& outcome = call.Await();
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  std::vector<std::string> rows;
  for (const pool::Part& part : sink.parts()) {
    EXPECT_EQ(part.result.columns.size(), rows.empty() ? 1u : 0u);
    EXPECT_EQ(part.result.rows.row_count(), 1u);
    EXPECT_EQ(part.result.command_tag, "");
    rows.push_back(CellText(part.result, 0, 0));
  }
  for (size_t row = 0; row < outcome.result.rows.row_count(); ++row) {
    rows.push_back(CellText(outcome.result, row, 0));
  }
  ASSERT_EQ(rows.size(), 100u);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], std::to_string(i + 1));
}

TEST_P(StreamContract, AFullSinkGetsNoMoreUntilItIsResumed) {
  const auto pool = NewPool(1);
  TestSink sink(2);
  TestCall call(Numbers(10));
  Prepare(call, sink);
  pool->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(2));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(sink.count(), 2u);
  EXPECT_FALSE(call.answered());
  pool->Do([&] { pool->pool().Resume(call.id); });
  ASSERT_TRUE(sink.AwaitParts(4));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(sink.count(), 4u);
}

TEST_P(StreamContract, ACancelOfAStalledStreamFreesTheConnection) {
  const auto pool = NewPool(1);
  TestSink sink(2);
  TestCall call(Numbers(1'000'000));
  Prepare(call, sink);
  pool->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(2));
  const pool::Instant cancelled = pool::Clock::now();
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  EXPECT_TRUE(IsFree(*pool));
  EXPECT_LT(pool::Clock::now() - cancelled, seconds(1));
  EXPECT_EQ(sink.count(), 2u) << "parts after the cancel";
  EXPECT_EQ(pool->Stats().total, 1u);
  EXPECT_EQ(pool->Text("select 7"), "7");
}

TEST_P(StreamContract, AReaderThatTakesNothingLosesItsStream) {
  pool::PoolOptions options = TestOptions(1);
  options.stream_stall_timeout = milliseconds(300);
  const auto pool = NewPool(options);
  TestSink sink(2);
  TestCall call(Numbers(1'000'000));
  Prepare(call, sink);
  pool->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(2));
  const Outcome& outcome = call.Await();
  EXPECT_EQ(KindOf(outcome), ErrorKind::kDeadline);
  EXPECT_NE(outcome.error->message.find("took nothing for 0.3 s"), std::string::npos)
      << outcome.error->message;
  EXPECT_GE(call.took(), milliseconds(300));
  EXPECT_TRUE(IsFree(*pool));
}

TEST_P(StreamContract, AReaderThatGoesOnTakingKeepsItsStream) {
  pool::PoolOptions options = TestOptions(1);
  options.stream_stall_timeout = milliseconds(400);
  const auto pool = NewPool(options);
  TestSink sink(1);
  TestCall call(Numbers(6));
  Prepare(call, sink);
  pool->Submit(call);
  for (size_t parts = 1; parts <= 6; ++parts) {
    if (!sink.AwaitParts(parts)) break;
    std::this_thread::sleep_for(milliseconds(150));
    pool->Do([&] { pool->pool().Resume(call.id); });
  }
  EXPECT_FALSE(call.Await().error) << ErrorText(call.Await());
  EXPECT_GT(call.took(), milliseconds(700)) << "longer than the limit in all";
}

TEST_P(StreamContract, TheQueryTimeoutEndsWithTheFirstPartAndTheCallersDeadlineStays) {
  pool::PoolOptions options = TestOptions(1);
  options.query_timeout = milliseconds(200);
  const auto pool = NewPool(options);
  TestSink sink(1);
  TestCall call(Numbers(1'000'000));
  Prepare(call, sink);
  call.deadline = pool::Clock::now() + milliseconds(600);
  pool->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(1));
  const Outcome& outcome = call.Await();
  EXPECT_EQ(KindOf(outcome), ErrorKind::kDeadline);
  EXPECT_NE(outcome.error->message.find("deadline"), std::string::npos) << outcome.error->message;
  EXPECT_GT(call.took(), milliseconds(550));
  EXPECT_LT(call.took(), milliseconds(600) + kLateness);
}

TEST_P(StreamContract, TheQueryTimeoutBoundsTheTimeToTheFirstPart) {
  pool::PoolOptions options = TestOptions(1);
  options.query_timeout = milliseconds(200);
  const auto pool = NewPool(options);
  TestSink sink;
  TestCall call(LongStatement());
  Prepare(call, sink);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline);
  EXPECT_LT(call.took(), milliseconds(200) + kLateness);
  EXPECT_EQ(sink.count(), 0u);
}

TEST_P(StreamContract, ADrainThatEndsGivesUpAStalledStream) {
  const auto pool = NewPool(1);
  TestSink sink(1);
  TestCall call(Numbers(1'000'000));
  Prepare(call, sink);
  pool->Submit(call);
  ASSERT_TRUE(sink.AwaitParts(1));
  pool->Do([&] {
    pool->pool().Drain();
    pool->pool().CancelAll();
  });
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline);
}

}  // namespace
}  // namespace dbsidecar::contract
