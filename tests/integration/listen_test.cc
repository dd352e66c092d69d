// Listen through the whole sidecar: gRPC streams, and NOTIFY on a real PostgreSQL server.
#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using testing::ElementsAre;

v1::ListenRequest Channels(const std::vector<std::string>& names) {
  v1::ListenRequest request;
  for (const std::string& name : names) request.add_channels(name);
  return request;
}

// A subscriber that reads only when it is told to.
class Subscription {
 public:
  Subscription(v1::Sidecar::Stub& stub, const v1::ListenRequest& request,
               seconds timeout = seconds(60)) {
    context_.set_deadline(std::chrono::system_clock::now() + timeout);
    reader_ = stub.Listen(&context_, request);
  }
  Subscription(v1::Sidecar::Stub& stub, const std::string& channel)
      : Subscription(stub, Channels({channel})) {}
  ~Subscription() {
    context_.TryCancel();
    if (!finished_) reader_->Finish();
  }

  // False = the stream is over.
  bool Next() { return reader_->Read(&event_); }
  const v1::ListenResponse& event() const { return event_; }
  bool NextIsListening() { return Next() && event_.has_listening(); }
  // The payload of the next event, or what else happened.
  std::string NextPayload() {
    if (!Next()) return "<end: " + Finish().error_message() + ">";
    return event_.has_notification() ? event_.notification().payload()
                                     : "<" + event_.ShortDebugString() + ">";
  }
  grpc::Status Finish() {
    finished_ = true;
    return reader_->Finish();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::ListenResponse>> reader_;
  v1::ListenResponse event_;
  bool finished_ = false;
};

// Thousands of subscribers in one thread, all on one completion queue.
class Crowd {
 public:
  Crowd(const std::vector<std::shared_ptr<grpc::Channel>>& connections, size_t count,
        const v1::ListenRequest& request)
      : Crowd(connections, count, [&request](size_t) { return request; }) {}
  template <typename RequestOf>
  Crowd(const std::vector<std::shared_ptr<grpc::Channel>>& connections, size_t count,
        RequestOf request_of) {
    for (const auto& connection : connections) stubs_.push_back(v1::Sidecar::NewStub(connection));
    for (size_t i = 0; i < count; ++i) {
      auto& member = members_.emplace_back(std::make_unique<Member>());
      member->context.set_deadline(std::chrono::system_clock::now() + seconds(120));
      member->reader = stubs_[i % stubs_.size()]->AsyncListen(&member->context, request_of(i),
                                                              &queue_, member.get());
    }
    thread_ = std::thread([this] { Run(); });
  }
  ~Crowd() {
    for (const auto& member : members_) member->context.TryCancel();
    Eventually(seconds(20), [this] { return ended_.load() == members_.size(); });
    queue_.Shutdown();
    thread_.join();
  }

  bool AwaitListening(seconds limit = seconds(30)) {
    return Eventually(limit, [this] { return listening_.load() == members_.size(); });
  }
  bool AwaitNotifications(size_t count, seconds limit = seconds(60)) {
    return Eventually(limit, [&] { return notifications_.load() >= count; });
  }
  bool AwaitGaps(size_t count, seconds limit = seconds(30)) {
    return Eventually(limit, [&] { return gaps_.load() >= count; });
  }
  bool AwaitEnds(size_t count, seconds limit = seconds(30)) {
    return Eventually(limit, [&] { return ended_.load() >= count; });
  }
  size_t notifications() const { return notifications_.load(); }
  size_t ended() const { return ended_.load(); }
  size_t out_of_order() const { return out_of_order_.load(); }
  // By gRPC code. REQUIRES: those counted have ended.
  std::map<grpc::StatusCode, int> codes() {
    const std::lock_guard lock(mutex_);
    return codes_;
  }

 private:
  struct Member {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReader<v1::ListenResponse>> reader;
    v1::ListenResponse event;
    grpc::Status status;
    bool started = false;
    bool finishing = false;
    int64_t last = -1;
  };

