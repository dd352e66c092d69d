// The figures of the last week: fed by a look each second, asked by MetricsHistory and by the page.
//
// Kept in memory, and with a file also there: written two seconds after the start, once a minute
// and at the end, on a thread of its own, so that a slow disk holds up nobody. A file that cannot
// be used is told in the log, and the history is in memory only; the sidecar serves all the same.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dbsidecar/v1/metrics.pb.h"
#include "pool/error.h"
#include "server/figures_sampler.h"
#include "server/history/history_file.h"
#include "server/history/history_store.h"

namespace dbsidecar::server {

// Threads: any, but for the constructor and destructor.
class History {
 public:
  using Time = std::chrono::system_clock::time_point;

  // `path` is that of the file; "" = none. What it holds is there at once.
  explicit History(const std::string& path, Time now = std::chrono::system_clock::now());
  // Writes what is not in the file yet.
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // A look at the figures of each pool. Rates are of the stretch since the look before it, so the
  // first one only begins.
  void Add(Time now, const std::vector<FiguresSample>& pools);

  // Answers a request by the rules of metrics.proto. An error = why not.
  std::optional<pool::Error> Fill(const v1::MetricsHistoryRequest& request,
                                  v1::MetricsHistoryResponse& response) const;

  // How many bytes the figures take.
  size_t bytes() const;

 private:
  void Load(Time now);
  void WriteAgainAndAgain();
  void WriteWhatIsNew();
  HistoryFile::Batch WhatIsNew() const;
  void AddRows(const std::string& group, HistoryFile::Batch& batch) const;

  mutable std::mutex mutex_;  // Guards all below but the file and the path.
  HistoryStore store_;
  std::vector<FiguresSample> last_look_;  // Empty = there was none.

  const std::string path_;
  std::unique_ptr<HistoryFile> file_;  // The writer's; none = memory only.
  int64_t written_ = 0;                // The last second that is in the file; the writer's.
  bool write_failed_ = false;          // The writer's: told once, until it works again.
  std::condition_variable stopping_;
  bool stopped_ = false;
  std::thread writer_;
};

}  // namespace dbsidecar::server
