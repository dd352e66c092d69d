#include "server/cli/health_text.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <string_view>

#include "server/cli/display_text.h"
#include "server/cli/result_table.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using google::protobuf::util::TimeUtil;

std::string Line(std::string_view label, std::string_view text) {
  return fmt::format("{:<10}{}\n", label, Displayable(text));
}

std::string Check(const v1::DatabaseCheck& check) {
  std::string text = Concat(check.pool(), ": ",
                            ShortName(v1::DatabaseStatus_Name(check.status()), "DATABASE_STATUS_"),
                            " (", check.driver());
  if (!check.server_version().empty()) text += Concat(" ", check.server_version());
  if (!check.role().empty()) text += Concat(", ", check.role());
  text += ")";
  if (check.has_last_check_time()) {
    text += Concat(", checked ", TimeUtil::ToString(check.last_check_time()));
    if (check.has_check_latency()) {
      const std::chrono::nanoseconds latency(
          TimeUtil::DurationToNanoseconds(check.check_latency()));
      text += Concat(" in ", TextOfElapsed(latency));
    }
  }
  return text;
}

std::string LastError(const v1::DatabaseCheck& check) {
  const std::string when = check.has_last_error_time()
                               ? Concat(" at ", TimeUtil::ToString(check.last_error_time()))
                               : "";
  return Concat(check.pool(), when, ": ", check.last_error());
}

std::string AlertText(const v1::Alert& alert) {
  const std::string pool = alert.pool().empty() ? "" : Concat(" (pool ", alert.pool(), ")");
  return Concat(ShortName(v1::Severity_Name(alert.severity()), "SEVERITY_"), " ", alert.name(),
                pool, ": ", alert.summary());
}

// What was seen, what to do, and how.
std::string AdviceText(const v1::Recommendation& advice) {
  const std::string pool = advice.pool().empty() ? "" : Concat(" (pool ", advice.pool(), ")");
  std::string text =
      Line("advice", Concat(ShortName(v1::Severity_Name(advice.severity()), "SEVERITY_"), " ",
                            advice.id(), pool, ": ", advice.evidence()));
  text += Line("", Concat("-> ", advice.remedy()));
  if (!advice.option().empty()) {
    const std::string value =
        advice.suggested_value().empty() ? "" : Concat("=", advice.suggested_value());
    text += Line("", Concat("   --", advice.option(), value, "; see ", advice.docs_url()));
  }
  return text;
}

std::string PerformanceText(const v1::PerformanceIndicators& performance) {
  const auto millis = [](const google::protobuf::Duration& duration) {
    return static_cast<double>(TimeUtil::DurationToMicroseconds(duration)) / 1000;
  };
  return fmt::format(
      "{}: {:.1f} statements/s, {:.0f} % in use, {:.1f} connections needed; p99 {:.2f} "
      "ms, of which waiting {:.2f} ms",
      performance.pool(), performance.statements_per_second(), performance.utilization_percent(),
      performance.connections_needed(), millis(performance.total_time().p99()),
      millis(performance.queue_wait().p99()));
}

std::string MemoryText(const v1::MemoryHealth& memory) {
  constexpr double kMebibyte = 1024 * 1024;
  return fmt::format("{:.0f} MiB resident of {:.0f} MiB",
                     static_cast<double>(memory.resident_bytes()) / kMebibyte,
                     static_cast<double>(memory.limit_bytes()) / kMebibyte);
}

}  // namespace

std::string ShortName(std::string_view name, std::string_view prefix) {
  ConsumePrefix(name, prefix);
  return name.empty() || name == "UNSPECIFIED" ? "unknown" : std::string(name);
}

std::string TextOfUptime(const google::protobuf::Duration& uptime) {
  const std::int64_t seconds = uptime.seconds();
  std::string text;
  if (seconds >= 86400) text += fmt::format("{}d ", seconds / 86400);
  if (seconds >= 3600) text += fmt::format("{}h ", seconds / 3600 % 24);
  if (seconds >= 60) text += fmt::format("{}min ", seconds / 60 % 60);
  return text + fmt::format("{}s", seconds % 60);
}

std::string TextOfHealth(const v1::HealthResponse& health) {
  std::string out =
      Line("status", ShortName(v1::HealthStatus_Name(health.status()), "HEALTH_STATUS_"));
  for (const std::string& cause : health.causes()) out += Line("cause", cause);
  out += Line("ready", health.ready() ? "yes" : "no");
  out += Line("phase", ShortName(v1::LifecyclePhase_Name(health.phase()), "LIFECYCLE_PHASE_"));
  out += Line("version", health.version());
  out += Line("uptime", TextOfUptime(health.uptime()));
  for (const v1::DatabaseCheck& check : health.databases()) {
    out += Line("database", Check(check));
    if (!check.last_error().empty()) out += Line("error", LastError(check));
  }
  for (const v1::Alert& alert : health.alerts()) out += Line("alert", AlertText(alert));
  for (const v1::PerformanceIndicators& performance : health.detailed().performance()) {
    out += Line("minute", PerformanceText(performance));
  }
  if (health.has_detailed()) out += Line("memory", MemoryText(health.detailed().memory()));
  for (const v1::Recommendation& advice : health.database().recommendations()) {
    out += AdviceText(advice);
  }
  return out;
}

}  // namespace dbsidecar::server::cli