  void Run() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) Step(*static_cast<Member*>(tag), ok);
  }

  void Step(Member& member, bool ok) {
    if (member.finishing) {
      const std::lock_guard lock(mutex_);
      ++codes_[member.status.error_code()];
      ++ended_;
      return;
    }
    if (!ok) {
      member.finishing = true;
      member.reader->Finish(&member.status, &member);
      return;
    }
    if (std::exchange(member.started, true)) Take(member);
    member.reader->Read(&member.event, &member);
  }

  void Take(Member& member) {
    if (member.event.has_listening()) ++listening_;
    if (member.event.has_gap()) ++gaps_;
    if (!member.event.has_notification()) return;
    const int64_t number = std::atoll(member.event.notification().payload().c_str());
    if (number <= member.last) ++out_of_order_;
    member.last = number;
    ++notifications_;
  }

  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<v1::Sidecar::Stub>> stubs_;
  std::vector<std::unique_ptr<Member>> members_;
  std::atomic<size_t> listening_{0};
  std::atomic<size_t> notifications_{0};
  std::atomic<size_t> gaps_{0};
  std::atomic<size_t> ended_{0};
  std::atomic<size_t> out_of_order_{0};
  std::mutex mutex_;
  std::map<grpc::StatusCode, int> codes_;
  std::thread thread_;
};

// Server connections whose last command was a LISTEN or UNLISTEN.
constexpr char kListeners[] =
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and query ~ 'LISTEN' and pid <> pg_backend_pid()";

// Not those of psql, whose server processes may outlive it for a moment.
int SidecarsConnections(const PostgresSidecar& fixture) {
  return std::stoi(fixture.server.Psql(
      "select count(*) from pg_stat_activity where application_name = 'dbsidecar' and datname = '" +
      fixture.database + "'"));
}

std::string KillListeners(const PostgresSidecar& fixture) {
  return fixture.server.Psql(
      "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = "
      "current_database() and query ~ 'LISTEN' and pid <> pg_backend_pid()",
      fixture.database);
}

TEST(ListenTest, TheFirstEventSaysThatTheSubscriptionIsInForceAndNothingIsMissedFromThenOn) {
  PostgresSidecar fixture;
  for (int i = 0; i < 20; ++i) {
    Subscription subscription(fixture.client.stub(), "news");
    ASSERT_TRUE(subscription.NextIsListening());
    EXPECT_THAT(subscription.event().listening().channels(), ElementsAre("news"));
    fixture.Psql("notify news, '" + std::to_string(i) + "'");
    EXPECT_EQ(subscription.NextPayload(), std::to_string(i));
    EXPECT_EQ(subscription.event().notification().channel(), "news");
    EXPECT_GT(subscription.event().notification().pid(), 0);
  }
}

TEST(ListenTest, NotifyFromAStatementThroughTheSidecarIsHeardAfterItsCommit) {
  PostgresSidecar fixture;
  Subscription subscription(fixture.client.stub(), "news");
  ASSERT_TRUE(subscription.NextIsListening());
  EXPECT_TRUE(fixture.client.Query("notify news, 'in autocommit'").ok());
  EXPECT_EQ(subscription.NextPayload(), "in autocommit");
  EXPECT_TRUE(fixture.client.Query("select pg_notify('news', $1::text)", "by function").ok());
  EXPECT_EQ(subscription.NextPayload(), "by function");

  v1::QueryRequest begin = MakeQuery("notify news, 'rolled back'");
  begin.mutable_session()->mutable_begin();
  const QueryOutcome begun = fixture.client.Run(begin);
  ASSERT_TRUE(begun.ok()) << begun;
  v1::QueryRequest rollback = MakeQuery("rollback");
  rollback.mutable_session()->set_session(begun.response.session());
  EXPECT_TRUE(fixture.client.Run(rollback).ok());
  EXPECT_TRUE(fixture.client.Query("notify news").ok());
  EXPECT_EQ(subscription.NextPayload(), "") << "and without a payload";
}

TEST(ListenTest, ListenAsSqlIsRefusedAndTheMessageNamesTheRpc) {
  PostgresSidecar fixture;
  const QueryOutcome outcome = fixture.client.Query("listen news");
  EXPECT_EQ(CodeAndSqlstate(outcome), "FAILED_PRECONDITION ");
  EXPECT_THAT(outcome.status.error_message(), testing::HasSubstr("Listen RPC"));
}

