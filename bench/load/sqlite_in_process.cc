// What a program gets that holds the SQLite file itself: one thread, one prepared statement, a
// loop. No sidecar can be faster on one thread, so this is the limit that its figures are held
// against.
//
//   sqlite_in_process --file=bench.db --rows=1000000 --create=true
//   sqlite_in_process --file=bench.db --rows=1000000 --statement=select|update --seconds=5
//
// `create` makes the file anew, with the table that load_generator reads. `select` reads by primary
// key, each time in a transaction of its own, as in autocommit; `update` commits each statement.
// The settings are those of the sidecar's own connections. Prints one line of JSON.
#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>

namespace dbsidecar::bench {
namespace {

using Clock = std::chrono::steady_clock;

// So that the clock is not what is measured.
constexpr int kQueriesBetweenClocks = 64;

struct Options {
  std::string file = "bench.db";
  std::string statement = "select";
  double seconds = 5;
  int rows = 1'000'000;
  bool create = false;
};

[[noreturn]] void Fail(const std::string& why) {
  std::cerr << why << "\n";
  std::exit(2);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (flag == "--file")
      options.file = value;
    else if (flag == "--statement")
      options.statement = value;
    else if (flag == "--seconds")
      options.seconds = std::atof(value.c_str());
    else if (flag == "--rows")
      options.rows = std::atoi(value.c_str());
    else if (flag == "--create")
      options.create = value != "false";
    else
      Fail("unknown flag " + flag);
  }
  return options;
}

class Database {
 public:
  explicit Database(const std::string& file) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(file.c_str(), &handle_, flags, nullptr) != SQLITE_OK) Complain();
    Run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=1000;"
        "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY");
  }
  ~Database() { sqlite3_close(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void Run(const std::string& sql) {
    if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) Complain();
  }
  sqlite3_stmt* Prepare(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle_, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT,
                                        &statement, nullptr);
    if (code != SQLITE_OK) Complain();
    return statement;
  }
  [[noreturn]] void Complain() { Fail(fmt::format("SQLite: {}", sqlite3_errmsg(handle_))); }

 private:
  sqlite3* handle_ = nullptr;
};

// As `pgbench -i` leaves it.
void Create(const Options& options) {
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(options.file + suffix);
  Database database(options.file);
  database.Run(
      "CREATE TABLE pgbench_accounts"
      "(aid INTEGER PRIMARY KEY, bid INT, abalance INT, filler TEXT)");
  database.Run(fmt::format(
      "INSERT INTO pgbench_accounts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
      "WHERE i < {}) SELECT i, (i - 1) / 100000 + 1, 0, printf('%84s', '') FROM n",
      options.rows));
  database.Run("PRAGMA wal_checkpoint(TRUNCATE)");
}

std::string TextOf(const std::string& statement) {
  if (statement == "select") return "SELECT abalance FROM pgbench_accounts WHERE aid = $1";
  if (statement == "update") {
    return "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1";
  }
  Fail("--statement is select or update");
}

void Measure(const Options& options) {
  Database database(options.file);
  sqlite3_stmt* statement = database.Prepare(TextOf(options.statement));
  std::mt19937 random(42);
  std::uniform_int_distribution<int> ids(1, options.rows);
  int64_t queries = 0;
  int64_t sum = 0;  // So that the cells are read.
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(options.seconds);
  while (queries % kQueriesBetweenClocks != 0 || Clock::now() < end) {
    sqlite3_bind_int64(statement, 1, ids(random));
    int code = sqlite3_step(statement);
    for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
      sum += sqlite3_column_int64(statement, 0);
    }
    if (code != SQLITE_DONE) database.Complain();
    sqlite3_reset(statement);
    ++queries;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  sqlite3_finalize(statement);
  std::cout << fmt::format(
      "{{\"queries\": {}, \"seconds\": {:.3f}, \"qps\": {:.0f}, \"sum\": {}}}\n", queries, seconds,
      static_cast<double>(queries) / seconds, sum);
}

}  // namespace
}  // namespace dbsidecar::bench

int main(int argc, char** argv) {
  const dbsidecar::bench::Options options = dbsidecar::bench::Parse(argc, argv);
  if (options.create) {
    dbsidecar::bench::Create(options);
  } else {
    dbsidecar::bench::Measure(options);
  }
}
