// The part of SqliteSession that runs batches, and one statement for many rows.
//
//  * What is refused for its text, or for the number of its parameters, is refused before anything
//    has run; so is what a reader finds to write, which then goes to the writer.
//  * What is atomic runs in the session's transaction or in one of its own. A step that may fail
//    runs in a savepoint; a failure that takes the whole transaction along, as an interrupted write
//    does, fails all.
//  * Steps that are independent run as in autocommit.
//  * An error in a session's transaction leaves that failed, as in PostgreSQL.
#include <sqlite3.h>

#include <algorithm>
#include <string>
#include <utility>

#include "pool/sqlite/sqlite_result.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

using Purpose = Authorizer::Purpose;

Error AtPlace(Error error, std::string_view part, size_t index) {
  if (!error.place.has_value()) error.place = {.part = part, .index = index};
  return error;
}

Error NoTransactionControl() {
  return InvalidArgument(
      "transaction control cannot be among several statements of one call; its session says what "
      "is a transaction");
}

Error ConnectionIsBroken() {
  return ErrorOf(ErrorKind::kConnectionLost,
                 "the database file failed in an earlier step, so this one was not run");
}

bool ConditionsHold(const BatchStep& step, const std::vector<StepResult>& results) {
  return std::all_of(step.conditions.begin(), step.conditions.end(),
                     [&results](const StepCondition& condition) {
                       return Holds(condition, results[condition.step]);
                     });
}

// Which steps' rows a later condition asks for.
std::vector<bool> StepsWhoseRowsCount(const Batch& batch) {
  std::vector<bool> count(batch.steps.size());
  for (const BatchStep& step : batch.steps) {
    for (const StepCondition& condition : step.conditions) {
      if (!condition.outcome.has_value()) count[condition.step] = true;
    }
  }
  return count;
}

// Why it failed stays, what it had returned does not.
void SetFailed(StepResult& step, Error error) {
  step.outcome = StepOutcome::kFailed;
  step.result = {};
  step.error = std::move(error);
}

Error TooLarge(const ResultLimits& limits, bool writes) {
  Error error = ResultTooLarge(limits, false);
  if (writes) error.message += "; all rows were rolled back, so nothing took effect";
  return error;
}

}  // namespace

SqliteSession::Execution SqliteSession::RunSeveral(const Call& call) {
  SetBusyUntil(call.deadline);
  committing_ = false;
  if (!call.session.in_session()) ForgetSession();
  kept_ = true;
  // A script may do what a session may: the connection is reset behind it.
  const bool for_itself =
      call.session.kind != SessionUse::Kind::kNone || call.statement.form == StatementForm::kScript;
  purpose_ = for_itself ? Purpose::kSession : Purpose::kAutocommit;
  Execution execution;
  execution.outcome.error = RunSeveralOfCall(call, execution);
  purpose_ = Purpose::kAutocommit;
  uncached_ = {};
  bytes_kept_ = 0;
  Outcome& outcome = execution.outcome;
  if (outcome.error.has_value()) {
    outcome.result = {};
    outcome.results.clear();
    outcome.steps.clear();
    outcome.rows_affected_by_row.clear();
  }
  outcome.transaction_status = Status();
  if (broken_) {
    execution.condition = Condition::kBroken;
  } else if (traces_) {
    execution.condition = Condition::kDirty;
  }
  return execution;
}

std::optional<Error> SqliteSession::RunSeveralOfCall(const Call& call, Execution& execution) {
  const SessionUse& use = call.session;
  if (interruption_.requested()) {
    failed_ = TransactionIsOpen();
    return InterruptedError();
  }
  const bool is_script = call.statement.form == StatementForm::kScript;
  std::optional<Error> error = is_script ? std::nullopt : Preview(call, execution);
  if (error.has_value() || execution.belongs_to_writer) return error;
  const bool begins = use.kind == SessionUse::Kind::kBegin;
  if (begins) error = BeginTransaction(use.begin.read_only);
  if (error.has_value()) return error;
  if (is_script) {
    error = RunScript(call, execution.outcome);
  } else if (call.batch != nullptr && !call.batch->atomic) {
    RunIndependentSteps(*call.batch, execution);
  } else {
    error = RunInOneTransaction(call, execution);
  }
  if (!error.has_value() && use.commit) {
    error = CommitTransaction(execution.outcome.end_tag, execution.outcome);
  }
  // What would have opened the transaction leaves none open.
  if (error.has_value() && begins) RollBackTransaction();
  return error;
}