TEST(ListenTest, TenThousandNotificationsOfOneTransactionComeInOrder) {
  PostgresSidecar fixture;
  Subscription subscription(fixture.client.stub(), "numbers");
  ASSERT_TRUE(subscription.NextIsListening());
  fixture.Psql("select pg_notify('numbers', n::text) from generate_series(1, 10000) n");
  for (int i = 1; i <= 10'000; ++i) {
    ASSERT_EQ(subscription.NextPayload(), std::to_string(i));
  }
}

TEST(ListenTest, NotificationsOfManyTransactionsComeInTheOrderOfTheirCommits) {
  PostgresSidecar fixture;
  fixture.Psql("create table counter (n int); insert into counter values (0)");
  Subscription subscription(fixture.client.stub(), "numbers");
  ASSERT_TRUE(subscription.NextIsListening());
  // The row's lock is held to the commit, so its numbers are the order of the commits.
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&fixture] {
      QueryClient client(fixture.sidecar.NewChannel());
      for (int i = 0; i < 2500; ++i) {
        const QueryOutcome outcome = client.Query(
            "with next as (update counter set n = n + 1 returning n)"
            " select pg_notify('numbers', n::text) from next");
        ASSERT_TRUE(outcome.ok()) << outcome;
      }
    });
  }
  for (int i = 1; i <= 10'000; ++i) {
    EXPECT_EQ(subscription.NextPayload(), std::to_string(i));
  }
  for (std::thread& writer : writers) writer.join();
}

TEST(ListenTest, ThousandsOfSubscribersShareOneServerConnection) {
  PostgresSidecar fixture({"--max-connections=3", "--min-connections=2"});
  std::vector<std::shared_ptr<grpc::Channel>> connections;
  for (int i = 0; i < 4; ++i) connections.push_back(fixture.sidecar.NewChannel());
  constexpr size_t kSubscribers = 3000;
  {
    Crowd crowd(connections, kSubscribers, Channels({"all"}));
    ASSERT_TRUE(crowd.AwaitListening());
    EXPECT_EQ(fixture.Psql(kListeners), "1");
    EXPECT_EQ(SidecarsConnections(fixture), 3);
    const auto began = Clock::now();
    fixture.Psql("select pg_notify('all', n::text) from generate_series(1, 20) n");
    ASSERT_TRUE(crowd.AwaitNotifications(20 * kSubscribers));
    std::printf("20 notifications to %zu subscribers took %.0f ms\n", kSubscribers,
                Milliseconds(Clock::now() - began));
    EXPECT_EQ(crowd.notifications(), 20 * kSubscribers);
    EXPECT_EQ(crowd.out_of_order(), 0u);
    EXPECT_EQ(crowd.ended(), 0u);
    EXPECT_TRUE(fixture.client.Query("select 1").ok());
  }
  EXPECT_TRUE(Eventually(5s, [&] { return fixture.Psql(kListeners) == "0"; }))
      << "the last has left";
}

TEST(ListenTest, ABurstForManySubscribersDropsNobody) {
  PostgresSidecar fixture;
  constexpr size_t kSubscribers = 100;
  constexpr size_t kBurst = 3000;  // Three times what a buffer holds.
  Crowd crowd({fixture.sidecar.NewChannel()}, kSubscribers, Channels({"all"}));
  ASSERT_TRUE(crowd.AwaitListening());
  const auto began = Clock::now();
  fixture.Psql("select pg_notify('all', n::text) from generate_series(1, 3000) n");
  EXPECT_TRUE(crowd.AwaitNotifications(kBurst * kSubscribers));
  std::printf("%zu notifications to %zu subscribers took %.0f ms\n", kBurst, kSubscribers,
              Milliseconds(Clock::now() - began));
  EXPECT_EQ(crowd.out_of_order(), 0u);
  EXPECT_EQ(crowd.ended(), 0u);
}

TEST(ListenTest, EachChannelIsListenedToAsLongAsSomeoneWantsIt) {
  PostgresSidecar fixture;
  auto first = std::make_unique<Subscription>(fixture.client.stub(), Channels({"a", "b", "a"}));
  ASSERT_TRUE(first->NextIsListening());
  EXPECT_THAT(first->event().listening().channels(), ElementsAre("a", "b"));
  Subscription second(fixture.client.stub(), Channels({"b", "c"}));
  ASSERT_TRUE(second.NextIsListening());
  first.reset();
  // What PostgreSQL is asked to stop, it says in the text of its last command.
  EXPECT_TRUE(Eventually(5s, [&] {
    return fixture.Psql("select query from pg_stat_activity where query ~ '^UNLISTEN'") ==
           "UNLISTEN \"a\";";
  }));
  fixture.Psql("notify a, 'lost'; notify b, 'kept'; notify c, 'too'");
  EXPECT_EQ(second.NextPayload(), "kept");
  EXPECT_EQ(second.NextPayload(), "too");
  // Listened to anew.
  Subscription third(fixture.client.stub(), "a");
  ASSERT_TRUE(third.NextIsListening());
  fixture.Psql("notify a, 'again'");
  EXPECT_EQ(third.NextPayload(), "again");
}

