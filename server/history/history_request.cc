#include "server/history/history_request.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <vector>

#include "server/config/values.h"
#include "server/history/history_series.h"
#include "server/process_figures.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using google::protobuf::Timestamp;
using google::protobuf::util::TimeUtil;

constexpr int64_t kMinute = 60;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kWeek = HistoryStore::kMinutesKept * kMinute;
constexpr uint32_t kPointsMaxDefault = 1000;
// Whoever asks for the last hour by their own clock means what is stored of it by seconds.
constexpr int64_t kClockDifference = kMinute;

pool::Error Invalid(std::string message) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(message));
}

int64_t Floor(const Timestamp& time) { return time.seconds(); }
int64_t Ceiling(const Timestamp& time) { return time.seconds() + (time.nanos() > 0 ? 1 : 0); }

int64_t DividedUp(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

int64_t RoundedUp(int64_t number, int64_t unit) { return DividedUp(number, unit) * unit; }

// Which points to read.
struct Plan {
  int64_t start = 0;
  int64_t step = 1;
  size_t points = 0;
  bool by_minutes = false;
};

// `start` and `end` are within what is stored.
Plan PlanOf(int64_t start, int64_t end, int64_t step_min, int64_t points_max, int64_t newest_end) {
  Plan plan;
  plan.by_minutes = start < newest_end - HistoryStore::kSecondsKept - kClockDifference;
  const int64_t unit = plan.by_minutes ? kMinute : 1;
  start = start / unit * unit;
  if (end <= start) return {.start = start, .step = unit, .by_minutes = plan.by_minutes};
  plan.step = RoundedUp(std::max(step_min, DividedUp(end - start, points_max)), unit);
  // Whole steps since 1970, so that what is asked for again and again falls into the same points;
  // but for the sake of `points_max`.
  plan.start = start / plan.step * plan.step;
  if (DividedUp(end - plan.start, plan.step) > points_max) plan.start = start;
  plan.points = static_cast<size_t>(DividedUp(end - plan.start, plan.step));
  return plan;
}

// What was stored as a float is told with a float's digits: 0.1, not 0.10000000149011612.
double Told(double stored) {
  if (!std::isfinite(stored)) return stored;
  char digits[32];
  const auto [end, error] =
      std::to_chars(digits, digits + sizeof(digits), static_cast<float>(stored));
  double told = stored;
  if (error == std::errc()) std::from_chars(digits, end, told);
  return told;
}

void FillSeries(const HistoryStore& store, const std::string& group, size_t index,
                const Series& series, const Plan& plan, v1::MetricsHistoryResponse& response) {
  v1::HistorySeries& filled = *response.add_series();
  filled.set_name(std::string(series.name));
  filled.set_pool(group);
  filled.set_unit(std::string(series.unit));
  filled.mutable_start_time()->set_seconds(plan.start);
  filled.mutable_step()->set_seconds(plan.step);
  const HistoryStore::Points points =
      store.Read(group, index, plan.start, plan.step, plan.points, plan.by_minutes);
  for (const double mean : points.means) filled.add_means(Told(mean));
  for (const double largest : points.maxima) filled.add_maxima(Told(largest));
}

bool IsWanted(const google::protobuf::RepeatedPtrField<std::string>& names, std::string_view name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

std::string NamesOf(std::span<const Series> all) {
  std::vector<std::string> names;
  for (const Series& series : all) names.emplace_back(series.name);
  return Join(names, ", ");
}

std::optional<pool::Error> CheckNames(const HistoryStore& store,
                                      const v1::MetricsHistoryRequest& request) {
  const std::vector<std::string> groups = store.groups();
  for (const std::string& pool : request.pools()) {
    if (!pool.empty() && std::ranges::find(groups, pool) != groups.end()) continue;
    return pool::OwnError(pool::ErrorKind::kPoolNotFound,
                          Concat("`pools`: there is no pool \"", pool, "\""));
  }
  for (const std::string& name : request.series()) {
    const auto has = [&name](std::span<const Series> all) {
      return std::ranges::find(all, name, &Series::name) != all.end();
    };
    if (has(ProcessSeries()) || has(PoolSeries())) continue;
    return pool::OwnError(
        pool::ErrorKind::kSeriesNotFound,
        Concat("`series`: there is none named \"", name, "\"; of the process there is ",
               NamesOf(ProcessSeries()), "; of each pool ", NamesOf(PoolSeries())));
  }
  return std::nullopt;
}

}  // namespace

std::optional<pool::Error> FillHistory(const HistoryStore& store,
                                       const v1::MetricsHistoryRequest& request, int64_t now,
                                       v1::MetricsHistoryResponse& response) {
  if (auto trouble = CheckNames(store, request)) return trouble;
  const int64_t newest_end = store.empty() ? now : store.last() + 1;
  const int64_t end = request.has_end_time() ? Ceiling(request.end_time()) : newest_end;
  const int64_t start = request.has_start_time() ? Floor(request.start_time()) : end - kHour;
  if (end < start) {
    return Invalid("`end_time` (now, if it is not given) is before `start_time`");
  }
  int64_t step_min = 1;
  if (request.has_step()) {
    step_min = request.step().seconds() + (request.step().nanos() > 0 ? 1 : 0);
    if (step_min <= 0) return Invalid("`step` is not a time; give one from 1 s");
    step_min = std::min(step_min, kWeek);
  }
  const int64_t points_max = request.points_max() == 0 ? kPointsMaxDefault : request.points_max();
  const Plan plan = PlanOf(std::max(start, newest_end - kWeek), std::min(end, newest_end), step_min,
                           points_max, newest_end);
  for (const std::string& group : store.groups()) {
    if (!group.empty() && !IsWanted(request.pools(), group)) continue;
    const std::span<const Series> all = group.empty() ? ProcessSeries() : PoolSeries();
    for (size_t i = 0; i < all.size(); ++i) {
      if (!IsWanted(request.series(), all[i].name)) continue;
      FillSeries(store, group, i, all[i], plan, response);
    }
  }
  response.mutable_oldest_time()->set_seconds(store.empty() ? now : store.first());
  return std::nullopt;
}

namespace {

// `%41` and `+` as browsers write them; what is no escape stays.
std::string Decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '+') {
      decoded += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() &&
               std::from_chars(&text[i + 1], &text[i] + 3, byte, 16).ptr == &text[i] + 3) {
      decoded += static_cast<char>(byte);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::optional<pool::Error> BadParameter(std::string_view name, std::string_view value,
                                        std::string_view remedy) {
  return Invalid(Concat("the parameter `", name, "` is \"", value, "\"; ", remedy));
}

bool ParseTime(const std::string& text, Timestamp& into) {
  if (const auto seconds = ParseInteger(text); seconds.ok()) {
    if (*seconds < 0 || *seconds > TimeUtil::kTimestampMaxSeconds) return false;
    into.set_seconds(*seconds);
    return true;
  }
  return TimeUtil::FromString(text, &into) && into.seconds() >= 0;
}

bool ParseStep(const std::string& text, google::protobuf::Duration& into) {
  const auto seconds = ParseInteger(text);
  const auto step = seconds.ok() && *seconds <= kWeek
                        ? absl::StatusOr<std::chrono::milliseconds>(std::chrono::seconds(*seconds))
                        : ParseDuration(text, BareNumber::kRefused);
  if (!step.ok() || step->count() <= 0) return false;
  SetDuration(*step, into);
  return true;
}

std::optional<pool::Error> TakeParameter(const std::string& name, const std::string& value,
                                         v1::MetricsHistoryRequest& request) {
  constexpr std::string_view kTimes =
      "write a time such as 2026-01-02T03:04:05Z, or seconds since 1970";
  if (name == "pool" || name == "series") {
    for (const std::string_view part : Split(value, ',')) {
      if (part.empty()) return BadParameter(name, value, "write a name, or several with commas");
      (name == "pool" ? request.add_pools() : request.add_series())->assign(part);
    }
  } else if (name == "start") {
    if (!ParseTime(value, *request.mutable_start_time())) return BadParameter(name, value, kTimes);
  } else if (name == "end") {
    if (!ParseTime(value, *request.mutable_end_time())) return BadParameter(name, value, kTimes);
  } else if (name == "step") {
    if (!ParseStep(value, *request.mutable_step())) {
      return BadParameter(name, value, "write a duration such as 10s or 5min");
    }
  } else if (name == "points_max") {
    const auto points = ParseInteger(value);
    if (!points.ok() || *points < 1 || *points > kHttpPointsMax) {
      return BadParameter(name, value, Concat("write a whole number from 1 to ", kHttpPointsMax));
    }
    request.set_points_max(static_cast<uint32_t>(*points));
  } else {
    return Invalid(Concat("there is no parameter `", name,
                          "`; there is pool, series, start, end, step and points_max"));
  }
  return std::nullopt;
}

}  // namespace

std::optional<pool::Error> ParseHistoryQuery(std::string_view query,
                                             v1::MetricsHistoryRequest& request) {
  for (const std::string_view parameter : Split(query, '&')) {
    if (parameter.empty()) continue;
    const size_t equals = parameter.find('=');
    const std::string name = Decoded(parameter.substr(0, equals));
    const std::string value =
        equals == std::string_view::npos ? "" : Decoded(parameter.substr(equals + 1));
    if (auto trouble = TakeParameter(name, value, request)) return trouble;
  }
  return std::nullopt;
}

}  // namespace dbsidecar::server
