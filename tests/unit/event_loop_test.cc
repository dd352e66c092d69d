#include "pool/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <utility>
#include <vector>

namespace dbsidecar::pool {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

class SocketPair {
 public:
  SocketPair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds_.data()), 0); }
  ~SocketPair() {
    close(fds_[0]);
    close(fds_[1]);
  }
  int ours() const { return fds_[0]; }
  void Say() const { EXPECT_EQ(write(fds_[1], "x", 1), 1); }
  void Listen() const {
    char byte;
    EXPECT_EQ(read(fds_[0], &byte, 1), 1);
  }

 private:
  std::array<int, 2> fds_{};
};

class Handler : public FdHandler {
 public:
  explicit Handler(std::function<void(bool, bool)> on_ready) : on_ready_(std::move(on_ready)) {}
  void OnReady(bool readable, bool writable) override { on_ready_(readable, writable); }

 private:
  std::function<void(bool, bool)> on_ready_;
};

class Timer : public TimerHandler {
 public:
  Instant NextTick() const override { return next; }
  void OnTick(Instant now) override {
    ticks.push_back(now);
    next = kNever;
    if (on_tick) on_tick();
  }

  Instant next = kNever;
  std::vector<Instant> ticks;
  std::function<void()> on_tick;
};

TEST(EventLoopTest, TasksRunInTheOrderInWhichTheyWerePosted) {
  EventLoop loop;
  std::vector<int> order;
  for (int i = 1; i <= 3; ++i) loop.Post([&, i] { order.push_back(i); });
  loop.Post([&] { loop.Stop(); });
  loop.Run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(EventLoopTest, ATaskPostedByATaskRunsToo) {
  EventLoop loop;
  bool ran = false;
  loop.Post([&] {
    loop.Post([&] {
      ran = true;
      loop.Stop();
    });
  });
  loop.Run();
  EXPECT_TRUE(ran);
}

TEST(EventLoopTest, TasksLeftAtTheStopAreRunBeforeRunReturns) {
  EventLoop loop;
  bool ran = false;
  loop.Stop();
  loop.Post([&] { loop.Post([&] { ran = true; }); });
  loop.Run();
  EXPECT_TRUE(ran);
}

TEST(EventLoopTest, PostsFromOtherThreadsAllArriveAndWakeTheLoop) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  EventLoop loop;
  int count = 0;  // Touched by the loop thread alone.
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kPosts; ++j) {
        loop.Post([&] {
          if (++count == kThreads * kPosts) loop.Stop();
        });
      }
    });
  }
  loop.Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, kThreads * kPosts);
}

TEST(EventLoopTest, ATimerTicksWhenItsTimeHasComeAndNotBefore) {
  EventLoop loop;
  Timer timer;
  const Instant due = EventLoop::ReadClock() + milliseconds(20);
  timer.next = due;
  timer.on_tick = [&] { loop.Stop(); };
  loop.AddTimer(&timer);
  loop.Run();
  ASSERT_EQ(timer.ticks.size(), 1u);
  EXPECT_GE(timer.ticks[0], due);
}

TEST(EventLoopTest, ARemovedTimerDoesNotTick) {
  EventLoop loop;
  Timer removed;
  Timer kept;
  removed.next = kept.next = EventLoop::ReadClock();
  loop.AddTimer(&removed);
  loop.AddTimer(&kept);
  loop.RemoveTimer(&removed);
  kept.on_tick = [&] { loop.Stop(); };
  loop.Run();
  EXPECT_TRUE(removed.ticks.empty());
}

TEST(EventLoopTest, AHandlerIsToldThatItsDescriptorIsReadable) {
  EventLoop loop;
  SocketPair sockets;
  Handler handler([&](bool readable, bool writable) {
    EXPECT_TRUE(readable);
    EXPECT_FALSE(writable);
    loop.Unwatch(sockets.ours(), &handler);
    loop.Stop();
  });
  loop.Watch(sockets.ours(), &handler);
  sockets.Say();
  loop.Run();
}

TEST(EventLoopTest, DescriptorsAreLevelTriggeredSoUnreadDataIsReportedAgain) {
  EventLoop loop;
  SocketPair sockets;
  int calls = 0;
  Handler handler([&](bool, bool) {
    if (++calls < 3) return;
    sockets.Listen();
    loop.Stop();
  });
  loop.Watch(sockets.ours(), &handler);
  sockets.Say();
  loop.Run();
  EXPECT_EQ(calls, 3);
  loop.Unwatch(sockets.ours(), &handler);
}

TEST(EventLoopTest, WritabilityIsReportedOnlyOnRequest) {
  EventLoop loop;
  SocketPair sockets;
  int writable_calls = 0;
  Handler handler([&](bool, bool writable) {
    writable_calls += writable ? 1 : 0;
    loop.WatchWritable(sockets.ours(), &handler, false);
    // A turn later the descriptor is still writable, and nobody wants to know.
    loop.Post([&] { loop.Post([&] { loop.Stop(); }); });
  });
  loop.Watch(sockets.ours(), &handler);
  loop.WatchWritable(sockets.ours(), &handler, true);
  loop.Run();
  EXPECT_EQ(writable_calls, 1);
  loop.Unwatch(sockets.ours(), &handler);
}

