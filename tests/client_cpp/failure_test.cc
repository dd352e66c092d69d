// Deadlines, cancels, broken streams, and the end of a client: every call is answered, honestly.
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/client_cpp/fake_sidecar.h"

namespace dbsidecar::client_test {
namespace {

grpc::Status NeverAnswer(FakeStream& stream) {
  stream.ReadUntilEnd();
  return grpc::Status::OK;
}

// What a scripted stream has read, for the test's thread.
class Seen {
 public:
  void Add(const v1::Call& call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(call);
  }
  std::vector<v1::Call> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  size_t size() { return calls().size(); }

 private:
  std::mutex mutex_;
  std::vector<v1::Call> calls_;
};

template <typename Expected, typename Action>
Failure ExpectFailure(Action action) {
  try {
    action();
    ADD_FAILURE() << "did not throw";
    return {};
  } catch (const Expected& error) {
    return error.failure();
  } catch (const Error& error) {
    ADD_FAILURE() << "threw something else: " << error.reason() << ": " << error.what();
    return error.failure();
  }
}

// --- Deadlines. ---

TEST(DeadlineTest, ASidecarThatNeverAnswersDoesNotHoldACallBeyondItsDeadline) {
  FakeSidecar sidecar(NeverAnswer);
  Client client(sidecar.address());
  const auto start = Clock::now();
  const Failure unknown =
      ExpectFailure<OutcomeUnknown>([&] { client.Query({.timeout = 150ms}, "insert"); });
  EXPECT_EQ(unknown.code, StatusCode::kDeadlineExceeded);
  ExpectFailure<DeadlineExceeded>(
      [&] { client.Query({.timeout = 150ms, .read_only = true}, "select"); });
  EXPECT_GE(MillisecondsSince(start), 300);
  EXPECT_LT(MillisecondsSince(start), 800 * kSlower);
}

TEST(DeadlineTest, FuturesAndCallbacksHaveDeadlinesToo) {
  FakeSidecar sidecar(NeverAnswer);
  Client client(sidecar.address(), {.timeout = 200ms});
  const auto start = Clock::now();
  std::promise<Failure> failure;
  client.QueryThen({.timeout = 100ms}, "insert", {},
                   [&](const Outcome& outcome) { failure.set_value(outcome.failure()); });
  std::future<Result> by_default = client.QueryAsync("insert");
  EXPECT_TRUE(failure.get_future().get().outcome_unknown);
  EXPECT_LT(MillisecondsSince(start), 190 * kSlower);
  EXPECT_THROW(by_default.get(), OutcomeUnknown);
  EXPECT_GE(MillisecondsSince(start), 200);
  EXPECT_LT(MillisecondsSince(start), 600 * kSlower);
}

TEST(DeadlineTest, ALateReplyIsNobodysAnswer) {
  Seen seen;
  FakeSidecar sidecar([&](FakeStream& stream) {
    const v1::Call late = stream.ReadCall();
    const v1::Call cancel = stream.ReadCall();
    seen.Add(cancel);
    EXPECT_EQ(cancel.cancel_id(), late.id());
    const v1::Call next = stream.ReadCall();
    v1::PipelineResponse both;
    AddNumber(both, next.id(), 2);
    AddNumber(both, late.id(), 1);
    stream.Write(both);
    // The record of the late one is free last and used again first.
    const v1::Call last = stream.ReadCall();
    EXPECT_NE(last.id(), late.id());
    stream.AnswerNumber(late.id(), 1);
    stream.AnswerNumber(last.id(), 3);
    stream.ReadUntilEnd();
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  EXPECT_THROW(client.Query({.timeout = 100ms}, "slow"), OutcomeUnknown);
  ASSERT_TRUE(Eventually([&] { return seen.size() == 1; })) << "no cancel was sent";
  EXPECT_EQ(client.Query("next").One().Get<int>(0), 2);
  EXPECT_EQ(client.Query("last").One().Get<int>(0), 3);
}

TEST(DeadlineTest, ABlockedCallbackDoesNotHoldABlockingCallBeyondItsDeadline) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address());
  std::promise<void> entered;
  std::promise<void> leave;
  client.QueryThen("select $1", Params(1), [&](const Outcome&) {
    entered.set_value();
    leave.get_future().wait_for(10s);
  });
  entered.get_future().get();
  const auto start = Clock::now();
  EXPECT_THROW(client.Query({.timeout = 200ms, .read_only = true}, "select $1", 2),
               DeadlineExceeded);
  EXPECT_LT(MillisecondsSince(start), 600 * kSlower);
  leave.set_value();
}

TEST(DeadlineTest, AStreamThatOwesAnswersForLongIsGivenUp) {
  FakeSidecar sidecar(
      [](FakeStream& stream) { return stream.number() == 1 ? NeverAnswer(stream) : Echo(stream); });
  Client client(sidecar.address());
  EXPECT_THROW(client.Query({.timeout = 50ms}, "select $1", 1), OutcomeUnknown);
  // The second is read-only, on the first stream until that is given up, and then sent again.
  EXPECT_EQ(client.Query({.timeout = 20s, .read_only = true}, "select $1", 2).One().Get<int>(0), 2);
  EXPECT_EQ(sidecar.streams(), 2);
}

// --- Connecting. ---

TEST(ConnectTest, WithoutASidecarCallsFailAsUnavailableAndSayWhy) {
  Client client("unix:/nowhere/dbsidecar.sock", {.connect_timeout = 300ms});
  EXPECT_FALSE(client.WaitUntilConnected(50ms));
  const auto start = Clock::now();
  const Failure failure = ExpectFailure<Unavailable>([&] { client.Query("select 1"); });
  EXPECT_EQ(failure.reason, "NO_CONNECTION");
  EXPECT_FALSE(failure.outcome_unknown);
  EXPECT_NE(failure.message.find("/nowhere"), std::string::npos) << failure.message;
  EXPECT_GE(MillisecondsSince(start), 300);
  EXPECT_LT(MillisecondsSince(start), 800 * kSlower);
  // Its own deadline is sooner.
  ExpectFailure<DeadlineExceeded>([&] { client.Query({.timeout = 50ms}, "select 1"); });
}

TEST(ConnectTest, CallsMadeBeforeTheSidecarIsThereAreServedWhenItIs) {
  FakeSidecar sidecar(Echo);
  sidecar.Stop();
  Client client(sidecar.address(), {.backoff_max = 100ms});
  std::future<Result> early = client.QueryAsync("select $1", 5);
  EXPECT_EQ(early.wait_for(200ms), std::future_status::timeout);
  sidecar.Start();
  EXPECT_EQ(early.get().One().Get<int>(0), 5);
}

TEST(ConnectTest, AServerWithoutPipelineFailsCallsAtOnce) {
  FakeSidecar sidecar(
      [](FakeStream&) { return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "what is that?"); });
  Client client(sidecar.address());
  const auto start = Clock::now();
  try {
    client.Query("select 1");
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), StatusCode::kUnimplemented);
    EXPECT_LT(MillisecondsSince(start), 2000 * kSlower);
  }
}

