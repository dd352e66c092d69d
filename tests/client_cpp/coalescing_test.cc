// Which calls share a frame.
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/client_cpp/fake_sidecar.h"

namespace dbsidecar::client_test {
namespace {

// Answers like Echo, notes the calls in each frame, and reads only while the gate is open. The
// statement "close" closes it.
class GatedEcho {
 public:
  grpc::Status operator()(FakeStream& stream) {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, 20s, [&] { return open_; });
      }
      const v1::PipelineRequest request = stream.ReadFrame();
      if (request.calls().empty()) return grpc::Status::OK;
      {
        const std::lock_guard lock(mutex_);
        frames_.push_back(request.calls_size());
        if (request.calls(0).query().sql() == "close") open_ = false;
      }
      v1::PipelineResponse replies;
      for (const v1::Call& call : request.calls()) {
        AddNumber(replies, call.id(), call.query().params(0).int_value());
      }
      stream.Write(replies);
    }
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // The number of calls in each frame so far.
  std::vector<int> frames() {
    const std::lock_guard lock(mutex_);
    return frames_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  std::vector<int> frames_;
};

struct Gated {
  explicit Gated(ClientOptions options = {}) : client(sidecar.address(), std::move(options)) {
    EXPECT_TRUE(client.WaitUntilConnected(10s));
  }

  void Close() { client.Query("close", 0); }
  // A call too large for the window of a stream that is not read: its write stays under way.
  std::future<Result> BlockTheWrite() {
    Close();
    return client.QueryAsync("select $1, $2", 0, std::string(kTooLargeToPass, 'x'));
  }

  GatedEcho echo;
  FakeSidecar sidecar{[this](FakeStream& stream) { return echo(stream); }};
  Client client;
};

TEST(CoalescingTest, ALoneCallIsAloneInItsFrameAndNotDelayed) {
  Gated gated;
  std::vector<double> took;
  for (int i = 0; i < 50; ++i) {
    const auto start = Clock::now();
    EXPECT_EQ(gated.client.Query("select $1", i).One().Get<int>(0), i);
    took.push_back(MillisecondsSince(start));
  }
  EXPECT_EQ(gated.echo.frames(), std::vector<int>(50, 1));
  std::sort(took.begin(), took.end());
  // A timer of a millisecond that waits for company would show in the fastest of them.
  EXPECT_LT(took.front(), 1.0 * kSlower);
}

TEST(CoalescingTest, CallsMadeWhileAWriteIsUnderWayShareTheNextFrame) {
  Gated gated;
  std::future<Result> large = gated.BlockTheWrite();
  std::vector<std::future<Result>> small;
  for (int i = 1; i <= 40; ++i) small.push_back(gated.client.QueryAsync("select $1", i));
  gated.echo.Open();
  EXPECT_EQ(large.get().One().Get<int>(0), 0);
  for (int i = 1; i <= 40; ++i) {
    EXPECT_EQ(small[static_cast<size_t>(i - 1)].get().One().Get<int>(0), i);
  }
  EXPECT_EQ(gated.echo.frames(), (std::vector<int>{1, 1, 40}));
}

TEST(CoalescingTest, ThreadsThatBlockShareFramesToo) {
  Gated gated;
  std::future<Result> large = gated.BlockTheWrite();
  std::atomic<int> started = 0;
  std::vector<std::thread> threads;
  for (int i = 1; i <= 16; ++i) {
    threads.emplace_back([&, i] {
      ++started;
      EXPECT_EQ(gated.client.Query("select $1", i).One().Get<int>(0), i);
    });
  }
  ASSERT_TRUE(Eventually([&] { return started == 16; }));
  std::this_thread::sleep_for(100ms);  // From there to the queue.
  gated.echo.Open();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(gated.echo.frames(), (std::vector<int>{1, 1, 16}));
}

TEST(CoalescingTest, CallsOfCallbacksOfOneFrameShareAFrame) {
  Gated gated;
  std::future<Result> large = gated.BlockTheWrite();
  std::atomic<int> done = 0;
  for (int i = 1; i <= 10; ++i) {
    gated.client.QueryThen("select $1", Params(i), [&, i](const Outcome& first) {
      ASSERT_TRUE(first.ok());
      gated.client.QueryThen("select $1", Params(i), [&](const Outcome& second) {
        EXPECT_TRUE(second.ok());
        ++done;
      });
    });
  }
  gated.echo.Open();
  ASSERT_TRUE(Eventually([&] { return done == 10; }));
  EXPECT_EQ(gated.echo.frames(), (std::vector<int>{1, 1, 10, 10}));
}

TEST(CoalescingTest, AFrameHasNoMoreBytesThanAllowed) {
  Gated gated({.frame_bytes_max = 10'000});
  std::future<Result> large = gated.BlockTheWrite();
  std::vector<std::future<Result>> calls;
  for (int i = 0; i < 12; ++i) {
    calls.push_back(gated.client.QueryAsync("select $1, $2", i, std::string(2'000, 'x')));
  }
  gated.echo.Open();
  for (std::future<Result>& call : calls) call.get();
  EXPECT_EQ(gated.echo.frames(), (std::vector<int>{1, 1, 4, 4, 4}));
}

TEST(CoalescingTest, NoMoreCallsAreInFlightThanAllowed) {
  std::mutex mutex;
  size_t most = 0;
  FakeSidecar sidecar([&](FakeStream& stream) {
    std::vector<v1::Call> open;
    for (v1::Call call = stream.ReadCall(); call.id() != 0; call = stream.ReadCall()) {
      open.push_back(call);
      {
        const std::lock_guard lock(mutex);
        most = std::max(most, open.size());
      }
      // All five are there: a sixth may only come when one is answered.
      if (open.size() < 5) continue;
      stream.AnswerNumber(open.front().id(), open.front().query().params(0).int_value());
      open.erase(open.begin());
      if (call.query().params(0).int_value() < 95) continue;
      for (const v1::Call& last : open) {
        stream.AnswerNumber(last.id(), last.query().params(0).int_value());
      }
      open.clear();
    }
    return grpc::Status::OK;
  });
  Client client(sidecar.address(), {.in_flight_max = 5});
  std::vector<std::future<Result>> calls;
  for (int i = 0; i < 96; ++i) calls.push_back(client.QueryAsync("select $1", i));
  for (int i = 0; i < 96; ++i) {
    EXPECT_EQ(calls[static_cast<size_t>(i)].get().One().Get<int>(0), i);
  }
  EXPECT_EQ(most, 5u);
}

TEST(CoalescingTest, AtTheLimitOfUnansweredCallsFuturesFailAndBlockingCallsWait) {
  Gated gated({.calls_max = 3});
  gated.Close();
  std::vector<std::future<Result>> calls;
  for (int i = 1; i <= 3; ++i) calls.push_back(gated.client.QueryAsync("select $1", i));
  try {
    gated.client.QueryAsync("select $1", 4).get();
    ADD_FAILURE() << "was taken";
  } catch (const ResourceExhausted& error) {
    EXPECT_EQ(error.reason(), "QUEUE_FULL");
    EXPECT_FALSE(error.outcome_unknown());
  }
  const auto start = Clock::now();
  EXPECT_THROW(gated.client.Query({.timeout = 100ms}, "select $1", 5), DeadlineExceeded);
  EXPECT_GE(MillisecondsSince(start), 100);
  std::thread opens([&] {
    std::this_thread::sleep_for(100ms);
    gated.echo.Open();
  });
  EXPECT_EQ(gated.client.Query("select $1", 6).One().Get<int>(0), 6);
  opens.join();
}

}  // namespace
}  // namespace dbsidecar::client_test
