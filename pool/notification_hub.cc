#include "pool/notification_hub.h"

#include <fmt/format.h>

#include <algorithm>

#include "pool/check.h"
#include "pool/policy.h"

namespace dbsidecar::pool {
namespace {

// Channels that are listened to, or no longer, in one transaction.
constexpr size_t kChangesMax = 1000;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

NotificationHub::NotificationHub(EventLoop& loop, Driver& driver, const PoolConfig& config,
                                 size_t backlog_max, uint64_t seed, Observer& observer,
                                 Places places)
    : loop_(loop),
      driver_(driver),
      config_(config),
      backlog_max_(backlog_max),
      random_(seed),
      observer_(observer),
      places_(std::move(places)) {
  loop_.AddTimer(this);
}

NotificationHub::~NotificationHub() { loop_.RemoveTimer(this); }

// --- Subscribers. ---

std::optional<Error> NotificationHub::Refusal() const {
  if (!driver_.has_notifications()) {
    return OwnError(
        ErrorKind::kUnsupported,
        fmt::format("{} has no LISTEN and NOTIFY; only PostgreSQL does", driver_.name()));
  }
  if (config_.max < 2) {
    return OwnError(ErrorKind::kUnsupported,
                    "listening takes a connection of its own, and this pool has only one; raise "
                    "max-connections to 2 or more");
  }
  if (draining_) {
    return OwnError(ErrorKind::kDraining, "the sidecar is stopping and takes no new subscribers");
  }
  return std::nullopt;
}

void NotificationHub::Subscribe(Subscriber& subscriber) {
  if (const std::optional<Error> refusal = Refusal()) {
    subscriber.OnEnded(*refusal);
    subscriber.Done();
    return;
  }
  Begin(subscriber);
  MaybeOpen();
  MaybeChange();
}

void NotificationHub::Begin(Subscriber& subscriber) {
  auto& subscription = subscriptions_[subscriber.id];
  DBSIDECAR_CHECK(subscription == nullptr && !subscriber.channels.empty());
  subscription = std::make_unique<Subscription>();
  subscription->subscriber = &subscriber;
  for (const std::string& name : subscriber.channels) {
    Channel& channel = channels_[name];
    channel.subscriptions.insert(subscription.get());
    if (channel.in_force) continue;
    ++subscription->missing;
    changed_.insert(name);
  }
  if (subscription->missing == 0) {
    Announce(*subscription);
    return;
  }
  subscription->expires_at = EarlierDeadline(kNever, loop_.now(), config_.wait_timeout);
  waiting_.emplace(subscription->expires_at, subscriber.id);
}

void NotificationHub::Unsubscribe(SubscriberId id) {
  if (!subscriptions_.contains(id)) return;
  Remove(id);
  CloseIfUnneeded();
  MaybeReadOn(loop_.now());
  MaybeChange();
}

void NotificationHub::End(SubscriberId id, const Error& error) {
  subscriptions_.at(id)->subscriber->OnEnded(error);
  Remove(id);
}

void NotificationHub::EndWaiting(const Error& error) {
  while (!waiting_.empty()) End(waiting_.begin()->second, error);
}

void NotificationHub::Remove(SubscriberId id) {
  const auto it = subscriptions_.find(id);
  const std::unique_ptr<Subscription> subscription = std::move(it->second);
  subscriptions_.erase(it);
  waiting_.erase({subscription->expires_at, id});
  Subscriber& subscriber = *subscription->subscriber;
  for (const std::string& name : subscriber.channels) {
    Channel& channel = channels_.at(name);
    channel.subscriptions.erase(subscription.get());
    if (!channel.subscriptions.empty()) continue;
    if (channel.in_force) {
      changed_.insert(name);
    } else {
      changed_.erase(name);
      channels_.erase(name);
    }
  }
  subscriber.Done();
}

Error NotificationHub::ExpiryError() const {
  if (state_ == State::kPlaceWanted) {
    return OwnError(ErrorKind::kWaitTimeout,
                    fmt::format("no connection to listen on became free within {:g} s; all {} are "
                                "in use",
                                Seconds(config_.wait_timeout), config_.max));
  }
  return OwnError(
      ErrorKind::kNoConnection,
      fmt::format("listening could not begin within {:g} s: {}", Seconds(config_.wait_timeout),
                  last_error_ ? last_error_->message : "the database does not answer"));
}

void NotificationHub::Drain() {
  draining_ = true;
  const Error error = OwnError(ErrorKind::kDraining, "the sidecar is stopping");
  std::vector<SubscriberId> ids;
  for (const auto& [id, subscription] : subscriptions_) ids.push_back(id);
  for (const SubscriberId id : ids) End(id, error);
  // The pool gives no more places.
  if (state_ == State::kPlaceWanted) state_ = State::kOff;
  CloseIfUnneeded();
}

// --- The connection. ---

void NotificationHub::MaybeOpen() {
  if (state_ != State::kOff) return;
  state_ = State::kPlaceWanted;
  places_.ask();
}

void NotificationHub::OnPlace() {
  if (state_ == State::kPlaceWanted) {
    Rest();
  } else {
    places_.give_back();
  }
}

void NotificationHub::Open() {
  state_ = State::kOpening;
  answer_by_ = EarlierDeadline(kNever, loop_.now(), config_.connect_timeout);
  source_ = driver_.NewNotificationSource(*this);
  source_->Open();
}

void NotificationHub::OnSourceOpened() {
  state_ = State::kOpen;
  answer_by_ = kNever;
  MaybeChange();
}

void NotificationHub::CloseSource() {
  state_ = State::kClosing;
  changing_ = false;
  to_listen_.clear();
  to_unlisten_.clear();
  one_by_one_ = false;
  answer_by_ = kNever;
  ping_at_ = kNever;
  pause_.reset();
  NothingIsInForce();
  source_->Close();
}

void NotificationHub::NothingIsInForce() {
  std::erase_if(channels_, [](const auto& entry) { return entry.second.subscriptions.empty(); });
  changed_.clear();
  for (auto& [name, channel] : channels_) {
    channel.in_force = false;
    changed_.insert(name);
  }
  for (auto& [id, subscription] : subscriptions_) {
    subscription->missing = subscription->subscriber->channels.size();
  }
}

void NotificationHub::CloseIfUnneeded() {
  if (!subscriptions_.empty()) return;
  if (state_ == State::kOpening || state_ == State::kOpen) {
    CloseSource();
  } else if (state_ == State::kResting) {
    state_ = State::kOff;
    places_.give_back();
  }
}

void NotificationHub::OnSourceClosed() {
  // It is what reports, so it must not die under its own feet.
  loop_.Post([source = std::shared_ptr<NotificationSource>(std::move(source_))] {});
  Rest();
}

// Until the back-off has passed, if there is one.
void NotificationHub::Rest() {
  state_ = State::kResting;
  if (!subscriptions_.empty() && loop_.now() >= rest_until_) Open();
  CloseIfUnneeded();
}

void NotificationHub::OnSourceFailed(const Error& error, bool permanent) {
  if (permanent) {
    Error rejected = error;
    rejected.kind = ErrorKind::kConnectRejected;
    EndWaiting(rejected);
  }
  Lose(error);
}

void NotificationHub::Lose(const Error& error) {
  last_error_ = error;
  ++failures_in_a_row_;
  rest_until_ = loop_.now() +
                Backoff(failures_in_a_row_, config_.backoff_base, config_.backoff_cap, random_());
  const auto now = std::chrono::system_clock::now();
  for (auto& [id, subscription] : subscriptions_) {
    if (subscription->phase != Phase::kListening) continue;
    subscription->phase = Phase::kInterrupted;
    subscription->lost = now;
    lost_reason_ = error.message;
  }
  observer_.OnListenerStatus(false, error.message);
  CloseSource();
}

// --- Channels. ---

void NotificationHub::MaybeChange() {
  if (state_ != State::kOpen || changing_ || pause_.has_value()) return;
  const size_t changes_max = one_by_one_ ? 1 : kChangesMax;
  while (!changed_.empty() && to_listen_.size() + to_unlisten_.size() < changes_max) {
    const std::string name = changed_.extract(changed_.begin()).value();
    const auto it = channels_.find(name);
    if (it == channels_.end()) continue;
    const bool wanted = !it->second.subscriptions.empty();
    if (wanted && !it->second.in_force) {
      to_listen_.push_back(name);
    } else if (!wanted && it->second.in_force) {
      // Whoever comes from now on must listen anew.
      it->second.in_force = false;
      to_unlisten_.push_back(name);
    }
    if (!wanted) channels_.erase(it);
  }
  if (to_listen_.empty() && to_unlisten_.empty()) {
    one_by_one_ = false;
  } else {
    Change(kAnswerMax);
  }
}

void NotificationHub::Change(Duration limit) {
  changing_ = true;
  ping_at_ = kNever;
  answer_by_ = loop_.now() + limit;
  source_->Change(to_listen_, to_unlisten_);
}

void NotificationHub::NoteAnswer() {
  changing_ = false;
  answer_by_ = kNever;
  ping_at_ = EarlierDeadline(kNever, loop_.now(), config_.ping_after);
}

void NotificationHub::OnChanged() {
  NoteAnswer();
  if (failures_in_a_row_ > 0) observer_.OnListenerStatus(true, "listening again");
  failures_in_a_row_ = 0;
  rest_until_ = Instant{};
  last_error_.reset();
  to_unlisten_.clear();
  const std::vector<std::string> listened = std::exchange(to_listen_, {});
  for (const std::string& name : listened) PutInForce(name);
  MaybeChange();
}

void NotificationHub::OnChangeRefused(const Error& error) {
  // Such as a name that the database's encoding does not have. Whatever else is wrong may be right
  // on another connection: a standby, for example, takes no LISTEN.
  const std::string_view sqlstate = error.sql.sqlstate;
  if (!sqlstate.starts_with("22") && !sqlstate.starts_with("42")) {
    Lose(error);
    return;
  }
  NoteAnswer();
  if (to_listen_.size() == 1 && to_unlisten_.empty()) {
    EndThoseOn(to_listen_.front(), error);
    to_listen_.clear();
  } else {
    TakeBackChange();
    one_by_one_ = true;
  }
  MaybeChange();
  CloseIfUnneeded();
}

void NotificationHub::TakeBackChange() {
  for (const std::string& name : std::exchange(to_listen_, {})) changed_.insert(name);
  for (const std::string& name : std::exchange(to_unlisten_, {})) {
    // Whoever came meanwhile listens anew all the same.
    if (!channels_.contains(name)) channels_[name].in_force = true;
    changed_.insert(name);
  }
}

void NotificationHub::EndThoseOn(const std::string& name, const Error& error) {
  const auto it = channels_.find(name);
  if (it == channels_.end()) return;
  std::vector<SubscriberId> ids;
  for (const Subscription* subscription : it->second.subscriptions) {
    ids.push_back(subscription->subscriber->id);
  }
  for (const SubscriberId id : ids) End(id, error);
}

void NotificationHub::PutInForce(const std::string& name) {
  // Nobody may want it any more; then it is taken back.
  Channel& channel = channels_[name];
  channel.in_force = true;
  if (channel.subscriptions.empty()) changed_.insert(name);
  for (Subscription* subscription : channel.subscriptions) {
    if (--subscription->missing == 0) Announce(*subscription);
  }
}

void NotificationHub::Announce(Subscription& subscription) {
  Subscriber& subscriber = *subscription.subscriber;
  const Phase before = std::exchange(subscription.phase, Phase::kListening);
  if (before == Phase::kInterrupted) {
    subscriber.OnGap({.lost = subscription.lost,
                      .restored = std::chrono::system_clock::now(),
                      .reason = lost_reason_});
  } else {
    waiting_.erase({subscription.expires_at, subscriber.id});
    subscriber.OnListening();
  }
}

// --- Time. ---

Instant NotificationHub::NextTick() const {
  Instant next = waiting_.empty() ? kNever : waiting_.begin()->first;
  if (state_ == State::kResting) next = std::min(next, rest_until_);
  if (pause_.has_value()) {
    return std::min({next, pause_->until, pause_->others_done ? kNever : pause_->look_at});
  }
  return std::min({next, answer_by_, ping_at_});
}

void NotificationHub::OnTick(Instant now) {
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    End(waiting_.begin()->second, ExpiryError());
  }
  CloseIfUnneeded();
  if (state_ == State::kResting && now >= rest_until_) Open();
  if (pause_.has_value()) {
    MaybeReadOn(now);
  } else if (now >= answer_by_) {
    const std::string_view what = state_ == State::kOpening ? "connect" : "LISTEN or a ping";
    Lose(
        OwnError(ErrorKind::kNoConnection, fmt::format("the database does not answer a {}", what)));
  } else if (now >= ping_at_) {
    Change(config_.ping_timeout);
  }
  MaybeChange();
}

}  // namespace dbsidecar::pool