// --- Broken streams. ---

// The first stream breaks once it has read `calls` statements; later ones answer like Echo.
FakeSidecar::Handler BreakAfter(int calls, Seen& seen) {
  return [calls, &seen](FakeStream& stream) {
    if (stream.number() > 1) return Echo(stream);
    for (int i = 0; i < calls; ++i) seen.Add(stream.ReadCall());
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "as scripted");
  };
}

TEST(BrokenStreamTest, OfSentCallsOnlyThoseThatMayRunTwiceAreSentAgain) {
  Seen seen;
  FakeSidecar sidecar(BreakAfter(3, seen));
  Client client(sidecar.address());
  std::future<Result> write = client.QueryAsync("select $1", 1);
  std::future<Result> read = client.QueryAsync({.read_only = true}, "select $1", 2);
  std::future<Result> idempotent = client.QueryAsync({.idempotent = true}, "select $1", 3);
  const Failure failure = ExpectFailure<OutcomeUnknown>([&] { write.get(); });
  EXPECT_EQ(failure.code, StatusCode::kUnknown);
  EXPECT_NE(failure.message.find("as scripted"), std::string::npos) << failure.message;
  EXPECT_EQ(read.get().One().Get<int>(0), 2);
  EXPECT_EQ(idempotent.get().One().Get<int>(0), 3);
  EXPECT_EQ(client.Query("select $1", 4).One().Get<int>(0), 4);
  EXPECT_EQ(sidecar.streams(), 2);
}

