// The past of groups of series (those of each pool, and those of the process) in memory: each
// second of the last hour, and each minute's mean and largest value of the last week.
//
// It is a plain container: no locks, no clock, no files. Seconds are since 1970; what is not known
// is NaN. A group takes `BytesOf(its series)` from the start, and never more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace dbsidecar::server {

class HistoryStore {
 public:
  static constexpr int64_t kSecondsKept = 60 * 60;
  static constexpr int64_t kMinutesKept = 7 * 24 * 60;

  // 95 KB a series.
  static constexpr size_t BytesOf(size_t series) {
    return series * static_cast<size_t>(kSecondsKept + 2 * kMinutesKept) * sizeof(float);
  }

  // `group` is a pool's name, or "" for the process. What it holds already stays.
  void AddGroup(const std::string& group, size_t series);

  // From now on `second` is the last one. What lies between it and the last one before is not
  // known; when the clock was put back, what lies after it is forgotten.
  void MoveTo(int64_t second);
  // Values for each second from `first` to `last`. REQUIRES: `last` is not later than the last one
  // moved to; one value for each series of the group.
  void Put(const std::string& group, int64_t first, int64_t last, std::span<const float> values);
  // A minute that an earlier process has seen, instead of what its seconds say. Nothing happens
  // when it is too old, or later than the last second. REQUIRES: as above.
  void PutMinute(const std::string& group, int64_t minute, std::span<const float> means,
                 std::span<const float> maxima);

  struct Points {
    std::vector<double> means;
    std::vector<double> maxima;
  };
  // Point i covers [start + i * step, start + (i + 1) * step), in seconds; what is NaN counts for
  // nothing. By minutes: start and step are multiples of 60.
  Points Read(const std::string& group, size_t series, int64_t start, int64_t step, size_t count,
              bool by_minutes) const;
  // The value of one second; NaN when it is too old.
  float At(const std::string& group, size_t series, int64_t second) const;

  bool empty() const { return last_ == 0; }
  int64_t last() const { return last_; }    // 0 = nothing is known yet.
  int64_t first() const { return first_; }  // The first second that may be known.
  size_t bytes() const;
  std::vector<std::string> groups() const;
  size_t SeriesIn(const std::string& group) const;

 private:
  // Series after series; the place of a time is its remainder.
  struct Group {
    size_t series = 0;
    std::vector<float> seconds;
    std::vector<float> means;
    std::vector<float> maxima;
  };

  void ForgetSeconds(int64_t first, int64_t last);
  void ForgetMinutes(int64_t first, int64_t last);
  void SumUp(Group& group, int64_t minute) const;

  std::map<std::string, Group> groups_;
  int64_t last_ = 0;
  int64_t first_ = 0;
};

}  // namespace dbsidecar::server
