#include "server/pool_trend.h"

#include <algorithm>

namespace dbsidecar::server {
namespace {

constexpr std::chrono::minutes kMinute{1};
constexpr std::chrono::hours kLengthMax{1};

}  // namespace

void PoolTrend::Note(const FiguresSample& look) {
  if (minutes_.empty() || look.time - minutes_.back().look.time >= kMinute) {
    minutes_.push_back({.look = look});
  }
  while (minutes_.size() > 1 && look.time - minutes_[0].look.time > kLengthMax) {
    minutes_.pop_front();
  }
  Minute& minute = minutes_.back();
  minute.in_use_max = std::max(minute.in_use_max, look.stats.in_use());
  minute.waiting_max = std::max(minute.waiting_max, look.stats.waiting);
  last_ = look;
}

std::chrono::nanoseconds PoolTrend::length() const {
  if (minutes_.empty()) return {};
  return last_.time - first().time;
}

size_t PoolTrend::Max(size_t Minute::*figure) const {
  size_t max = 0;
  for (const Minute& minute : minutes_) max = std::max(max, minute.*figure);
  return max;
}

}  // namespace dbsidecar::server