TEST(BrokenStreamTest, ACallIsSentAgainOnlyOnce) {
  FakeSidecar sidecar([](FakeStream& stream) {
    if (stream.number() > 2) return Echo(stream);
    stream.ReadCall();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "as scripted");
  });
  Client client(sidecar.address());
  const Failure failure =
      ExpectFailure<Unavailable>([&] { client.Query({.read_only = true}, "select $1", 1); });
  EXPECT_EQ(failure.reason, "CONNECTION_LOST");
  EXPECT_EQ(client.Query("select $1", 2).One().Get<int>(0), 2);
}

TEST(BrokenStreamTest, CallsNotYetSentGoToTheNewStream) {
  std::atomic<bool> read_on = false;
  FakeSidecar sidecar([&](FakeStream& stream) {
    if (stream.number() > 1) return Echo(stream);
    while (!read_on) std::this_thread::sleep_for(5ms);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "as scripted");
  });
  Client client(sidecar.address());
  ASSERT_TRUE(client.WaitUntilConnected(10s));
  // Larger than the window of a stream that is not read, so the others stay behind it.
  std::future<Result> under_way =
      client.QueryAsync("select $1, $2", 0, std::string(kTooLargeToPass, 'x'));
  std::vector<std::future<Result>> unsent;
  for (int i = 1; i <= 5; ++i) unsent.push_back(client.QueryAsync("select $1", i));
  read_on = true;
  EXPECT_THROW(under_way.get(), OutcomeUnknown);
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(unsent[static_cast<size_t>(i - 1)].get().One().Get<int>(0), i);
  }
}

TEST(BrokenStreamTest, AStreamThatEndsBetweenCallsIsReplaced) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address());
  EXPECT_EQ(client.Query("select $1", 1).One().Get<int>(0), 1);
  sidecar.Stop();
  sidecar.Start();
  EXPECT_EQ(client.Query("select $1", 2).One().Get<int>(0), 2);
}

TEST(BrokenStreamTest, AClientSurvivesManyRestarts) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address(), {.backoff_max = 100ms});
  std::atomic<bool> stop = false;
  std::atomic<int> good = 0;
  std::atomic<int> bad = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        try {
          EXPECT_EQ(client.Query("select $1", t * 100'000 + i).One().Get<int>(0), t * 100'000 + i);
          ++good;
        } catch (const OutcomeUnknown&) {
          ++bad;
        }
      }
    });
  }
  for (int i = 0; i < 5; ++i) {
    const int before = good;
    ASSERT_TRUE(Eventually([&] { return good > before; })) << "restart " << i;
    sidecar.Stop();
    sidecar.Start();
  }
  const int before = good;
  EXPECT_TRUE(Eventually([&] { return good > before; }));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(bad, 5 * 4);
}

// --- Cancels. ---

