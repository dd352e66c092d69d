// What tells the process to stop: signals, and operators through Admin. The main thread takes them
// one at a time.
#pragma once

#include <signal.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>

namespace dbsidecar::server {

class StopOrders {
 public:
  using Clock = std::chrono::steady_clock;

  // How an operator wants the stop; unset = as configured.
  struct Drain {
    std::optional<Clock::duration> delay;
    std::optional<Clock::duration> timeout;
  };

  // Blocks the signals in this thread and in all that it starts later.
  StopOrders();

  // --- The main thread. ---

  // Called in Wait for each SIGHUP. Until it is set there is nothing to reload.
  void OnHangup(std::function<void()> reload) { reload_ = std::move(reload); }
  // Whether one more order to stop has come, waiting up to `limit` for it.
  bool Wait(Clock::duration limit);

  // --- Any thread. ---

  // Begins the stop, unless it has begun.
  void OrderDrain(const Drain& drain);
  // The same at once, without waiting for anything.
  void OrderQuit();
  Drain drain() const;
  bool quits() const;

 private:
  bool TakeOrder();
  bool OnSignal(int signal);
  static void Wake();

  sigset_t signals_;
  std::function<void()> reload_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  bool stopping_ = false;  // The first order has come.
  bool ordered_ = false;   // By an operator, and not taken yet.
  bool quits_ = false;
  Drain drain_;
};

}  // namespace dbsidecar::server
