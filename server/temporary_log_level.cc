#include "server/temporary_log_level.h"

#include <utility>

namespace dbsidecar::server {

TemporaryLogLevel::TemporaryLogLevel(std::function<LogLevel()> usual) : usual_(std::move(usual)) {}

TemporaryLogLevel::~TemporaryLogLevel() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void TemporaryLogLevel::Set(LogLevel level, std::chrono::nanoseconds duration) {
  const std::lock_guard lock(mutex_);
  SetLogLevel(level);
  until_ = std::chrono::steady_clock::now() + duration;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_all();
}

void TemporaryLogLevel::Forget() {
  const std::lock_guard lock(mutex_);
  until_.reset();
  changed_.notify_all();
}

void TemporaryLogLevel::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (!until_) {
      changed_.wait(lock);
    } else if (std::chrono::steady_clock::now() < *until_) {
      const auto until = *until_;
      changed_.wait_until(lock, until);
    } else {
      until_.reset();
      SetLogLevel(usual_());
    }
  }
}

}  // namespace dbsidecar::server
