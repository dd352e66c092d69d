#include "server/stop_orders.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/log.h"

namespace dbsidecar::server {

StopOrders::StopOrders() {
  sigemptyset(&signals_);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2, SIGHUP, SIGRTMIN}) {
    sigaddset(&signals_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool StopOrders::Wait(Clock::duration limit) {
  const auto give_up = Clock::now() + limit;
  while (true) {
    if (TakeOrder()) return true;
    const auto left = std::max(give_up - Clock::now(), Clock::duration::zero());
    const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec timeout{.tv_sec = static_cast<time_t>(nanos / 1'000'000'000),
                           .tv_nsec = static_cast<long>(nanos % 1'000'000'000)};
    const int signal = sigtimedwait(&signals_, nullptr, &timeout);
    if (signal > 0) {
      if (OnSignal(signal)) return true;
    } else if (Clock::now() >= give_up) {
      return false;
    }
  }
}

bool StopOrders::OnSignal(int signal) {
  if (signal == SIGRTMIN) return false;  // To look for an order.
  if (signal == SIGHUP) {
    if (reload_) reload_();
    return false;
  }
  Log(LogLevel::kInfo, "server.signal", {{"signal", strsignal(signal)}});
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  return true;
}

bool StopOrders::TakeOrder() {
  const std::lock_guard lock(mutex_);
  return std::exchange(ordered_, false);
}

void StopOrders::OrderDrain(const Drain& drain) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    ordered_ = true;
    drain_ = drain;
  }
  Wake();
}

void StopOrders::OrderQuit() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ordered_ = true;
    quits_ = true;
  }
  Wake();
}

StopOrders::Drain StopOrders::drain() const {
  const std::lock_guard lock(mutex_);
  return drain_;
}

bool StopOrders::quits() const {
  const std::lock_guard lock(mutex_);
  return quits_;
}

// Every thread blocks it, so that the one which waits for it gets it.
void StopOrders::Wake() { kill(getpid(), SIGRTMIN); }

}  // namespace dbsidecar::server
