// Posts JSON to one URL, over HTTP or HTTPS.
#pragma once

#include <memory>
#include <string>

#include "server/config/webhook_url.h"

namespace dbsidecar::server {

struct PostResult {
  int status = 0;          // 0 = no answer came.
  std::string error = {};  // Why none; nothing of the URL is in it.
};

class HttpPoster {
 public:
  virtual ~HttpPoster() = default;

  // Blocks: for some seconds at most, unless the name of the host takes longer to resolve. What the
  // answer says is not read.
  virtual PostResult Post(const std::string& body) = 0;
  // Any thread: ends a post that is under way.
  virtual void Stop() = 0;
};

std::unique_ptr<HttpPoster> NewHttpPoster(const WebhookUrl& url);

}  // namespace dbsidecar::server
