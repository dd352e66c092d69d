// The history in a SQLite file, so that it outlives the process.
//
// Two tables, `seconds` and `minutes`, with a row for each time and pool ("" = the process) and a
// column for each series; of minutes two, `..._mean` and `..._max`. So it can be read with any
// SQLite, once the sidecar has ended: it keeps the file to itself, lest two of them write into one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;

namespace dbsidecar::server {

struct HistoryRow {
  int64_t time = 0;  // Seconds since 1970.
  std::string group = {};
  std::vector<float> values = {};  // Of minutes: the means, then the maxima. NaN = not known.
};

// To be used by one thread at a time. The errors say what is wrong with the file.
class HistoryFile {
 public:
  // Makes it if it is not there. Refuses a file of something else, one that is damaged, and one
  // that another process uses.
  static absl::StatusOr<std::unique_ptr<HistoryFile>> Open(const std::string& path);
  ~HistoryFile();
  HistoryFile(const HistoryFile&) = delete;
  HistoryFile& operator=(const HistoryFile&) = delete;

  using Take = std::function<void(const HistoryRow& row)>;
  // Every row from `since` on, the oldest first.
  absl::Status ReadSeconds(int64_t since, const Take& take);
  absl::Status ReadMinutes(int64_t since, const Take& take);

  struct Batch {
    std::vector<HistoryRow> seconds = {};
    std::vector<HistoryRow> minutes = {};
    // What is older is removed.
    int64_t oldest_second = 0;
    int64_t oldest_minute = 0;
  };
  // All or nothing. A row that is there already is replaced.
  absl::Status Write(const Batch& batch);

 private:
  explicit HistoryFile(sqlite3* database) : database_(database) {}

  absl::Status Prepare();
  absl::Status AddMissingColumns(const std::string& table, const std::vector<std::string>& columns);
  absl::Status Run(const std::string& sql);
  absl::Status Read(const std::string& table, const std::vector<std::string>& columns,
                    int64_t since, const Take& take);
  absl::Status Replace(const std::string& table, const std::vector<std::string>& columns,
                       const std::vector<HistoryRow>& rows);
  absl::Status Trouble() const;

  sqlite3* database_;
};

}  // namespace dbsidecar::server
