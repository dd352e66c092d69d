// The part of SqliteSession that runs the calls of sessions, with PostgreSQL's semantics:
//
//  * A statement that fails leaves its transaction failed: what comes next is refused (25P02) up to
//    ROLLBACK, or ROLLBACK TO a savepoint; COMMIT rolls back. SQLite would just go on. What was
//    refused before it ran (the wrong number of parameters, a write in a call marked read_only)
//    changes nothing.
//  * Some failures take SQLite's transaction along: an interrupted write, ON CONFLICT ROLLBACK, a
//    full disk. To the caller it has failed like any other, but its savepoints are gone, too.
//  * Savepoints are for transactions only, BEGIN in a transaction and COMMIT outside are remarked
//    upon and do nothing, and a COMMIT that fails rolls back.
//  * BEGIN takes the write lock at once, so that a later write never fails for a snapshot that is
//    out of date.
#include <fmt/format.h>
#include <sqlite3.h>

#include <string>
#include <utility>

#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

Error OwnSqlError(std::string_view sqlstate, std::string message) {
  Error error = ErrorOf(ErrorKind::kDatabase, std::move(message));
  error.sql.sqlstate = std::string(sqlstate);
  error.sql.severity = "ERROR";
  error.sql.message = error.message;
  return error;
}

Error SavepointsAreGone() {
  return OwnSqlError("3B001",
                     "savepoint does not exist: SQLite has rolled back the whole transaction when "
                     "its statement failed");
}

Notice Warning(std::string_view sqlstate, std::string_view message) {
  return {
      .severity = "WARNING", .sqlstate = std::string(sqlstate), .message = std::string(message)};
}

Notice NoTransaction() { return Warning("25P01", "there is no transaction in progress"); }

std::string_view CommandOf(TransactionCommand command) {
  switch (command) {
    case TransactionCommand::kBegin:
      return "BEGIN";
    case TransactionCommand::kCommit:
      return "COMMIT";
    case TransactionCommand::kRollback:
      return "ROLLBACK";
    case TransactionCommand::kSavepoint:
      return "SAVEPOINT";
    case TransactionCommand::kRelease:
      return "RELEASE SAVEPOINT";
    case TransactionCommand::kRollbackTo:
      return "ROLLBACK TO SAVEPOINT";
  }
  return "";
}

std::string_view TagOf(TransactionCommand command) {
  const std::string_view name = CommandOf(command);
  return name.substr(0, name.find(' '));
}

// Whether the database has tried to run it.
bool WasTried(const Error& error, const Statement& statement) {
  const bool refused_for_the_call = statement.read_only && error.sql.sqlstate == "25006";
  return error.kind == ErrorKind::kDatabase && !refused_for_the_call;
}

}  // namespace

Error SqliteSession::AbortedTransaction() {
  return OwnSqlError("25P02",
                     "current transaction is aborted, commands ignored until end of transaction "
                     "block");
}

// Another caller has the connection now.
void SqliteSession::ForgetSession() {
  if (!std::exchange(kept_, false)) return;
  failed_ = false;
  read_only_ = false;
  sqlite3_set_last_insert_rowid(database_, 0);
}

SqliteSession::Execution SqliteSession::RunInSession(const Call& call) {
  SetBusyUntil(call.deadline);
  committing_ = false;
  if (!call.session.in_session()) ForgetSession();
  kept_ = true;
  purpose_ = Authorizer::Purpose::kSession;
  Execution execution;
  call_ = &call;
  execution.outcome.error = RunCallOfSession(call, execution);
  call_ = nullptr;
  purpose_ = Authorizer::Purpose::kAutocommit;
  uncached_ = {};
  if (execution.outcome.error.has_value()) execution.outcome.result = {};
  execution.outcome.transaction_status = Status();
  if (broken_) {
    execution.condition = Condition::kBroken;
  } else if (traces_) {
    execution.condition = Condition::kDirty;
  }
  return execution;
}

TransactionStatus SqliteSession::Status() const {
  if (failed_) return TransactionStatus::kFailed;
  return InTransaction() ? TransactionStatus::kInTransaction : TransactionStatus::kIdle;
}

std::optional<Error> SqliteSession::RunCallOfSession(const Call& call, Execution& execution) {
  const SessionUse& use = call.session;
  Outcome& outcome = execution.outcome;
  if (interruption_.requested()) {
    failed_ = TransactionIsOpen();
    return InterruptedError();
  }
  if (use.kind == SessionUse::Kind::kEnd) {
    if (use.end == SessionUse::End::kCommit) return CommitTransaction(outcome.end_tag, outcome);
    RollBackTransaction();
    outcome.end_tag = "ROLLBACK";
    return std::nullopt;
  }
  std::optional<Error> error;
  if (use.kind == SessionUse::Kind::kBegin) error = BeginTransaction(use.begin.read_only);
  if (!error.has_value()) error = RunStatementOfSession(call.statement, execution);
  if (!error.has_value() && use.commit) error = CommitTransaction(outcome.end_tag, outcome);
  // What would have opened the transaction leaves none open.
  if (error.has_value() && use.kind == SessionUse::Kind::kBegin) RollBackTransaction();
  return error;
}

