// NotificationHub serves all subscribers of a pool from one connection: opened when the first
// comes, closed when the last leaves, with a place in the pool's budget in between.
//
// It reference-counts the channels, so that each is listened to once; it opens another connection
// when the one it has is lost, and then tells every subscriber of the gap.
//
// A burst of notifications is more than any subscriber takes at once, so one whose buffer is full
// is waited for: nothing is read from the database meanwhile. It is dropped if it has not caught up
// after three times as long as half of those on its channel needed, and after kPatience at least.
// Where not even half catch up, the limit is one that grows with their number, because so does the
// work of telling them.
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
  // How long a subscriber with a full buffer has at least, to take half of it.
  static constexpr Duration kPatience = std::chrono::milliseconds(250);

  // The pool's budget, of which the connection takes one place.
  struct Places {
    std::function<void()> ask;  // Answered by OnPlace, some time.
    std::function<void()> give_back;
  };

  // All are borrowed and outlive the hub. Of `config` it keeps the limits of time and of places.
  NotificationHub(EventLoop& loop, Driver& driver, const PoolConfig& config, uint64_t seed,
                  Observer& observer, Places places);
  ~NotificationHub() override;

  // A subscription that is not in force within the pool's wait timeout is ended.
  void Subscribe(Subscriber& subscriber);
  // Nothing happens if it has ended already.
  void Unsubscribe(SubscriberId id);
  // A subscriber that was full has caught up.
  void SubscriberCaughtUp();
  // The place that was asked for is there.
  void OnPlace();
  // Ends all subscriptions, and closes the connection.
  void Drain();

  size_t subscribers() const { return subscriptions_.size(); }
  // No subscriber, no connection and no place.
  bool empty() const { return subscriptions_.empty() && state_ == State::kOff; }

  // NotificationSourceEvents.
  void OnSourceOpened() override;
  void OnChanged() override;
  void OnSourceFailed(const Error& error, bool permanent) override;
  bool OnNotification(Notification notification) override;
  void OnSourceClosed() override;

  // TimerHandler.
  Instant NextTick() const override;
  void OnTick(Instant now) override;

 private:
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
    std::vector<SubscriberId> late;  // Whom it did not fit.
    Instant began;
    Instant until;
    bool paced = false;  // `until` is by the time that most on the channel took.
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
  void CloseIfUnneeded();
  void Lose(const Error& error);
  void Rest();
  void MaybeChange();
  void Change(const std::vector<std::string>& listen, const std::vector<std::string>& unlisten,
              Duration limit);
  void PutInForce(const std::string& name);
  void Announce(Subscription& subscription);

  void Deliver(const Notification& notification);
  bool Fits(const Notification& notification) const;
  void StopReading(Notification notification);
  size_t Late() const;
  bool WaitedEnough(Instant now);
  void MaybeReadOn(Instant now);

  EventLoop& loop_;
  Driver& driver_;
  const PoolConfig config_;
  std::mt19937_64 random_;
  Observer& observer_;
  const Places places_;

  State state_ = State::kOff;
  bool draining_ = false;
  std::unique_ptr<NotificationSource> source_;
  absl::flat_hash_map<SubscriberId, std::unique_ptr<Subscription>> subscriptions_;
  std::unordered_map<std::string, Channel> channels_;
  std::set<std::pair<Instant, SubscriberId>> waiting_;  // By when they expire.

  std::set<std::string> changed_;           // Channels that may have to be listened to, or not.
  bool changing_ = false;                   // A change has not been answered yet,
  std::vector<std::string> being_changed_;  // to listen to these.
  Instant answer_by_ = kNever;              // Of the connect, or the change.
  Instant ping_at_ = kNever;
  uint32_t failures_in_a_row_ = 0;
  Instant rest_until_{};
  std::optional<Error> last_error_;  // Why there is no connection.
  std::string lost_reason_;          // Why the last that was in use is gone.
  uint64_t notifications_ = 0;
  std::optional<Pause> pause_;
};

}  // namespace dbsidecar::pool
