#include "tests/support/webhook_receiver.h"

#include <httplib.h>

#include <mutex>
#include <stdexcept>
#include <thread>

namespace dbsidecar::test_support {

struct WebhookReceiver::Server {
  std::unique_ptr<httplib::Server> http;
  int port = 0;
  int failures = 0;
  mutable std::mutex mutex;  // Guards the posts.
  std::vector<Post> posts;
  std::thread thread;
};

WebhookReceiver::WebhookReceiver(int failures, const std::string& certificate_file)
    : server_(std::make_unique<Server>()) {
  Server& server = *server_;
  if (certificate_file.empty()) {
    server.http = std::make_unique<httplib::Server>();
  } else {
    server.http =
        std::make_unique<httplib::SSLServer>(certificate_file.c_str(), certificate_file.c_str());
  }
  server.failures = failures;
  server.http->Post(".*", [&server](const httplib::Request& request, httplib::Response& response) {
    const std::lock_guard lock(server.mutex);
    response.status = static_cast<int>(server.posts.size()) < server.failures ? 503 : 200;
    server.posts.push_back({.target = request.target,
                            .authorization = request.get_header_value("Authorization"),
                            .content_type = request.get_header_value("Content-Type"),
                            .body = request.body,
                            .answered = response.status});
  });
  server.port = server.http->bind_to_any_port("127.0.0.1");
  if (server.port < 0) throw std::runtime_error("no port for a receiver of webhooks");
  server.thread = std::thread([&server] { server.http->listen_after_bind(); });
}

WebhookReceiver::~WebhookReceiver() {
  server_->http->stop();
  server_->thread.join();
}

int WebhookReceiver::port() const { return server_->port; }

std::vector<WebhookReceiver::Post> WebhookReceiver::posts() const {
  const std::lock_guard lock(server_->mutex);
  return server_->posts;
}

}  // namespace dbsidecar::test_support
