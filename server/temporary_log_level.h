// A log level that holds for a while.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "server/log.h"

namespace dbsidecar::server {

// Threads: any.
class TemporaryLogLevel {
 public:
  // `usual` says what to return to.
  explicit TemporaryLogLevel(std::function<LogLevel()> usual);
  ~TemporaryLogLevel();

  void Set(LogLevel level, std::chrono::nanoseconds duration);
  // Somebody else has set the level: leave it.
  void Forget();

 private:
  void Run();

  const std::function<LogLevel()> usual_;
  std::mutex mutex_;  // Guards all below.
  std::condition_variable changed_;
  bool stopped_ = false;
  std::optional<std::chrono::steady_clock::time_point> until_;
  std::thread thread_;  // From the first Set on.
};

}  // namespace dbsidecar::server
