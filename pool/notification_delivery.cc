// The part of NotificationHub that hands notifications out, and waits for those who are late.
#include <algorithm>

#include "pool/notification_hub.h"

namespace dbsidecar::pool {
namespace {

// How long a client may take to read half of its buffer, in all and when nobody else is served;
// besides the time that we need to write it, which is a few microseconds for each notification on a
// quiet machine.
constexpr Duration kReadMax = std::chrono::seconds(1);
constexpr Duration kReadAloneMax = std::chrono::milliseconds(250);
constexpr Duration kWriteMax = std::chrono::microseconds(20);
// How often it is looked whether the others are done.
constexpr Duration kLookAgain = std::chrono::milliseconds(20);

Error Dropped() {
  return OwnError(ErrorKind::kSubscriberDropped,
                  "the subscriber does not read its notifications fast enough, and its buffer is "
                  "full (listen-buffer)");
}

}  // namespace

bool NotificationHub::OnNotification(Notification notification) {
  notification.number = ++notifications_;
  if (!Fits(notification)) {
    StopReading(std::move(notification));
    return false;
  }
  Deliver(notification);
  return true;
}

bool NotificationHub::HasRoom(const Subscription& subscription) const {
  return subscription.phase != Phase::kListening ||
         subscription.subscriber->Backlog() < backlog_max_;
}

bool NotificationHub::Fits(const Notification& notification) const {
  const auto it = channels_.find(notification.channel);
  if (it == channels_.end()) return true;
  const auto& subscriptions = it->second.subscriptions;
  return std::all_of(subscriptions.begin(), subscriptions.end(),
                     [this](const Subscription* subscription) { return HasRoom(*subscription); });
}

void NotificationHub::Deliver(const Notification& notification) {
  const auto it = channels_.find(notification.channel);
  if (it == channels_.end()) return;
  for (const Subscription* subscription : it->second.subscriptions) {
    if (subscription->phase != Phase::kListening) continue;
    subscription->subscriber->OnNotification(notification);
  }
}

void NotificationHub::StopReading(Notification notification) {
  const auto& subscriptions = channels_.at(notification.channel).subscriptions;
  Pause pause;
  for (const Subscription* subscription : subscriptions) {
    if (!HasRoom(*subscription)) pause.late.insert(subscription->subscriber->id);
  }
  pause.until = loop_.now() + kReadMax + TimeToTell(subscriptions.size());
  pause.look_at = loop_.now();
  pause.notification = std::move(notification);
  pause_ = std::move(pause);
}

void NotificationHub::SubscriberCaughtUp() { MaybeReadOn(loop_.now()); }

Duration NotificationHub::TimeToTell(size_t subscribers) const {
  return kWriteMax * (subscribers * backlog_max_ / 2);
}

bool NotificationHub::IsLate(SubscriberId id) const {
  const auto it = subscriptions_.find(id);
  return it != subscriptions_.end() && it->second->subscriber->Backlog() > backlog_max_ / 2;
}

bool NotificationHub::OthersAreDone() const {
  const auto& subscriptions = channels_.at(pause_->notification.channel).subscriptions;
  return std::all_of(subscriptions.begin(), subscriptions.end(),
                     [this](const Subscription* subscription) {
                       const Subscriber& subscriber = *subscription->subscriber;
                       return subscriber.Backlog() == 0 || pause_->late.contains(subscriber.id);
                     });
}

bool NotificationHub::WaitedEnough(Instant now) {
  absl::erase_if(pause_->late, [this](SubscriberId id) { return !IsLate(id); });
  const size_t late = pause_->late.size();
  if (late == 0 || now >= pause_->until) return true;
  pause_->look_at = now + kLookAgain;
  const bool alone = late == channels_.at(pause_->notification.channel).subscriptions.size();
  if (!pause_->others_done && !alone && OthersAreDone()) {
    pause_->others_done = true;
    pause_->until = std::min(pause_->until, now + kReadAloneMax + TimeToTell(late));
  }
  return false;
}

void NotificationHub::MaybeReadOn(Instant now) {
  if (!pause_.has_value() || !WaitedEnough(now)) return;
  Pause pause = *std::exchange(pause_, std::nullopt);
  for (const SubscriberId id : pause.late) End(id, Dropped());
  CloseIfUnneeded();
  if (state_ != State::kOpen) return;
  if (changing_) answer_by_ = loop_.now() + kAnswerMax;
  // Whoever was late has room now or is gone.
  Deliver(pause.notification);
  source_->Resume();
  MaybeChange();
}

}  // namespace dbsidecar::pool
