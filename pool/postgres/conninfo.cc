#include "pool/postgres/conninfo.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <map>
#include <memory>

namespace dbsidecar::pool {
namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

Options Parse(const std::string& url, std::string* complaint) {
  char* message = nullptr;
  Options options(PQconninfoParse(url.c_str(), &message), &PQconninfoFree);
  if (message != nullptr) {
    *complaint = message;
    PQfreemem(message);
  }
  return options;
}

std::string Quote(const std::string& value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

int64_t WholeSeconds(Duration duration) {
  return std::chrono::ceil<std::chrono::seconds>(duration).count();
}

}  // namespace

std::string ValidateConninfo(const std::string& url) {
  std::string complaint;
  Parse(url, &complaint);
  while (!complaint.empty() && complaint.back() == '\n') complaint.pop_back();
  return complaint;
}

Duration StatementTimeoutOf(const PostgresConfig& config) {
  std::string complaint;
  const Options options = Parse(config.url, &complaint);
  for (const PQconninfoOption* option = options.get(); option && option->keyword; ++option) {
    const bool sets =
        std::string_view(option->keyword) == "options" && option->val != nullptr &&
        std::string_view(option->val).find("statement_timeout") != std::string_view::npos;
    if (sets) return Duration::zero();
  }
  return config.statement_timeout;
}

std::string BuildConninfo(const PostgresConfig& config) {
  std::string complaint;
  const Options options = Parse(config.url, &complaint);
  std::map<std::string, std::string> settings;
  for (const PQconninfoOption* option = options.get(); option && option->keyword; ++option) {
    if (option->val != nullptr) settings[option->keyword] = option->val;
  }
  settings.emplace("fallback_application_name", "dbsidecar");
  if (config.connect_timeout != Duration::zero()) {
    // libpq reads 1 as 2.
    settings.emplace("connect_timeout",
                     fmt::format("{}", std::max<int64_t>(2, WholeSeconds(config.connect_timeout))));
  }
  if (config.keepalive_after == Duration::zero()) {
    settings.emplace("keepalives", "0");
  } else {
    settings.emplace("keepalives_idle", fmt::format("{}", WholeSeconds(config.keepalive_after)));
    settings.emplace("keepalives_interval", "5");
    settings.emplace("keepalives_count", "3");
    // A peer that acknowledges nothing is gone: bounds cancels too, whose connect has no other
    // limit.
    settings.emplace("tcp_user_timeout", "10000");
  }
  // As start-up options they are the session's defaults, which DISCARD ALL returns to.
  if (const Duration timeout = StatementTimeoutOf(config); timeout != Duration::zero()) {
    const auto millis = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    settings["options"] += fmt::format(" -c statement_timeout={}", millis);
  }
  settings["client_encoding"] = "UTF8";
  std::string conninfo;
  for (const auto& [keyword, value] : settings) {
    if (!value.empty()) conninfo += fmt::format("{}={} ", keyword, Quote(value));
  }
  return conninfo;
}

}  // namespace dbsidecar::pool
