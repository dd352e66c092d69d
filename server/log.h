// Structured logging: one event per line, as JSON for machines or as text for people.
//
//   Log(LogLevel::kInfo, "pool.opened", {{"connections", 5}, {"took_ms", 12}});
//
// Thread-safe. Registered secrets never appear in a value. Until InitLog() is called, events from
// info upwards go to standard error as text.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace spdlog::sinks {
class sink;
}

namespace dbsidecar::server {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kJson, kText };

std::string_view LogLevelName(LogLevel level);

// A key and its value. Keys are constants in snake_case with their unit (`took_ms`), unique within
// an event, and not `ts`, `level` or `event`. The strings are borrowed for the call.
struct LogField {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogField(std::string_view field_key, std::string_view text) : key(field_key), value(text) {}
  LogField(std::string_view field_key, const std::string& text)
      : key(field_key), value(std::string_view(text)) {}
  LogField(std::string_view field_key, const char* text)
      : key(field_key), value(std::string_view(text)) {}
  LogField(std::string_view field_key, bool truth) : key(field_key), value(truth) {}
  LogField(std::string_view field_key, std::signed_integral auto number)
      : key(field_key), value(static_cast<std::int64_t>(number)) {}
  LogField(std::string_view field_key,
           std::unsigned_integral auto number) requires(!std::same_as<decltype(number), bool>)
      : key(field_key), value(static_cast<std::uint64_t>(number)) {}
  LogField(std::string_view field_key, std::floating_point auto number)
      : key(field_key), value(static_cast<double>(number)) {}

  std::string_view key;
  Value value;
};

// Events below `level` are dropped. May be called again, to change level or format.
void InitLog(LogLevel level, LogFormat format);  // To standard error.
void InitLog(LogLevel level, LogFormat format, std::shared_ptr<spdlog::sinks::sink> sink);
void SetLogLevel(LogLevel level);
LogLevel CurrentLogLevel();

// For callers whose fields are costly to gather.
bool LogEnabled(LogLevel level);

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
void Log(LogLevel level, std::string_view event, std::span<const LogField> fields);
void FlushLog();

// From now on `secret` is written as `***` wherever it occurs in the text of a value, also in part
// of one. An empty secret is ignored.
void RegisterSecret(std::string_view secret);

// One line without its newline. JSON: {"ts":...,"level":...,"event":...,fields}. Text:
// `2026-01-02T03:04:05.678Z info event key=value`, where a value is quoted as in JSON when it is
// empty or holds a space, a quote, an equals sign or anything that does not print. Bytes that are
// not valid UTF-8 become U+FFFD.
std::string FormatLogLine(LogFormat format, std::chrono::system_clock::time_point time,
                          LogLevel level, std::string_view event, std::span<const LogField> fields);

}  // namespace dbsidecar::server