TEST(CancelTest, ACallThatRunsIsCancelledByItsIdAndAnsweredByTheSidecar) {
  Seen seen;
  FakeSidecar sidecar([&](FakeStream& stream) {
    const v1::Call call = stream.ReadCall();
    seen.Add(call);
    const v1::Call cancel = stream.ReadCall();
    EXPECT_EQ(cancel.cancel_id(), call.id());
    EXPECT_EQ(cancel.id(), 0u);
    stream.AnswerError(call.id(), MakeError(1, "CANCELLED"));
    stream.ReadUntilEnd();
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  std::stop_source stop;
  std::future<Result> call = client.QueryAsync({.stop = stop.get_token()}, "slow");
  ASSERT_TRUE(Eventually([&] { return seen.size() == 1; }));
  stop.request_stop();
  EXPECT_THROW(call.get(), Cancelled);
}

TEST(CancelTest, ACallThatIsNotSentYetIsCancelledAtOnce) {
  Client client("unix:/nowhere/dbsidecar.sock");
  std::stop_source stop;
  std::future<Result> call = client.QueryAsync({.stop = stop.get_token()}, "insert");
  stop.request_stop();
  ASSERT_EQ(call.wait_for(1s), std::future_status::ready);
  const Failure failure = ExpectFailure<Cancelled>([&] { call.get(); });
  EXPECT_FALSE(failure.outcome_unknown);
  EXPECT_THROW(client.Query({.stop = stop.get_token()}, "insert"), Cancelled);
}

TEST(CancelTest, AResultThatCameFirstStands) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address());
  std::stop_source stop;
  std::future<Result> call = client.QueryAsync({.stop = stop.get_token()}, "select $1", 3);
  EXPECT_EQ(call.get().One().Get<int>(0), 3);
  stop.request_stop();
  EXPECT_EQ(client.Query("select $1", 4).One().Get<int>(0), 4);
}

TEST(CancelTest, ABlockingCallIsCancelledFromAnotherThread) {
  FakeSidecar sidecar([](FakeStream& stream) {
    const v1::Call call = stream.ReadCall();
    stream.ReadCall();
    stream.AnswerError(call.id(), MakeError(1, "CANCELLED"));
    stream.ReadUntilEnd();
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  std::stop_source stop;
  std::thread cancels([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  EXPECT_THROW(client.Query({.stop = stop.get_token()}, "slow"), Cancelled);
  cancels.join();
}

// --- The end of a client. ---

TEST(CloseTest, DestroyingAClientAnswersEverything) {
  Seen seen;
  FakeSidecar sidecar([&](FakeStream& stream) {
    for (v1::Call call = stream.ReadCall(); call.id() != 0; call = stream.ReadCall())
      seen.Add(call);
    return grpc::Status::OK;
  });
  std::future<Result> write;
  std::future<Result> read;
  std::vector<std::future<Result>> unsent;
  std::atomic<int> called = 0;
  {
    Client client(sidecar.address(), {.in_flight_max = 3});
    write = client.QueryAsync("insert");
    read = client.QueryAsync({.read_only = true}, "select");
    client.QueryThen("insert", {}, [&](const Outcome& outcome) {
      EXPECT_TRUE(outcome.failure().outcome_unknown);
      // What it begins now is answered as well.
      client.QueryThen("more", {}, [&](const Outcome& more) {
        EXPECT_FALSE(more.ok());
        ++called;
      });
      ++called;
    });
    for (int i = 0; i < 3; ++i) unsent.push_back(client.QueryAsync("insert"));
    ASSERT_TRUE(Eventually([&] { return seen.size() == 3; }));
  }
  EXPECT_EQ(called, 2);
  const Failure failure = ExpectFailure<OutcomeUnknown>([&] { write.get(); });
  EXPECT_EQ(failure.code, StatusCode::kCancelled);
  EXPECT_THROW(read.get(), Cancelled);
  for (std::future<Result>& call : unsent) EXPECT_THROW(call.get(), Cancelled);
}

TEST(CloseTest, AClientThatNeverConnectedEndsAtOnce) {
  const auto start = Clock::now();
  std::future<Result> call;
  {
    Client client("unix:/nowhere/dbsidecar.sock");
    call = client.QueryAsync("select 1");
  }
  EXPECT_THROW(call.get(), Cancelled);
  EXPECT_LT(MillisecondsSince(start), 1000 * kSlower);
}

TEST(CloseTest, ManyClientsComeAndGo) {
  FakeSidecar sidecar(Echo);
  for (int i = 0; i < 50 / kSlower; ++i) {
    Client client(sidecar.address());
    std::vector<std::future<Result>> calls;
    for (int c = 0; c < 5; ++c) calls.push_back(client.QueryAsync("select $1", c));
    if (i % 2 == 0) {
      EXPECT_EQ(calls[4].get().One().Get<int>(0), 4);
    }
  }
}

}  // namespace
}  // namespace dbsidecar::client_test
