// The hub between a source and subscribers, both played by the test, which also tells the time.
#include "pool/notification_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pool/event_loop.h"

namespace dbsidecar::pool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Answers what it is asked only when the test says so.
class FakeSource final : public NotificationSource {
 public:
  explicit FakeSource(NotificationSourceEvents& source_events) : events(source_events) {}

  void Open() override { opened = true; }
  void Change(const std::vector<std::string>& listen,
              const std::vector<std::string>& unlisten) override {
    EXPECT_FALSE(changing) << "one change at a time";
    changing = true;
    listened = listen;
    unlistened = unlisten;
  }
  void Resume() override { ++resumes; }
  void Close() override { closed = true; }

  // What the database would do.
  void Accept() {
    EXPECT_TRUE(std::exchange(changing, false));
    events.OnChanged();
  }
  bool Notify(const std::string& channel, const std::string& payload) {
    return events.OnNotification({.channel = channel, .payload = payload, .pid = 7});
  }

  NotificationSourceEvents& events;
  bool opened = false;
  bool changing = false;
  bool closed = false;
  int resumes = 0;
  std::vector<std::string> listened;
  std::vector<std::string> unlistened;
};

class SourceDriver final : public Driver {
 public:
  std::string_view name() const override { return "fake"; }
  std::string Fingerprint(std::string_view /*sql*/) const override { return ""; }
  std::vector<LaneShape> Lanes(size_t min, size_t max) const override { return {{min, max}}; }
  Classification Classify(const Statement& /*statement*/) override { return {}; }
  std::optional<Error> Describe(const Statement& /*statement*/, Description& /*into*/) override {
    return std::nullopt;
  }
  std::unique_ptr<Connection> NewConnection(ConnectionId /*id*/, size_t /*lane*/,
                                            ConnectionEvents& /*events*/) override {
    return nullptr;
  }
  bool has_notifications() const override { return notifies; }
  std::unique_ptr<NotificationSource> NewNotificationSource(
      NotificationSourceEvents& events) override {
    auto made = std::make_unique<FakeSource>(events);
    source = made.get();
    ++sources;
    return made;
  }
  DatabaseFacts facts() const override { return {}; }
  bool facts_take_a_place() const override { return false; }
  void RefreshFacts(std::function<void(bool learnt)> done) override { done(true); }

  bool notifies = true;
  FakeSource* source = nullptr;  // The latest.
  int sources = 0;
};

class FakeSubscriber final : public Subscriber {
 public:
  FakeSubscriber(SubscriberId number, std::vector<std::string> wants) {
    id = number;
    channels = std::move(wants);
  }
  void OnListening() override { heard.push_back("listening"); }
  void OnNotification(const Notification& notification) override {
    heard.push_back(notification.channel + ":" + notification.payload);
    numbers.push_back(notification.number);
    ++backlog;
  }
  void OnGap(const NotificationGap& gap) override {
    heard.push_back("gap: " + gap.reason);
    EXPECT_LE(gap.lost, gap.restored);
  }
  void OnEnded(const Error& error) override {
    heard.push_back("ended");
    ended = error;
  }
  void Done() override {
    EXPECT_FALSE(done) << "exactly once";
    done = true;
  }
  size_t Backlog() const override { return reads_at_once ? 0 : backlog; }

  std::vector<std::string> heard;
  std::vector<uint64_t> numbers;
  std::optional<Error> ended;
  bool done = false;
  bool reads_at_once = true;
  size_t backlog = 0;
};

class StatusObserver final : public Observer {
 public:
  void OnListenerStatus(bool up, std::string_view /*reason*/) override { told.push_back(up); }
  std::vector<bool> told;
};

class NotificationHubTest : public testing::Test {
 protected:
  static constexpr size_t kBacklogMax = 4;

  NotificationHubTest() {
    config_.max = 2;
    config_.wait_timeout = seconds(5);
    config_.backoff_base = milliseconds(1);
    config_.backoff_cap = milliseconds(2);
  }

