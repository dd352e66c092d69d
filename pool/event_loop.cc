#include "pool/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "pool/check.h"

namespace dbsidecar::pool {

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
  bool was_empty;
  {
    std::lock_guard lock(mutex_);
    was_empty = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  // Whoever found the queue empty wakes the loop; it takes the whole queue at once.
  if (was_empty) Wake();
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
  while (!stopping_.load(std::memory_order_relaxed)) {
    Wait(TimeoutMillis());
    now_ = Clock::now();
    RunTasks();
    RunTimers();
    EndTurn();
  }
  while (HasTasks()) {
    RunTasks();
    EndTurn();
  }
}

void EventLoop::Wait(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int count = epoll_wait(epoll_fd_, events.data(), events.size(), timeout_ms);
  now_ = Clock::now();
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (fd == wake_fd_) {
      uint64_t ignored;
      [[maybe_unused]] const ssize_t size = read(wake_fd_, &ignored, sizeof(ignored));
      continue;
    }
    // A handler earlier in this batch may have unwatched it.
    const auto it = watched_.find(fd);
    if (it == watched_.end()) continue;
    const uint32_t ready = events[i].events;
    it->second.handler->OnReady((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0,
                                (ready & EPOLLOUT) != 0);
  }
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

int EventLoop::TimeoutMillis() {
  Instant next = kNever;
  for (const TimerHandler* timer : timers_) next = std::min(next, timer->NextTick());
  if (next == kNever) return -1;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(wait, 0, 60'000));
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
