// Cancel, close, locks of other processes, and threads beside each other.
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/support/raw_sqlite.h"
#include "tests/support/sqlite_fixture.h"

namespace dbsidecar::pool {
namespace {

using std::chrono::milliseconds;

// Runs until it is interrupted.
constexpr char kEndless[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

class SqliteInterruptTest : public SqliteFileTest {
 protected:
  SqliteInterruptTest() : writer_(loop_, *driver_, kWriter, 1) {
    writer_.OpenWell();
    writer_.RunWell("CREATE TABLE t (a)");
  }

  void ExpectInterrupted(const ProbeEvent& event, const Call& call) {
    EXPECT_EQ(event.kind, ProbeEvent::Kind::kReply);
    EXPECT_EQ(event.call, &call);
    ASSERT_TRUE(event.outcome.error.has_value());
    EXPECT_EQ(event.outcome.error->kind, ErrorKind::kDatabase);
    EXPECT_EQ(event.outcome.error->sql.sqlstate, "57014") << event.outcome.error->message;
    EXPECT_EQ(event.condition, Condition::kClean);
  }
  int64_t CountRows() { return writer_.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer; }

  ConnectionProbe writer_;
};

TEST_F(SqliteInterruptTest, ACancelStopsARunningStatement) {
  ProbeCall call(kEndless);
  writer_.Start(call);
  writer_.Cancel(call);
  ExpectInterrupted(writer_.Wait(), call);
  EXPECT_EQ(CountRows(), 0);
}

TEST_F(SqliteInterruptTest, ACancelledWriteLeavesNothingBehind) {
  ProbeCall call(
      "INSERT INTO t SELECT i FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM "
      "n) "
      "SELECT i FROM n)");
  writer_.Start(call);
  writer_.Cancel(call);
  ExpectInterrupted(writer_.Wait(), call);
  EXPECT_EQ(CountRows(), 0);
}

TEST_F(SqliteInterruptTest, AQueuedStatementIsCancelledWithoutBeingRun) {
  ProbeCall running(kEndless);
  ProbeCall queued("INSERT INTO t VALUES (1)");
  writer_.StartTogether({&running, &queued}, &queued);
  ExpectInterrupted(writer_.Wait(), queued);
  EXPECT_FALSE(writer_.HasEvents());
  writer_.Cancel(running);
  ExpectInterrupted(writer_.Wait(), running);
  EXPECT_EQ(CountRows(), 0);
}

TEST_F(SqliteInterruptTest, AStatementOfATransactionThatIsCancelledBeforeItRunsFailsIt) {
  ProbeCall begin("INSERT INTO t VALUES (1)");
  begin.session.kind = SessionUse::Kind::kBegin;
  EXPECT_EQ(writer_.Run(begin).outcome.transaction_status, TransactionStatus::kInTransaction);
  ProbeCall call(kEndless);
  call.session.kind = SessionUse::Kind::kContinue;
  writer_.StartTogether({&call}, &call);
  const ProbeEvent event = writer_.Wait();
  ExpectInterrupted(event, call);
  EXPECT_EQ(event.outcome.transaction_status, TransactionStatus::kFailed);
  writer_.Reset();
  EXPECT_TRUE(writer_.Wait().ok);
  EXPECT_EQ(CountRows(), 0);
}

TEST_F(SqliteInterruptTest, StatementsHandedOverTogetherRunInOrder) {
  std::vector<std::unique_ptr<ProbeCall>> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back(
        std::make_unique<ProbeCall>("INSERT INTO t VALUES (" + std::to_string(i) + ")"));
  }
  for (auto& call : calls) writer_.Start(*call);
  for (auto& call : calls) {
    const ProbeEvent event = writer_.Wait();
    EXPECT_EQ(event.call, call.get());
    EXPECT_FALSE(event.outcome.error.has_value());
  }
  EXPECT_EQ(CountRows(), 100);
}

TEST_F(SqliteInterruptTest, ACancelNeverHitsTheNextStatement) {
  int cancelled = 0;
  for (int i = 0; i < 2000; ++i) {
    ProbeCall hit("INSERT INTO t VALUES (1)");
    ProbeCall next("INSERT INTO t VALUES (2)");
    writer_.Start(hit);
    writer_.Start(next);
    writer_.Cancel(hit);
    // In either order: one that is cancelled may have to be undone first.
    ProbeEvent of_hit = writer_.Wait();
    ProbeEvent of_next = writer_.Wait();
    if (of_hit.call != &hit) std::swap(of_hit, of_next);
    ASSERT_EQ(of_hit.call, &hit);
    ASSERT_EQ(of_next.call, &next);
    if (of_hit.outcome.error.has_value()) {
      ++cancelled;
      ASSERT_EQ(of_hit.outcome.error->sql.sqlstate, "57014");
    }
    ASSERT_FALSE(of_next.outcome.error.has_value()) << of_next.outcome.error->message;
  }
  EXPECT_EQ(CountRows(), 4000 - cancelled);
}

TEST_F(SqliteInterruptTest, ACancelAfterTheReplyDoesNothing) {
  ProbeCall call("INSERT INTO t VALUES (1)");
  writer_.Run(call);
  writer_.Cancel(call);
  EXPECT_EQ(CountRows(), 1);
}

TEST_F(SqliteInterruptTest, AWriteWaitsUntilAnotherProcessReleasesItsLock) {
  RawSqlite other(path_);
  other.Run("BEGIN IMMEDIATE");
  ProbeCall call("INSERT INTO t VALUES (1)");
  call.deadline = Clock::now() + kPatience;
  writer_.Start(call);
  // A round trip through the queue of another connection, and the write still waits.
  ConnectionProbe reader(loop_, *driver_, kReader, 2);
  reader.OpenWell();
  EXPECT_EQ(reader.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 0);
  EXPECT_FALSE(writer_.HasEvents());
  other.Run("COMMIT");
  const ProbeEvent event = writer_.Wait();
  EXPECT_FALSE(event.outcome.error.has_value()) << event.outcome.error->message;
  EXPECT_EQ(CountRows(), 1);
}

TEST_F(SqliteInterruptTest, BusyIsShownOnlyJustBeforeTheDeadline) {
  RawSqlite other(path_);
  other.Run("BEGIN IMMEDIATE");
  ProbeCall call("INSERT INTO t VALUES (1)");
  call.deadline = Clock::now() + milliseconds(300);
  const ProbeEvent event = writer_.Run(call);
  EXPECT_GE(Clock::now(), call.deadline - milliseconds(25));
  ASSERT_TRUE(event.outcome.error.has_value());
  EXPECT_EQ(event.outcome.error->sql.sqlstate, "40001");
  EXPECT_EQ(event.condition, Condition::kClean);
}

TEST_F(SqliteInterruptTest, AWaitForALockCanBeCancelled) {
  RawSqlite other(path_);
  other.Run("BEGIN IMMEDIATE");
  for (const char* sql : {"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) RETURNING a"}) {
    ProbeCall call(sql);
    call.statement.limits.bytes_max = 1000;
    writer_.Start(call);
    writer_.Cancel(call);
    ExpectInterrupted(writer_.Wait(), call);
  }
}

TEST_F(SqliteInterruptTest, OpeningWaitsForALockThatIsReleased) {
  const std::string path = folder_ / "locked.db";
  RawSqlite other(path);
  other.Run("CREATE TABLE t (a)");
  other.Run("BEGIN EXCLUSIVE");
  const std::unique_ptr<Driver> driver = NewDriver(path);
  ConnectionProbe probe(loop_, *driver, kWriter);
  probe.Open();
  writer_.RunWell("SELECT 1");
  EXPECT_FALSE(probe.HasEvents());
  other.Run("COMMIT");
  EXPECT_EQ(probe.Wait().kind, ProbeEvent::Kind::kConnected);
}

TEST_F(SqliteInterruptTest, CloseOvertakesARunningStatement) {
  ProbeCall running(kEndless);
  ProbeCall queued("INSERT INTO t VALUES (1)");
  writer_.StartTogether({&running, &queued});
  writer_.Ping();
  writer_.Close();
  ProbeEvent event = writer_.Wait();
  if (event.kind == ProbeEvent::Kind::kHandedBack) event = writer_.Wait();
  EXPECT_EQ(event.kind, ProbeEvent::Kind::kClosed);
  loop_.Do([] {});
  EXPECT_FALSE(writer_.HasEvents());
}

TEST_F(SqliteInterruptTest, CloseOvertakesOpening) {
  const std::string path = folder_ / "locked.db";
  RawSqlite other(path);
  other.Run("CREATE TABLE t (a)");
  other.Run("BEGIN EXCLUSIVE");
  const std::unique_ptr<Driver> driver = NewDriver(path);
  for (const size_t lane : {kReader, kWriter}) {
    ConnectionProbe probe(loop_, *driver, lane, 7);
    probe.Open();
    probe.Close();
    EXPECT_EQ(probe.Wait().kind, ProbeEvent::Kind::kClosed);
    EXPECT_FALSE(probe.HasEvents());
  }
}

TEST_F(SqliteInterruptTest, CloseBeforeOpenIsReported) {
  ConnectionProbe probe(loop_, *driver_, kReader, 7);
  probe.Close();
  EXPECT_EQ(probe.Wait().kind, ProbeEvent::Kind::kClosed);
}

TEST_F(SqliteInterruptTest, ADestroyedConnectionReportsNothing) {
  ProbeCall call(kEndless);
  writer_.Start(call);
  writer_.Destroy();
  loop_.Do([] {});
  EXPECT_FALSE(writer_.HasEvents());
}

TEST_F(SqliteInterruptTest, ReadersReadWhileTheWriterWrites) {
  constexpr int kReaders = 3;
  constexpr int kWrites = 300;
  std::vector<std::unique_ptr<ConnectionProbe>> readers;
  for (int i = 0; i < kReaders; ++i) {
    const ConnectionId id = static_cast<ConnectionId>(i) + 2;
    readers.push_back(std::make_unique<ConnectionProbe>(loop_, *driver_, kReader, id));
    readers.back()->OpenWell();
  }
  // A reader that never comes back on its own proves that nobody waits for it.
  ProbeCall endless(kEndless);
  readers[0]->Start(endless);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 1; i < kReaders; ++i) {
    threads.emplace_back([&reader = *readers[static_cast<size_t>(i)], &stop] {
      int64_t seen = 0;
      while (!stop) {
        // Both inserts of a statement are seen, or none.
        const int64_t count = reader.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer;
        EXPECT_EQ(count % 2, 0);
        EXPECT_GE(count, seen);
        seen = count;
      }
    });
  }
  for (int i = 0; i < kWrites; ++i) writer_.RunWell("INSERT INTO t VALUES (1), (2)");
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(readers[0]->HasEvents());
  readers[0]->Cancel(endless);
  ExpectInterrupted(readers[0]->Wait(), endless);
  EXPECT_EQ(CountRows(), 2 * kWrites);
}

}  // namespace
}  // namespace dbsidecar::pool
