#include "server/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <iostream>

namespace dbsidecar::server::cli {
namespace {

// With a space between thousands.
std::string Grouped(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ' ';
    text += digits[i];
  }
  return text;
}

}  // namespace

std::string TextOfProgress(uint64_t seconds, uint64_t rows, uint64_t bytes) {
  std::string text = fmt::format("{} s", seconds);
  if (rows > 0) text += fmt::format(", {} rows", Grouped(rows));
  if (bytes > 0) text += fmt::format(", {:.1f} MiB", static_cast<double>(bytes) / (1024 * 1024));
  return text;
}

Progress::Progress(bool prints) {
  if (isatty(STDERR_FILENO) == 1 && !(prints && isatty(STDOUT_FILENO) == 1)) {
    thread_ = std::thread([this] { Run(); });
  }
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  over_changed_.notify_one();
  thread_.join();
}

void Progress::Run() {
  constexpr const char* kClearLine = "\r\x1b[K";
  std::unique_lock lock(mutex_);
  for (uint64_t second = 1;
       !over_changed_.wait_for(lock, std::chrono::seconds(1), [this] { return over_; }); ++second) {
    if (second > 1) {
      std::cerr << kClearLine << TextOfProgress(second, rows_, bytes_) << std::flush;
    }
  }
  std::cerr << kClearLine << std::flush;
}

}  // namespace dbsidecar::server::cli