  NotificationHub& hub() {
    if (hub_ == nullptr) {
      hub_ = std::make_unique<NotificationHub>(
          loop_, driver_, config_, kBacklogMax, 1, observer_,
          NotificationHub::Places{.ask = [this] { ++asked_; }, .give_back = [this] { ++given_; }});
    }
    return *hub_;
  }
  FakeSource& source() { return *driver_.source; }

  // Numbered from 1.
  FakeSubscriber& NewSubscriber(std::vector<std::string> channels) {
    return subscribers_.emplace_back(subscribers_.size() + 1, std::move(channels));
  }
  // The pool has a place, and the database takes the connection.
  void OpenSource() {
    hub().OnPlace();
    ASSERT_EQ(driver_.sources, 1);
    source().events.OnSourceOpened();
  }
  // Subscribes all, and puts their channels in force.
  void Listen(const std::vector<FakeSubscriber*>& subscribers) {
    for (FakeSubscriber* subscriber : subscribers) hub().Subscribe(*subscriber);
    OpenSource();
    source().Accept();
  }
  // So much time has passed since the beginning. The loop's own clock stands still.
  void Pass(Duration time) { hub().OnTick(loop_.now() + time); }
  void Lose(const std::string& reason) {
    source().events.OnSourceFailed(OwnError(ErrorKind::kConnectionLost, reason), false);
    ASSERT_TRUE(source().closed);
    source().events.OnSourceClosed();
  }
  // All leave, and the database lets go.
  void TearDown() override {
    hub().Drain();
    if (driver_.source != nullptr && source().closed) source().events.OnSourceClosed();
    EXPECT_TRUE(hub().empty());
    EXPECT_EQ(asked_, given_) << "a place is given back";
  }

  PoolConfig config_;
  EventLoop loop_;
  SourceDriver driver_;
  StatusObserver observer_;
  std::deque<FakeSubscriber> subscribers_;
  int asked_ = 0;
  int given_ = 0;
  std::unique_ptr<NotificationHub> hub_;
};

TEST_F(NotificationHubTest, ASubscriptionIsInForceOnceTheDatabaseHasTakenAllItsChannels) {
  FakeSubscriber& subscriber = NewSubscriber({"a", "b"});
  hub().Subscribe(subscriber);
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(driver_.sources, 0) << "it has no place yet";
  OpenSource();
  EXPECT_THAT(source().listened, ElementsAre("a", "b"));
  EXPECT_THAT(subscriber.heard, IsEmpty());
  source().Accept();
  EXPECT_THAT(subscriber.heard, ElementsAre("listening"));
}

