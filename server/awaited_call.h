// A call whose submitter waits for it on its own thread.
#pragma once

#include <chrono>
#include <future>
#include <utility>

#include "pool/call.h"

namespace dbsidecar::server {

class AwaitedCall final : public pool::Call {
 public:
  void Answer(pool::Outcome outcome) override { outcome_ = std::move(outcome); }
  void Done() override { done_.set_value(); }

  // REQUIRES: it was submitted. The pool bounds how long that takes.
  pool::Outcome Await() {
    over_.wait();
    return std::move(outcome_);
  }
  // The same, but asks now and then whether the caller has left; then `cancel` is called, once.
  template <typename HasLeft, typename Cancel>
  pool::Outcome Await(HasLeft has_left, Cancel cancel) {
    bool cancelled = false;
    while (over_.wait_for(kPause) != std::future_status::ready) {
      if (cancelled || !has_left()) continue;
      cancelled = true;
      cancel();
    }
    return std::move(outcome_);
  }

 private:
  static constexpr std::chrono::milliseconds kPause{20};

  pool::Outcome outcome_;
  std::promise<void> done_;
  std::future<void> over_ = done_.get_future();
};

}  // namespace dbsidecar::server
