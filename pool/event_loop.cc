#include "pool/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "pool/check.h"

namespace dbsidecar::pool {
namespace {

// So that a turn that another thread takes seldom sets a timer for which this one has to be woken.
constexpr Duration kSleepMax = std::chrono::seconds(1);

}  // namespace

EventLoop::EventLoop()
    : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  DBSIDECAR_CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0);
  epoll_event event{.events = EPOLLIN, .data = {.fd = wake_fd_}};
  DBSIDECAR_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0);
}

EventLoop::~EventLoop() {
  close(wake_fd_);
  close(epoll_fd_);
}

void EventLoop::Post(std::function<void()> task) {
  bool was_asleep;
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    was_asleep = std::exchange(asleep_, false);
  }
  if (was_asleep) Wake();
}

void EventLoop::RunOrPost(std::function<void()> task) {
  std::unique_lock turn(turn_, std::try_to_lock);
  if (!turn.owns_lock()) {
    Post(std::move(task));
    return;
  }
  now_ = Clock::now();
  RunTasks();
  task();
  EndTurn();
  if (NextTick() < wakes_at_) Wake();
}

void EventLoop::Stop() {
  stopping_.store(true);
  Wake();
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

void EventLoop::Run() {
  std::array<epoll_event, 64> events;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count = epoll_wait(epoll_fd_, events.data(), events.size(), FallAsleep());
    Turn(events.data(), count);
  }
  const std::lock_guard turn(turn_);
  while (HasTasks()) {
    RunTasks();
    EndTurn();
  }
}

// For how many milliseconds.
int EventLoop::FallAsleep() {
  const std::lock_guard turn(turn_);
  const std::lock_guard lock(mutex_);
  if (!tasks_.empty()) return 0;
  asleep_ = true;
  const Instant now = Clock::now();
  wakes_at_ = std::min(NextTick(), now + kSleepMax);
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(wakes_at_ - now).count();
  return static_cast<int>(std::max<int64_t>(wait, 0));
}

void EventLoop::Turn(const epoll_event* events, int count) {
  const std::lock_guard turn(turn_);
  {
    const std::lock_guard lock(mutex_);
    asleep_ = false;
  }
  now_ = Clock::now();
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (fd == wake_fd_) {
      uint64_t ignored;
      [[maybe_unused]] const ssize_t size = read(wake_fd_, &ignored, sizeof(ignored));
      continue;
    }
    // It may have been unwatched meanwhile.
    const auto it = watched_.find(fd);
    if (it == watched_.end()) continue;
    const uint32_t ready = events[i].events;
    it->second.handler->OnReady((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0,
                                (ready & EPOLLOUT) != 0);
  }
  now_ = Clock::now();
  RunTasks();
  RunTimers();
  EndTurn();
}

void EventLoop::RunTasks() {
  {
    std::lock_guard lock(mutex_);
    running_.swap(tasks_);
  }
  for (std::function<void()>& task : running_) task();
  running_.clear();
}

bool EventLoop::HasTasks() {
  std::lock_guard lock(mutex_);
  return !tasks_.empty();
}

void EventLoop::RunTimers() {
  // By index: a handler may add or remove timers.
  for (size_t i = 0; i < timers_.size(); ++i) {
    if (timers_[i]->NextTick() <= now_) timers_[i]->OnTick(now_);
  }
}

void EventLoop::EndTurn() {
  // By index: a handler may ask for another.
  for (size_t i = 0; i < turn_end_.size(); ++i) {
    if (turn_end_[i] != nullptr) turn_end_[i]->OnTurnEnd();
  }
  turn_end_.clear();
}

void EventLoop::NotAtTurnEnd(const TurnEndHandler& handler) {
  for (TurnEndHandler*& waiting : turn_end_) {
    if (waiting == &handler) waiting = nullptr;
  }
}

Instant EventLoop::NextTick() const {
  Instant next = kNever;
  for (const TimerHandler* timer : timers_) next = std::min(next, timer->NextTick());
  return next;
}

void EventLoop::Watch(int fd, FdHandler* handler) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  DBSIDECAR_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0);
  watched_[fd] = {.handler = handler, .writable = false};
}

void EventLoop::WatchWritable(int fd, const FdHandler* handler, bool writable) {
  const auto it = watched_.find(fd);
  if (it == watched_.end() || it->second.handler != handler) return;
  if (it->second.writable == writable) return;
  it->second.writable = writable;
  const uint32_t write_event = writable ? EPOLLOUT : 0u;
  epoll_event event{.events = EPOLLIN | write_event, .data = {.fd = fd}};
  DBSIDECAR_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::Unwatch(int fd, const FdHandler* handler) {
  if (Erase(fd, handler)) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

// The kernel has dropped it from the set when it was closed.
void EventLoop::Forget(int fd, const FdHandler* handler) { Erase(fd, handler); }

bool EventLoop::Erase(int fd, const FdHandler* handler) {
  const auto it = watched_.find(fd);
  if (it == watched_.end() || it->second.handler != handler) return false;
  watched_.erase(it);
  return true;
}

void EventLoop::AddTimer(TimerHandler* handler) { timers_.push_back(handler); }

void EventLoop::RemoveTimer(TimerHandler* handler) { std::erase(timers_, handler); }

}  // namespace dbsidecar::pool
