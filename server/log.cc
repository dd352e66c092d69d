#include "server/log.h"

#include <fmt/core.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
// Clang before 17 cannot do without.
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  std::abort();
}

class Secrets {
 public:
  void Add(std::string_view secret) {
    const std::unique_lock lock(mutex_);
    const std::pair<std::string, std::string> replacement(secret, "***");
    if (std::ranges::find(replacements_, replacement) == replacements_.end()) {
      replacements_.push_back(replacement);
    }
  }

  std::string Redact(std::string_view text) const {
    const std::shared_lock lock(mutex_);
    return ReplaceAll(text, replacements_);
  }

 private:
  mutable std::shared_mutex mutex_;
  Replacements replacements_;
};

// A logger is replaced as a whole, so that a line is never half in one format.
struct Output {
  spdlog::logger logger;
  LogFormat format;
};

std::shared_ptr<Output> MakeOutput(LogFormat format, spdlog::sink_ptr sink) {
  sink->set_pattern("%v");
  auto output =
      std::make_shared<Output>(Output{spdlog::logger("dbsidecar", std::move(sink)), format});
  output->logger.set_level(spdlog::level::trace);
  output->logger.flush_on(spdlog::level::trace);
  return output;
}

spdlog::sink_ptr StandardError() { return std::make_shared<spdlog::sinks::stderr_sink_mt>(); }

// Never destroyed: threads may log until the process is gone.
struct State {
  Secrets secrets;
  std::atomic<LogLevel> level = LogLevel::kInfo;
  std::atomic<std::shared_ptr<Output>> output = MakeOutput(LogFormat::kText, StandardError());
};

State& GlobalState() {
  static State& state = *new State;
  return state;
}

std::string Quoted(std::string_view text) {
  std::string quoted =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // DEL and the C1 controls are legal in JSON, but they steer terminals.
  std::string safe;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    const auto byte = static_cast<unsigned char>(quoted[i]);
    const auto next = i + 1 < quoted.size() ? static_cast<unsigned char>(quoted[i + 1]) : 0;
    if (byte == 0x7f) {
      safe += "\\u007f";
    } else if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) {
      safe += fmt::format("\\u00{:02x}", next);
      ++i;
    } else {
      safe.push_back(quoted[i]);
    }
  }
  return safe;
}

bool IsPlainWord(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != '=' && c != '\\';
  });
}

std::string FormatText(LogFormat format, std::string_view text) {
  const std::string redacted = GlobalState().secrets.Redact(text);
  return format == LogFormat::kText && IsPlainWord(redacted) ? redacted : Quoted(redacted);
}

std::string FormatFieldValue(LogFormat format, const LogField::Value& value) {
  return std::visit(Overloaded{[&](std::string_view text) { return FormatText(format, text); },
                               [](bool truth) { return std::string(truth ? "true" : "false"); },
                               // JSON knows neither infinity nor NaN.
                               [](double number) {
                                 return std::isfinite(number) ? nlohmann::json(number).dump()
                                                              : "null";
                               },
                               [](auto number) { return Concat(number); }},
                    value);
}

std::string FormatTimestamp(std::chrono::system_clock::time_point time) {
  const auto since_epoch = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const std::time_t whole = seconds.count();
  std::tm utc{};
  gmtime_r(&whole, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     (since_epoch - seconds).count());
}

}  // namespace

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  std::abort();
}

void InitLog(LogLevel level, LogFormat format) { InitLog(level, format, StandardError()); }

void InitLog(LogLevel level, LogFormat format, std::shared_ptr<spdlog::sinks::sink> sink) {
  GlobalState().output.store(MakeOutput(format, std::move(sink)));
  SetLogLevel(level);
}

void SetLogLevel(LogLevel level) { GlobalState().level.store(level); }

LogLevel CurrentLogLevel() { return GlobalState().level.load(); }

bool LogEnabled(LogLevel level) { return level >= GlobalState().level.load(); }

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Log(level, event, std::span(fields.begin(), fields.size()));
}

void Log(LogLevel level, std::string_view event, std::span<const LogField> fields) {
  if (!LogEnabled(level)) return;
  const std::shared_ptr<Output> output = GlobalState().output.load();
  const std::string line =
      FormatLogLine(output->format, std::chrono::system_clock::now(), level, event, fields);
  output->logger.log(SpdlogLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

void FlushLog() { GlobalState().output.load()->logger.flush(); }

void RegisterSecret(std::string_view secret) { GlobalState().secrets.Add(secret); }

std::string FormatLogLine(LogFormat format, std::chrono::system_clock::time_point time,
                          LogLevel level, std::string_view event,
                          std::span<const LogField> fields) {
  const std::string timestamp = FormatTimestamp(time);
  std::string line;
  if (format == LogFormat::kText) {
    line = Concat(timestamp, " ", LogLevelName(level), " ", event);
    for (const LogField& field : fields) {
      line += Concat(" ", field.key, "=", FormatFieldValue(format, field.value));
    }
    return line;
  }
  line = Concat("{\"ts\":\"", timestamp, "\",\"level\":\"", LogLevelName(level),
                "\",\"event\":", Quoted(event));
  for (const LogField& field : fields) {
    line += Concat(",", Quoted(field.key), ":", FormatFieldValue(format, field.value));
  }
  return Concat(line, "}");
}

}  // namespace dbsidecar::server
