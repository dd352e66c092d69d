// What the pool does about databases that refuse, hang, ignore and vanish.
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "tests/contract/database.h"
#include "tests/support/fake_driver.h"

namespace dbsidecar::contract {
namespace {

using pool::ConnectionState;
using pool::ErrorKind;
using pool::PoolOptions;
using std::chrono::milliseconds;
using test_support::FakeDriver;
using testing::HasSubstr;

class FakeContract : public testing::Test {
 protected:
  std::unique_ptr<RunningPool> NewPool(PoolOptions options, FakeDriver::Script script = {}) {
    return std::make_unique<RunningPool>(
        [script](pool::EventLoop& loop) {
          auto driver = std::make_unique<FakeDriver>(loop);
          driver->script = script;
          return driver;
        },
        std::move(options));
  }
  static FakeDriver::Figures FiguresOf(RunningPool& pool) {
    FakeDriver::Figures figures;
    pool.Do([&] { figures = pool.driver<FakeDriver>().figures(); });
    return figures;
  }
};

TEST_F(FakeContract, ACallOutlivesFailedConnectsThatEnd) {
  FakeDriver::Script script;
  script.connects.assign(3, FakeDriver::Connect::kFail);
  const auto pool = NewPool(TestOptions(2), script);
  EXPECT_EQ(pool->Text("select 1"), "1");
  EXPECT_EQ(pool->Stats().counters.connect_failures, 3u);
}

TEST_F(FakeContract, FailingConnectsBackOffAndAreToldAtTheWaitTimeout) {
  PoolOptions options = TestOptions(4);
  options.core.wait_timeout = milliseconds(300);
  FakeDriver::Script script;
  script.connect = FakeDriver::Connect::kFail;
  const auto pool = NewPool(options, script);
  TestCall call("select 1");
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kNoConnection) << call.AwaitText();
  EXPECT_THAT(call.AwaitText(), HasSubstr("connection refused"));
  EXPECT_GE(call.took(), milliseconds(299));
  EXPECT_LE(call.took(), milliseconds(300) + kLateness);
  // From 10 ms doubling to 50 ms, the upper half random: 300 ms hold 16 attempts at the most,
  // after the ones that began together.
  const size_t attempts = FiguresOf(*pool).opened;
  EXPECT_GE(attempts, 5u);
  EXPECT_LE(attempts, 20u);
}

TEST_F(FakeContract, ARejectedLogInIsToldAtOnce) {
  FakeDriver::Script script;
  script.connect = FakeDriver::Connect::kReject;
  const auto pool = NewPool(TestOptions(2), script);
  TestCall call("select 1");
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kConnectRejected) << call.AwaitText();
  EXPECT_THAT(call.AwaitText(), HasSubstr("password authentication failed"));
  EXPECT_LE(call.took(), milliseconds(500));
}

TEST_F(FakeContract, AConnectThatIsNeverAnsweredIsGivenUpAndAnotherTried) {
  PoolOptions options = TestOptions(1);
  options.core.connect_timeout = milliseconds(50);
  FakeDriver::Script script;
  script.connects = {FakeDriver::Connect::kNever};
  const auto pool = NewPool(options, script);
  EXPECT_EQ(pool->Text("select 1"), "1");
  EXPECT_EQ(FiguresOf(*pool).closes, 1u);
  const pool::PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.counters.connect_failures, 1u);
  EXPECT_THAT(stats.last_connect_error, HasSubstr("no answer to the connect within 0.05 s"));
}

TEST_F(FakeContract, AConnectionBeingClosedStillCountsAgainstTheMaximum) {
  PoolOptions options = TestOptions(1);
  FakeDriver::Script script;
  script.close_at_once = false;
  const auto pool = NewPool(options, script);
  TestCall lost("lose");
  pool->Submit(lost);
  lost.AwaitDone();
  TestCall next("select 1");
  pool->Submit(next);
  EXPECT_TRUE(pool->Becomes([&] { return pool->driver<FakeDriver>().figures().closes == 1; }));
  EXPECT_FALSE(next.answered());
  EXPECT_EQ(FiguresOf(*pool).opened, 1u);
  pool->Do([&] {
    pool->driver<FakeDriver>().script.close_at_once = true;
    pool->driver<FakeDriver>().FinishCloses();
  });
  EXPECT_EQ(next.AwaitText(), "1");
  EXPECT_EQ(FiguresOf(*pool).existing_max, 1u);
}

