// Where the answer to a call goes: a blocked thread, a future or a callback.
#pragma once

#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "dbsidecar/client.h"

namespace dbsidecar::internal {

// A thread that waits for one answer. On its stack.
class Waiter {
 public:
  void Deliver(Outcome outcome) {
    const std::lock_guard lock(mutex_);
    outcome_ = std::move(outcome);
    // Under the lock: without it, the waiter may be gone before it is notified.
    answered_.notify_one();
  }
  // False: not answered by then.
  bool WaitUntil(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return answered_.wait_until(lock, deadline, [&] { return outcome_.has_value(); });
  }
  // REQUIRES: another thread is about to deliver.
  Outcome Take() {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [&] { return outcome_.has_value(); });
    return std::move(*outcome_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<Outcome> outcome_;
};

class Completion {
 public:
  Completion() = default;  // Nobody wants to know.
  explicit Completion(Waiter& waiter) : to_(&waiter) {}
  explicit Completion(std::promise<Result> promise) : to_(std::move(promise)) {}
  explicit Completion(Callback callback) : to_(std::move(callback)) {}

  // REQUIRES: called once, without a lock that a callback could want.
  void Deliver(Outcome outcome) {
    if (auto* waiter = std::get_if<Waiter*>(&to_)) {
      (*waiter)->Deliver(std::move(outcome));
    } else if (auto* promise = std::get_if<std::promise<Result>>(&to_)) {
      Fulfil(*promise, std::move(outcome));
    } else if (auto* callback = std::get_if<Callback>(&to_)) {
      (*callback)(std::move(outcome));
    }
  }

 private:
  static void Fulfil(std::promise<Result>& promise, Outcome outcome) {
    if (outcome.ok()) {
      promise.set_value(std::move(outcome).result());
      return;
    }
    try {
      Throw(outcome.failure());
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }

  std::variant<std::monostate, Waiter*, std::promise<Result>, Callback> to_;
};

}  // namespace dbsidecar::internal
