// SQLite databases for tests: one in memory with its one connection open, and one in a file.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "pool/sqlite/sqlite_driver.h"
#include "tests/support/connection_probe.h"
#include "tests/support/temporary_folder.h"

namespace dbsidecar::pool {

inline SqliteConfig AtLocation(std::string location) {
  SqliteConfig config;
  config.location = std::move(location);
  return config;
}

class SqliteMemoryTest : public testing::Test {
 protected:
  SqliteMemoryTest() : driver_(NewSqliteDriver({}, loop_.loop())), probe_(loop_, *driver_, 0) {
    driver_->Lanes(1, 1);
    probe_.OpenWell();
  }

  LoopThread loop_;
  std::unique_ptr<Driver> driver_;
  ConnectionProbe probe_;
};

class SqliteFileTest : public testing::Test {
 protected:
  SqliteFileTest() : path_(folder_ / "test.db"), driver_(NewDriver(path_)) {}

  std::unique_ptr<Driver> NewDriver(const std::string& location) {
    std::unique_ptr<Driver> driver = NewSqliteDriver(AtLocation(location), loop_.loop());
    driver->Lanes(1, 4);
    return driver;
  }
  Classification Classify(std::string_view sql) {
    Statement statement;
    statement.sql = sql;
    Classification classification;
    loop_.Do([&] { classification = driver_->Classify(statement); });
    return classification;
  }

  static constexpr size_t kReader = 0;
  static constexpr size_t kWriter = 1;

  TemporaryFolder folder_;
  const std::string path_;
  LoopThread loop_;
  std::unique_ptr<Driver> driver_;
};

}  // namespace dbsidecar::pool
