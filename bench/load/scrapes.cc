// Scrapes /metrics at a steady rate over one connection, and prints how many came and how long they
// took: to see what that costs a sidecar under load (docs/metrics.md).
//
//   scrapes --port=10000 --rate=1000 --seconds=10
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace dbsidecar::bench {
namespace {

using Clock = std::chrono::steady_clock;

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return -1;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// The length of the answer's body; 0 = it did not come as it should.
size_t Scrape(int fd, std::vector<char>& buffer) {
  constexpr std::string_view kRequest = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
  constexpr std::string_view kLength = "Content-Length: ";
  if (write(fd, kRequest.data(), kRequest.size()) != static_cast<ssize_t>(kRequest.size()))
    return 0;
  size_t size = 0;
  size_t whole = 0;
  size_t body = 0;
  while (whole == 0 || size < whole) {
    if (size == buffer.size()) buffer.resize(2 * buffer.size());
    const ssize_t got = read(fd, buffer.data() + size, buffer.size() - size);
    if (got <= 0) return 0;
    size += static_cast<size_t>(got);
    const std::string_view text(buffer.data(), size);
    const size_t end = whole == 0 ? text.find("\r\n\r\n") : std::string_view::npos;
    if (end == std::string_view::npos) continue;
    const size_t length = text.find(kLength);
    if (!text.starts_with("HTTP/1.1 200") || length > end) return 0;
    body = std::strtoul(text.data() + length + kLength.size(), nullptr, 10);
    whole = end + 4 + body;
  }
  return body;
}

int Run(uint16_t port, double rate, double seconds) {
  const int fd = Connect(port);
  if (fd < 0) {
    fmt::print(stderr, "nothing answers at port {}\n", port);
    return 1;
  }
  std::vector<char> buffer(1 << 16);
  std::vector<double> micros;
  size_t bytes = 0;
  const auto start = Clock::now();
  const auto pause =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate));
  for (auto due = start; due - start < std::chrono::duration<double>(seconds); due += pause) {
    std::this_thread::sleep_until(due);
    const auto begun = Clock::now();
    bytes = Scrape(fd, buffer);
    if (bytes == 0) {
      fmt::print(stderr, "an answer is not as it should be\n");
      return 1;
    }
    micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begun).count());
  }
  close(fd);
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  std::sort(micros.begin(), micros.end());
  fmt::print(
      "{{\"scrapes_per_second\": {:.0f}, \"p50_us\": {:.0f}, \"p99_us\": {:.0f}, \"bytes\": {}}}\n",
      static_cast<double>(micros.size()) / took, micros[micros.size() / 2],
      micros[micros.size() * 99 / 100], bytes);
  return 0;
}

int Main(int argc, char** argv) {
  uint16_t port = 10000;
  double rate = 1000;
  double seconds = 10;
  CLI::App app("Scrapes /metrics at a steady rate; prints one line of JSON.");
  app.add_option("--port", port, "Of 127.0.0.1")->capture_default_str();
  app.add_option("--rate", rate, "Scrapes per second")->check(CLI::PositiveNumber);
  app.add_option("--seconds", seconds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return Run(port, rate, seconds);
}

}  // namespace
}  // namespace dbsidecar::bench

int main(int argc, char** argv) {
  try {
    return dbsidecar::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