TEST(ListenTest, OddChannelNamesAreTakenLetterForLetter) {
  PostgresSidecar fixture;
  const std::vector<std::string> names = {"UPPER",
                                          "with space",
                                          "quote\"inside",
                                          "two\"\"quotes",
                                          "semi;colon",
                                          "apostrophe's",
                                          "back\\slash",
                                          "select",
                                          "übermäßig",
                                          "日本語",
                                          "x\"; NOTIFY y--",
                                          "a.b",
                                          "$1",
                                          "*",
                                          std::string(63, 'n'),
                                          "line\nbreak",
                                          "\xF0\x9F\x90\x98"};
  Subscription all(fixture.client.stub(), Channels(names));
  ASSERT_TRUE(all.NextIsListening());
  for (const std::string& name : names) {
    Subscription one(fixture.client.stub(), name);
    ASSERT_TRUE(one.NextIsListening()) << name;
    ASSERT_TRUE(fixture.client.Query("select pg_notify($1::text, $1::text || '!')", name).ok());
    EXPECT_EQ(one.NextPayload(), name + "!");
    EXPECT_EQ(one.event().notification().channel(), name);
    EXPECT_EQ(all.NextPayload(), name + "!");
  }
}

TEST(ListenTest, ANameThatTheDatabaseCannotHoldEndsOnlyItsOwnSubscriber) {
  PostgresServer& server = PostgresServer::Shared();
  server.Psql(
      "create database latin1_listen encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template "
      "template0");
  SidecarProcess sidecar(
      {.database_url = server.Url("latin1_listen"), .flags = {}, .environment = {}});
  QueryClient client(sidecar.NewChannel());
  Subscription good(client.stub(), "größe");
  ASSERT_TRUE(good.NextIsListening());
  // Some of these travel together, with each other and with an UNLISTEN.
  std::vector<std::unique_ptr<Subscription>> bad;
  std::vector<std::unique_ptr<Subscription>> fine;
  for (int i = 0; i < 10; ++i) {
    Subscription leaving(client.stub(), "gone");
    bad.push_back(std::make_unique<Subscription>(client.stub(),
                                                 Channels({"fine", "日本語" + std::to_string(i)})));
    fine.push_back(std::make_unique<Subscription>(client.stub(), "fine" + std::to_string(i)));
  }
  for (const auto& subscription : bad) {
    EXPECT_FALSE(subscription->Next());
    const grpc::Status status = subscription->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  }
  for (const auto& subscription : fine) EXPECT_TRUE(subscription->NextIsListening());
  server.Psql("select pg_notify('gr' || chr(246) || chr(223) || 'e', chr(228))", "latin1_listen");
  EXPECT_EQ(good.NextPayload(), "ä");
  EXPECT_EQ(good.event().notification().channel(), "größe");
}

// PostgreSQL itself ends the connection over it.
TEST(ListenTest, ANotificationThatCannotBeSaidInUtf8IsAGap) {
  PostgresServer& server = PostgresServer::Shared();
  server.Psql(
      "create database ascii_listen encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template "
      "template0");
  SidecarProcess sidecar(
      {.database_url = server.Url("ascii_listen"), .flags = {}, .environment = {}});
  QueryClient client(sidecar.NewChannel());
  Subscription subscription(client.stub(), "news");
  ASSERT_TRUE(subscription.NextIsListening());
  server.Psql("select pg_notify('news', 'a' || chr(255) || 'b')", "ascii_listen");
  ASSERT_TRUE(subscription.Next());
  ASSERT_TRUE(subscription.event().has_gap()) << subscription.event().ShortDebugString();
  EXPECT_THAT(subscription.event().gap().reason(), testing::HasSubstr("invalid byte sequence"));
  server.Psql("notify news, 'text'", "ascii_listen");
  EXPECT_EQ(subscription.NextPayload(), "text");
}

