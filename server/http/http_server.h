// An HTTP/1.1 server for reports: GET and HEAD, small answers and streams, one thread for all
// connections.
//
// However many connections stand idle, send half a request or do not read, the others are served:
// nothing blocks, every connection has time limits, and of too many the one that has been idle
// longest goes. Streams are few; one that is read too slowly is closed, not buffered.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/config/listen_address.h"

namespace dbsidecar::server {

struct HttpRequest {
  std::string path;    // Without the query; percent-decoding is not done: no path of ours needs it.
  std::string query;   // What follows the "?", as it came.
  std::string accept;  // The header; "" = none.
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::string content_security_policy = {};  // The header; "" = none.
  // The body is only the beginning: what is published follows, until the client leaves or the
  // server ends.
  bool is_stream = false;
};

// Called on the server's thread, which serves nobody else meanwhile: it must be done soon.
using HttpHandler = std::function<HttpResponse(const HttpRequest& request)>;

struct HttpLimits {
  size_t connections_max = 256;
  size_t header_bytes_max = 8 * 1024;
  std::chrono::milliseconds read_timeout{5000};   // From the first byte of a request to its end.
  std::chrono::milliseconds write_timeout{5000};  // For an answer.
  std::chrono::milliseconds idle_timeout{60000};  // Between two requests.
  size_t streams_max = 16;                        // More are refused.
  size_t stream_backlog_max = 8;  // What is published and waits for a reader; more closes it.
};

class HttpServer {
 public:
  // Listens; the error says why that is not possible. Nothing is served before Start.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const ListenAddress& address,
                                                            HttpLimits limits, HttpHandler handler);
  // Ends what is still under way.
  virtual ~HttpServer() = default;

  virtual void Start() = 0;
  // Any thread. Goes to every stream.
  virtual void Publish(std::shared_ptr<const std::string> bytes) = 0;
  // Any thread.
  virtual size_t streams() const = 0;
  // With the port that was free, if any was asked for.
  virtual ListenAddress address() const = 0;
};

}  // namespace dbsidecar::server
