// A call whose submitter waits for it on its own thread.
#pragma once

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
    done_.get_future().wait();
    return std::move(outcome_);
  }

 private:
  pool::Outcome outcome_;
  std::promise<void> done_;
};

}  // namespace dbsidecar::server
