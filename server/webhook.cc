#include "server/webhook.h"

#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "server/alert_notices.h"
#include "server/http/http_poster.h"
#include "server/log.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using PostOutcome = AlertNotices::PostOutcome;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kStopMax{1};
constexpr int kTooManyRequests = 429;

LookTime Now() { return {.steady = steady_clock::now(), .wall = std::chrono::system_clock::now()}; }

// As Alertmanager has it: what the receiver finds wrong with a post it will find wrong again.
PostOutcome Judge(const PostResult& result) {
  if (result.status >= 200 && result.status < 300) return PostOutcome::kTaken;
  const bool refused =
      result.status >= 300 && result.status < 500 && result.status != kTooManyRequests;
  return refused ? PostOutcome::kRefused : PostOutcome::kFailed;
}

std::string ErrorOf(const PostResult& result) {
  return result.status == 0 ? result.error : Concat("it answered with status ", result.status);
}

}  // namespace

struct Webhook::Work {
  Work(const WebhookUrl& url, const std::string& instance)
      : shown_url(url.Redacted()),
        poster(NewHttpPoster(url)),
        notices(instance, std::random_device()()) {}

  void Run();
  void LogOutcome(const PostResult& result, PostOutcome outcome) const;

  const std::string shown_url;
  const std::unique_ptr<HttpPoster> poster;
  std::mutex mutex;  // Guards all below.
  std::condition_variable changed;
  AlertNotices notices;
  bool stopped = false;
  bool done = false;
};

void Webhook::Work::Run() {
  std::unique_lock lock(mutex);
  while (!stopped) {
    const AlertNotices::Time due = notices.due();
    if (due == AlertNotices::kNever) {
      changed.wait(lock);
      continue;
    }
    if (steady_clock::now() < due) {
      changed.wait_until(lock, due);
      continue;
    }
    const std::string body = notices.Compose();
    lock.unlock();
    const PostResult result = poster->Post(body);
    lock.lock();
    if (stopped) break;
    const PostOutcome outcome = Judge(result);
    notices.OnPosted(steady_clock::now(), outcome);
    LogOutcome(result, outcome);
  }
  done = true;
  changed.notify_all();
}

// The back-off bounds how often this is written.
void Webhook::Work::LogOutcome(const PostResult& result, PostOutcome outcome) const {
  switch (outcome) {
    case PostOutcome::kTaken:
      Log(LogLevel::kDebug, "alert.posted", {{"url", shown_url}, {"status", result.status}});
      break;
    case PostOutcome::kFailed:
      Log(LogLevel::kWarn, "alert.post_failed",
          {{"url", shown_url}, {"error", ErrorOf(result)}, {"attempts", notices.failures()}});
      break;
    case PostOutcome::kRefused:
      Log(LogLevel::kWarn, "alert.post_refused",
          {{"url", shown_url},
           {"error", ErrorOf(result)},
           {"remedy", "correct --alert-webhook; this post is not tried again"}});
      break;
  }
}

Webhook::Webhook(const WebhookUrl& url, const std::string& instance)
    : work_(std::make_shared<Work>(url, instance)) {
  std::thread thread([work = work_] { work->Run(); });
  pthread_setname_np(thread.native_handle(), "webhook");
  thread.detach();
}

Webhook::~Webhook() {
  std::unique_lock lock(work_->mutex);
  work_->stopped = true;
  work_->changed.notify_all();
  lock.unlock();
  work_->poster->Stop();
  lock.lock();
  work_->changed.wait_for(lock, kStopMax, [this] { return work_->done; });
}

void Webhook::Tell(const std::vector<AlertState>& changes) {
  const std::lock_guard lock(work_->mutex);
  work_->notices.Note(Now(), changes);
  work_->changed.notify_all();
}

}  // namespace dbsidecar::server
