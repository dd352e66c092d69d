#include "server/watch_metrics_rpc.h"

#include <algorithm>
#include <map>
#include <utility>

#include "server/event_stream.h"
#include "server/grpc_status.h"
#include "server/raw_message.h"
#include "server/request_parser.h"

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;

// How many streams wait to be accepted on a queue.
constexpr int kAcceptors = 2;

constexpr milliseconds kInterval{1000};
constexpr milliseconds kIntervalMin{100};
constexpr milliseconds kIntervalMax = std::chrono::hours(24);

milliseconds IntervalOf(const v1::MetricsRequest& request) {
  if (!request.has_interval()) return kInterval;
  const google::protobuf::Duration& interval = request.interval();
  // Before it is multiplied, which might overflow.
  const int64_t seconds = std::clamp<int64_t>(interval.seconds(), 0, 24 * 3600);
  const milliseconds asked(seconds * 1000 + interval.nanos() / 1'000'000);
  return std::clamp(asked, kIntervalMin, kIntervalMax);
}

grpc::Status Draining() {
  return ToGrpcStatus(pool::OwnError(pool::ErrorKind::kDraining, "the sidecar is stopping"));
}

}  // namespace

class WatchMetricsRpc::Watch final : public EventStream {
 public:
  Watch(WatchMetricsRpc& owner, RpcContext& context, grpc::ServerCompletionQueue& on)
      : EventStream(context, on, Rpc::kWatchMetrics), owner_(owner) {
    rpc().service().RequestWatchMetrics(&context_, &request_, &writer_, &queue(), &queue(),
                                        accepted_.Tag());
  }

  const v1::MetricsRequest& request() const { return asked_; }
  // Equal for watches that ask for the same.
  const std::string& key() const { return key_; }
  Clock::time_point due() const { return due_; }

  // Whoever is late does not catch up. On whole steps of the clock, so that watches with the same
  // interval are due together.
  void SetNextDue(Clock::time_point now) {
    const auto next = now + interval_;
    due_ = next - next.time_since_epoch() % kIntervalMin;
  }

  // What waits for a reader that is slow is not sent any more.
  void Tell(const grpc::Slice& report) {
    Discard();
    if (Append(report)) Write();
  }

 private:
  void AcceptAnother() override { new Watch(owner_, rpc(), queue()); }

  void Begin(grpc::ByteBuffer& bytes) override {
    if (!ParseBytes(bytes, asked_)) {
      Finish(ToGrpcStatus(pool::OwnError(
          pool::ErrorKind::kInvalidArgument,
          "the request is not a MetricsRequest: it is not Protobuf, or one of its text fields is "
          "not valid UTF-8")));
      return;
    }
    interval_ = IntervalOf(asked_);
    asked_.clear_interval();
    key_ = asked_.SerializeAsString();
    due_ = Clock::now();
    if (!owner_.Add(*this)) Finish(Draining());
  }

  void Ended() override { owner_.Remove(*this); }

  WatchMetricsRpc& owner_;
  v1::MetricsRequest asked_;
  std::string key_;
  milliseconds interval_{};
  Clock::time_point due_;
};

WatchMetricsRpc::WatchMetricsRpc(RpcContext& rpc, Reports& reports)
    : rpc_(rpc), reports_(reports), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "metrics-watch");
}

WatchMetricsRpc::~WatchMetricsRpc() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WatchMetricsRpc::Accept(CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [this](grpc::ServerCompletionQueue& queue) { new Watch(*this, rpc_, queue); });
}

bool WatchMetricsRpc::Add(Watch& watch) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  watches_.insert(&watch);
  changed_.notify_all();
  return true;
}

void WatchMetricsRpc::Remove(Watch& watch) {
  const std::lock_guard lock(mutex_);
  watches_.erase(&watch);
}

void WatchMetricsRpc::End() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (Watch* watch : watches_) watch->Finish(Draining());
}

void WatchMetricsRpc::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (watches_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Clock::time_point now = Clock::now();
    const std::vector<Watch*> due = TakeDue(now);
    if (due.empty()) {
      changed_.wait_until(lock, NextDue());
      continue;
    }
    lock.unlock();
    Report(due);
    lock.lock();
  }
}

std::vector<WatchMetricsRpc::Watch*> WatchMetricsRpc::TakeDue(Clock::time_point now) {
  std::vector<Watch*> due;
  for (Watch* watch : watches_) {
    if (watch->due() > now) continue;
    watch->SetNextDue(now);
    watch->Hold();
    due.push_back(watch);
  }
  return due;
}

WatchMetricsRpc::Clock::time_point WatchMetricsRpc::NextDue() const {
  Clock::time_point next = Clock::time_point::max();
  for (const Watch* watch : watches_) next = std::min(next, watch->due());
  return next;
}

void WatchMetricsRpc::Report(const std::vector<Watch*>& watches) {
  std::map<std::string, std::vector<Watch*>> by_request;
  for (Watch* watch : watches) by_request[watch->key()].push_back(watch);
  for (const auto& [key, alike] : by_request) {
    v1::MetricsResponse metrics;
    const std::optional<pool::Error> trouble =
        reports_.FillMetrics(alike.front()->request(), metrics);
    const grpc::Slice report = trouble ? grpc::Slice() : EncodeEvent(metrics);
    for (Watch* watch : alike) {
      if (trouble) {
        watch->Finish(ToGrpcStatus(*trouble));
      } else {
        watch->Tell(report);
      }
      watch->Release();
    }
  }
}

}  // namespace dbsidecar::server
