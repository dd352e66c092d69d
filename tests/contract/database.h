// The databases over which the contract's tests run, and what differs in their SQL.
#pragma once

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "pool/postgres/conninfo.h"
#include "tests/contract/running_pool.h"
#include "tests/support/temporary_folder.h"

namespace dbsidecar::contract {

enum class Database { kFake, kSqliteFile, kSqliteMemory, kPostgres };

std::string NameOf(const testing::TestParamInfo<Database>& info);

// Short timeouts, no health check, no idling out: what happens is what the test does.
pool::PoolOptions TestOptions(size_t max);

// A database of this test's own and, on demand, pools on it.
class DatabaseTest : public testing::TestWithParam<Database> {
 protected:
  std::unique_ptr<RunningPool> NewPool(pool::PoolOptions options);
  std::unique_ptr<RunningPool> NewPool(size_t max) { return NewPool(TestOptions(max)); }
  std::string SqliteFile() const { return folder_ / "contract.db"; }
  bool IsPostgres() const { return GetParam() == Database::kPostgres; }
  // Runs for longer than any test is willing to wait.
  std::string LongStatement() const;
  // Waits until the database works on it. On SQLite there is nothing to see from outside, and
  // nothing to wait for: a call that is cancelled before it runs ends like one that runs.
  bool AwaitRunning(const TestCall& call) const;

 private:
  pool::PostgresConfig postgres_;  // `url` is empty before the first pool.
  std::string postgres_database_;
  TemporaryFolder folder_;
};

// The same, for what only PostgreSQL does.
class PostgresTest : public testing::Test {
 protected:
  PostgresTest();

  std::unique_ptr<RunningPool> NewPool(pool::PoolOptions options);
  std::unique_ptr<RunningPool> NewPool(size_t max) { return NewPool(TestOptions(max)); }
  // Over a connection of the test's own.
  std::string Psql(const std::string& sql) const;
  // Client connections to this test's database.
  int Connections() const;
  // Ends every connection to this test's database, from outside, and returns how many.
  int TerminateAll() const;
  bool AwaitRunning(const std::string& sql_part) const;

  const std::string database_;
  pool::PostgresConfig config_;
};

}  // namespace dbsidecar::contract
