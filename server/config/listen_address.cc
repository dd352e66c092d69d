#include "server/config/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

constexpr std::string_view kForms =
    "write 127.0.0.1:50051, [::1]:50051 or unix:/run/dbsidecar.sock";

absl::Status Bad(std::string_view what, std::string_view remedy = kForms) {
  return absl::InvalidArgumentError(Concat(what, "; ", remedy));
}

absl::StatusOr<ListenAddress> ParseUnixAddress(std::string_view path) {
  // gRPC's other spelling of an absolute path.
  if (path.starts_with("///")) path.remove_prefix(2);
  if (!path.starts_with("/") || path.starts_with("//")) {
    return Bad("does not hold an absolute path",
               "write unix: and a path from the root, such as "
               "unix:/run/dbsidecar.sock");
  }
  constexpr std::size_t kPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kPathMax) {
    return Bad(Concat("has a path of ", path.size(), " bytes, and the system allows ", kPathMax),
               "choose a shorter path");
  }
  if (path.find('\0') != std::string_view::npos) return Bad("holds a NUL byte", kForms);
  if (path.back() == '/') return Bad("names a directory", "add the name of the socket");
  return ListenAddress{.path = std::string(path)};
}

bool IsHostCharacter(char c) {
  return IsLetter(c) || IsDigit(c) || c == '.' || c == '-' || c == '_';
}

bool IsIpv4Shaped(std::string_view host) {
  return std::ranges::all_of(host, [](char c) { return IsDigit(c) || c == '.'; });
}

absl::Status CheckHost(const std::string& host, bool bracketed) {
  if (bracketed) {
    in6_addr ignored;
    if (inet_pton(AF_INET6, host.c_str(), &ignored) != 1) {
      return Bad("has no valid IPv6 address in the brackets");
    }
    return absl::OkStatus();
  }
  if (host.empty()) {
    return Bad("names no host",
               "write 127.0.0.1 before the port for this host alone, or 0.0.0.0 for every network");
  }
  if (host == "*") return Bad("names no host", "write 0.0.0.0 for every network");
  if (host.find(':') != std::string::npos) {
    return Bad("has an IPv6 address without brackets", "write [::1]:50051");
  }
  in_addr ignored;
  if (IsIpv4Shaped(host) && inet_pton(AF_INET, host.c_str(), &ignored) != 1) {
    return Bad("has no valid IPv4 address");
  }
  if (!std::ranges::all_of(host, IsHostCharacter)) return Bad("has no valid host name");
  return absl::OkStatus();
}

}  // namespace

bool ListenAddress::IsLocal() const {
  if (IsUnix() || host == "localhost") return true;
  in_addr ipv4{};
  if (inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return (ntohl(ipv4.s_addr) >> 24) == 127;
  in6_addr ipv6{};
  return inet_pton(AF_INET6, host.c_str(), &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

std::string ListenAddress::ToString() const {
  if (IsUnix()) return Concat("unix:", path);
  if (host.find(':') != std::string::npos) return Concat("[", host, "]:", port);
  return Concat(host, ":", port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text) {
  if (text.empty()) return Bad("is empty");
  if (ConsumePrefix(text, "unix:")) return ParseUnixAddress(text);
  if (text.starts_with("/")) return Bad("is a path", Concat("write unix:", text));
  if (text.find("://") != std::string_view::npos) return Bad("is a URL");

  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.back() == ']') {
    return Bad("names no port", Concat("write ", text, ":50051"));
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.starts_with("[") && host.ends_with("]");
  if (bracketed) host = host.substr(1, host.size() - 2);

  ListenAddress address{.host = std::string(host)};
  if (const absl::Status status = CheckHost(address.host, bracketed); !status.ok()) return status;
  const char* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, address.port);
  if (error != std::errc() || rest != end) {
    return Bad("has no valid port", "write a number from 0 (any free port) to 65535");
  }
  return address;
}

}  // namespace dbsidecar::server
