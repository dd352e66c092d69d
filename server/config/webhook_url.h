// URLs that alerts are posted to: http://host:port/path?query, https:// too, with user:password@ if
// the receiver wants it. Of many receivers the path is as good as a password, so it is hidden too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dbsidecar::server {

struct WebhookUrl {
  bool tls = false;
  std::string host = {};  // Without brackets. Empty = there is no webhook.
  std::uint16_t port = 0;
  std::string user = {};      // Percent-decoded, as the next.
  std::string password = {};  // Never log it, nor the next.
  std::string target = {};    // The path with the query, at least "/".

  bool none() const { return host.empty(); }
  // "https://hooks.example:8443/***".
  std::string Redacted() const;
  // For RegisterSecret().
  std::vector<std::string> Secrets() const;

  bool operator==(const WebhookUrl&) const = default;
};

// The error says what is wrong and what to write instead; it holds nothing of the URL.
absl::StatusOr<WebhookUrl> ParseWebhookUrl(std::string_view url);

}  // namespace dbsidecar::server