std::optional<Error> SqliteSession::RunStatementOfSession(const Statement& statement,
                                                          Execution& execution) {
  // Not even compiled, because that is when some PRAGMAs take effect.
  if (failed_ && !IsTransactionControl(statement.sql)) return AbortedTransaction();
  const bool was_open = InTransaction();
  std::optional<Error> error;
  Prepared* prepared = Lookup(statement.sql, error, execution.refused_by_text);
  if (prepared != nullptr && prepared->transaction.has_value()) {
    return RunTransactionCommand(*prepared, statement, execution.outcome);
  }
  if (prepared != nullptr) error = RunLookedUp(*prepared, statement, execution);
  if (!was_open && InTransaction()) RollBackTransaction();
  if (was_open && error.has_value() && WasTried(*error, statement)) failed_ = true;
  return error;
}

std::optional<Error> SqliteSession::RunTransactionCommand(Prepared& prepared,
                                                          const Statement& statement,
                                                          Outcome& outcome) {
  if (std::optional<Error> error = Bind(prepared, statement.parameters)) return error;
  if (statement.read_only) return ReadOnlyError("the call is marked read_only");
  const TransactionCommand command = *prepared.transaction;
  std::string& tag = outcome.result.command_tag;
  tag = std::string(TagOf(command));
  switch (command) {
    case TransactionCommand::kBegin:
      return BeginByText(prepared, outcome);
    case TransactionCommand::kCommit:
      return CommitTransaction(tag, outcome);
    case TransactionCommand::kRollback:
      if (!TransactionIsOpen()) outcome.notices.push_back(NoTransaction());
      RollBackTransaction();
      return std::nullopt;
    case TransactionCommand::kSavepoint:
    case TransactionCommand::kRelease:
    case TransactionCommand::kRollbackTo:
      return RunSavepointCommand(prepared, command);
  }
  return std::nullopt;
}

std::optional<Error> SqliteSession::BeginByText(Prepared& prepared, Outcome& outcome) {
  if (failed_) return AbortedTransaction();
  if (InTransaction()) {
    outcome.notices.push_back(Warning("25001", "there is already a transaction in progress"));
    return std::nullopt;
  }
  // BEGIN and BEGIN DEFERRED do not touch the database.
  const bool deferred = sqlite3_stmt_readonly(prepared.statement.get()) != 0;
  if (deferred || role_ != Role::kWriter) return BeginTransaction(false);
  return StepToEnd(prepared);
}

std::optional<Error> SqliteSession::BeginTransaction(bool read_only) {
  read_only_ = read_only;
  const bool only_reads = read_only || role_ != Role::kWriter;
  const bool begun =
      only_reads ? RunOwn(begin_reads_) && RunOwn(take_snapshot_) : RunOwn(begin_writes_);
  if (begun) return std::nullopt;
  Error error = Failure();
  RollBackTransaction();
  return error;
}

std::optional<Error> SqliteSession::RunSavepointCommand(Prepared& prepared,
                                                        TransactionCommand command) {
  if (!TransactionIsOpen()) {
    return OwnSqlError(
        "25P01", fmt::format("{} can only be used in transaction blocks", CommandOf(command)));
  }
  const bool goes_back = command == TransactionCommand::kRollbackTo;
  if (failed_ && !goes_back) return AbortedTransaction();
  if (!InTransaction()) return SavepointsAreGone();
  std::optional<Error> error = StepToEnd(prepared);
  failed_ = error.has_value();
  return error;
}

std::optional<Error> SqliteSession::StepToEnd(Prepared& prepared) {
  std::optional<Error> error;
  if (sqlite3_step(prepared.statement.get()) != SQLITE_DONE) error = Failure();
  sqlite3_reset(prepared.statement.get());
  return error;
}

std::optional<Error> SqliteSession::CommitTransaction(std::string& tag, Outcome& outcome) {
  tag = failed_ ? "ROLLBACK" : "COMMIT";
  if (failed_ || !InTransaction()) {
    if (!failed_) outcome.notices.push_back(NoTransaction());
    RollBackTransaction();
    return std::nullopt;
  }
  const bool only_read = read_only_ || role_ != Role::kWriter;
  std::optional<Error> error;
  if (!RunOwn(commit_)) {
    error = Failure();
    // After these, whether it is in the file is known only to whoever reads the file next.
    error->outcome_unknown = broken_ && !only_read;
    tag.clear();
  }
  RollBackTransaction();
  return error;
}

// Also tidies up after a transaction that is over already.
void SqliteSession::RollBackTransaction() {
  if (InTransaction()) RunOwn(rollback_);
  broken_ = broken_ || InTransaction();
  failed_ = false;
  read_only_ = false;
}

}  // namespace dbsidecar::pool
