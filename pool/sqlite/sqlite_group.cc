// The part of SqliteSession that runs several callers' statements in one transaction.
//
// What can go wrong in a transaction, and what becomes of it:
//
//  * A statement fails. SQLite undoes it as in autocommit, and nothing else.
//  * It fails with an error that takes the whole transaction along: ON CONFLICT ROLLBACK,
//    RAISE(ROLLBACK), an interrupted write, a full disk. Nothing took effect; all run again alone.
//  * It leaves a deferred constraint broken, which would fail the commit of all. It is undone, and
//    runs again alone.
//  * It takes long, and those that ran before it wait to be told. It is interrupted, and runs again
//    alone.
//  * The commit fails. Nothing took effect; all run again alone, so that each gets its own error.
#include <sqlite3.h>

#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

// How long one statement may hold up those that ran before it.
constexpr Duration kHoldUpMax = std::chrono::milliseconds(20);

}  // namespace

bool SqliteSession::MayBeGrouped(const Statement& statement) {
  std::optional<Error> error;
  bool refused_by_text = false;
  const Prepared* prepared = Lookup(statement.sql, error, refused_by_text);
  if (prepared == nullptr) return false;
  if (prepared == &uncached_) {
    uncached_ = {};
    return false;
  }
  switch (prepared->name.command) {
    case Command::kSelect:
    case Command::kInsert:
    case Command::kUpdate:
    case Command::kDelete:
      return !prepared->was_slow;
    case Command::kOther:
      // Some of them (VACUUM) do not run in a transaction, none is frequent.
      return false;
  }
  return false;
}

bool SqliteSession::BeginWrites() {
  busy_until_ = Clock::now();
  committing_ = false;
  group_members_ = 0;
  group_open_ = RunOwn(begin_writes_);
  return group_open_;
}

bool SqliteSession::RunWrite(const Statement& statement, Execution& execution) {
  held_up_group_ = false;
  locked_out_ = false;
  undo_if_failed_ = false;
  if (!RunOwn(savepoint_)) {
    RollBackGroup();
    return false;
  }
  // The write lock is held, so there is nothing to wait for.
  execution = RunHere(statement, Clock::now());
  if (!InTransaction()) {
    group_open_ = false;
    return false;
  }
  if (held_up_group_ || locked_out_ || LeftConstraintsOpen()) {
    EndSavepoint(false);
    return false;
  }
  // What failed was undone by SQLite, as in autocommit: ON CONFLICT FAIL keeps what it has done.
  // But what failed for the size of its rows has not failed for SQLite.
  const bool undo = execution.outcome.error.has_value() && undo_if_failed_;
  if (!EndSavepoint(!undo)) return false;
  ++group_members_;
  return true;
}

bool SqliteSession::EndSavepoint(bool keep) {
  const bool ended = (keep || RunOwn(undo_)) && RunOwn(release_);
  if (!ended) RollBackGroup();
  return ended;
}

void SqliteSession::RollBackGroup() {
  group_open_ = false;
  if (InTransaction()) RunOwn(rollback_);
  broken_ = broken_ || InTransaction();
}

bool SqliteSession::LeftConstraintsOpen() const {
  int open = 0;
  int highest = 0;
  sqlite3_db_status(database_, SQLITE_DBSTATUS_DEFERRED_FKS, &open, &highest, 0);
  return open != 0;
}

bool SqliteSession::HoldsUpGroup(Instant now) const {
  return group_open_ && group_members_ > 0 && now - started_ >= kHoldUpMax;
}

SqliteSession::GroupEnd SqliteSession::CommitWrites() {
  if (RunOwn(commit_)) {
    group_open_ = false;
    return {.kind = GroupEnd::Kind::kCommitted};
  }
  const SqliteReport report = SqliteReport::Read(database_);
  RollBackGroup();
  if (!report.breaks_connection()) return {.kind = GroupEnd::Kind::kRolledBack};
  // Whether it is in the file is known only to whoever reads the file next.
  broken_ = true;
  Error error = StatementError(report);
  error.outcome_unknown = true;
  return {.kind = GroupEnd::Kind::kUnknown, .error = std::move(error)};
}

void SqliteSession::BeginReads() { RunOwn(begin_reads_); }

SqliteSession::Execution SqliteSession::Read(const Statement& statement, Instant deadline) {
  return RunHere(statement, deadline);
}

void SqliteSession::EndReads() {
  if (InTransaction() && !RunOwn(commit_)) RollBackGroup();
}

}  // namespace dbsidecar::pool