TEST(EventLoopTest, ADescriptorUnwatchedEarlierInTheSameTurnIsNotReported) {
  EventLoop loop;
  SocketPair first;
  SocketPair second;
  int calls = 0;
  // Whichever comes first unwatches both.
  Handler handler([&](bool, bool) {
    ++calls;
    loop.Unwatch(first.ours(), &handler);
    loop.Unwatch(second.ours(), &handler);
    loop.Post([&] { loop.Stop(); });
  });
  loop.Watch(first.ours(), &handler);
  loop.Watch(second.ours(), &handler);
  first.Say();
  second.Say();
  loop.Run();
  EXPECT_EQ(calls, 1);
}

TEST(EventLoopTest, ANumberThatIsAnothersByNowIsLeftAlone) {
  EventLoop loop;
  SocketPair sockets;
  Handler former([](bool, bool) { FAIL() << "no longer watches"; });
  int calls = 0;
  Handler owner([&](bool, bool) {
    ++calls;
    loop.Stop();
  });
  loop.Watch(sockets.ours(), &owner);
  loop.Unwatch(sockets.ours(), &former);
  loop.WatchWritable(sockets.ours(), &former, true);
  sockets.Say();
  loop.Run();
  EXPECT_EQ(calls, 1);
  loop.Unwatch(sockets.ours(), &owner);
}

TEST(EventLoopTest, ThePeerClosingIsReportedAsReadable) {
  EventLoop loop;
  std::array<int, 2> fds{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
  bool told = false;
  Handler handler([&](bool readable, bool) {
    told = readable;
    loop.Unwatch(fds[0], &handler);
    loop.Stop();
  });
  loop.Watch(fds[0], &handler);
  close(fds[1]);
  loop.Run();
  EXPECT_TRUE(told);
  close(fds[0]);
}

// A loop on a thread of its own.
class RunningLoop {
 public:
  RunningLoop() : thread_([this] { loop.Run(); }) {}
  ~RunningLoop() {
    loop.Stop();
    thread_.join();
  }
  std::thread::id id() const { return thread_.get_id(); }
  // Returns while the loop sleeps, or is about to.
  void LetItSleep() {
    std::promise<void> awake;
    loop.Post([&] { awake.set_value(); });
    awake.get_future().wait();
    std::this_thread::sleep_for(milliseconds(20));
  }

  EventLoop loop;

 private:
  std::thread thread_;
};

class TurnEnd : public TurnEndHandler {
 public:
  void OnTurnEnd() override { ended = true; }
  bool ended = false;
};

TEST(EventLoopTest, WhileTheLoopSleepsATurnIsTakenByWhoeverAsks) {
  RunningLoop running;
  running.LetItSleep();
  std::thread::id ran_on;
  TurnEnd turn_end;
  running.loop.RunOrPost([&] {
    ran_on = std::this_thread::get_id();
    running.loop.AtTurnEnd(turn_end);
  });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  EXPECT_TRUE(turn_end.ended);
}

TEST(EventLoopTest, DuringATurnATaskWaitsForTheNext) {
  RunningLoop running;
  std::promise<void> busy;
  std::promise<void> go_on;
  running.loop.Post([&] {
    busy.set_value();
    go_on.get_future().wait();
  });
  busy.get_future().wait();
  std::promise<std::thread::id> ran_on;
  running.loop.RunOrPost([&] { ran_on.set_value(std::this_thread::get_id()); });
  go_on.set_value();
  EXPECT_EQ(ran_on.get_future().get(), running.id());
}

TEST(EventLoopTest, ATurnTakenByAnotherRunsWhatWasPostedBeforeFirst) {
  EventLoop loop;
  std::vector<int> order;
  loop.Post([&] { order.push_back(1); });
  loop.RunOrPost([&] { order.push_back(2); });
  EXPECT_THAT(order, ElementsAre(1, 2));
}

TEST(EventLoopTest, ATaskPostedInATurnTakenByAnotherRunsSoon) {
  RunningLoop running;
  running.LetItSleep();
  std::promise<std::thread::id> ran_on;
  running.loop.RunOrPost(
      [&] { running.loop.Post([&] { ran_on.set_value(std::this_thread::get_id()); }); });
  EXPECT_EQ(ran_on.get_future().get(), running.id());
}

TEST(EventLoopTest, ATimerSetInATurnTakenByAnotherTicksOnTime) {
  RunningLoop running;
  Timer timer;
  std::promise<void> ticked;
  timer.on_tick = [&] { ticked.set_value(); };
  running.loop.RunOrPost([&] { running.loop.AddTimer(&timer); });
  running.LetItSleep();
  const Instant set = Clock::now();
  running.loop.RunOrPost([&] { timer.next = set + milliseconds(30); });
  ASSERT_EQ(ticked.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  running.LetItSleep();
  EXPECT_GE(timer.ticks.front(), set + milliseconds(30));
  // Had the loop not been woken, it would have slept on for most of a second.
  EXPECT_LT(timer.ticks.front(), set + milliseconds(500));
}

TEST(EventLoopTest, TurnsOfManyThreadsDoNotOverlap) {
  RunningLoop running;
  constexpr int kThreads = 4;
  constexpr int kTasks = 5000;
  int count = 0;  // Unguarded: turns are what guards it.
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int task = 0; task < kTasks; ++task) {
        if ((task + i) % 3 == 0) {
          running.loop.Post([&] { ++count; });
        } else {
          running.loop.RunOrPost([&] { ++count; });
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::promise<int> total;
  running.loop.Post([&] { total.set_value(count); });
  EXPECT_EQ(total.get_future().get(), kThreads * kTasks);
}

}  // namespace
}  // namespace dbsidecar::pool