TEST_F(FakeContract, AStatementThatIgnoresItsCancelIsAnsweredInTimeAndItsConnectionClosed) {
  PoolOptions options = TestOptions(1);
  options.cancel_grace = milliseconds(300);
  FakeDriver::Script script;
  script.close_at_once = false;
  const auto pool = NewPool(options, script);
  EXPECT_EQ(pool->Text("select 1"), "1");
  TestCall call("deaf");
  pool->Start(call);
  const pool::Instant cancelled = pool::Clock::now();
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  const pool::Duration waited = pool::Clock::now() - cancelled;
  EXPECT_GE(waited, milliseconds(49));
  EXPECT_LE(waited, kLateness);
  EXPECT_TRUE(call.Await().error->outcome_unknown);
  EXPECT_EQ(FiguresOf(*pool).closes, 0u) << "closed before the grace was over";

  EXPECT_TRUE(pool->Becomes([&] { return pool->driver<FakeDriver>().figures().closes == 1; }));
  EXPECT_GE(pool::Clock::now() - cancelled, milliseconds(349));
  EXPECT_FALSE(call.done()) << "the driver has not let go of it";
  pool->Do([&] {
    pool->driver<FakeDriver>().script.close_at_once = true;
    pool->driver<FakeDriver>().FinishCloses();
  });
  call.AwaitDone();
  EXPECT_EQ(pool->Text("select 2"), "2");
  EXPECT_EQ(FiguresOf(*pool).existing_max, 1u);
}

TEST_F(FakeContract, ADeafReadOnlyStatementLeavesNothingUnknown) {
  PoolOptions options = TestOptions(1);
  options.cancel_grace = milliseconds(20);
  const auto pool = NewPool(options);
  TestCall call("deaf");
  call.statement.read_only = true;
  pool->Start(call);
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  EXPECT_FALSE(call.Await().error->outcome_unknown);
}

TEST_F(FakeContract, AStatementOnTheWrongLaneRunsOnTheRightOne) {
  FakeDriver::Script script;
  script.lanes = 2;
  const auto pool = NewPool(TestOptions(2), script);
  EXPECT_EQ(pool->Text("write"), "written");
  EXPECT_EQ(pool->Stats().counters.granted, 2u);
  EXPECT_EQ(pool->Text("write"), "written");
  EXPECT_EQ(pool->Stats().counters.granted, 3u) << "the lane was not remembered";
  EXPECT_EQ(FiguresOf(*pool).existing_max, 2u);
}

TEST_F(FakeContract, ALostConnectionIsReplacedAndTheOutcomeIsUnknownUnlessItOnlyRead) {
  const auto pool = NewPool(TestOptions(1));
  const pool::Outcome wrote = pool->Run("lose");
  EXPECT_EQ(KindOf(wrote), ErrorKind::kConnectionLost);
  EXPECT_TRUE(wrote.error->outcome_unknown);
  EXPECT_EQ(pool->Text("select 1"), "1");
  const pool::Outcome read = pool->RunReadOnly("lose");
  EXPECT_EQ(KindOf(read), ErrorKind::kConnectionLost);
  EXPECT_FALSE(read.error->outcome_unknown);
  EXPECT_EQ(pool->Text("select 2"), "2");
  EXPECT_EQ(FiguresOf(*pool).existing_max, 1u);
}

TEST_F(FakeContract, AnIdleConnectionThatTheServerClosesIsReplaced) {
  const auto pool = NewPool(TestOptions(1));
  EXPECT_EQ(pool->Text("select 1"), "1");
  pool->Do([&] { pool->driver<FakeDriver>().LoseIdleConnections(); });
  EXPECT_TRUE(pool->Becomes([&] {
    const pool::PoolStats stats = pool->pool().Stats();
    return stats.counters.opened == 2 &&
           stats.connections[static_cast<size_t>(ConnectionState::kIdle)] == 1;
  }));
  EXPECT_EQ(pool->Text("select 2"), "2");
}

TEST_F(FakeContract, ADirtyConnectionIsResetBeforeTheNextCallHasIt) {
  const auto pool = NewPool(TestOptions(1));
  EXPECT_EQ(pool->Text("dirty"), "dirty");
  EXPECT_EQ(pool->Text("select 1"), "1");
  EXPECT_EQ(FiguresOf(*pool).resets, 1u);
}

TEST_F(FakeContract, AConnectionThatDoesNotAnswerThePingIsReplaced) {
  PoolOptions options = TestOptions(1);
  options.core.ping_after = milliseconds(1);
  options.core.ping_timeout = milliseconds(50);
  const auto pool = NewPool(options);
  EXPECT_EQ(pool->Text("select 1"), "1");
  pool->Do([&] { pool->driver<FakeDriver>().script.ping = FakeDriver::Ping::kNever; });
  // Idle for longer than `ping_after`: by the clock, not by hope.
  const pool::Instant idle_until = pool::Clock::now() + milliseconds(10);
  EXPECT_TRUE(pool->Becomes([&] { return pool::Clock::now() > idle_until; }));
  EXPECT_EQ(pool->Text("select 2"), "2");
  const FakeDriver::Figures figures = FiguresOf(*pool);
  EXPECT_GE(figures.pings, 1u);
  EXPECT_GE(figures.opened, 2u);
  EXPECT_EQ(figures.existing_max, 1u);
}

TEST_F(FakeContract, ADatabaseErrorLeavesTheConnectionInService) {
  const auto pool = NewPool(TestOptions(1));
  EXPECT_EQ(SqlState(pool->Run("syntax error")), "42601");
  EXPECT_EQ(pool->Text("select 1"), "1");
  EXPECT_EQ(FiguresOf(*pool).opened, 1u);
}

}  // namespace
}  // namespace dbsidecar::contract