TEST_F(NotificationHubTest, WhatIsHeardGoesInOrderToThoseOnItsChannelAlone) {
  FakeSubscriber& on_a = NewSubscriber({"a"});
  FakeSubscriber& on_b = NewSubscriber({"b"});
  FakeSubscriber& on_both = NewSubscriber({"a", "b"});
  Listen({&on_a, &on_b, &on_both});
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(source().Notify("a", std::to_string(i)));
    EXPECT_TRUE(source().Notify("b", std::to_string(i)));
  }
  EXPECT_TRUE(source().Notify("c", "nobody's"));
  EXPECT_THAT(on_a.heard, ElementsAre("listening", "a:1", "a:2", "a:3"));
  EXPECT_THAT(on_b.heard, ElementsAre("listening", "b:1", "b:2", "b:3"));
  EXPECT_THAT(on_both.heard, ElementsAre("listening", "a:1", "b:1", "a:2", "b:2", "a:3", "b:3"));
  EXPECT_THAT(on_both.numbers, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(NotificationHubTest, AChannelIsListenedToOnceAndGivenUpWithItsLastSubscriber) {
  FakeSubscriber& first = NewSubscriber({"a"});
  FakeSubscriber& second = NewSubscriber({"a"});
  FakeSubscriber& other = NewSubscriber({"b"});
  Listen({&first, &other});
  hub().Subscribe(second);
  EXPECT_THAT(second.heard, ElementsAre("listening")) << "without asking the database";
  EXPECT_FALSE(source().changing);
  hub().Unsubscribe(1);
  EXPECT_TRUE(first.done);
  EXPECT_FALSE(source().changing);
  hub().Unsubscribe(1);  // Nothing happens.
  hub().Unsubscribe(2);
  EXPECT_THAT(source().listened, IsEmpty());
  EXPECT_THAT(source().unlistened, ElementsAre("a"));
  EXPECT_TRUE(source().Notify("a", "on its way meanwhile"));
  source().Accept();
  EXPECT_THAT(first.heard, ElementsAre("listening"));
  EXPECT_THAT(second.heard, ElementsAre("listening"));
  hub().Unsubscribe(3);
  EXPECT_TRUE(source().closed) << "nobody is left";
}

TEST_F(NotificationHubTest, WhoComesWhileAChangeIsUnderWayIsServedByTheNext) {
  FakeSubscriber& first = NewSubscriber({"a"});
  FakeSubscriber& second = NewSubscriber({"b"});
  hub().Subscribe(first);
  OpenSource();
  hub().Subscribe(second);
  EXPECT_THAT(source().listened, ElementsAre("a"));
  source().Accept();
  EXPECT_THAT(source().listened, ElementsAre("b"));
  EXPECT_THAT(second.heard, IsEmpty());
  source().Accept();
  EXPECT_THAT(second.heard, ElementsAre("listening"));
}

TEST_F(NotificationHubTest, AfterALossEverySubscriberIsToldOfTheGapBeforeItHearsAnythingElse) {
  FakeSubscriber& first = NewSubscriber({"a"});
  FakeSubscriber& second = NewSubscriber({"b"});
  Listen({&first, &second});
  EXPECT_TRUE(source().Notify("a", "before"));
  Lose("the server is gone");
  EXPECT_EQ(driver_.sources, 1) << "not before the back-off has passed";
  FakeSubscriber& later = NewSubscriber({"a"});
  hub().Subscribe(later);
  Pass(seconds(1));
  ASSERT_EQ(driver_.sources, 2);
  EXPECT_EQ(asked_, 1) << "it keeps its place";
  source().events.OnSourceOpened();
  EXPECT_THAT(source().listened, ElementsAre("a", "b"));
  EXPECT_THAT(first.heard, ElementsAre("listening", "a:before"));
  source().Accept();
  EXPECT_TRUE(source().Notify("a", "after"));
  EXPECT_THAT(first.heard,
              ElementsAre("listening", "a:before", "gap: the server is gone", "a:after"));
  EXPECT_THAT(second.heard, ElementsAre("listening", "gap: the server is gone"));
  EXPECT_THAT(later.heard, ElementsAre("listening", "a:after")) << "it missed nothing";
  EXPECT_THAT(observer_.told, ElementsAre(false, true));
}

TEST_F(NotificationHubTest, SeveralLossesInARowAreOneGap) {
  FakeSubscriber& subscriber = NewSubscriber({"a"});
  Listen({&subscriber});
  Lose("first");
  Pass(seconds(1));
  Lose("again, before it was open");
  Pass(seconds(2));
  ASSERT_EQ(driver_.sources, 3);
  source().events.OnSourceOpened();
  source().Accept();
  EXPECT_THAT(subscriber.heard, ElementsAre("listening", "gap: first"));
}

TEST_F(NotificationHubTest, AFullSubscriberIsWaitedForAndMissesNothingIfItCatchesUp) {
  FakeSubscriber& slow = NewSubscriber({"a"});
  slow.reads_at_once = false;
  Listen({&slow});
  for (size_t i = 0; i < kBacklogMax; ++i) EXPECT_TRUE(source().Notify("a", std::to_string(i)));
  EXPECT_FALSE(source().Notify("a", "one too many")) << "reading stops";
  EXPECT_EQ(slow.numbers.size(), kBacklogMax);
  slow.backlog = kBacklogMax / 2 + 1;
  hub().SubscriberCaughtUp();
  EXPECT_EQ(source().resumes, 0) << "half of it is asked for";
  slow.backlog = kBacklogMax / 2;
  hub().SubscriberCaughtUp();
  EXPECT_EQ(source().resumes, 1);
  EXPECT_EQ(slow.heard.back(), "a:one too many");
  EXPECT_FALSE(slow.ended);
  EXPECT_THAT(slow.numbers, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(NotificationHubTest, ASlowSubscriberIsToldAndDroppedAndTheOthersMissNothing) {
  FakeSubscriber& slow = NewSubscriber({"a"});
  FakeSubscriber& quick = NewSubscriber({"a"});
  slow.reads_at_once = false;
  Listen({&slow, &quick});
  for (size_t i = 0; i < kBacklogMax; ++i) EXPECT_TRUE(source().Notify("a", std::to_string(i)));
  EXPECT_FALSE(source().Notify("a", "last"));
  EXPECT_EQ(quick.numbers.size(), kBacklogMax) << "all hear the same, or none does";
  Pass(milliseconds(1));  // It sees that the quick one is done.
  Pass(milliseconds(200));
  EXPECT_FALSE(slow.ended);
  Pass(milliseconds(300));
  ASSERT_TRUE(slow.ended);
  EXPECT_EQ(slow.ended->kind, ErrorKind::kSubscriberDropped);
  EXPECT_THAT(slow.ended->message, HasSubstr("listen-buffer"));
  EXPECT_TRUE(slow.done);
  EXPECT_THAT(slow.numbers, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(quick.numbers, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(source().resumes, 1);
  EXPECT_TRUE(source().Notify("a", "goes on"));
  EXPECT_EQ(quick.heard.back(), "a:goes on");
  EXPECT_FALSE(quick.ended);
}

TEST_F(NotificationHubTest, ANameThatTheDatabaseRefusesEndsOnlyItsOwnSubscribers) {
  FakeSubscriber& good = NewSubscriber({"a"});
  FakeSubscriber& bad = NewSubscriber({"bad"});
  hub().Subscribe(good);
  hub().Subscribe(bad);
  OpenSource();
  Error refusal;
  refusal.sql.sqlstate = "22021";
  const auto refuse = [&] {
    source().changing = false;
    source().events.OnChangeRefused(refusal);
  };
  refuse();  // Both together; then one by one.
  EXPECT_THAT(source().listened, ElementsAre("a"));
  source().Accept();
  EXPECT_THAT(source().listened, ElementsAre("bad"));
  refuse();
  EXPECT_THAT(good.heard, ElementsAre("listening"));
  EXPECT_THAT(bad.heard, ElementsAre("ended"));
  EXPECT_TRUE(bad.done);
}

TEST_F(NotificationHubTest, ASubscriptionThatDoesNotComeIntoForceInTimeIsEnded) {
  FakeSubscriber& subscriber = NewSubscriber({"a"});
  hub().Subscribe(subscriber);
  Pass(config_.wait_timeout);
  ASSERT_TRUE(subscriber.ended);
  EXPECT_EQ(subscriber.ended->kind, ErrorKind::kWaitTimeout);
  EXPECT_TRUE(subscriber.done);
  hub().OnPlace();
  EXPECT_EQ(driver_.sources, 0) << "for nobody";
}

TEST_F(NotificationHubTest, WithoutNotificationsOrASecondConnectionSubscribersAreRefused) {
  FakeSubscriber& subscriber = NewSubscriber({"a"});
  driver_.notifies = false;
  hub().Subscribe(subscriber);
  ASSERT_TRUE(subscriber.ended);
  EXPECT_EQ(subscriber.ended->kind, ErrorKind::kUnsupported);
  EXPECT_TRUE(subscriber.done);
  EXPECT_EQ(asked_, 0);
}

TEST_F(NotificationHubTest, ADrainEndsAllOfThem) {
  FakeSubscriber& subscriber = NewSubscriber({"a"});
  Listen({&subscriber});
  hub().Drain();
  EXPECT_TRUE(subscriber.done);
  EXPECT_EQ(subscriber.ended->kind, ErrorKind::kDraining);
  EXPECT_TRUE(source().closed);
}

}  // namespace
}  // namespace dbsidecar::pool
