#include "server/config/webhook_url.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(
      Concat(what, "; write http://host:port/path or https://host/path, or off for no webhook"));
}

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto high = i + 2 < text.size() ? HexDigit(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? HexDigit(text[i + 2]) : std::nullopt;
    if (text[i] == '%' && high && low) {
      decoded.push_back(static_cast<char>(*high * 16 + *low));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

// "user:password" before the host.
void TakeUser(std::string_view& authority, WebhookUrl& url) {
  const std::size_t at = authority.rfind('@');
  if (at == std::string_view::npos) return;
  const std::string_view user = authority.substr(0, at);
  const std::size_t colon = user.find(':');
  url.user = PercentDecode(user.substr(0, colon));
  if (colon != std::string_view::npos) url.password = PercentDecode(user.substr(colon + 1));
  authority.remove_prefix(at + 1);
}

// False when it is none.
bool TakePort(std::string_view& authority, WebhookUrl& url) {
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  if (!has_port) return true;
  const std::string_view digits = authority.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
  authority = authority.substr(0, colon);
  return error == std::errc() && end == digits.data() + digits.size() && url.port > 0;
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

std::string WebhookUrl::Redacted() const {
  const bool usual = port == (tls ? kHttpsPort : kHttpPort);
  const bool bracketed = host.find(':') != std::string::npos;
  return Concat(tls ? "https://" : "http://", bracketed ? Concat("[", host, "]") : host,
                usual ? "" : Concat(":", port), "/***");
}

std::vector<std::string> WebhookUrl::Secrets() const {
  constexpr std::size_t kShortest = 8;  // Anything shorter would be hidden where it means nothing.
  std::vector<std::string> secrets;
  if (!password.empty()) secrets.push_back(password);
  if (target.size() >= kShortest) secrets.push_back(target);
  return secrets;
}

absl::StatusOr<WebhookUrl> ParseWebhookUrl(std::string_view text) {
  WebhookUrl url;
  if (!IsPrintable(text)) return Bad("holds spaces or characters that do not belong into a URL");
  if (ConsumePrefix(text, "https://")) {
    url.tls = true;
  } else if (!ConsumePrefix(text, "http://")) {
    return Bad("is not an http:// or https:// URL");
  }
  url.port = url.tls ? kHttpsPort : kHttpPort;
  const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
  std::string_view authority = text.substr(0, end);
  text = text.substr(end);
  text = text.substr(0, text.find('#'));
  url.target = text.starts_with("/") ? std::string(text) : Concat("/", text);
  TakeUser(authority, url);
  if (!TakePort(authority, url)) return Bad("has a port that is none");
  if (authority.starts_with("[") && authority.ends_with("]")) {
    authority = authority.substr(1, authority.size() - 2);
  }
  if (authority.empty()) return Bad("names no host");
  url.host = authority;
  return url;
}

}  // namespace dbsidecar::server
