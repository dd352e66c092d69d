// The arguments of `dbsidecar admin` and `dbsidecar top`, and their help.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/cli/client_options.h"

namespace dbsidecar::server::cli {

struct AdminOptions {
  ClientOptions client;
  std::string action = {};  // "pause", "resume"...: one of those in the help.
  std::string word = {};    // The id or level after it.
  std::uint64_t id = 0;     // Of cancel and cancel-session.
  std::optional<std::uint32_t> min = {};
  std::optional<std::uint32_t> max = {};
  std::uint32_t count_max = 0;  // Of a list; 0 = the sidecar's own.
  bool dry_run = false;
  bool json = false;
  std::optional<std::chrono::milliseconds> lasts = {};  // The log level; --for.
  std::optional<std::chrono::milliseconds> delay = {};
  std::optional<std::chrono::milliseconds> drain_timeout = {};
  std::optional<std::chrono::milliseconds> terminate_after = {};
  std::optional<std::chrono::milliseconds> age_min = {};
};

// `client` is the sidecar, for its figures; `admin_address` is where its lists and levers are.
struct TopOptions {
  ClientOptions client;
  std::string admin_address = {};
  std::chrono::milliseconds interval = std::chrono::seconds(1);
  bool once = false;
};

// The errors say what is wrong and what to write instead.
absl::StatusOr<AdminOptions> ReadAdminOptions(const std::vector<std::string>& arguments,
                                              const Environment& environment);
absl::StatusOr<TopOptions> ReadTopOptions(const std::vector<std::string>& arguments,
                                          const Environment& environment);

extern const std::string_view kAdminHelp;
extern const std::string_view kTopHelp;

}  // namespace dbsidecar::server::cli
