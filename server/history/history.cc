#include "server/history/history.h"

#include <cmath>
#include <utility>
#include <vector>

#include "server/history/history_request.h"
#include "server/history/history_series.h"
#include "server/log.h"
#include "server/process_figures.h"

namespace dbsidecar::server {
namespace {

using std::chrono::seconds;

constexpr seconds kWriteInterval{60};
// The first time: a process that is started again and again leaves a trace of each start.
constexpr seconds kFirstWrite{2};
constexpr int64_t kMinute = 60;
// A look that came late tells of the seconds that it missed; one that came later than this was held
// up by something that is worth a gap.
constexpr int64_t kFilledMax = 5;

int64_t SecondOf(History::Time time) {
  return std::chrono::duration_cast<seconds>(time.time_since_epoch()).count();
}

bool AllUnknown(const std::vector<float>& values) {
  for (const float value : values) {
    if (!std::isnan(value)) return false;
  }
  return true;
}

std::span<const Series> SeriesOf(const std::string& group) {
  return group.empty() ? ProcessSeries() : PoolSeries();
}

}  // namespace

History::History(const std::string& path, Time now) : path_(path) {
  store_.AddGroup("", ProcessSeries().size());
  if (path_.empty()) return;
  auto file = HistoryFile::Open(path_);
  if (file.ok()) {
    file_ = *std::move(file);
    Load(now);
  } else {
    Log(LogLevel::kWarn, "history.file_unusable",
        {{"file", path_},
         {"error", std::string(file.status().message())},
         {"remedy",
          "see to the file, or give another one with --history-file, and restart; until "
          "then the history is in memory only"}});
  }
  if (file_ == nullptr) return;
  writer_ = std::thread([this] { WriteAgainAndAgain(); });
  pthread_setname_np(writer_.native_handle(), "history");
}

History::~History() {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stopping_.notify_all();
  writer_.join();
}

// What is later than now was written under another clock.
void History::Load(Time now) {
  const int64_t second = SecondOf(now);
  store_.MoveTo(second);
  const auto add_group = [this](const HistoryRow& row) {
    store_.AddGroup(row.group, SeriesOf(row.group).size());
  };
  absl::Status status =
      file_->ReadSeconds(second - HistoryStore::kSecondsKept + 1, [&](const HistoryRow& row) {
        add_group(row);
        if (row.time > second) return;
        store_.Put(row.group, row.time, row.time, row.values);
        written_ = row.time;
      });
  // Afterwards: the first of these seconds may be the rest of a minute.
  if (status.ok()) {
    status = file_->ReadMinutes(
        second - HistoryStore::kMinutesKept * kMinute, [&](const HistoryRow& row) {
          add_group(row);
          const std::span<const float> values(row.values);
          store_.PutMinute(row.group, row.time / kMinute, values.first(values.size() / 2),
                           values.last(values.size() / 2));
        });
  }
  if (status.ok()) return;
  Log(LogLevel::kWarn, "history.file_unusable",
      {{"file", path_},
       {"error", std::string(status.message())},
       {"remedy",
        "remove or repair the file, and restart; until then the history is in memory "
        "only"}});
  file_.reset();
}

void History::Add(Time now, const std::vector<FiguresSample>& pools) {
  const std::lock_guard lock(mutex_);
  for (const FiguresSample& pool : pools) store_.AddGroup(pool.stats.name, PoolSeries().size());
  if (last_look_.empty()) {
    last_look_ = pools;
    return;
  }
  const int64_t second = SecondOf(now);
  const double stretch = std::chrono::duration<double>(pools[0].time - last_look_[0].time).count();
  const bool late =
      !store_.empty() && second > store_.last() + 1 && stretch <= static_cast<double>(kFilledMax);
  const int64_t first = late ? std::max(store_.last() + 1, second - kFilledMax + 1) : second;
  store_.MoveTo(second);
  store_.Put("", first, second, ProcessValues(last_look_[0], pools[0]));
  for (size_t i = 0; i < pools.size(); ++i) {
    store_.Put(pools[i].stats.name, first, second,
               PoolValues(last_look_[i].stats, pools[i].stats, stretch));
  }
  last_look_ = pools;
}

std::optional<pool::Error> History::Fill(const v1::MetricsHistoryRequest& request,
                                         v1::MetricsHistoryResponse& response) const {
  const std::lock_guard lock(mutex_);
  return FillHistory(store_, request, SecondOf(std::chrono::system_clock::now()), response);
}

size_t History::bytes() const {
  const std::lock_guard lock(mutex_);
  return store_.bytes();
}

void History::WriteAgainAndAgain() {
  std::unique_lock lock(mutex_);
  seconds pause = kFirstWrite;
  // Also a last time when it stops.
  for (bool last = false; !last;) {
    last = stopping_.wait_for(lock, pause, [this] { return stopped_; });
    pause = kWriteInterval;
    lock.unlock();
    WriteWhatIsNew();
    lock.lock();
  }
}

void History::WriteWhatIsNew() {
  HistoryFile::Batch batch;
  int64_t last = 0;
  {
    const std::lock_guard lock(mutex_);
    last = store_.last();
    batch = WhatIsNew();
  }
  const absl::Status status = file_->Write(batch);
  if (status.ok()) {
    written_ = last;
    if (std::exchange(write_failed_, false)) {
      Log(LogLevel::kInfo, "history.file_writable", {{"file", path_}});
    }
  } else if (!std::exchange(write_failed_, true)) {
    Log(LogLevel::kWarn, "history.write_failed",
        {{"file", path_},
         {"error", std::string(status.message())},
         {"remedy",
          "make room or give write access; it is tried again each minute, and an hour is "
          "kept until then"}});
  }
}

// REQUIRES: mutex_ is held.
HistoryFile::Batch History::WhatIsNew() const {
  HistoryFile::Batch batch{.oldest_second = store_.last() - HistoryStore::kSecondsKept + 1,
                           .oldest_minute = store_.last() - HistoryStore::kMinutesKept * kMinute};
  for (const std::string& group : store_.groups()) AddRows(group, batch);
  return batch;
}

// When the clock was put back, what is written already is later than what is new.
void History::AddRows(const std::string& group, HistoryFile::Batch& batch) const {
  const size_t series = store_.SeriesIn(group);
  const int64_t unwritten = written_ <= store_.last() ? written_ + 1 : store_.last() - kMinute;
  const int64_t since = std::max(batch.oldest_second, unwritten);
  for (int64_t second = since; second <= store_.last(); ++second) {
    HistoryRow row{.time = second, .group = group};
    for (size_t i = 0; i < series; ++i) row.values.push_back(store_.At(group, i, second));
    if (!AllUnknown(row.values)) batch.seconds.push_back(std::move(row));
  }
  for (int64_t minute = since / kMinute; minute <= store_.last() / kMinute; ++minute) {
    HistoryRow row{.time = minute * kMinute, .group = group};
    std::vector<float> maxima;
    for (size_t i = 0; i < series; ++i) {
      const auto point = store_.Read(group, i, row.time, kMinute, 1, true);
      row.values.push_back(static_cast<float>(point.means[0]));
      maxima.push_back(static_cast<float>(point.maxima[0]));
    }
    row.values.insert(row.values.end(), maxima.begin(), maxima.end());
    if (!AllUnknown(row.values)) batch.minutes.push_back(std::move(row));
  }
}

}  // namespace dbsidecar::server
