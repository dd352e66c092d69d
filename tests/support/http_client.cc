#include "tests/support/http_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace dbsidecar::test_support {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPatience{5000};

}  // namespace

HttpConnection::HttpConnection(const std::string& socket_path)
    : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd_);
    throw std::runtime_error(fmt::format("{}: {}", socket_path, strerror(errno)));
  }
}

HttpConnection::~HttpConnection() {
  if (fd_ >= 0) close(fd_);
}

HttpConnection::HttpConnection(HttpConnection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), read_(std::move(other.read_)), closed_(other.closed_) {}

bool HttpConnection::Send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool HttpConnection::ReadMore(steady_clock::time_point give_up) {
  const auto left = std::chrono::duration_cast<milliseconds>(give_up - steady_clock::now());
  pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
  if (closed_ || poll(&ready, 1, static_cast<int>(std::max<int64_t>(0, left.count()))) <= 0) {
    return false;
  }
  char bytes[65536];
  const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
  closed_ = size <= 0;
  if (!closed_) read_.append(bytes, static_cast<size_t>(size));
  return !closed_;
}

HttpAnswer HttpConnection::Read(milliseconds patience, bool has_body) {
  const auto give_up = steady_clock::now() + patience;
  size_t end = std::string::npos;
  while ((end = read_.find("\r\n\r\n")) == std::string::npos) {
    if (!ReadMore(give_up)) return {};
  }
  HttpAnswer answer;
  answer.header = read_.substr(0, end + 2);
  read_.erase(0, end + 4);
  std::sscanf(answer.header.c_str(), "HTTP/1.%*d %d", &answer.status);
  const size_t at = answer.header.find("Content-Length: ");
  const size_t length =
      at == std::string::npos || !has_body ? 0 : std::stoul(answer.header.substr(at + 16));
  while (read_.size() < length) {
    if (!ReadMore(give_up)) return {};
  }
  answer.body = read_.substr(0, length);
  read_.erase(0, length);
  return answer;
}

std::string HttpConnection::ReadTo(std::string_view end, milliseconds patience) {
  const auto give_up = steady_clock::now() + patience;
  size_t at = std::string::npos;
  while ((at = read_.find(end)) == std::string::npos) {
    if (!ReadMore(give_up)) return "";
  }
  std::string text = read_.substr(0, at);
  read_.erase(0, at + end.size());
  return text;
}

bool HttpConnection::AwaitClose(milliseconds patience) {
  const auto give_up = steady_clock::now() + patience;
  while (ReadMore(give_up)) {
  }
  return closed_;
}

HttpAnswer HttpGet(const std::string& socket_path, std::string_view path, std::string_view method,
                   std::string_view more_headers) {
  HttpConnection connection(socket_path);
  connection.Send(
      fmt::format("{} {} HTTP/1.1\r\nHost: sidecar\r\n{}\r\n", method, path, more_headers));
  return connection.Read(kPatience, method != "HEAD");
}

}  // namespace dbsidecar::test_support
