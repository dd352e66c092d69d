// A handle on a database file from outside the driver, as another process would have.
#pragma once

#include <sqlite3.h>

#include <string>

#include "pool/check.h"

namespace dbsidecar {

class RawSqlite {
 public:
  explicit RawSqlite(const std::string& path) {
    DBSIDECAR_CHECK(sqlite3_open(path.c_str(), &database_) == SQLITE_OK);
    sqlite3_busy_timeout(database_, 5000);
  }
  ~RawSqlite() { sqlite3_close(database_); }
  RawSqlite(const RawSqlite&) = delete;
  RawSqlite& operator=(const RawSqlite&) = delete;

  // Without waiting for a lock.
  bool RunsAtOnce(const std::string& sql) {
    sqlite3_busy_timeout(database_, 0);
    const int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
    sqlite3_busy_timeout(database_, 5000);
    return code == SQLITE_OK;
  }
  void Run(const std::string& sql) {
    DBSIDECAR_CHECK(sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  }

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace dbsidecar
