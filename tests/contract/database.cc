#include "tests/contract/database.h"

#include <thread>

#include "pool/postgres/postgres_driver.h"
#include "pool/sqlite/sqlite_driver.h"
#include "tests/support/fake_driver.h"
#include "tests/support/postgres_server.h"

namespace dbsidecar::contract {

using test_support::PostgresServer;

std::string NameOf(const testing::TestParamInfo<Database>& info) {
  switch (info.param) {
    case Database::kFake:
      return "Fake";
    case Database::kSqliteFile:
      return "SqliteFile";
    case Database::kSqliteMemory:
      return "SqliteMemory";
    case Database::kPostgres:
      return "PostgreSQL";
  }
  return "";
}

pool::PoolOptions TestOptions(size_t max) {
  pool::PoolOptions options;
  options.name = "orders";
  options.core.min = 1;
  options.core.max = max;
  options.core.wait_timeout = std::chrono::seconds(20);
  options.core.idle_timeout = pool::Duration::zero();
  options.core.lifetime = pool::Duration::zero();
  options.core.ping_after = pool::Duration::zero();
  options.core.backoff_base = std::chrono::milliseconds(10);
  options.core.backoff_cap = std::chrono::milliseconds(50);
  options.health_check_interval = pool::Duration::zero();
  return options;
}

namespace {

// Whether it does within kPatience.
bool IsRunning(const std::string& database, const std::string& sql_part) {
  const pool::Instant end = pool::Clock::now() + kPatience;
  while (pool::Clock::now() < end) {
    if (PostgresServer::Shared().RunningStatements(database, sql_part) > 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

RunningPool::MakeDriver PostgresDriverFor(pool::PostgresConfig config) {
  return [config](pool::EventLoop& loop) { return pool::NewPostgresDriver(config, loop); };
}

}  // namespace

std::unique_ptr<RunningPool> DatabaseTest::NewPool(pool::PoolOptions options) {
  RunningPool::MakeDriver make_driver;
  switch (GetParam()) {
    case Database::kFake:
      make_driver = [](pool::EventLoop& loop) {
        return std::make_unique<test_support::FakeDriver>(loop);
      };
      break;
    case Database::kSqliteFile:
    case Database::kSqliteMemory: {
      pool::SqliteConfig config;
      if (GetParam() == Database::kSqliteFile) config.location = SqliteFile();
      make_driver = [config](pool::EventLoop& loop) { return pool::NewSqliteDriver(config, loop); };
      break;
    }
    case Database::kPostgres:
      if (postgres_.url.empty()) {
        PostgresServer& server = PostgresServer::Shared();
        postgres_database_ = server.CreateDatabase("contract");
        postgres_.url = server.Url(postgres_database_);
      }
      make_driver = PostgresDriverFor(postgres_);
      break;
  }
  return std::make_unique<RunningPool>(make_driver, std::move(options));
}

std::string DatabaseTest::LongStatement() const {
  switch (GetParam()) {
    case Database::kFake:
      return "sleep";
    case Database::kSqliteFile:
    case Database::kSqliteMemory:
      return "with recursive n(i) as (select 1 union all select i + 1 from n) "
             "select max(i) from n";
    case Database::kPostgres:
      return "select pg_sleep(60)";
  }
  return "";
}

bool DatabaseTest::AwaitRunning(const TestCall& call) const {
  return !IsPostgres() || IsRunning(postgres_database_, std::string(call.statement.sql));
}

PostgresTest::PostgresTest() : database_(PostgresServer::Shared().CreateDatabase("contract")) {
  config_.url = PostgresServer::Shared().Url(database_);
}

std::unique_ptr<RunningPool> PostgresTest::NewPool(pool::PoolOptions options) {
  return std::make_unique<RunningPool>(PostgresDriverFor(config_), std::move(options));
}

std::string PostgresTest::Psql(const std::string& sql) const {
  return PostgresServer::Shared().Psql(sql, database_);
}

int PostgresTest::Connections() const { return PostgresServer::Shared().Connections(database_); }

int PostgresTest::TerminateAll() const {
  // From another database, so that it does not count itself.
  return std::stoi(
      PostgresServer::Shared().Psql("select count(pg_terminate_backend(pid)) from pg_stat_activity "
                                    "where backend_type = 'client backend' and datname = '" +
                                    database_ + "'"));
}

bool PostgresTest::AwaitRunning(const std::string& sql_part) const {
  return IsRunning(database_, sql_part);
}

}  // namespace dbsidecar::contract
