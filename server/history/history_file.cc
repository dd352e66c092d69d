#include "server/history/history_file.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_join.h"
#include "server/history/history_series.h"

namespace dbsidecar::server {
namespace {

// "dbsH": tells our files from others.
constexpr int kApplicationId = 0x64627348;

// A statement that is finalised with its scope.
class Statement {
 public:
  Statement(sqlite3* database, const std::string& sql) {
    sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  bool ok() const { return statement_ != nullptr; }
  sqlite3_stmt* get() const { return statement_; }
  // SQLITE_ROW, SQLITE_DONE or an error.
  int Step() const { return sqlite3_step(statement_); }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

// A row has those of its group; the others are NULL.
std::vector<std::string> SecondColumns() {
  std::vector<std::string> columns;
  for (const Series& series : ProcessSeries()) columns.emplace_back(series.name);
  for (const Series& series : PoolSeries()) columns.emplace_back(series.name);
  return columns;
}

std::vector<std::string> MinuteColumns() {
  std::vector<std::string> columns;
  for (const std::span<const Series> all : {ProcessSeries(), PoolSeries()}) {
    for (const std::string_view suffix : {"_mean", "_max"}) {
      for (const Series& series : all)
        columns.push_back(std::string(series.name) + std::string(suffix));
    }
  }
  return columns;
}

// Where a group's values begin among `columns`, and how many they are.
struct Part {
  size_t begin;
  size_t size;
};

Part PartOf(const std::string& group, size_t columns) {
  const size_t times = columns / (ProcessSeries().size() + PoolSeries().size());
  const size_t process = times * ProcessSeries().size();
  return group.empty() ? Part{0, process} : Part{process, columns - process};
}

float ValueOf(sqlite3_stmt* statement, int column) {
  if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return static_cast<float>(sqlite3_column_double(statement, column));
}

std::string TextOf(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return text == nullptr ? "" : text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HistoryFile>> HistoryFile::Open(const std::string& path) {
  sqlite3* database = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  // Not by make_unique: the constructor is private. It closes the database, even one in error.
  std::unique_ptr<HistoryFile> file(new HistoryFile(database));
  if (opened != SQLITE_OK) return file->Trouble();
  if (absl::Status status = file->Prepare(); !status.ok()) return status;
  return file;
}

HistoryFile::~HistoryFile() { sqlite3_close(database_); }

absl::Status HistoryFile::Prepare() {
  // WAL and NORMAL: a commit waits for no disk, and a crash of the machine costs the last ones, not
  // the file.
  for (const char* sql : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL",
                          "PRAGMA synchronous=NORMAL", "BEGIN EXCLUSIVE"}) {
    if (absl::Status status = Run(sql); !status.ok()) return status;
  }
  int application = 0;
  int tables = 0;
  if (const Statement id(database_, "PRAGMA application_id"); id.ok() && id.Step() == SQLITE_ROW) {
    application = sqlite3_column_int(id.get(), 0);
  }
  if (const Statement count(database_, "SELECT count(*) FROM sqlite_schema");
      count.ok() && count.Step() == SQLITE_ROW) {
    tables = sqlite3_column_int(count.get(), 0);
  } else {
    return Trouble();
  }
  if (application != kApplicationId && tables > 0) {
    return absl::FailedPreconditionError("it is a SQLite database of something else");
  }
  const std::string key =
      "(time INTEGER NOT NULL, pool TEXT NOT NULL, PRIMARY KEY (time, pool)) WITHOUT ROWID";
  for (const std::string& sql :
       {fmt::format("PRAGMA application_id={}", kApplicationId),
        "CREATE TABLE IF NOT EXISTS seconds " + key, "CREATE TABLE IF NOT EXISTS minutes " + key}) {
    if (absl::Status status = Run(sql); !status.ok()) return status;
  }
  if (absl::Status status = AddMissingColumns("seconds", SecondColumns()); !status.ok())
    return status;
  if (absl::Status status = AddMissingColumns("minutes", MinuteColumns()); !status.ok())
    return status;
  return Run("COMMIT");
}

// All of them in a new file; in an old one those of series that have come since.
absl::Status HistoryFile::AddMissingColumns(const std::string& table,
                                            const std::vector<std::string>& columns) {
  std::vector<std::string> known;
  {
    const Statement list(database_, "SELECT name FROM pragma_table_info('" + table + "')");
    if (!list.ok()) return Trouble();
    while (list.Step() == SQLITE_ROW) known.push_back(TextOf(list.get(), 0));
  }
  for (const std::string& column : columns) {
    if (std::ranges::find(known, column) != known.end()) continue;
    absl::Status status = Run(fmt::format("ALTER TABLE {} ADD COLUMN {} REAL", table, column));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status HistoryFile::ReadSeconds(int64_t since, const Take& take) {
  return Read("seconds", SecondColumns(), since, take);
}

absl::Status HistoryFile::ReadMinutes(int64_t since, const Take& take) {
  return Read("minutes", MinuteColumns(), since, take);
}

absl::Status HistoryFile::Read(const std::string& table, const std::vector<std::string>& columns,
                               int64_t since, const Take& take) {
  const Statement select(database_,
                         fmt::format("SELECT time, pool, {} FROM {} WHERE time >= ?1 ORDER BY time",
                                     absl::StrJoin(columns, ", "), table));
  if (!select.ok()) return Trouble();
  sqlite3_bind_int64(select.get(), 1, since);
  int state = SQLITE_ROW;
  while ((state = select.Step()) == SQLITE_ROW) {
    HistoryRow row{.time = sqlite3_column_int64(select.get(), 0), .group = TextOf(select.get(), 1)};
    const Part part = PartOf(row.group, columns.size());
    for (size_t i = part.begin; i < part.begin + part.size; ++i) {
      row.values.push_back(ValueOf(select.get(), static_cast<int>(i) + 2));
    }
    take(row);
  }
  return state == SQLITE_DONE ? absl::OkStatus() : Trouble();
}

absl::Status HistoryFile::Write(const Batch& batch) {
  absl::Status status = Run("BEGIN IMMEDIATE");
  if (status.ok()) status = Replace("seconds", SecondColumns(), batch.seconds);
  if (status.ok()) status = Replace("minutes", MinuteColumns(), batch.minutes);
  if (status.ok()) {
    status = Run(fmt::format("DELETE FROM seconds WHERE time < {}", batch.oldest_second));
  }
  if (status.ok()) {
    status = Run(fmt::format("DELETE FROM minutes WHERE time < {}", batch.oldest_minute));
  }
  if (status.ok()) status = Run("COMMIT");
  if (!status.ok()) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

absl::Status HistoryFile::Replace(const std::string& table, const std::vector<std::string>& columns,
                                  const std::vector<HistoryRow>& rows) {
  const Statement replace(
      database_, fmt::format("INSERT OR REPLACE INTO {} (time, pool, {}) VALUES (?, ?{})", table,
                             absl::StrJoin(columns, ", "), [&] {
                               std::string marks;
                               for (size_t i = 0; i < columns.size(); ++i) marks += ", ?";
                               return marks;
                             }()));
  if (!replace.ok()) return Trouble();
  for (const HistoryRow& row : rows) {
    sqlite3_reset(replace.get());
    sqlite3_clear_bindings(replace.get());
    sqlite3_bind_int64(replace.get(), 1, row.time);
    sqlite3_bind_text(replace.get(), 2, row.group.data(), static_cast<int>(row.group.size()),
                      SQLITE_STATIC);
    const Part part = PartOf(row.group, columns.size());
    for (size_t i = 0; i < std::min(part.size, row.values.size()); ++i) {
      // SQLite takes NaN for NULL.
      sqlite3_bind_double(replace.get(), static_cast<int>(part.begin + i) + 3, row.values[i]);
    }
    if (replace.Step() != SQLITE_DONE) return Trouble();
  }
  return absl::OkStatus();
}

absl::Status HistoryFile::Run(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return Trouble();
}

absl::Status HistoryFile::Trouble() const {
  switch (sqlite3_errcode(database_)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError("another process uses it");
    case SQLITE_NOTADB:
      return absl::DataLossError("it is not a SQLite database");
    case SQLITE_CORRUPT:
      return absl::DataLossError(std::string("it is damaged: ") + sqlite3_errmsg(database_));
    default:
      return absl::UnavailableError(sqlite3_errmsg(database_));
  }
}

}  // namespace dbsidecar::server
