// NotificationHub serves all subscribers of a pool from one connection: opened when the first
// comes, closed when the last leaves, with a place in the pool's budget in between.
//
// It reference-counts the channels, so that each is listened to once; it opens another connection
// when the one it has is lost, and then tells every subscriber of the gap.
//
// A burst of notifications is more than any subscriber takes at once, so one whose buffer is full
// is waited for: nothing is read from the database meanwhile. It has to take half of it. One that
// does not is dropped, some time after the others on its channel have taken all of theirs: before,
// it may well be that we did not get round to it, because a connection does not serve its streams
// in turn. That time, and the limit of all waiting, grow with the number of those waited for.
//
// Threads: everything here runs on the loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/notifications.h"
#include "pool/observer.h"
#include "pool/pool_core.h"

namespace dbsidecar::pool {

class NotificationHub final : public NotificationSourceEvents, public TimerHandler {
 public:
  // The pool's budget, of which the connection takes one place.
  struct Places {
    std::function<void()> ask;  // Answered by OnPlace, some time.
    std::function<void()> give_back;
  };

  // All are borrowed and outlive the hub. Of `config` it keeps the limits of time and of places.
  // `backlog_max`: notifications that may wait for a subscriber.
  NotificationHub(EventLoop& loop, Driver& driver, const PoolConfig& config, size_t backlog_max,
                  uint64_t seed, Observer& observer, Places places);
  ~NotificationHub() override;

  // A subscription that is not in force within the pool's wait timeout is ended.
  void Subscribe(Subscriber& subscriber);
  // Nothing happens if it has ended already.
  void Unsubscribe(SubscriberId id);
  // A subscriber that was full has caught up.
  void SubscriberCaughtUp();
  // For subscriptions and attempts that come.
  void Reconfigure(const PoolConfig& config) { config_ = config; }
  // The place that was asked for is there.
  void OnPlace();
  // Ends all subscriptions, and closes the connection.
  void Drain();

  // No subscriber, no connection and no place.
  bool empty() const { return subscriptions_.empty() && state_ == State::kOff; }

  // NotificationSourceEvents.
  void OnSourceOpened() override;
  void OnChanged() override;
  void OnChangeRefused(const Error& error) override;
  void OnSourceFailed(const Error& error, bool permanent) override;
  bool OnNotification(Notification notification) override;
  void OnSourceClosed() override;

  // TimerHandler.
  Instant NextTick() const override;
  void OnTick(Instant now) override;

 private:
  // How long the server may take to answer a LISTEN.
  static constexpr Duration kAnswerMax = std::chrono::seconds(10);

  enum class State {
    kOff,          // No connection, and no place for one.
    kPlaceWanted,  // Asked for.
    kResting,      // Between a failure and the next attempt.
    kOpening,
    kOpen,
    kClosing,
  };
  enum class Phase {
    kWaiting,  // Not in force yet.
    kListening,
    kInterrupted,  // Was in force before the connection was lost.
  };
  struct Subscription {
    Subscriber* subscriber = nullptr;
    Phase phase = Phase::kWaiting;
    size_t missing = 0;           // Of its channels, those that are not in force.
    Instant expires_at = kNever;  // While kWaiting.
    std::chrono::system_clock::time_point lost;
  };
  struct Channel {
    absl::flat_hash_set<Subscription*> subscriptions;
    bool in_force = false;
  };
  // Reading has stopped because a notification did not fit.
  struct Pause {
    Notification notification;
    absl::flat_hash_set<SubscriberId> late;  // Whom it did not fit.
    Instant until;
    Instant look_at;
    bool others_done = false;
  };

  void Begin(Subscriber& subscriber);
  void End(SubscriberId id, const Error& error);
  void EndWaiting(const Error& error);
  void Remove(SubscriberId id);
  std::optional<Error> Refusal() const;
  Error ExpiryError() const;

  void MaybeOpen();
  void Open();
  void CloseSource();
  void NothingIsInForce();
  void CloseIfUnneeded();
  void Lose(const Error& error);
  void Rest();
  void MaybeChange();
  void Change(Duration limit);
  void NoteAnswer();
  void TakeBackChange();
  void EndThoseOn(const std::string& name, const Error& error);
  void PutInForce(const std::string& name);
  void Announce(Subscription& subscription);

  // Notifications; notification_delivery.cc.
  void Deliver(const Notification& notification);
  bool Fits(const Notification& notification) const;
  void StopReading(Notification notification);
  bool HasRoom(const Subscription& subscription) const;
  bool IsLate(SubscriberId id) const;
  bool OthersAreDone() const;
  Duration TimeToTell(size_t subscribers) const;
  bool WaitedEnough(Instant now);
  void MaybeReadOn(Instant now);

  EventLoop& loop_;
  Driver& driver_;
  PoolConfig config_;
  const size_t backlog_max_;
  std::mt19937_64 random_;
  Observer& observer_;
  const Places places_;

  State state_ = State::kOff;
  bool draining_ = false;
  std::unique_ptr<NotificationSource> source_;
  absl::flat_hash_map<SubscriberId, std::unique_ptr<Subscription>> subscriptions_;
  std::unordered_map<std::string, Channel> channels_;
  std::set<std::pair<Instant, SubscriberId>> waiting_;  // By when they expire.

  std::set<std::string> changed_;         // Channels that may have to be listened to, or not.
  bool one_by_one_ = false;               // They are changed, because one of them was refused.
  bool changing_ = false;                 // A change has not been answered yet,
  std::vector<std::string> to_listen_;    // to listen to these,
  std::vector<std::string> to_unlisten_;  // and no more to these.
  Instant answer_by_ = kNever;            // Of the connect, or the change.
  Instant ping_at_ = kNever;
  uint32_t failures_in_a_row_ = 0;
  Instant rest_until_{};
  std::optional<Error> last_error_;  // Why there is no connection.
  std::string lost_reason_;          // Why the last that was in use is gone.
  uint64_t notifications_ = 0;
  std::optional<Pause> pause_;
};

}  // namespace dbsidecar::pool
