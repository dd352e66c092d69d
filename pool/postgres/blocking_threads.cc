#include "pool/postgres/blocking_threads.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <utility>

namespace dbsidecar::pool {

BlockingThreads::~BlockingThreads() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return running_ == 0; });
}

void BlockingThreads::Run(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    ++running_;
  }
  std::thread([this, task = std::move(task)]() mutable {
    task();
    task = nullptr;
    // Told under the lock: right after it, the destructor may take everything away.
    std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }).detach();
}

void AwaitPeerClose(int fd, Duration limit) {
  shutdown(fd, SHUT_WR);
  const Instant give_up = Clock::now() + limit;
  char ignored[4096];
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up - Clock::now()).count();
    pollfd poll_fd{.fd = fd, .events = POLLIN, .revents = 0};
    if (left <= 0 || poll(&poll_fd, 1, static_cast<int>(left)) <= 0) break;
    if (recv(fd, ignored, sizeof(ignored), 0) <= 0) break;
  }
  close(fd);
}

}  // namespace dbsidecar::pool
