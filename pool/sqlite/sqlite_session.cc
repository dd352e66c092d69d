#include "pool/sqlite/sqlite_session.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "pool/sqlite/sqlite_result.h"

namespace dbsidecar::pool {
namespace {

using std::chrono::milliseconds;

constexpr size_t kPreparedBytesMax = size_t{4} << 20;
constexpr Duration kSetUpTime = std::chrono::seconds(5);
// Left of a call's deadline when waiting for a lock ends, so that the answer is in time.
constexpr Duration kAnswerTime = milliseconds(20);
constexpr int kStepsBetweenChecks = 1000;
// One that took so long the last time is not put into a group.
constexpr Duration kSlowRun = milliseconds(5);

// A write is rolled back before its result is given up, hence never "took effect".
Error TooLarge(const ResultLimits& limits, bool writes) {
  Error error = ResultTooLarge(limits, false);
  if (writes) error.message += "; it was rolled back, so nothing took effect";
  return error;
}

}  // namespace

SqliteSession::SqliteSession(const SqliteConfig& config, const SqliteLocation& location, Role role,
                             Interruption& interruption, ProgressWatcher* watcher)
    : config_(config),
      location_(location),
      role_(role),
      interruption_(interruption),
      watcher_(watcher),
      prepared_(config.prepared_max, kPreparedBytesMax) {}

SqliteSession::~SqliteSession() { CloseDatabase(); }

void SqliteSession::CloseDatabase() {
  prepared_.Clear();
  uncached_ = {};
  for (OwnStatement* own : {&begin_reads_, &take_snapshot_, &begin_writes_, &savepoint_, &release_,
                            &undo_, &commit_, &rollback_}) {
    own->statement.reset();
  }
  interruption_.Attach(nullptr);
  sqlite3_close(std::exchange(database_, nullptr));
}

void SqliteSession::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

std::optional<OpenFailure> SqliteSession::Open() {
  busy_until_ = Clock::now() + kSetUpTime;
  const int access =
      role_ == Role::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int uri = location_.target.starts_with("file:") ? SQLITE_OPEN_URI : 0;
  const int code = sqlite3_open_v2(location_.target.c_str(), &database_,
                                   access | uri | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return OpenFailureNow();
  interruption_.Attach(database_);
  sqlite3_extended_result_codes(database_, 1);
  sqlite3_busy_handler(database_, OnBusy, this);
  sqlite3_progress_handler(database_, kStepsBetweenChecks, OnProgress, this);
  sqlite3_commit_hook(database_, OnCommit, this);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  authorizer_.Install(database_);
  return SetUp();
}

std::optional<OpenFailure> SqliteSession::SetUp() {
  if (std::optional<OpenFailure> failure = SetJournalMode()) return failure;
  const bool ready =
      RunOwn(fmt::format("PRAGMA synchronous={}", config_.synchronous)) &&
      RunOwn(fmt::format("PRAGMA cache_size={}", config_.cache_size)) &&
      RunOwn(fmt::format("PRAGMA foreign_keys={}", config_.foreign_keys ? "ON" : "OFF")) &&
      RunOwn(fmt::format("PRAGMA temp_store={}", config_.temp_store)) &&
      // Reads the schema, where damage shows.
      RunOwnPatiently("SELECT 1 FROM sqlite_schema LIMIT 1") &&
      (role_ == Role::kWriter || RunOwn("PRAGMA query_only=ON"));
  if (!ready) return OpenFailureNow();
  return std::nullopt;
}

std::optional<OpenFailure> SqliteSession::SetJournalMode() {
  if (location_.kind != SqliteLocation::Kind::kFile) return std::nullopt;
  if (sqlite3_db_readonly(database_, "main") == 1) {
    if (role_ == Role::kReader) return std::nullopt;
    return DescribeOpenFailure(SqliteReport::Of(SQLITE_READONLY, ""), location_.path);
  }
  std::string mode;
  if (!RunOwnPatiently(fmt::format("PRAGMA journal_mode={}", config_.journal_mode), &mode)) {
    return OpenFailureNow();
  }
  if (UpperCase(mode) == UpperCase(config_.journal_mode)) return std::nullopt;
  return RejectedOpen("08001", fmt::format("the database {} cannot have journal_mode {} here (it "
                                           "stays {}); move it to a local file system",
                                           location_.path, config_.journal_mode, mode));
}

OpenFailure SqliteSession::OpenFailureNow() {
  return DescribeOpenFailure(SqliteReport::Read(database_), location_.path);
}

bool SqliteSession::RunOwn(const std::string& sql, std::string* first_cell) {
  const auto take = [](void* cell, int, char** texts, char**) {
    if (cell != nullptr && texts[0] != nullptr) *static_cast<std::string*>(cell) = texts[0];
    return 0;
  };
  return sqlite3_exec(database_, sql.c_str(), take, first_cell, nullptr) == SQLITE_OK;
}

bool SqliteSession::RunOwn(OwnStatement& own) {
  if (own.statement == nullptr) {
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v3(database_, own.sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    own.statement.reset(statement);
    if (statement == nullptr) return false;
  }
  sqlite3_step(own.statement.get());
  return sqlite3_reset(own.statement.get()) == SQLITE_OK;
}

bool SqliteSession::RunOwnPatiently(const std::string& sql, std::string* first_cell) {
  while (!RunOwn(sql, first_cell)) {
    if (sqlite3_errcode(database_) != SQLITE_BUSY || !WaitForLock(2)) return false;
  }
  return true;
}

int SqliteSession::OnBusy(void* self, int attempts) {
  return static_cast<SqliteSession*>(self)->WaitForLock(attempts) ? 1 : 0;
}

int SqliteSession::OnProgress(void* self) {
  SqliteSession& session = *static_cast<SqliteSession*>(self);
  const Instant now = Clock::now();
  session.NoteProgress(now);
  session.MaybeSendPart(now);
  if (session.committing_) return 0;
  session.held_up_group_ = session.HoldsUpGroup(now);
  return session.interruption_.requested() || session.held_up_group_ ? 1 : 0;
}

void SqliteSession::NoteProgress(Instant now) {
  if (watcher_ != nullptr) watcher_->OnProgress(now);
}

int SqliteSession::OnCommit(void* self) {
  static_cast<SqliteSession*>(self)->committing_ = true;
  return 0;
}

// False = no more waiting.
bool SqliteSession::WaitForLock(int attempts) {
  const Instant now = Clock::now();
  const Duration left = busy_until_ - now;
  if (left <= Duration::zero()) return false;
  NoteProgress(now);
  const Duration pause = std::min(milliseconds(1 << std::min(attempts, 4)), milliseconds(25));
  return !interruption_.WaitFor(std::min(pause, left));
}

bool SqliteSession::Ping() {
  busy_until_ = Clock::now() + config_.busy_max;
  return RunOwn("PRAGMA schema_version") && !InTransaction();
}

bool SqliteSession::Reset() {
  if (InTransaction()) RunOwn(rollback_);
  ForgetSession();
  if (!traces_) return !InTransaction();
  traces_ = false;
  CloseDatabase();
  return !Open().has_value();
}

bool SqliteSession::InTransaction() const { return sqlite3_get_autocommit(database_) == 0; }

void SqliteSession::SetBusyUntil(Instant deadline) {
  busy_until_ = deadline == kNever ? Clock::now() + config_.busy_max : deadline - kAnswerTime;
}

SqliteSession::Execution SqliteSession::Run(const Call& call) {
  call_ = &call;
  Execution execution = RunHere(call.statement, call.deadline);
  call_ = nullptr;
  execution.condition = Settle();
  return execution;
}

SqliteSession::Execution SqliteSession::RunHere(const Statement& statement, Instant deadline) {
  SetBusyUntil(deadline);
  committing_ = false;
  ForgetSession();
  Execution execution;
  execution.outcome.error = TryRun(statement, execution);
  if (execution.outcome.error.has_value()) execution.outcome.result = {};
  execution.condition = broken_ ? Condition::kBroken : Condition::kClean;
  uncached_ = {};
  return execution;
}

std::optional<Error> SqliteSession::TryRun(const Statement& statement, Execution& execution) {
  std::optional<Error> error;
  Prepared* prepared = Lookup(statement.sql, error, execution.refused_by_text);
  return prepared == nullptr ? error : RunLookedUp(*prepared, statement, execution);
}

std::optional<Error> SqliteSession::RunLookedUp(Prepared& prepared, const Statement& statement,
                                                Execution& execution) {
  execution.writes = prepared.writes;
  if (prepared.writes && statement.read_only) {
    return ReadOnlyError("the call is marked read_only");
  }
  if (prepared.writes && role_ == Role::kReadOnly) {
    return ReadOnlyError("the database is opened read-only");
  }
  if (prepared.writes && read_only_) return ReadOnlyError("the transaction is read-only");
  if (prepared.writes && role_ == Role::kReader) {
    execution.belongs_to_writer = true;
    return std::nullopt;
  }
  started_ = Clock::now();
  std::optional<Error> error = Bind(prepared, statement.parameters);
  if (!error.has_value()) error = RunPrepared(prepared, statement, execution.outcome.result);
  sqlite3_reset(prepared.statement.get());
  sqlite3_clear_bindings(prepared.statement.get());
  execution.took = Clock::now() - started_;
  prepared.was_slow = execution.took >= kSlowRun;
  return error;
}

std::optional<Error> SqliteSession::RunPrepared(Prepared& prepared, const Statement& statement,
                                                Result& result) {
  // SQLite forgets an interrupt that comes before the first step.
  if (interruption_.requested()) return InterruptedError();
  const ResultLimits& limits = statement.limits;
  const bool limited = limits.bytes_max > 0 || (limits.rows_max > 0 && !limits.truncate);
  undo_if_failed_ = prepared.writes && prepared.returns_rows && limited;
  authorizer_.BeginRun();
  std::optional<Error> error;
  if (call_ != nullptr && call_->sink != nullptr && !prepared.writes) {
    error = StepStream(prepared, limits, result);
  } else if (!undo_if_failed_ || group_open_) {
    error = Step(prepared, limits, result);
  } else if (InTransaction()) {
    error = StepOrUndo(prepared, limits, result);
  } else {
    error = StepOrRollBack(prepared, limits, result);
  }
  std::optional<Error> refusal = authorizer_.EndRun();
  return error.has_value() && refusal.has_value() ? refusal : error;
}

std::optional<Error> SqliteSession::Step(Prepared& prepared, const ResultLimits& limits,
                                         Result& result) {
  sqlite3_stmt* statement = prepared.statement.get();
  int code = sqlite3_step(statement);
  ReadColumnsOnce(prepared);
  result.columns = prepared.columns;
  result.typed_cells = true;
  result.rows.SetColumnCount(result.columns.size());
  rows_stepped_ = 0;
  for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
    ++rows_stepped_;
    const bool enough = limits.rows_max > 0 && result.rows.row_count() >= limits.rows_max;
    if (enough && !limits.truncate) return TooLarge(limits, prepared.writes);
    if (enough) {
      result.truncated = true;
      // A write takes effect only when it is stepped to its end.
      if (!prepared.writes && !counts_rows_) break;
    } else if (!AddRow(statement, BytesLeft(limits), result.rows)) {
      return TooLarge(limits, prepared.writes);
    }
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) return Failure();
  FinishResult(prepared, result, static_cast<int64_t>(result.rows.row_count()));
  return std::nullopt;
}

// For AddRow; 0 = no limit.
uint64_t SqliteSession::BytesLeft(const ResultLimits& limits) const {
  if (limits.bytes_max == 0) return 0;
  // 1 is less than any cell counts for.
  return bytes_kept_ < limits.bytes_max ? limits.bytes_max - bytes_kept_ : 1;
}

// After the first step: that one compiles the statement again when the schema has changed.
void SqliteSession::ReadColumnsOnce(Prepared& prepared) {
  const int recompiled =
      sqlite3_stmt_status(prepared.statement.get(), SQLITE_STMTSTATUS_REPREPARE, 0);
  if (recompiled == prepared.recompiled) return;
  prepared.recompiled = recompiled;
  prepared.columns = ReadColumns(prepared.statement.get());
}

// Its rows may turn out too large only after it has changed the data.
std::optional<Error> SqliteSession::StepOrRollBack(Prepared& prepared, const ResultLimits& limits,
                                                   Result& result) {
  if (!RunOwn(begin_writes_)) return Failure();
  std::optional<Error> error = Step(prepared, limits, result);
  sqlite3_reset(prepared.statement.get());
  if (!error.has_value() && !RunOwn(commit_)) error = Failure();
  // On an error, Settle rolls back.
  return error;
}

// The same in a session's transaction, of which only the statement is undone.
std::optional<Error> SqliteSession::StepOrUndo(Prepared& prepared, const ResultLimits& limits,
                                               Result& result) {
  if (!RunOwn(savepoint_)) return Failure();
  std::optional<Error> error = Step(prepared, limits, result);
  sqlite3_reset(prepared.statement.get());
  if (InTransaction()) EndSavepoint(!error.has_value());
  return error;
}

// -1 = of a statement that affects none.
int64_t SqliteSession::RowsAffected(const Prepared& prepared) const {
  switch (prepared.name.command) {
    case Command::kInsert:
    case Command::kUpdate:
    case Command::kDelete:
      return sqlite3_changes64(database_);
    case Command::kSelect:
    case Command::kOther:
      break;
  }
  return -1;
}

void SqliteSession::FinishResult(const Prepared& prepared, Result& result, int64_t returned) {
  result.rows_affected = RowsAffected(prepared);
  const int64_t rows = result.rows_affected >= 0 ? result.rows_affected : returned;
  result.command_tag = CommandTag(prepared.name, rows);
  if (prepared.name.command != Command::kInsert) return;
  if (rows > 0) result.last_insert_id = sqlite3_last_insert_rowid(database_);
  // An insert without an id of its own must not show that of another caller. In a session,
  // last_insert_rowid() tells it until the end.
  if (purpose_ == Authorizer::Purpose::kAutocommit) sqlite3_set_last_insert_rowid(database_, 0);
}

Condition SqliteSession::Settle() {
  if (InTransaction()) RunOwn(rollback_);
  broken_ = broken_ || InTransaction();
  return broken_ ? Condition::kBroken : Condition::kClean;
}

Error SqliteSession::Failure(std::string_view sql, size_t skipped) {
  SqliteReport report = SqliteReport::Read(database_, sql, skipped);
  if (report.breaks_connection()) broken_ = true;
  locked_out_ = report.primary_code() == SQLITE_BUSY || report.primary_code() == SQLITE_LOCKED;
  const bool gave_up_waiting = report.primary_code() == SQLITE_BUSY && interruption_.requested();
  if (report.primary_code() == SQLITE_INTERRUPT || gave_up_waiting) return InterruptedError();
  return StatementError(report);
}

}  // namespace dbsidecar::pool
