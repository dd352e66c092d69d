// Posts the alerts to a webhook, on a thread of its own: whoever tells it of them never waits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/alerts.h"
#include "server/config/webhook_url.h"

namespace dbsidecar::server {

class Webhook {
 public:
  // `instance`: as AlertNotices has it.
  Webhook(const WebhookUrl& url, const std::string& instance);
  // What was not posted yet is not posted any more.
  ~Webhook();
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  // Any thread.
  void Tell(const std::vector<AlertState>& changes);

 private:
  struct Work;

  // Shared with the thread, which may outlive this while a name takes long to resolve.
  std::shared_ptr<Work> work_;
};

}  // namespace dbsidecar::server
