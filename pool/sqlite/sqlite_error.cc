#include "pool/sqlite/sqlite_error.h"

#include <errno.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "pool/sqlite/statement_text.h"

namespace dbsidecar::pool {
namespace {

constexpr std::string_view kNoColumnNamed = " has no column named ";

struct MessageRule {
  std::string_view fragment;
  std::string_view sqlstate;
};

// SQLITE_ERROR covers most mistakes in a statement; its message alone tells them apart. The first
// rule that matches counts.
constexpr std::array<MessageRule, 19> kMessageRules = {{
    {"no such table: ", "42P01"},
    {"no such view: ", "42P01"},
    {"no such column: ", "42703"},
    {kNoColumnNamed, "42703"},
    {"no such function: ", "42883"},
    {"wrong number of arguments to function", "42883"},
    {"no such index: ", "42704"},
    {"no such trigger: ", "42704"},
    {"no such collation sequence: ", "42704"},
    {"no such module: ", "42704"},
    {"there is already a", "42P07"},
    {" already exists", "42P07"},
    {"duplicate column name: ", "42701"},
    {"ambiguous column name: ", "42702"},
    {"misuse of aggregate", "42803"},
    {"integer overflow", "22003"},
    {"malformed JSON", "22P02"},
    {"cannot VACUUM", "25001"},
    {"no such savepoint: ", "3B001"},
}};

std::string_view SqlstateOfMessage(std::string_view message) {
  for (const MessageRule& rule : kMessageRules) {
    if (message.find(rule.fragment) != std::string_view::npos) return rule.sqlstate;
  }
  return "42601";
}

std::string_view SqlstateOfConstraint(int extended_code) {
  switch (extended_code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return "23505";
    case SQLITE_CONSTRAINT_NOTNULL:
      return "23502";
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      return "23503";
    case SQLITE_CONSTRAINT_CHECK:
      return "23514";
    case SQLITE_CONSTRAINT_TRIGGER:  // RAISE() in a trigger.
      return "P0001";
    case SQLITE_CONSTRAINT_DATATYPE:  // A STRICT table.
      return "22000";
    default:
      return "23000";
  }
}

std::string_view Sqlstate(const SqliteReport& report) {
  switch (report.primary_code()) {
    case SQLITE_ERROR:
      return SqlstateOfMessage(report.message);
    case SQLITE_CONSTRAINT:
      return SqlstateOfConstraint(report.extended_code);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return "40001";
    case SQLITE_READONLY:
      return "25006";
    case SQLITE_FULL:
      return "53100";
    case SQLITE_NOMEM:
      return "53200";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "XX001";
    case SQLITE_INTERRUPT:
      return "57014";
    case SQLITE_AUTH:
    case SQLITE_PERM:
      return "42501";
    case SQLITE_CANTOPEN:
      return "08001";
    case SQLITE_TOOBIG:
      return "54000";
    case SQLITE_MISMATCH:
      return "22000";
    case SQLITE_RANGE:
      return "22023";
    case SQLITE_IOERR:
      return "58030";
    default:  // SQLite's other codes never come from a statement of a caller's.
      return "XX000";
  }
}

// True = it was there, and is gone.
bool ConsumePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "t.a, t.b" as SQLite lists the columns of a broken constraint.
void FillColumns(std::string_view list, SqlError& sql) {
  while (!list.empty()) {
    const std::string_view name = list.substr(0, list.find(", "));
    const size_t dot = name.find('.');
    if (dot == std::string_view::npos) return;
    sql.table = std::string(name.substr(0, dot));
    sql.column.append(sql.column.empty() ? "" : ", ").append(name.substr(dot + 1));
    list.remove_prefix(std::min(name.size() + 2, list.size()));
  }
}

void FillConstraint(SqlError& sql) {
  std::string_view rest = sql.message;
  if (ConsumePrefix(rest, "CHECK constraint failed: ")) {
    sql.constraint = std::string(rest);
  } else if (ConsumePrefix(rest, "UNIQUE constraint failed: index '")) {
    sql.constraint = std::string(rest.substr(0, rest.find('\'')));
  } else if (ConsumePrefix(rest, "UNIQUE constraint failed: ") ||
             ConsumePrefix(rest, "NOT NULL constraint failed: ")) {
    FillColumns(rest, sql);
  }
}

void FillMissing(SqlError& sql) {
  std::string_view rest = sql.message;
  if (ConsumePrefix(rest, "no such table: ")) {
    sql.table = std::string(rest);
  } else if (ConsumePrefix(rest, "no such column: ")) {
    sql.column = std::string(rest);
  } else if (rest.find(kNoColumnNamed) != std::string_view::npos) {
    ConsumePrefix(rest, "table ");
    sql.table = std::string(rest.substr(0, rest.find(kNoColumnNamed)));
    sql.column = std::string(rest.substr(rest.find(kNoColumnNamed) + kNoColumnNamed.size()));
  }
}

// The reason why the file cannot be opened that its path alone shows.
std::optional<OpenFailure> PathFailure(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return RejectedOpen("08001",
                        fmt::format("the database {} is a directory; name a file inside it", path));
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  if (stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return std::nullopt;
  return RejectedOpen("08001",
                      fmt::format("cannot open the database {}: the directory {} does not exist "
                                  "or cannot be entered ({}); create it, or correct the path",
                                  path, folder, std::system_category().message(errno)));
}

OpenFailure PassingFailure(std::string_view sqlstate, std::string message) {
  OpenFailure failure{.error = ErrorOf(ErrorKind::kNoConnection, std::move(message))};
  failure.error.sql.sqlstate = std::string(sqlstate);
  return failure;
}

OpenFailure CannotOpen(const SqliteReport& report, const std::string& path) {
  if (std::optional<OpenFailure> failure = PathFailure(path)) return *std::move(failure);
  const std::string start = fmt::format("cannot open the database {}: ", path);
  switch (report.system_errno) {
    case EACCES:
    case EPERM:
      return RejectedOpen("08001", start +
                                       "permission denied; the sidecar's user must be able to "
                                       "write the file and its directory, where the -wal and -shm "
                                       "files live");
    case EROFS:
      return RejectedOpen("25006", start +
                                       "the file system is read-only; mount it writable, or open "
                                       "a file: URI with mode=ro");
    case ENOENT:
      return RejectedOpen("08001", start +
                                       "the file does not exist and cannot be created here; "
                                       "correct the path, or the mode in its URI");
    default:
      return PassingFailure("08001",
                            fmt::format("{}{} ({})", start, report.message,
                                        std::system_category().message(report.system_errno)));
  }
}

}  // namespace

SqliteReport SqliteReport::Read(sqlite3* database, std::string_view sql, size_t skipped) {
  SqliteReport report;
  report.extended_code = sqlite3_extended_errcode(database);
  report.message = sqlite3_errmsg(database);
  report.system_errno = sqlite3_system_errno(database);
  const int offset = sqlite3_error_offset(database);
  if (offset >= 0 && !sql.empty()) {
    report.position = CharacterPosition(sql, static_cast<int64_t>(skipped) + offset);
  }
  return report;
}

SqliteReport SqliteReport::Of(int extended_code, std::string message) {
  SqliteReport report;
  report.extended_code = extended_code;
  report.message = std::move(message);
  return report;
}

bool SqliteReport::breaks_connection() const {
  return primary_code() == SQLITE_CORRUPT || primary_code() == SQLITE_NOTADB ||
         primary_code() == SQLITE_IOERR;
}

Error StatementError(const SqliteReport& report) {
  Error error = ErrorOf(ErrorKind::kDatabase, report.message);
  error.sql.sqlstate = std::string(Sqlstate(report));
  error.sql.severity = "ERROR";
  error.sql.message = report.message;
  error.sql.position = report.position;
  error.sql.sqlite_extended_code = report.extended_code;
  FillConstraint(error.sql);
  FillMissing(error.sql);
  if (report.primary_code() == SQLITE_BUSY) {
    error.message =
        "the database stayed locked by another process for as long as the call "
        "could wait";
  }
  return error;
}

Error InterruptedError() {
  return StatementError(
      SqliteReport::Of(SQLITE_INTERRUPT, "the statement was interrupted and had no effect"));
}

Error ReadOnlyError(std::string_view why) {
  return StatementError(
      SqliteReport::Of(SQLITE_READONLY, fmt::format("the statement writes, but {}", why)));
}

Error ErrorOf(ErrorKind kind, std::string message) {
  Error error;
  error.kind = kind;
  error.message = std::move(message);
  return error;
}

Error InvalidArgument(std::string message) {
  return ErrorOf(ErrorKind::kInvalidArgument, std::move(message));
}

OpenFailure RejectedOpen(std::string_view sqlstate, std::string message) {
  Error error = ErrorOf(ErrorKind::kConnectRejected, std::move(message));
  error.sql.sqlstate = std::string(sqlstate);
  return {.error = std::move(error), .permanent = true};
}

OpenFailure DescribeOpenFailure(const SqliteReport& report, const std::string& path) {
  switch (report.primary_code()) {
    case SQLITE_CANTOPEN:
      return CannotOpen(report, path);
    case SQLITE_NOTADB:
      return RejectedOpen("XX001",
                          fmt::format("the file {} is not an SQLite database, or it is encrypted; "
                                      "name another file",
                                      path));
    case SQLITE_CORRUPT:
      return RejectedOpen(
          "XX001", fmt::format("the database {} is damaged ({}); restore it from a backup", path,
                               report.message));
    case SQLITE_READONLY:
      return RejectedOpen("25006",
                          fmt::format("the database {} can only be read; make the file and its "
                                      "directory writable, or open a file: URI with mode=ro",
                                      path));
    default:  // Locked, out of disk or memory, a failing disk: it may pass.
      return PassingFailure(Sqlstate(report),
                            fmt::format("cannot open the database {}: {}", path, report.message));
  }
}

}  // namespace dbsidecar::pool
