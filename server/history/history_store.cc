#include "server/history/history_store.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "pool/check.h"

namespace dbsidecar::server {
namespace {

constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kMinute = 60;

size_t Place(size_t series, int64_t time, int64_t kept) {
  return series * static_cast<size_t>(kept) + static_cast<size_t>(time % kept);
}

// The mean and the largest of what is known.
class Summary {
 public:
  void Add(float mean, float largest) {
    if (std::isnan(mean)) return;
    sum_ += mean;
    largest_ = count_ == 0 ? largest : std::max<double>(largest_, largest);
    ++count_;
  }
  double mean() const { return count_ == 0 ? kUnknown : sum_ / count_; }
  double largest() const { return count_ == 0 ? kUnknown : largest_; }

 private:
  double sum_ = 0;
  double largest_ = 0;
  int count_ = 0;
};

}  // namespace

void HistoryStore::AddGroup(const std::string& group, size_t series) {
  Group& added = groups_[group];
  if (added.series != 0) return;
  added.series = series;
  added.seconds.assign(series * static_cast<size_t>(kSecondsKept), kUnknown);
  added.means.assign(series * static_cast<size_t>(kMinutesKept), kUnknown);
  added.maxima.assign(series * static_cast<size_t>(kMinutesKept), kUnknown);
}

void HistoryStore::MoveTo(int64_t second) {
  DBSIDECAR_CHECK(second > 0);
  if (empty()) {
    first_ = second;
  } else if (second > last_) {
    ForgetSeconds(last_ + 1, second);
    ForgetMinutes(last_ / kMinute + 1, second / kMinute);
  } else {
    ForgetSeconds(second + 1, last_);
    ForgetMinutes(second / kMinute + 1, last_ / kMinute);
  }
  last_ = second;
  first_ = std::clamp(first_, second - kMinutesKept * kMinute, second);
}

// Of more than there is room for, the last ones stand for all.
void HistoryStore::ForgetSeconds(int64_t first, int64_t last) {
  first = std::max(first, last - kSecondsKept + 1);
  for (auto& [name, group] : groups_) {
    for (size_t series = 0; series < group.series; ++series) {
      for (int64_t second = first; second <= last; ++second) {
        group.seconds[Place(series, second, kSecondsKept)] = kUnknown;
      }
    }
  }
}

void HistoryStore::ForgetMinutes(int64_t first, int64_t last) {
  first = std::max(first, last - kMinutesKept + 1);
  for (auto& [name, group] : groups_) {
    for (size_t series = 0; series < group.series; ++series) {
      for (int64_t minute = first; minute <= last; ++minute) {
        group.means[Place(series, minute, kMinutesKept)] = kUnknown;
        group.maxima[Place(series, minute, kMinutesKept)] = kUnknown;
      }
    }
  }
}

void HistoryStore::Put(const std::string& name, int64_t first, int64_t last,
                       std::span<const float> values) {
  Group& group = groups_.at(name);
  DBSIDECAR_CHECK(values.size() == group.series && last <= last_);
  first = std::max(first, last_ - kSecondsKept + 1);
  if (first > last) return;
  for (size_t series = 0; series < group.series; ++series) {
    for (int64_t second = first; second <= last; ++second) {
      group.seconds[Place(series, second, kSecondsKept)] = values[series];
    }
  }
  first_ = std::min(first_, first);
  for (int64_t minute = first / kMinute; minute <= last / kMinute; ++minute) SumUp(group, minute);
}

// From its seconds each time: cheap, and right whatever came between.
void HistoryStore::SumUp(Group& group, int64_t minute) const {
  const int64_t first = std::max(minute * kMinute, last_ - kSecondsKept + 1);
  const int64_t last = std::min(minute * kMinute + kMinute - 1, last_);
  for (size_t series = 0; series < group.series; ++series) {
    Summary summary;
    for (int64_t second = first; second <= last; ++second) {
      const float value = group.seconds[Place(series, second, kSecondsKept)];
      summary.Add(value, value);
    }
    group.means[Place(series, minute, kMinutesKept)] = static_cast<float>(summary.mean());
    group.maxima[Place(series, minute, kMinutesKept)] = static_cast<float>(summary.largest());
  }
}

void HistoryStore::PutMinute(const std::string& name, int64_t minute, std::span<const float> means,
                             std::span<const float> maxima) {
  Group& group = groups_.at(name);
  DBSIDECAR_CHECK(means.size() == group.series && maxima.size() == group.series);
  if (minute > last_ / kMinute || minute <= last_ / kMinute - kMinutesKept) return;
  for (size_t series = 0; series < group.series; ++series) {
    group.means[Place(series, minute, kMinutesKept)] = means[series];
    group.maxima[Place(series, minute, kMinutesKept)] = maxima[series];
  }
  first_ = std::min(first_, minute * kMinute);
}

HistoryStore::Points HistoryStore::Read(const std::string& name, size_t series, int64_t start,
                                        int64_t step, size_t count, bool by_minutes) const {
  const Group& group = groups_.at(name);
  const int64_t unit = by_minutes ? kMinute : 1;
  const int64_t kept = by_minutes ? kMinutesKept : kSecondsKept;
  const std::vector<float>& means = by_minutes ? group.means : group.seconds;
  const std::vector<float>& maxima = by_minutes ? group.maxima : group.seconds;
  const int64_t newest = last_ / unit;
  Points points;
  points.means.reserve(count);
  points.maxima.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const int64_t first = (start + static_cast<int64_t>(i) * step) / unit;
    const int64_t end = std::min(first + step / unit, newest + 1);
    Summary summary;
    for (int64_t time = std::max(first, newest - kept + 1); time < end; ++time) {
      const size_t place = Place(series, time, kept);
      summary.Add(means[place], maxima[place]);
    }
    points.means.push_back(summary.mean());
    points.maxima.push_back(summary.largest());
  }
  return points;
}

float HistoryStore::At(const std::string& name, size_t series, int64_t second) const {
  if (second > last_ || second <= last_ - kSecondsKept) return kUnknown;
  return groups_.at(name).seconds[Place(series, second, kSecondsKept)];
}

size_t HistoryStore::bytes() const {
  size_t floats = 0;
  for (const auto& [name, group] : groups_) {
    floats += group.seconds.capacity() + group.means.capacity() + group.maxima.capacity();
  }
  return floats * sizeof(float);
}

std::vector<std::string> HistoryStore::groups() const {
  std::vector<std::string> names;
  for (const auto& [name, group] : groups_) names.push_back(name);
  return names;
}

size_t HistoryStore::SeriesIn(const std::string& group) const { return groups_.at(group).series; }

}  // namespace dbsidecar::server
