// What the receiver of a webhook is to be told of the alerts, and when: in the format of
// Alertmanager's webhooks (version 4), so that what receives those receives these.
//
// Plain state without a clock or I/O. There is no queue that could grow: what is kept is what each
// alert is now and what the receiver was told of it. So a receiver that was away for long gets one
// post with all that holds now, not one for each change.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/alerts.h"

namespace dbsidecar::server {

class AlertNotices {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr Time kNever = Time::max();

  // From a change to its post, so that those that come together go together; and between two posts.
  static constexpr std::chrono::milliseconds kGroupWait{1000};
  static constexpr std::chrono::milliseconds kGroupInterval{5000};
  // Between attempts at one that was not taken: doubled from the first to the last, with jitter.
  static constexpr std::chrono::milliseconds kRetryFirst{1000};
  static constexpr std::chrono::milliseconds kRetryLast{60000};

  enum class PostOutcome {
    kTaken,
    kFailed,   // Worth another attempt.
    kRefused,  // The receiver does not want it, and never will.
  };

  // `instance` tells this sidecar from others.
  AlertNotices(std::string instance, uint64_t seed)
      : instance_(std::move(instance)), random_(seed) {}

  void Note(LookTime now, const std::vector<AlertState>& changes);

  // When the next post is due; kNever = there is nothing to tell.
  Time due() const;
  // The next post. REQUIRES: there is something to tell; OnPosted follows before the next.
  std::string Compose();
  void OnPosted(Time now, PostOutcome outcome);
  // Attempts that failed since one did not.
  uint32_t failures() const { return failures_; }

 private:
  struct Notice {
    AlertState state;
    std::chrono::system_clock::time_point ended{};  // Unless it fires.
    bool changed = false;                           // And the receiver was not told.
    bool being_told = false;
    bool known = false;  // The receiver may know that it fires.
  };

  bool AnythingToTell() const;

  const std::string instance_;
  std::mt19937_64 random_;
  std::map<std::pair<std::string_view, std::string>, Notice> notices_;  // By rule and pool.
  Time not_before_{};
  uint32_t failures_ = 0;
};

}  // namespace dbsidecar::server
