// The table of every option of `dbsidecar serve`. Parsing, validation, `--help`,
// docs/configuration.md and `config check` all come from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "server/config/config.h"
#include "server/config/values.h"

namespace dbsidecar::server {

enum class OptionGroup { kGeneral, kPool, kQueries, kLifecycle, kAlerts, kLog, kMetrics };

enum class OptionType {
  kString,
  kUrl,
  kWebhook,
  kAddressList,
  kInteger,
  kDuration,
  kBytes,
  kBoolean,
  kChoice
};

// Where in a Config the value lives.
using Field = std::variant<std::string*, DatabaseUrl*, WebhookUrl*, std::vector<ListenAddress>*,
                           int*, std::int64_t*, std::chrono::milliseconds*, bool*, Profile*,
                           LogLevel*, LogFormat*, ReadinessPolicy*, LimitMode*>;

struct Option {
  OptionGroup group;
  std::string_view flag;  // Without dashes; also the option's name in messages.
  std::string_view environment;
  std::string_view yaml_key;  // Empty = not in the file.
  OptionType type;
  Field (*field)(Config& config);

  // Defaults as text, as an operator would write them; empty = none.
  std::string_view production;
  std::string_view development;
  std::string_view test;

  // Limits, inclusive. Integers as they are, durations in milliseconds, sizes in bytes.
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::string_view unit = "";                // Of an integer: what it counts.
  std::string_view zero = "";                // What 0 means, when it is allowed besides min..max.
  std::string_view choices = "";             // Of a choice: the names, as in `json|text`.
  bool environment_is_milliseconds = false;  // A bare number is allowed there.
  bool reload = false;                       // A reload applies a new value.
  bool secret = false;
  bool per_pool = false;  // A named pool may have a value of its own.
  std::string_view help;
};

std::span<const Option> Options();

// REQUIRES: the table has such a flag.
const Option& OptionOf(std::string_view flag);

std::string_view DefaultOf(const Option& option, Profile profile);
std::string_view GroupTitle(OptionGroup group);
std::string_view ProfileName(Profile profile);

// Parses `text`, checks it against the limits and stores it in `config`. `where` decides what a
// bare number means. The error says what is wrong and what to write instead, without the value.
absl::Status Assign(const Option& option, std::string_view text, ValueSource where, Config& config);

// Whether the option has the same value in both, secrets included.
bool SameValue(const Option& option, const Config& a, const Config& b);
void CopyValue(const Option& option, const Config& from, Config& to);

// The value in `config`, in the form that Assign() takes; the URL redacted.
std::string FormatValue(const Option& option, const Config& config);

// "1 to 10000 connections", "json|text"..., for people.
std::string DescribeAccepted(const Option& option);

}  // namespace dbsidecar::server
