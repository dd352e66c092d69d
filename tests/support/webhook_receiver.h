// What receives webhooks: keeps what is posted, and answers as it is told.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace dbsidecar::test_support {

class WebhookReceiver {
 public:
  // Answers the first `failures` posts with status 503, and the others with 200. Over TLS, if there
  // is a certificate: a file in PEM format that holds its key as well.
  explicit WebhookReceiver(int failures, const std::string& certificate_file = "");
  ~WebhookReceiver();
  WebhookReceiver(const WebhookReceiver&) = delete;
  WebhookReceiver& operator=(const WebhookReceiver&) = delete;

  struct Post {
    std::string target;
    std::string authorization;
    std::string content_type;
    std::string body;
    int answered = 0;  // With this status.
  };

  int port() const;
  // So far.
  std::vector<Post> posts() const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace dbsidecar::test_support
