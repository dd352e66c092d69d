#include "pool/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
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

}  // namespace
}  // namespace dbsidecar::pool