// Before anything runs. A statement that does not compile now may do so once those before it have
// run.
std::optional<Error> SqliteSession::Preview(const Call& call, Execution& execution) {
  if (call.batch == nullptr) {
    if (failed_) return AtPlace(AbortedTransaction(), "row", 0);
    if (call.rows->size() == 0) return std::nullopt;
    Statement first = call.statement;
    first.parameters.clear();
    call.rows->Get(0, first.parameters);
    return PreviewStatement(first, execution);
  }
  if (failed_) return AtPlace(AbortedTransaction(), "step", 0);
  const std::vector<BatchStep>& steps = call.batch->steps;
  for (size_t i = 0; i < steps.size(); ++i) {
    std::optional<Error> error = PreviewStatement(steps[i].statement, execution);
    if (execution.belongs_to_writer || execution.refused_by_text) {
      execution.deciding_text = steps[i].statement.sql;
    }
    if (error.has_value()) return AtPlace(std::move(*error), "step", i);
    if (execution.belongs_to_writer) return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Error> SqliteSession::PreviewStatement(const Statement& statement,
                                                     Execution& execution) {
  std::optional<Error> error;
  const Prepared* prepared = Lookup(statement.sql, error, execution.refused_by_text);
  if (prepared == nullptr) return execution.refused_by_text ? error : std::nullopt;
  if (prepared->transaction.has_value()) return NoTransactionControl();
  if (prepared->writes && statement.read_only) {
    // Outside sessions each step has its own error.
    if (purpose_ == Purpose::kAutocommit) return std::nullopt;
    return ReadOnlyError("the call is marked read_only");
  }
  if (std::optional<Error> wrong = CheckCount(*prepared, statement.parameters)) return wrong;
  execution.writes = execution.writes || prepared->writes;
  execution.belongs_to_writer = prepared->writes && role_ == Role::kReader && !read_only_;
  return std::nullopt;
}

std::optional<Error> SqliteSession::RunInOneTransaction(const Call& call, Execution& execution) {
  const bool own = !InTransaction();
  std::optional<Error> error;
  if (own) error = BeginTransaction(call.statement.read_only);
  if (error.has_value()) return error;
  error = call.batch != nullptr ? RunSteps(*call.batch, execution) : RunRows(call, execution);
  if (!own) {
    failed_ = error.has_value();
    return error;
  }
  std::string tag;
  if (!error.has_value() && !execution.belongs_to_writer) {
    committing_ = false;
    return CommitTransaction(tag, execution.outcome);
  }
  RollBackTransaction();
  return error;
}

std::optional<Error> SqliteSession::RunSteps(const Batch& batch, Execution& execution) {
  const std::vector<bool> counts_rows = StepsWhoseRowsCount(batch);
  std::vector<StepResult>& results = execution.outcome.steps;
  results.resize(batch.steps.size());
  for (size_t i = 0; i < batch.steps.size(); ++i) {
    const BatchStep& step = batch.steps[i];
    if (!ConditionsHold(step, results)) continue;
    std::optional<Error> error =
        step.may_fail ? RunStepThatMayFail(step, counts_rows[i], results[i], execution)
                      : RunOneStep(step, counts_rows[i], results[i], execution);
    if (error.has_value()) return AtPlace(std::move(*error), "step", i);
    if (execution.belongs_to_writer) return std::nullopt;
  }
  return std::nullopt;
}

// An error = all of it has failed.
std::optional<Error> SqliteSession::RunStepThatMayFail(const BatchStep& step, bool counts_rows,
                                                       StepResult& into, Execution& execution) {
  if (!RunOwn(savepoint_)) return Failure();
  std::optional<Error> error = RunOneStep(step, counts_rows, into, execution);
  const bool goes_on = InTransaction() && EndSavepoint(!error.has_value()) &&
                       !(error.has_value() && interruption_.requested()) && !broken_;
  if (!goes_on) return error.has_value() ? error : Failure();
  if (error.has_value()) SetFailed(into, std::move(*error));
  return std::nullopt;
}

std::optional<Error> SqliteSession::RunOneStep(const BatchStep& step, bool counts_rows,
                                               StepResult& into, Execution& execution) {
  Execution of_step;
  counts_rows_ = counts_rows;
  rows_stepped_ = 0;
  std::optional<Error> error = TryRun(step.statement, of_step);
  counts_rows_ = false;
  execution.belongs_to_writer = execution.belongs_to_writer || of_step.belongs_to_writer;
  if (of_step.belongs_to_writer) execution.deciding_text = step.statement.sql;
  if (error.has_value()) return error;
  into.outcome = StepOutcome::kOk;
  into.result = std::move(of_step.outcome.result);
  into.rows_returned = rows_stepped_;
  bytes_kept_ += into.result.rows.data_bytes();
  return std::nullopt;
}

void SqliteSession::RunIndependentSteps(const Batch& batch, Execution& execution) {
  const std::vector<bool> counts_rows = StepsWhoseRowsCount(batch);
  std::vector<StepResult>& results = execution.outcome.steps;
  results.resize(batch.steps.size());
  for (size_t i = 0; i < batch.steps.size() && !execution.belongs_to_writer; ++i) {
    if (interruption_.requested()) {
      SetFailed(results[i], InterruptedError());
    } else if (broken_) {
      SetFailed(results[i], ConnectionIsBroken());
    } else if (ConditionsHold(batch.steps[i], results)) {
      committing_ = false;
      std::optional<Error> error =
          RunOneStep(batch.steps[i], counts_rows[i], results[i], execution);
      if (error.has_value()) SetFailed(results[i], std::move(*error));
      Settle();
    }
  }
}

// --- One statement, many rows. ---

std::optional<Error> SqliteSession::RunRows(const Call& call, Execution& execution) {
  Outcome& outcome = execution.outcome;
  if (call.wants_rows_affected) outcome.rows_affected_by_row.resize(call.rows->size(), -1);
  if (call.rows->size() == 0) {
    outcome.result.rows_affected = 0;
    return std::nullopt;
  }
  std::optional<Error> error;
  bool refused_by_text = false;
  Prepared* prepared = Lookup(call.statement.sql, error, refused_by_text);
  if (prepared == nullptr) return AtPlace(std::move(*error), "row", 0);
  if (prepared->writes && call.statement.read_only) {
    return AtPlace(ReadOnlyError("the call is marked read_only"), "row", 0);
  }
  if (prepared->writes && role_ == Role::kReadOnly) {
    return AtPlace(ReadOnlyError("the database is opened read-only"), "row", 0);
  }
  if (prepared->writes && read_only_) {
    return AtPlace(ReadOnlyError("the transaction is read-only"), "row", 0);
  }
  if (prepared->writes && role_ == Role::kReader) {
    execution.belongs_to_writer = true;
    return std::nullopt;
  }
  authorizer_.BeginRun();
  error = RunEachRow(call, *prepared, outcome);
  std::optional<Error> refusal = authorizer_.EndRun();
  sqlite3_reset(prepared->statement.get());
  sqlite3_clear_bindings(prepared->statement.get());
  return error.has_value() && refusal.has_value() ? refusal : error;
}

std::optional<Error> SqliteSession::RunEachRow(const Call& call, Prepared& prepared,
                                               Outcome& outcome) {
  Result& all = outcome.result;
  std::vector<Value> parameters;
  int64_t affected = -1;
  for (size_t row = 0; row < call.rows->size(); ++row) {
    // SQLite forgets an interrupt that comes between two of them.
    if (interruption_.requested()) return InterruptedError();
    call.rows->Get(row, parameters);
    std::optional<Error> error = Bind(prepared, parameters);
    if (!error.has_value()) error = StepRow(prepared, call.statement.limits, all);
    sqlite3_reset(prepared.statement.get());
    if (error.has_value()) return AtPlace(std::move(*error), "row", row);
    const int64_t of_row = RowsAffected(prepared);
    if (of_row >= 0) affected = std::max<int64_t>(affected, 0) + of_row;
    if (call.wants_rows_affected) outcome.rows_affected_by_row[row] = of_row;
  }
  FinishResult(prepared, all, static_cast<int64_t>(rows_stepped_));
  all.rows_affected = affected;
  return std::nullopt;
}

// What it returns is added to what the rows before it returned.
std::optional<Error> SqliteSession::StepRow(Prepared& prepared, const ResultLimits& limits,
                                            Result& result) {
  sqlite3_stmt* statement = prepared.statement.get();
  int code = sqlite3_step(statement);
  if (result.rows.column_count() == 0 && prepared.returns_rows) {
    ReadColumnsOnce(prepared);
    result.columns = prepared.columns;
    result.rows.SetColumnCount(result.columns.size());
  }
  result.typed_cells = true;
  rows_stepped_ = 0;
  for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
    ++rows_stepped_;
    const bool enough = limits.rows_max > 0 && result.rows.row_count() >= limits.rows_max;
    if (enough && !limits.truncate) return TooLarge(limits, prepared.writes);
    if (enough) {
      result.truncated = true;
    } else if (!AddRow(statement, limits.bytes_max, result.rows)) {
      return TooLarge(limits, prepared.writes);
    }
  }
  if (code != SQLITE_DONE) return Failure();
  return std::nullopt;
}

}  // namespace dbsidecar::pool
