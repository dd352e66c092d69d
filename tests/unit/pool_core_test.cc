#include "pool/pool_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dbsidecar::pool {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

std::string Text(const Action& action) {
  const std::string connection = std::to_string(action.connection);
  const std::string waiter = std::to_string(action.waiter);
  switch (action.kind) {
    case Action::Kind::kOpen:
      return "open " + connection;
    case Action::Kind::kPing:
      return "ping " + connection;
    case Action::Kind::kReset:
      return "reset " + connection;
    case Action::Kind::kClose:
      return "close " + connection;
    case Action::Kind::kGrant:
      return (action.shared ? "share " : "grant ") + connection + " to " + waiter;
    case Action::Kind::kEvict:
      return "evict " + connection;
    case Action::Kind::kRefuse:
      return "refuse " + waiter;
    case Action::Kind::kReserved:
      return "reserved";
  }
  return "?";
}

// A pool that opens nothing on its own account and lets nothing run out.
PoolConfig Quiet() {
  return {.min = 0,
          .max = 2,
          .connecting_max = 2,
          .waiters_max = 10,
          .wait_timeout = Duration::zero(),
          .idle_timeout = Duration::zero(),
          .lifetime = Duration::zero(),
          .connect_timeout = Duration::zero(),
          .ping_after = Duration::zero()};
}

class PoolCoreTest : public testing::Test {
 protected:
  void Use(const PoolConfig& config) { core_ = std::make_unique<PoolCore>(config, /*seed=*/7); }

  // What the core asked for since the last call.
  std::vector<std::string> Did() {
    std::vector<std::string> texts;
    for (const Action& action : actions_) texts.push_back(Text(action));
    if (!actions_.empty()) last_ = actions_.back();
    actions_.clear();
    return texts;
  }

  void Start() { core_->Start(now_, actions_); }
  void Arrive(WaiterId waiter, Instant deadline = kNever) {
    core_->Arrive(now_, {.waiter = waiter, .deadline = deadline, .bounded = true, .shares = false},
                  actions_);
  }
  void ArriveFor(uint64_t caller, WaiterId waiter) {
    core_->Arrive(now_, {.waiter = waiter, .caller = caller}, actions_);
  }
  void ArriveToShare(WaiterId waiter) {
    core_->Arrive(now_, {.waiter = waiter, .deadline = kNever, .bounded = true, .shares = true},
                  actions_);
  }
  void ComeBackToShare(WaiterId waiter, Instant came_first) {
    core_->Arrive(now_,
                  {.waiter = waiter,
                   .deadline = kNever,
                   .bounded = true,
                   .shares = true,
                   .came_first = came_first},
                  actions_);
  }
  void ArriveUnbounded(WaiterId waiter) {
    core_->Arrive(now_, {.waiter = waiter, .deadline = kNever, .bounded = false, .shares = false},
                  actions_);
  }
  void Connected(ConnectionId id) { core_->Connected(now_, id, actions_); }
  void ConnectFailed(ConnectionId id, bool permanent = false) {
    core_->ConnectFailed(now_, id, permanent, actions_);
  }
  void Released(ConnectionId id, Condition condition = Condition::kClean) {
    core_->Released(now_, id, condition, actions_);
  }
  void Tick() { core_->Tick(now_, actions_); }
  // Starts the pool and brings `count` connections up, without demand.
  void OpenIdle(PoolConfig config, size_t count) {
    config.min = count;
    Use(config);
    Start();
    for (ConnectionId id = 1; id <= count; ++id) Connected(id);
    Did();
  }
  size_t Count(ConnectionState state) { return core_->count(state); }

  std::unique_ptr<PoolCore> core_;
  Instant now_{hours(1)};
  Actions actions_;
  Action last_{};
};

TEST_F(PoolCoreTest, StartOpensTheMinimum) {
  PoolConfig config = Quiet();
  config.min = 2;
  Use(config);
  Start();
  EXPECT_THAT(Did(), ElementsAre("open 1", "open 2"));
}

TEST_F(PoolCoreTest, StartOpensOneConnectionEvenWithoutAMinimumToLearnWhetherTheDatabaseIsThere) {
  Use(Quiet());
  Start();
  EXPECT_THAT(Did(), ElementsAre("open 1"));
  EXPECT_FALSE(core_->database_up());
  Connected(1);
  EXPECT_TRUE(core_->database_up());
}

TEST_F(PoolCoreTest, AWaiterGetsAnIdleConnectionAtOnce) {
  OpenIdle(Quiet(), 1);
  Arrive(5);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 5"));
  EXPECT_EQ(Count(ConnectionState::kLeased), 1u);
  EXPECT_EQ(core_->OldestLease(), now_);
}

TEST_F(PoolCoreTest, TheNewestIdleConnectionIsLentFirst) {
  OpenIdle(Quiet(), 2);
  Arrive(5);
  EXPECT_THAT(Did(), ElementsAre("grant 2 to 5"));
}

