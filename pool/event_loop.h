// EventLoop owns the pool: its thread waits for sockets, posted tasks and the next deadline, and
// runs whatever is due, in turns. While it waits, another thread may take a turn in its place.
//
// Threads: Post, RunOrPost and Stop may be called from any; everything else only within a turn
// (what is called "the loop thread" elsewhere is whoever has the turn), or before Run starts.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/time.h"

struct epoll_event;

namespace dbsidecar::pool {

// Told when its descriptor is ready.
class FdHandler {
 public:
  virtual ~FdHandler() = default;
  virtual void OnReady(bool readable, bool writable) = 0;
};

// Told the time once in every turn of the loop.
class TimerHandler {
 public:
  virtual ~TimerHandler() = default;
  // When OnTick wants to run next; kNever = not at all.
  virtual Instant NextTick() const = 0;
  virtual void OnTick(Instant now) = 0;
};

// Told once at the end of a turn.
class TurnEndHandler {
 public:
  virtual ~TurnEndHandler() = default;
  virtual void OnTurnEnd() = 0;
};

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs `task` on the loop thread, after everything posted before. Tasks left when the loop
  // stops are run before Run returns.
  void Post(std::function<void()> task);
  // The same, but when the loop has nothing to do the task is run before this returns, in a turn on
  // the caller's thread, which spares the loop's thread being woken. Not within a turn.
  void RunOrPost(std::function<void()> task);

  // Returns after Stop.
  void Run();
  void Stop();

  // Descriptors are level-triggered and always watched for reading. Unwatch before closing one, or
  // Forget it where a library has closed it already: its number may be another's by then, so what
  // does not belong to `handler` is left alone.
  void Watch(int fd, FdHandler* handler);
  void WatchWritable(int fd, const FdHandler* handler, bool writable);
  void Unwatch(int fd, const FdHandler* handler);
  void Forget(int fd, const FdHandler* handler);

  void AddTimer(TimerHandler* handler);
  void RemoveTimer(TimerHandler* handler);

  // Calls the handler once, when this turn's sockets, tasks and timers have been seen to, so that
  // what they lead to can go out together.
  void AtTurnEnd(TurnEndHandler& handler) { turn_end_.push_back(&handler); }
  void NotAtTurnEnd(const TurnEndHandler& handler);

  // The time at the start of this turn: one reading of the clock serves all that happens in it.
  Instant now() const { return now_; }
  // Reads the clock anew, for measuring what happens within a turn.
  static Instant ReadClock() { return Clock::now(); }

 private:
  struct Watched {
    FdHandler* handler;
    bool writable;
  };

  bool Erase(int fd, const FdHandler* handler);
  void RunTasks();
  bool HasTasks();
  void RunTimers();
  void EndTurn();
  int FallAsleep();
  Instant NextTick() const;
  void Turn(const epoll_event* events, int count);
  void Wake();

  const int epoll_fd_;
  const int wake_fd_;
  std::atomic<bool> stopping_{false};
  Instant now_ = Clock::now();
  absl::flat_hash_map<int, Watched> watched_;
  std::vector<TimerHandler*> timers_;
  std::vector<TurnEndHandler*> turn_end_;  // Null = wants it no more.

  std::mutex turn_;                             // Held during a turn: guards everything above.
  std::vector<std::function<void()>> running_;  // Swapped with tasks_, to keep its memory.
  Instant wakes_at_{};                          // By itself.

  std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<std::function<void()>> tasks_;
  bool asleep_ = false;  // The loop's thread waits, and has not been woken.
};

}  // namespace dbsidecar::pool
