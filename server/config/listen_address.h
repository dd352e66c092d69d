// Addresses to listen on: `127.0.0.1:50051`, `localhost:50051`, `[::1]:50051`, `unix:/run/x.sock`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dbsidecar::server {

struct ListenAddress {
  std::string host = {};   // Without brackets; empty for a Unix socket.
  std::uint16_t port = 0;  // 0 = any free port.
  std::string path = {};   // Of the Unix socket, absolute; empty for TCP.

  bool IsUnix() const { return !path.empty(); }
  // Only this host reaches it: a Unix socket, `localhost`, 127.0.0.0/8 or ::1.
  bool IsLocal() const;
  // The canonical form, which is also what gRPC takes.
  std::string ToString() const;
  bool operator==(const ListenAddress&) const = default;
};

// The error says what is wrong and what to write instead.
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text);

}  // namespace dbsidecar::server
