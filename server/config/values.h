// How option values are written: durations `500ms 10s 5min 1h`, sizes `4MiB`, booleans, integers.
//
// The errors say what is wrong and what to write instead. Formatting gives the shortest text that
// parses to the same value.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dbsidecar::server {

enum class BareNumber {
  kRefused,       // `10` could mean seconds or milliseconds.
  kMilliseconds,  // Environment variables that other programs define as milliseconds.
};

absl::StatusOr<std::int64_t> ParseInteger(std::string_view text);
absl::StatusOr<bool> ParseBoolean(std::string_view text);
// `0` needs no unit. At most kDurationMax.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text, BareNumber bare);
// A bare number counts bytes; the units are B, KiB, MiB and GiB.
absl::StatusOr<std::int64_t> ParseBytes(std::string_view text);

inline constexpr std::chrono::hours kDurationMax{24 * 365};

std::string FormatDuration(std::chrono::milliseconds duration);
std::string FormatBytes(std::int64_t bytes);

}  // namespace dbsidecar::server