TEST(ListenTest, RequestsThatCannotBeServedAreRefused) {
  PostgresSidecar fixture;
  const auto refusal = [&](const v1::ListenRequest& request) {
    Subscription subscription(fixture.client.stub(), request);
    EXPECT_FALSE(subscription.Next());
    return subscription.Finish().error_code();
  };
  EXPECT_EQ(refusal({}), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal(Channels({"a", ""})), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal(Channels({std::string(64, 'n')})), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal(Channels({std::string("a\0b", 3)})), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal(Channels(std::vector<std::string>(1001, "a"))),
            grpc::StatusCode::INVALID_ARGUMENT);
  v1::ListenRequest elsewhere = Channels({"a"});
  elsewhere.set_pool("orders");
  EXPECT_EQ(refusal(elsewhere), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(fixture.Psql(kListeners), "0");
}

TEST(ListenTest, ALostConnectionIsAGapForEverySubscriberAndListeningGoesOn) {
  PostgresSidecar fixture;
  Subscription one(fixture.client.stub(), Channels({"a", "b"}));
  Subscription other(fixture.client.stub(), "b");
  ASSERT_TRUE(one.NextIsListening());
  ASSERT_TRUE(other.NextIsListening());
  fixture.Psql("notify b, 'before'");
  const auto now = [] { return std::chrono::system_clock::now().time_since_epoch() / 1s; };
  const auto before = now();
  EXPECT_EQ(KillListeners(fixture), "1");
  for (Subscription* subscription : {&one, &other}) {
    EXPECT_EQ(subscription->NextPayload(), "before");
    ASSERT_TRUE(subscription->Next());
    ASSERT_TRUE(subscription->event().has_gap()) << subscription->event().ShortDebugString();
    const v1::Gap& gap = subscription->event().gap();
    EXPECT_GE(gap.lost_time().seconds(), before - 1);
    EXPECT_LE(gap.restored_time().seconds(), now() + 1);
    EXPECT_GE(gap.restored_time().seconds() * 1e9 + gap.restored_time().nanos(),
              gap.lost_time().seconds() * 1e9 + gap.lost_time().nanos());
    EXPECT_THAT(gap.reason(), testing::HasSubstr("administrator"));
  }
  fixture.Psql("notify a, '1'; notify b, '2'");
  EXPECT_EQ(one.NextPayload(), "1");
  EXPECT_EQ(one.NextPayload(), "2");
  EXPECT_EQ(other.NextPayload(), "2");
  EXPECT_EQ(fixture.Psql(kListeners), "1");
}

TEST(ListenTest, ARestartOfTheServerIsOneGap) {
  PostgresServer server;
  PostgresSidecar fixture({"--max-connections=3"}, false, server);
  Subscription subscription(fixture.client.stub(), "news");
  ASSERT_TRUE(subscription.NextIsListening());
  server.Stop(test_support::StopMode::kImmediate);
  // Several attempts to connect fail meanwhile.
  std::this_thread::sleep_for(1500ms);
  server.Start();
  ASSERT_TRUE(subscription.Next());
  ASSERT_TRUE(subscription.event().has_gap()) << subscription.event().ShortDebugString();
  const v1::Gap gap = subscription.event().gap();
  EXPECT_GE(gap.restored_time().seconds() - gap.lost_time().seconds(), 1);
  server.Psql("notify news, 'on we go'", fixture.database);
  EXPECT_EQ(subscription.NextPayload(), "on we go");
}

TEST(ListenTest, ASubscriberThatComesWhileTheServerIsAwayIsToldInTime) {
  PostgresServer server;
  PostgresSidecar fixture({"--wait-timeout=2s"}, false, server);
  Subscription early(fixture.client.stub(), "news");
  ASSERT_TRUE(early.NextIsListening());
  server.Stop(test_support::StopMode::kFast);
  const auto began = Clock::now();
  Subscription late(fixture.client.stub(), "news");
  EXPECT_FALSE(late.Next());
  EXPECT_EQ(late.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_LT(Clock::now() - began, 2s + 2 * kScheduling);
  server.Start();
  ASSERT_TRUE(early.Next());
  EXPECT_TRUE(early.event().has_gap());
}

TEST(ListenTest, ASubscriberThatDoesNotReadIsDroppedAndTheOthersGoOn) {
  PostgresSidecar fixture({"--listen-buffer=100"});
  // On connections of their own: flow control is by connection, too.
  QueryClient slow_client(fixture.sidecar.NewChannel());
  Subscription slow(slow_client.stub(), "news");
  ASSERT_TRUE(slow.NextIsListening());
  Crowd crowd({fixture.sidecar.NewChannel()}, 20, Channels({"news"}));
  ASSERT_TRUE(crowd.AwaitListening());
  Crowd elsewhere({fixture.sidecar.NewChannel()}, 1, Channels({"other"}));
  ASSERT_TRUE(elsewhere.AwaitListening());
  // More than the network between the two holds.
  constexpr size_t kCount = 6000;
  Clock::duration longest{};
  for (size_t i = 0; i < kCount / 100; ++i) {
    fixture.Psql("select pg_notify('news', n || repeat('x', 4000)) from generate_series(" +
                 std::to_string(i * 100 + 1) + ", " + std::to_string(i * 100 + 100) + ") n");
    const auto began = Clock::now();
    fixture.Psql("select pg_notify('other', '" + std::to_string(i) + "')");
    ASSERT_TRUE(elsewhere.AwaitNotifications(i + 1));
    longest = std::max(longest, Clock::now() - began);
  }
  EXPECT_TRUE(crowd.AwaitNotifications(kCount * 20));
  EXPECT_EQ(crowd.out_of_order(), 0u);
  EXPECT_EQ(crowd.ended(), 0u);
  std::printf("another channel waited %.0f ms at most\n", Milliseconds(longest));
  EXPECT_LT(longest, 1500ms);

  // What was on its way before, without a hole; then the reason; then the end.
  int heard = 0;
  std::string event = slow.NextPayload();
  for (; event.starts_with(std::to_string(heard + 1) + "x"); event = slow.NextPayload()) ++heard;
  ASSERT_TRUE(slow.event().has_dropped()) << event.substr(0, 100);
  EXPECT_LT(heard, static_cast<int>(kCount));
  EXPECT_EQ(slow.event().dropped().discarded(), 100u);
  EXPECT_THAT(slow.event().dropped().reason(), testing::HasSubstr("listen-buffer"));
  EXPECT_FALSE(slow.Next());
  EXPECT_EQ(slow.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(ListenTest, TheOnlySubscriberIsDroppedAsWell) {
  PostgresSidecar fixture({"--listen-buffer=10"});
  Subscription slow(fixture.client.stub(), "news");
  ASSERT_TRUE(slow.NextIsListening());
  fixture.Psql("select pg_notify('news', n || repeat('x', 7000)) from generate_series(1, 3000) n");
  // Another's statement needs no reading of that stream, and is not held up.
  QueryClient other(fixture.sidecar.NewChannel());
  EXPECT_TRUE(other.Query("select 1").ok());
  EXPECT_TRUE(Eventually(10s, [&] { return fixture.Psql(kListeners) == "0"; }))
      << "it is not served any more, although it has not read that yet";
  while (slow.Next() && !slow.event().has_dropped()) {
  }
  EXPECT_TRUE(slow.event().has_dropped());
  EXPECT_FALSE(slow.Next());
  EXPECT_EQ(slow.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(ListenTest, MemoryStaysBoundedWhenNobodyReads) {
  PostgresSidecar fixture;
  QueryClient slow_client(fixture.sidecar.NewChannel());
  std::vector<std::unique_ptr<Subscription>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<Subscription>(slow_client.stub(), "news"));
    ASSERT_TRUE(slow.back()->NextIsListening());
  }
  const auto notify = [&] {
    fixture.Psql(
        "select pg_notify('news', n || repeat('x', 7000)) from generate_series(1, 2000) n");
  };
  notify();
  ASSERT_TRUE(Eventually(20s, [&] { return fixture.Psql(kListeners) == "0"; }));
  const long dropped = fixture.sidecar.ResidentBytes();
  std::printf("resident: %ld MiB with 50 dropped streams that are not read\n", dropped >> 20);
  // 50 buffers of 1000 notifications share their memory: 7 MB, not 350.
  EXPECT_LT(dropped, kSanitized ? 2000L << 20 : 150L << 20);
}

TEST(ListenTest, WhoeverLeavesIsNoticed) {
  PostgresSidecar fixture;
  auto process = std::make_unique<Subscription>(fixture.client.stub(), "news");
  ASSERT_TRUE(process->NextIsListening());
  EXPECT_EQ(fixture.Psql(kListeners), "1");
  process->Cancel();
  EXPECT_TRUE(Eventually(1s, [&] { return fixture.Psql(kListeners) == "0"; }));
}

TEST(ListenTest, TheBudgetHoldsWithAListener) {
  PostgresSidecar fixture({"--max-connections=3", "--min-connections=3", "--wait-timeout=10s"});
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      QueryClient client(fixture.sidecar.NewChannel());
      while (!stop) {
        if (!client.Query("select pg_sleep(0.002)").ok()) ++failed;
      }
    });
  }
  int most = 0;
  int heard = 0;
  const auto end = Clock::now() + 6s;
  for (int round = 0; Clock::now() < end; ++round) {
    Subscription subscription(fixture.client.stub(), "news");
    ASSERT_TRUE(subscription.NextIsListening());
    if (round % 3 == 2) {
      KillListeners(fixture);
      ASSERT_TRUE(subscription.Next());
      ASSERT_TRUE(subscription.event().has_gap());
    }
    for (int i = 0; i < 3; ++i) {
      most = std::max(most, SidecarsConnections(fixture));
    }
    ++heard;
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(most, 3);
  EXPECT_GE(heard, 3);
  EXPECT_EQ(failed, 0);
  std::printf("%d subscriptions under load, %d connections at most\n", heard, most);
}

TEST(ListenTest, APoolOfOneConnectionRefusesToListen) {
  PostgresSidecar fixture({"--max-connections=1"});
  Subscription subscription(fixture.client.stub(), "news");
  EXPECT_FALSE(subscription.Next());
  const grpc::Status status = subscription.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("max-connections"));
}

TEST(ListenTest, SqliteSaysThatItHasNoNotifications) {
  SidecarProcess sidecar({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  QueryClient client(sidecar.NewChannel());
  Subscription subscription(client.stub(), "news");
  EXPECT_FALSE(subscription.Next());
  const grpc::Status status = subscription.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("PostgreSQL"));
}

TEST(ListenTest, ADrainEndsTheStreamsAndTheirSidecarStopsAtOnce) {
  PostgresSidecar fixture({"--drain-delay=0", "--drain-timeout=20s"});
  Crowd crowd({fixture.sidecar.NewChannel()}, 500, Channels({"news"}));
  ASSERT_TRUE(crowd.AwaitListening());
  fixture.Psql("notify news, '1'");
  const auto began = Clock::now();
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_TRUE(crowd.AwaitEnds(500));
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
  std::printf("500 streams were ended and the sidecar stopped within %.0f ms\n",
              Milliseconds(Clock::now() - began));
  EXPECT_LT(Clock::now() - began, 3s);
  EXPECT_EQ(crowd.codes()[grpc::StatusCode::UNAVAILABLE], 500);
}

TEST(ListenTest, AListenerOutlivesTheServersLimitOfIdleness) {
  PostgresSidecar fixture;
  fixture.Psql("alter database " + fixture.database + " set idle_session_timeout = '500ms'");
  Subscription subscription(fixture.client.stub(), "news");
  ASSERT_TRUE(subscription.NextIsListening());
  std::this_thread::sleep_for(1200ms);
  fixture.Psql("notify news, 'still there'");
  EXPECT_EQ(subscription.NextPayload(), "still there");
}

TEST(ListenTest, AServerThatFallsSilentIsFoundOutByAPing) {
  PostgresServer server;
  PostgresSidecar fixture({"--keep-alive-after=500ms"}, true, server);
  Subscription subscription(fixture.client.stub(), "news");
  ASSERT_TRUE(subscription.NextIsListening());
  server.Freeze();
  std::this_thread::sleep_for(4s);
  server.Thaw();
  ASSERT_TRUE(subscription.Next());
  EXPECT_TRUE(subscription.event().has_gap()) << subscription.event().ShortDebugString();
  EXPECT_THAT(subscription.event().gap().reason(), testing::HasSubstr("ping"));
}

}  // namespace
}  // namespace dbsidecar::integration
