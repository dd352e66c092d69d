#include "pool/postgres/call_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace dbsidecar::pool {
namespace {

// PostgreSQL's time limits are whole milliseconds, and 0 means none.
std::string Milliseconds(Duration duration) {
  const int64_t millis = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return fmt::format("{}ms", std::min<int64_t>(millis, std::numeric_limits<int32_t>::max()));
}

// The lower of the parameter and what holds already, unless that is 0 = no limit.
std::string LowerOf(std::string_view name, size_t parameter) {
  return fmt::format(
      "CASE WHEN pg_catalog.current_setting('{0}')::pg_catalog.interval > '0' AND"
      " pg_catalog.current_setting('{0}')::pg_catalog.interval <"
      " ${1}::pg_catalog.text::pg_catalog.interval"
      " THEN pg_catalog.current_setting('{0}') ELSE ${1}::pg_catalog.text END",
      name, parameter);
}

class CommandBuilder {
 public:
  explicit CommandBuilder(SettingsReach reach) : reach_(reach) {}

  void Set(std::string_view name, std::string_view value) {
    if (!value.empty()) Add(name, fmt::format("${}", Push(std::string(value))));
  }
  void Set(std::string_view name, Duration limit) {
    if (limit > Duration::zero()) Add(name, fmt::format("${}", Push(Milliseconds(limit))));
  }
  void Lower(std::string_view name, Duration limit) {
    if (limit > Duration::zero()) Add(name, LowerOf(name, Push(Milliseconds(limit))));
  }
  SettingsCommand Take() { return std::move(command_); }

 private:
  size_t Push(std::string value) {
    command_.values.push_back(std::move(value));
    return command_.values.size();
  }
  void Add(std::string_view name, const std::string& value) {
    command_.sql +=
        fmt::format("{} pg_catalog.set_config('{}', {}, {})", command_.sql.empty() ? "SELECT" : ",",
                    name, value, reach_ == SettingsReach::kTransaction);
  }

  const SettingsReach reach_;
  SettingsCommand command_;
};

}  // namespace

SettingsCommand CommandFor(const CallSettings& settings, SettingsReach reach) {
  CommandBuilder builder(reach);
  builder.Lower("statement_timeout", settings.statement_timeout);
  builder.Set("lock_timeout", settings.lock_timeout);
  builder.Set("TimeZone", settings.time_zone);
  builder.Set("application_name", settings.application_name);
  builder.Set("search_path", settings.search_path);
  builder.Set("role", settings.role);
  return builder.Take();
}

std::optional<TimeoutLift> TimeoutLiftFor(const Call& call, Duration configured) {
  const bool copies = call.statement.form == StatementForm::kCopyIn ||
                      call.statement.form == StatementForm::kCopyOut;
  const bool streams = call.statement.form == StatementForm::kSingle && call.sink != nullptr;
  const Duration own = call.statement.settings.statement_timeout;
  if (configured == Duration::zero() || !(copies || streams)) return std::nullopt;
  if (own != Duration::zero() && own <= configured) return std::nullopt;
  return TimeoutLift{.configured = configured, .instead = own};
}

SettingsCommand LiftCommand(const TimeoutLift& lift, SettingsReach reach) {
  const bool local = reach == SettingsReach::kTransaction;
  // A setting with a dot in its name is anybody's to make.
  return {.sql = fmt::format(
              "SELECT pg_catalog.set_config('dbsidecar.statement_timeout',"
              " pg_catalog.current_setting('statement_timeout'), {0}),"
              " pg_catalog.set_config('statement_timeout',"
              " CASE WHEN pg_catalog.current_setting('statement_timeout')::pg_catalog.interval ="
              " $1::pg_catalog.text::pg_catalog.interval THEN $2::pg_catalog.text"
              " ELSE pg_catalog.current_setting('statement_timeout') END, {0})",
              local),
          .values = {Milliseconds(lift.configured), Milliseconds(lift.instead)}};
}

SettingsCommand UnliftCommand() {
  return {.sql =
              "SELECT pg_catalog.set_config('statement_timeout',"
              " pg_catalog.current_setting('dbsidecar.statement_timeout'), true)",
          .values = {}};
}

std::string MeaningKey(const CallSettings& settings) {
  if (settings.role.empty() && settings.search_path.empty() && settings.time_zone.empty()) {
    return "";
  }
  std::string key;
  for (const std::string_view part : {settings.role, settings.search_path, settings.time_zone}) {
    key.append(part);
    key += '\0';
  }
  return key;
}

}  // namespace dbsidecar::pool