TEST_F(PoolCoreTest, WaitersAreGrantedInTheOrderInWhichTheyCame) {
  Use(Quiet());
  Arrive(1);
  Arrive(2);
  Arrive(3);
  EXPECT_THAT(Did(), ElementsAre("open 1", "open 2"));
  Connected(2);
  Connected(1);
  EXPECT_THAT(Did(), ElementsAre("grant 2 to 1", "grant 1 to 2"));
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 3"));
}

TEST_F(PoolCoreTest, AWaiterWhoLeftIsNeverGranted) {
  Use(Quiet());
  Arrive(1);
  Arrive(2);
  core_->Abandon(now_, 1, actions_);
  Did();
  Connected(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 2"));
  EXPECT_EQ(core_->counters().abandoned, 1u);
}

TEST_F(PoolCoreTest, AWaiterIsRefusedAtItsDeadlineOrTheWaitTimeoutWhicheverIsSooner) {
  PoolConfig config = Quiet();
  config.wait_timeout = seconds(5);
  Use(config);
  Arrive(1);
  Arrive(2, now_ + seconds(3));
  Did();
  EXPECT_EQ(core_->NextTick(), now_ + seconds(3));
  now_ += seconds(3);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("refuse 2"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kDeadline);
  now_ += seconds(2);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("refuse 1"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kWaitTimeout);
}

TEST_F(PoolCoreTest, AConnectionThatComesTooLateIsNotGrantedToAnExpiredWaiter) {
  Use(Quiet());
  Arrive(1, now_ + seconds(1));
  Did();
  now_ += seconds(1);
  Connected(1);
  EXPECT_THAT(Did(), ElementsAre("refuse 1"));
  EXPECT_EQ(Count(ConnectionState::kIdle), 1u);
}

TEST_F(PoolCoreTest, AFullQueueRefusesNewcomers) {
  PoolConfig config = Quiet();
  config.waiters_max = 1;
  Use(config);
  Arrive(1);
  Did();
  Arrive(2);
  EXPECT_THAT(Did(), ElementsAre("refuse 2"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kQueueFull);
}

TEST_F(PoolCoreTest, CallersTakeTurns) {
  PoolConfig config = Quiet();
  config.max = 1;
  OpenIdle(config, 1);
  for (WaiterId waiter = 1; waiter <= 4; ++waiter) ArriveFor(/*caller=*/1, waiter);
  ArriveFor(/*caller=*/2, 5);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 1"));
  Released(1);
  Released(1);
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 2", "grant 1 to 5", "grant 1 to 3"));
}

TEST_F(PoolCoreTest, AFullQueueRefusesTheNewestOfWhoeverHasMostThere) {
  PoolConfig config = Quiet();
  config.waiters_max = 3;
  Use(config);
  for (WaiterId waiter = 1; waiter <= 3; ++waiter) ArriveFor(/*caller=*/1, waiter);
  Did();
  ArriveFor(/*caller=*/2, 4);
  EXPECT_THAT(Did(), ElementsAre("refuse 3"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kQueueFull);
  // They have two and one now: another one for the second would only turn them round.
  ArriveFor(/*caller=*/2, 5);
  EXPECT_THAT(Did(), ElementsAre("refuse 5"));
  ArriveFor(/*caller=*/1, 6);
  EXPECT_THAT(Did(), ElementsAre("refuse 6"));
}

TEST_F(PoolCoreTest, WhoeverGaveUpByNowTakesNoPlaceInTheQueue) {
  PoolConfig config = Quiet();
  config.waiters_max = 1;
  Use(config);
  Arrive(1, now_ + seconds(1));
  Did();
  now_ += seconds(2);
  Arrive(2);
  EXPECT_THAT(Did(), ElementsAre("refuse 1"));
  EXPECT_EQ(core_->waiting(), 1u);
}

TEST_F(PoolCoreTest, ADirtyConnectionIsResetBeforeTheNextGrant) {
  OpenIdle(Quiet(), 1);
  Arrive(1);
  Did();
  Released(1, Condition::kDirty);
  EXPECT_THAT(Did(), ElementsAre("reset 1"));
  core_->ResetDone(now_, 1, true, actions_);
  Arrive(2);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 2"));
}

TEST_F(PoolCoreTest, AFailedOrOverdueResetClosesTheConnection) {
  OpenIdle(Quiet(), 2);
  Arrive(1);
  Arrive(2);
  Released(1, Condition::kDirty);
  Released(2, Condition::kDirty);
  Did();
  core_->ResetDone(now_, 1, false, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  now_ += core_->config().reset_timeout;
  EXPECT_EQ(core_->NextTick(), now_);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("close 2"));
  EXPECT_EQ(core_->counters().closed[static_cast<size_t>(CloseReason::kResetFailed)], 2u);
}

TEST_F(PoolCoreTest, ReleasingABrokenConnectionOpensAnotherForTheWaiter) {
  PoolConfig config = Quiet();
  config.max = 1;
  OpenIdle(config, 1);
  Arrive(1);
  Arrive(2);
  Did();
  Released(1, Condition::kBroken);
  // The broken one counts against `max` until the driver has let go of it.
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 2"));
}

TEST_F(PoolCoreTest, AConnectionIdleForLongIsPingedBeforeUse) {
  PoolConfig config = Quiet();
  config.ping_after = seconds(10);
  OpenIdle(config, 1);
  now_ += seconds(11);
  Arrive(1);
  EXPECT_THAT(Did(), ElementsAre("ping 1"));
  core_->Pinged(now_, 1, true, actions_);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 1"));
}

TEST_F(PoolCoreTest, AFailedPingClosesTheConnectionAndOpensAnother) {
  PoolConfig config = Quiet();
  config.ping_after = seconds(10);
  OpenIdle(config, 1);
  now_ += seconds(11);
  Arrive(1);
  Did();
  core_->Pinged(now_, 1, false, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1", "open 2"));
}

TEST_F(PoolCoreTest, NoMoreConnectionsArePingedThanThereAreWaiters) {
  PoolConfig config = Quiet();
  config.max = 3;
  config.connecting_max = 3;
  config.ping_after = seconds(10);
  OpenIdle(config, 3);
  now_ += seconds(11);
  Arrive(1);
  EXPECT_THAT(Did(), ElementsAre("ping 3"));
}

TEST_F(PoolCoreTest, AConnectionThatIsLostCastsDoubtOnAllThatAreIdle) {
  PoolConfig config = Quiet();
  config.max = 3;
  config.connecting_max = 3;
  config.ping_after = seconds(10);
  OpenIdle(config, 3);
  core_->Lost(now_, 2, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 2", "ping 1", "ping 3"));
  core_->Pinged(now_, 1, true, actions_);
  core_->Pinged(now_, 3, true, actions_);
  EXPECT_THAT(Did(), IsEmpty());
  EXPECT_TRUE(core_->database_up());
}

TEST_F(PoolCoreTest, DoubtThatIsConfirmedTakesTheDatabaseDownAtOnce) {
  PoolConfig config = Quiet();
  config.max = 3;
  config.connecting_max = 3;
  config.ping_after = seconds(10);
  OpenIdle(config, 3);
  core_->Lost(now_, 2, actions_);
  now_ += config.ping_timeout;
  Tick();
  EXPECT_FALSE(core_->database_up());
}

TEST_F(PoolCoreTest, ConnectionsThatGoOneAfterTheOtherDoNotHaveTheRestPingedEachTime) {
  PoolConfig config = Quiet();
  config.max = 4;
  config.connecting_max = 4;
  config.ping_after = seconds(10);
  OpenIdle(config, 4);
  core_->Lost(now_, 2, actions_);
  for (const ConnectionId id : {1, 3, 4}) core_->Pinged(now_, id, true, actions_);
  Did();
  core_->Lost(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  now_ += config.doubt_interval;
  core_->Lost(now_, 3, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 3", "ping 4"));
}

TEST_F(PoolCoreTest, AnAnswerOfAConnectionThatWasToldToCloseIsIgnored) {
  PoolConfig config = Quiet();
  config.connect_timeout = seconds(1);
  Use(config);
  Start();
  Did();
  now_ += seconds(1);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  Connected(1);
  core_->Pinged(now_, 1, true, actions_);
  core_->ResetDone(now_, 1, true, actions_);
  core_->Lost(now_, 1, actions_);
  EXPECT_THAT(Did(), IsEmpty());
  EXPECT_EQ(Count(ConnectionState::kClosing), 1u);
  core_->Closed(now_, 1, actions_);
  EXPECT_EQ(Count(ConnectionState::kClosing), 0u);
}

TEST_F(PoolCoreTest, AfterAFailedConnectItWaitsOutTheBackoffAndThenTriesOneAtATime) {
  PoolConfig config = Quiet();
  config.max = 4;
  config.connecting_max = 4;
  Use(config);
  for (WaiterId waiter = 1; waiter <= 4; ++waiter) Arrive(waiter);
  Did();
  for (ConnectionId id = 1; id <= 4; ++id) ConnectFailed(id);
  EXPECT_THAT(Did(), IsEmpty());
  const Instant retry = core_->NextTick();
  EXPECT_GT(retry, now_);
  now_ = retry - milliseconds(1);
  Tick();
  EXPECT_THAT(Did(), IsEmpty());
  now_ = retry;
  Tick();
  EXPECT_THAT(Did(), ElementsAre("open 5"));
  Connected(5);
  EXPECT_THAT(Did(), ElementsAre("grant 5 to 1", "open 6", "open 7", "open 8"));
}

TEST_F(PoolCoreTest, ConnectsThatFailTogetherCountAsOneFailureForTheBackoff) {
  PoolConfig config = Quiet();
  config.max = 8;
  config.connecting_max = 8;
  config.backoff_base = milliseconds(100);
  config.backoff_cap = seconds(60);
  Use(config);
  for (WaiterId waiter = 1; waiter <= 8; ++waiter) Arrive(waiter);
  for (ConnectionId id = 1; id <= 8; ++id) ConnectFailed(id);
  EXPECT_LE(core_->NextTick(), now_ + milliseconds(100));
  EXPECT_EQ(core_->counters().connect_failures, 8u);
}

TEST_F(PoolCoreTest, APermanentFailureRefusesEveryWaiterWhenNothingIsOpen) {
  Use(Quiet());
  Arrive(1);
  Arrive(2);
  Did();
  ConnectFailed(1, /*permanent=*/true);
  EXPECT_THAT(Did(), ElementsAre("refuse 1", "refuse 2"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kConnectRejected);
}

TEST_F(PoolCoreTest, APermanentFailureRefusesNobodyWhileAnotherConnectionIsOpen) {
  OpenIdle(Quiet(), 1);
  Arrive(1);
  Arrive(2);
  Did();
  ConnectFailed(2, /*permanent=*/true);
  EXPECT_THAT(Did(), IsEmpty());
  EXPECT_EQ(core_->waiting(), 1u);
}

TEST_F(PoolCoreTest, LosingTheLastConnectionOpensAnotherToLearnWhetherTheDatabaseIsThere) {
  OpenIdle(Quiet(), 0);
  Connected(1);
  Did();
  EXPECT_TRUE(core_->database_up());
  now_ += seconds(10);
  core_->Lost(now_, 1, actions_);
  EXPECT_FALSE(core_->database_up());
  EXPECT_THAT(Did(), ElementsAre("close 1", "open 2"));
}

TEST_F(PoolCoreTest, IdleConnectionsAboveTheMinimumRetireOldestFirst) {
  PoolConfig config = Quiet();
  config.min = 1;
  config.idle_timeout = seconds(60);
  Use(config);
  Start();
  Arrive(1);
  Arrive(2);
  Connected(1);
  Connected(2);
  Released(2);
  now_ += seconds(1);
  Released(1);
  Did();
  EXPECT_EQ(core_->NextTick(), now_ + seconds(59));
  now_ += seconds(60);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("close 2"));
  EXPECT_EQ(core_->NextTick(), kNever);
}

TEST_F(PoolCoreTest, AConnectionPastItsLifetimeIsReplaced) {
  PoolConfig config = Quiet();
  config.lifetime = seconds(100);
  config.lifetime_jitter_percent = 0;
  OpenIdle(config, 1);
  EXPECT_EQ(core_->NextTick(), now_ + seconds(100));
  now_ += seconds(100);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("close 1", "open 2"));
}

TEST_F(PoolCoreTest, WhoIsHeldBackByFlowControlNeitherCountsForTheQueueNorIsRefused) {
  PoolConfig config = Quiet();
  config.max = 1;
  config.waiters_max = 1;
  Use(config);
  ArriveUnbounded(1);
  ArriveUnbounded(2);
  Arrive(3);
  ArriveUnbounded(4);
  EXPECT_THAT(Did(), ElementsAre("open 1"));
  Arrive(5);
  EXPECT_THAT(Did(), ElementsAre("refuse 5"));
  Connected(1);
  Released(1);
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 1", "grant 1 to 2", "grant 1 to 3"));
}

TEST_F(PoolCoreTest, AReservedPlaceCountsAgainstTheMaximumButNotForTheMinimum) {
  PoolConfig config = Quiet();
  config.min = 2;
  config.max = 3;
  config.connecting_max = 3;
  Use(config);
  core_->Reserve(now_, actions_);
  Start();
  EXPECT_THAT(Did(), ElementsAre("reserved", "open 1", "open 2"));
  EXPECT_EQ(core_->total(), 3u);
}

TEST_F(PoolCoreTest, AReservedPlaceDoesNotKeepAHealthCheckFromOpeningAConnection) {
  Use(Quiet());
  Start();
  ConnectFailed(1);
  Did();
  core_->Reserve(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("reserved"));
  now_ += seconds(10);
  core_->Check(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 2"));
}

TEST_F(PoolCoreTest, RoomForAReservedPlaceIsMadeByClosingTheLongestIdle) {
  PoolConfig config = Quiet();
  config.max = 2;
  OpenIdle(config, 2);
  core_->Reserve(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("reserved"));
  core_->Unreserve(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 3"));
}

TEST_F(PoolCoreTest, APlaceIsReservedBeforeWaitersAreServed) {
  PoolConfig config = Quiet();
  config.max = 1;
  Use(config);
  Arrive(1);
  Connected(1);
  EXPECT_THAT(Did(), ElementsAre("open 1", "grant 1 to 1"));
  Arrive(2);
  core_->Reserve(now_, actions_);
  EXPECT_THAT(Did(), IsEmpty());
  core_->Released(now_, 1, Condition::kClean, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("reserved"));
  core_->Unreserve(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 2"));
}

TEST_F(PoolCoreTest, SeveralPlacesAreReservedOneAfterAnotherAndHeldTogether) {
  PoolConfig config = Quiet();
  config.max = 3;
  OpenIdle(config, 2);
  core_->Reserve(now_, actions_);
  core_->Reserve(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("reserved", "close 1"));
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("reserved"));
  EXPECT_EQ(core_->total(), 3u);
  core_->Unreserve(now_, actions_);
  EXPECT_EQ(core_->total(), 3u) << "the minimum is opened again";
  EXPECT_THAT(Did(), ElementsAre("open 3"));
}

TEST_F(PoolCoreTest, AWaiterIsServedBetweenTwoReservedPlaces) {
  PoolConfig config = Quiet();
  config.max = 2;
  Use(config);
  Arrive(1);
  Arrive(2);
  Connected(1);
  Connected(2);
  Did();
  Arrive(3);
  core_->Reserve(now_, actions_);
  core_->Reserve(now_, actions_);
  core_->Released(now_, 1, Condition::kClean, actions_);
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1", "reserved"));
  core_->Released(now_, 2, Condition::kClean, actions_);
  EXPECT_THAT(Did(), ElementsAre("grant 2 to 3"));
}

TEST_F(PoolCoreTest, APlaceIsMadeOfASharedConnectionWhenAllAreInUse) {
  PoolConfig config = Quiet();
  config.shared_max = 2;
  config.shared_spread = 1;
  OpenIdle(config, 2);
  ArriveToShare(1);
  ArriveToShare(2);
  EXPECT_THAT(Did(), ElementsAre("share 2 to 1", "share 1 to 2"));
  core_->Reserve(now_, actions_);
  EXPECT_THAT(Did(), IsEmpty());
  ArriveToShare(3);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 3")) << "the other takes no more callers";
  core_->Released(now_, 2, Condition::kClean, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 2"));
  core_->Closed(now_, 2, actions_);
  EXPECT_THAT(Did(), ElementsAre("reserved"));
}

TEST_F(PoolCoreTest, ADrainForgetsThatAPlaceWasWanted) {
  PoolConfig config = Quiet();
  config.max = 1;
  Use(config);
  Arrive(1);
  Connected(1);
  core_->Reserve(now_, actions_);
  core_->Drain(now_, actions_);
  Did();
  core_->Released(now_, 1, Condition::kClean, actions_);
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  EXPECT_TRUE(core_->empty());
}

TEST_F(PoolCoreTest, AServerThatTakesConnectionsAndDropsThemIsNotDialledInALoop) {
  PoolConfig config = Quiet();
  config.min = 1;
  Use(config);
  Start();
  Connected(1);
  EXPECT_THAT(Did(), ElementsAre("open 1"));
  core_->Lost(now_, 1, actions_);
  core_->Closed(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  EXPECT_GE(core_->NextTick(), now_ + config.backoff_base / 2);
  now_ = core_->NextTick();
  Tick();
  EXPECT_THAT(Did(), ElementsAre("open 2"));
}

TEST_F(PoolCoreTest, AConnectionThatIsSlowToCloseDoesNotCountForTheMinimum) {
  OpenIdle(Quiet(), 1);
  now_ += seconds(10);
  core_->Lost(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1", "open 2"));
}

PoolConfig Sharing() {
  PoolConfig config = Quiet();
  config.max = 3;
  config.shared_max = 2;
  config.shared_depth = 3;
  config.shared_spread = 2;
  config.stalled_after = milliseconds(20);
  return config;
}

TEST_F(PoolCoreTest, ATickBeforeTheStartOpensNothing) {
  PoolConfig config = Quiet();
  config.min = 2;
  Use(config);
  EXPECT_EQ(core_->NextTick(), kNever);
  Tick();
  EXPECT_THAT(Did(), IsEmpty());
}

TEST_F(PoolCoreTest, ThoseWhoMayShareJoinAndSpreadOverIdleConnectionsOnlyWhenMany) {
  OpenIdle(Sharing(), 3);
  for (WaiterId waiter = 1; waiter <= 7; ++waiter) ArriveToShare(waiter);
  EXPECT_THAT(Did(), ElementsAre("share 3 to 1", "share 3 to 2", "share 2 to 3", "share 2 to 4",
                                 "share 3 to 5", "share 2 to 6"));
  EXPECT_EQ(Count(ConnectionState::kShared), 2u);
  EXPECT_EQ(Count(ConnectionState::kIdle), 1u);
  Released(2);
  EXPECT_THAT(Did(), ElementsAre("share 2 to 7"));
}

TEST_F(PoolCoreTest, ASharedConnectionIsIdleWhenTheLastHasLeft) {
  OpenIdle(Sharing(), 1);
  ArriveToShare(1);
  ArriveToShare(2);
  Released(1);
  EXPECT_EQ(Count(ConnectionState::kShared), 1u);
  Released(1);
  EXPECT_EQ(Count(ConnectionState::kIdle), 1u);
}

TEST_F(PoolCoreTest, NobodyJoinsBehindAStatementThatTakesLong) {
  PoolConfig config = Sharing();
  config.max = 1;
  OpenIdle(config, 1);
  ArriveToShare(1);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 1"));
  now_ += milliseconds(20);
  ArriveToShare(2);
  EXPECT_THAT(Did(), IsEmpty());
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 2"));
}

TEST_F(PoolCoreTest, WhoeverMayShareGetsAnotherConnectionWhenTheSharedOneStalls) {
  PoolConfig config = Sharing();
  config.shared_max = 1;
  OpenIdle(config, 1);
  ArriveToShare(1);
  for (WaiterId waiter = 2; waiter <= 4; ++waiter) ArriveToShare(waiter);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 1", "share 1 to 2", "share 1 to 3"));
  EXPECT_EQ(core_->NextTick(), now_ + milliseconds(20));
  now_ += milliseconds(20);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("open 2"));
  Connected(2);
  EXPECT_THAT(Did(), ElementsAre("share 2 to 4"));
}

TEST_F(PoolCoreTest, WhoeverHoldsUpOthersIsEvictedAndAgainWhenThatCameToNothing) {
  PoolConfig config = Sharing();
  config.evict_after = milliseconds(50);
  OpenIdle(config, 1);
  ArriveToShare(1);
  ArriveToShare(2);
  Did();
  EXPECT_EQ(core_->NextTick(), now_ + milliseconds(50));
  for (int attempt = 0; attempt < 2; ++attempt) {
    now_ += milliseconds(49);
    Tick();
    EXPECT_THAT(Did(), IsEmpty());
    now_ += milliseconds(1);
    Tick();
    EXPECT_THAT(Did(), ElementsAre("evict 1"));
  }
}

TEST_F(PoolCoreTest, NobodyIsEvictedWhoHoldsUpNobodyOrGetsOn) {
  PoolConfig config = Sharing();
  config.evict_after = milliseconds(50);
  OpenIdle(config, 1);
  ArriveToShare(1);
  ArriveToShare(2);
  ArriveToShare(3);
  Did();
  now_ += milliseconds(40);
  Released(1);
  now_ += milliseconds(40);
  Released(1);
  // Alone by now.
  now_ += seconds(10);
  Tick();
  EXPECT_THAT(Did(), IsEmpty());
}

TEST_F(PoolCoreTest, WhoeverIsHandedBackWaitsUntilTheSlowOneIsDone) {
  PoolConfig config = Sharing();
  config.max = 1;
  OpenIdle(config, 1);
  ArriveToShare(1);
  ArriveToShare(2);
  Did();
  // Sooner than the core itself would call it stalled: the driver measures from another moment.
  now_ += milliseconds(19);
  core_->HandedBack(now_, 1, actions_);
  ComeBackToShare(2, now_);
  EXPECT_THAT(Did(), IsEmpty());
  EXPECT_EQ(core_->waiting(), 1u);
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 2"));
}

TEST_F(PoolCoreTest, WhoeverIsHandedBackGetsAnotherConnection) {
  OpenIdle(Sharing(), 2);
  ArriveToShare(1);
  ArriveToShare(2);
  EXPECT_THAT(Did(), ElementsAre("share 2 to 1", "share 2 to 2"));
  core_->HandedBack(now_, 2, actions_);
  ComeBackToShare(2, now_);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 2"));
}

TEST_F(PoolCoreTest, AConnectionThatAllHaveLeftIsIdleAlsoIfTheLastWasHandedBack) {
  OpenIdle(Sharing(), 1);
  ArriveToShare(1);
  core_->HandedBack(now_, 1, actions_);
  EXPECT_EQ(Count(ConnectionState::kIdle), 1u);
}

TEST_F(PoolCoreTest, WhoeverComesBackWaitsNoLongerThanIfItHadWaitedFromTheStart) {
  PoolConfig config = Sharing();
  config.max = 1;
  config.wait_timeout = seconds(5);
  OpenIdle(config, 1);
  Arrive(1);
  Did();
  const Instant came = now_;
  now_ += seconds(3);
  ComeBackToShare(2, came);
  EXPECT_EQ(core_->NextTick(), came + seconds(5));
  now_ += seconds(2);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("refuse 2"));
}

TEST_F(PoolCoreTest, ADrainDoesNotRefuseWhoeverComesBack) {
  PoolConfig config = Sharing();
  config.max = 1;
  OpenIdle(config, 1);
  ArriveToShare(1);
  Did();
  core_->Drain(now_, actions_);
  ArriveToShare(2);
  EXPECT_THAT(Did(), ElementsAre("refuse 2"));
  core_->HandedBack(now_, 1, actions_);
  ComeBackToShare(1, now_);
  Did();
  EXPECT_EQ(core_->counters().refused[static_cast<size_t>(RefuseReason::kDraining)], 1u);
}

TEST_F(PoolCoreTest, WhoeverNeedsAConnectionAloneGetsASharedOneBackWhenAllAreInUse) {
  PoolConfig config = Sharing();
  config.max = 2;
  config.shared_spread = 1;
  OpenIdle(config, 2);
  ArriveToShare(1);
  ArriveToShare(2);
  EXPECT_THAT(Did(), ElementsAre("share 2 to 1", "share 1 to 2"));
  Arrive(3);
  ArriveToShare(4);  // The longest shared one takes no more.
  EXPECT_THAT(Did(), ElementsAre("share 1 to 4"));
  Released(2);
  EXPECT_THAT(Did(), ElementsAre("grant 2 to 3"));
  // The last one stays shared while anyone wants to share.
  Arrive(5);
  ArriveToShare(6);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 6"));
}

TEST_F(PoolCoreTest, ASharedConnectionThatIsNotCleanIsLeftByAllAndThenReset) {
  OpenIdle(Sharing(), 1);
  ArriveToShare(1);
  ArriveToShare(2);
  Did();
  Released(1, Condition::kDirty);
  ArriveToShare(3);
  EXPECT_THAT(Did(), ElementsAre("open 2"));
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("reset 1"));
}

TEST_F(PoolCoreTest, ABrokenSharedConnectionIsClosedAndLaterReleasesMeanNothing) {
  OpenIdle(Sharing(), 1);
  ArriveToShare(1);
  ArriveToShare(2);
  Did();
  core_->Broke(now_, 1, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1", "open 2"));
  Released(1);
  Released(1, Condition::kBroken);
  EXPECT_THAT(Did(), IsEmpty());
}

TEST_F(PoolCoreTest, AHealthCheckPingsTheLongestIdleConnection) {
  OpenIdle(Quiet(), 2);
  core_->Check(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("ping 1"));
}

TEST_F(PoolCoreTest, ADrainRefusesNewcomersAndServesThoseWhoWait) {
  PoolConfig config = Quiet();
  config.max = 1;
  OpenIdle(config, 1);
  Arrive(1);
  Arrive(2);
  Did();
  core_->Drain(now_, actions_);
  Arrive(3);
  EXPECT_THAT(Did(), ElementsAre("refuse 3"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kDraining);
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 2"));
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  EXPECT_FALSE(core_->empty());
  core_->Closed(now_, 1, actions_);
  EXPECT_TRUE(core_->empty());
  EXPECT_EQ(core_->NextTick(), kNever);
}

TEST_F(PoolCoreTest, ADrainOpensConnectionsForWaitersOnlyAndNotForTheMinimum) {
  PoolConfig config = Quiet();
  config.min = 4;
  config.max = 5;
  config.connecting_max = 1;
  Use(config);
  Start();
  Arrive(1);
  core_->Drain(now_, actions_);
  Did();
  Connected(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 1"));
}

TEST_F(PoolCoreTest, ADrainClosesInTheOrderOfIds) {
  PoolConfig config = Quiet();
  config.max = 5;
  config.connecting_max = 5;
  OpenIdle(config, 5);
  core_->Drain(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1", "close 2", "close 3", "close 4", "close 5"));
}

TEST_F(PoolCoreTest, SeveralCoresCanShareOneIdSpace) {
  PoolConfig config = Quiet();
  config.min = 2;
  core_ = std::make_unique<PoolCore>(config, /*seed=*/7, /*first_id=*/2, /*stride=*/3);
  Start();
  EXPECT_THAT(Did(), ElementsAre("open 2", "open 5"));
}

using PoolCoreDeathTest = PoolCoreTest;

TEST_F(PoolCoreDeathTest, ReleasingWhatIsNotLeasedIsAProgrammersError) {
  OpenIdle(Quiet(), 1);
  EXPECT_DEATH(Released(1), "check failed");
}

TEST_F(PoolCoreDeathTest, AConnectThatFailsAfterItSucceededIsAProgrammersError) {
  OpenIdle(Quiet(), 1);
  EXPECT_DEATH(ConnectFailed(1), "check failed");
}

TEST_F(PoolCoreTest, APausedPoolClosesWhatIsFreeAndGrantsAndOpensNothing) {
  OpenIdle(Quiet(), 2);
  Arrive(1);
  EXPECT_THAT(Did(), ElementsAre("grant 2 to 1"));
  core_->Pause(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  EXPECT_EQ(last_.close_reason, CloseReason::kPause);
  core_->Closed(now_, 1, actions_);
  Arrive(2);
  core_->Check(now_, actions_);
  EXPECT_THAT(Did(), IsEmpty());
  Released(2);
  EXPECT_THAT(Did(), ElementsAre("close 2"));
  core_->Closed(now_, 2, actions_);
  EXPECT_EQ(core_->total(), 0u);
  EXPECT_EQ(core_->NextTick(), kNever) << "nothing to do";
  EXPECT_TRUE(core_->database_up()) << "as far as is known";
  core_->Unpause(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 3", "open 4"));
  Connected(3);
  EXPECT_THAT(Did(), ElementsAre("grant 3 to 2"));
}

TEST_F(PoolCoreTest, AConnectionLostInAPauseSaysNothingOfTheDatabase) {
  OpenIdle(Quiet(), 1);
  Arrive(1);
  core_->Pause(now_, actions_);
  Released(1, Condition::kBroken);
  EXPECT_TRUE(core_->database_up());
  core_->Closed(now_, 1, actions_);
  Did();
  core_->Unpause(now_, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 2")) << "then it is looked";
}

TEST_F(PoolCoreTest, WhoeverWaitsInAPauseIsRefusedWhenItsTimeIsUp) {
  PoolConfig config = Quiet();
  config.wait_timeout = seconds(2);
  Use(config);
  Start();
  Connected(1);
  core_->Pause(now_, actions_);
  Arrive(1, now_ + seconds(1));
  Arrive(2);
  Did();
  EXPECT_EQ(core_->NextTick(), now_ + seconds(1));
  now_ += seconds(1);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("refuse 1"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kDeadline);
  now_ += seconds(1);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("refuse 2"));
  EXPECT_EQ(last_.refuse_reason, RefuseReason::kWaitTimeout);
}

TEST_F(PoolCoreTest, NobodyJoinsASharedConnectionInAPause) {
  PoolConfig config = Quiet();
  config.shared_max = 1;
  OpenIdle(config, 1);
  ArriveToShare(1);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 1"));
  core_->Pause(now_, actions_);
  ArriveToShare(2);
  EXPECT_THAT(Did(), IsEmpty());
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
}

TEST_F(PoolCoreTest, ADrainEndsAPauseAndServesWhoeverWaits) {
  OpenIdle(Quiet(), 1);
  core_->Pause(now_, actions_);
  core_->Closed(now_, 1, actions_);
  Arrive(1);
  Did();
  core_->Drain(now_, actions_);
  EXPECT_FALSE(core_->paused());
  EXPECT_THAT(Did(), ElementsAre("open 2"));
  core_->Pause(now_, actions_);
  EXPECT_FALSE(core_->paused()) << "it stops already";
}

TEST_F(PoolCoreTest, ALowerMaximumClosesTheIdleAtOnceAndTheOthersAsTheyBecomeFree) {
  PoolConfig config = Quiet();
  config.max = 4;
  OpenIdle(config, 4);
  Arrive(1);
  Arrive(2);
  Arrive(3);
  Did();
  config.min = 1;
  config.max = 2;
  core_->Reconfigure(now_, config, actions_);
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  EXPECT_EQ(last_.close_reason, CloseReason::kResize);
  core_->Closed(now_, 1, actions_);
  Arrive(4);
  EXPECT_THAT(Did(), IsEmpty()) << "three are in use, and two are allowed";
  Released(3);
  EXPECT_THAT(Did(), ElementsAre("close 3"));
  core_->Closed(now_, 3, actions_);
  Released(2);
  EXPECT_THAT(Did(), ElementsAre("grant 2 to 4"));
}

TEST_F(PoolCoreTest, AHigherMaximumServesWhoeverWaits) {
  PoolConfig config = Quiet();
  config.max = 1;
  OpenIdle(config, 1);
  Arrive(1);
  Arrive(2);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 1"));
  config.max = 2;
  core_->Reconfigure(now_, config, actions_);
  EXPECT_THAT(Did(), ElementsAre("open 2"));
}

TEST_F(PoolCoreTest, OfSharedConnectionsUnderALowerMaximumAllButOneAreLeftToBecomeFree) {
  PoolConfig config = Quiet();
  config.max = 3;
  config.shared_max = 3;
  config.shared_spread = 1;
  OpenIdle(config, 3);
  for (WaiterId waiter = 1; waiter <= 3; ++waiter) ArriveToShare(waiter);
  EXPECT_THAT(Did(), ElementsAre("share 3 to 1", "share 2 to 2", "share 1 to 3"));
  config.min = 0;
  config.max = 1;
  core_->Reconfigure(now_, config, actions_);
  ArriveToShare(4);
  ArriveToShare(5);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 4", "share 1 to 5"));
  Released(3);
  Released(2);
  EXPECT_THAT(Did(), ElementsAre("close 3", "close 2"));
}

TEST_F(PoolCoreTest, WhoeverCameToShareIsServedSoWhenSharingIsSwitchedOff) {
  PoolConfig config = Quiet();
  config.max = 1;
  config.shared_max = 1;
  config.shared_depth = 1;
  OpenIdle(config, 1);
  ArriveToShare(1);
  ArriveToShare(2);
  Arrive(3);
  Did();
  config.shared_max = 0;
  core_->Reconfigure(now_, config, actions_);
  ArriveToShare(4);
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 3"));
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("share 1 to 2"));
  Released(1);
  EXPECT_THAT(Did(), ElementsAre("grant 1 to 4"));
}

TEST_F(PoolCoreTest, AShorterLifetimeHoldsForConnectionsThatAreOpen) {
  PoolConfig config = Quiet();
  OpenIdle(config, 1);
  now_ += seconds(10);
  config.lifetime = seconds(5);
  config.lifetime_jitter_percent = 0;
  core_->Reconfigure(now_, config, actions_);
  Tick();
  EXPECT_THAT(Did(), ElementsAre("close 1"));
  EXPECT_EQ(last_.close_reason, CloseReason::kLifetime);
}

TEST_F(PoolCoreTest, NewTimesHoldForWhatIsUnderWay) {
  PoolConfig config = Quiet();
  config.connect_timeout = seconds(60);
  Use(config);
  Start();
  EXPECT_THAT(Did(), ElementsAre("open 1"));
  now_ += seconds(10);
  config.connect_timeout = seconds(5);
  core_->Reconfigure(now_, config, actions_);
  EXPECT_LE(core_->NextTick(), now_);
  Tick();
  EXPECT_THAT(Did(), testing::Contains("close 1"));
}

}  // namespace
}  // namespace dbsidecar::pool
