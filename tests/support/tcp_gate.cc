#include "tests/support/tcp_gate.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <vector>

namespace dbsidecar::test_support {
namespace {

constexpr size_t kReadBytes = 64 * 1024;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// To any port that is free; `*port` gets its number.
int Listen(int* port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, generic, size) != 0 || listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, generic, &size) != 0) {
    throw std::runtime_error("cannot listen on the loopback interface");
  }
  *port = ntohs(address.sin_port);
  return listener;
}

// -1 = refused.
int ConnectTo(int port) {
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EINPROGRESS) {
    return server;
  }
  close(server);
  return -1;
}

bool WouldWait() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

TcpGate::TcpGate(int server_port)
    : server_port_(server_port),
      listener_(Listen(&port_)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread([this] { Run(); });
}

TcpGate::~TcpGate() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
  EndAll();
  close(listener_);
  close(wake_);
}

void TcpGate::Cut() {
  const std::lock_guard lock(mutex_);
  EndAll();
}

void TcpGate::Reset() {
  const std::lock_guard lock(mutex_);
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  for (const Connection& connection : connections_) {
    for (const int socket : {connection.client.socket, connection.server.socket}) {
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
  }
  EndAll();
}

void TcpGate::Freeze() {
  const std::lock_guard lock(mutex_);
  frozen_ = true;
  Wake();
}

void TcpGate::Thaw() {
  const std::lock_guard lock(mutex_);
  frozen_ = false;
  Wake();
}

void TcpGate::Run() {
  while (true) {
    Wait();
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (frozen_) continue;
    Accept();
    std::erase_if(connections_, [](Connection& connection) {
      // The server first, so that its last words are passed on.
      if (Relay(connection.server, connection.client) &&
          Relay(connection.client, connection.server)) {
        return false;
      }
      close(connection.client.socket);
      close(connection.server.socket);
      return true;
    });
  }
}

void TcpGate::Wait() {
  std::vector<pollfd> sockets = {{wake_, POLLIN, 0}};
  {
    const std::lock_guard lock(mutex_);
    if (!frozen_) sockets.push_back({listener_, POLLIN, 0});
    const auto add = [&](const Side& from, const Side& to) {
      const bool full = !from.read.empty();
      sockets.push_back({full ? to.socket : from.socket, full ? short{POLLOUT} : short{POLLIN}, 0});
    };
    for (const Connection& connection : connections_) {
      if (frozen_) break;
      add(connection.client, connection.server);
      add(connection.server, connection.client);
    }
  }
  poll(sockets.data(), sockets.size(), -1);
  eventfd_t ignored;
  eventfd_read(wake_, &ignored);
}

void TcpGate::Accept() {
  while (true) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    if (const int server = ConnectTo(server_port_); server >= 0) {
      connections_.push_back({{client, {}}, {server, {}}});
    } else {
      close(client);
    }
  }
}

bool TcpGate::Relay(Side& from, const Side& to) {
  while (true) {
    if (from.read.empty()) {
      from.read.resize(kReadBytes);
      const ssize_t count = recv(from.socket, from.read.data(), from.read.size(), 0);
      from.read.resize(count > 0 ? static_cast<size_t>(count) : 0);
      if (count == 0) return false;
      if (count < 0) return WouldWait();
    }
    const ssize_t count = send(to.socket, from.read.data(), from.read.size(), MSG_NOSIGNAL);
    if (count < 0) return WouldWait();
    from.read.erase(0, static_cast<size_t>(count));
  }
}

// Wakes the thread: what it waits for stays open until it waits no more.
void TcpGate::EndAll() {
  for (const Connection& connection : connections_) {
    close(connection.client.socket);
    close(connection.server.socket);
  }
  connections_.clear();
  Wake();
}

void TcpGate::Wake() const { eventfd_write(wake_, 1); }

}  // namespace dbsidecar::test_support
