// As much of an HTTP client as tests need: bytes over a Unix socket.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace dbsidecar::test_support {

struct HttpAnswer {
  int status = 0;      // 0 = none came.
  std::string header;  // With the status line.
  std::string body;
};

// A connection. Throws std::runtime_error when there is nobody.
class HttpConnection {
 public:
  explicit HttpConnection(const std::string& socket_path);
  ~HttpConnection();
  HttpConnection(HttpConnection&& other) noexcept;
  HttpConnection(const HttpConnection&) = delete;

  // False = the other side has closed.
  bool Send(std::string_view bytes) const;
  // The next answer; `has_body` is false for one to HEAD.
  HttpAnswer Read(std::chrono::milliseconds patience, bool has_body = true);
  // What comes before `end`, which is taken as well; "" = it did not come.
  std::string ReadTo(std::string_view end, std::chrono::milliseconds patience);
  // Whether the other side closes within that time.
  bool AwaitClose(std::chrono::milliseconds patience);

 private:
  // False = nothing came.
  bool ReadMore(std::chrono::steady_clock::time_point give_up);

  int fd_ = -1;
  std::string read_;  // And not answered yet.
  bool closed_ = false;
};

// One request on a connection of its own.
HttpAnswer HttpGet(const std::string& socket_path, std::string_view path,
                   std::string_view method = "GET", std::string_view more_headers = "");

}  // namespace dbsidecar::test_support
