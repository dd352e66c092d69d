// The part of SqliteSession that runs scripts, with the semantics of PostgreSQL's simple query
// protocol:
//
//  * A text of several statements is one transaction, as far as it has none of its own: what comes
//    before a BEGIN belongs to the transaction that it opens, COMMIT and ROLLBACK end whatever
//    there is, and what follows them is a transaction again. An error undoes what is not committed.
//  * A statement that is alone in its text, or in separate transactions, runs in autocommit.
//  * What sets the connection (PRAGMA, ATTACH) does not by itself begin a transaction, in which
//    some of it would do nothing: `PRAGMA foreign_keys=OFF` at the head of a script works.
//
// Each statement is compiled when its turn comes, because it may need those before it.
#include <utility>

#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

Error NotInATransaction() {
  return InvalidArgument(
      "separate_transactions is not possible inside a transaction; nothing was run");
}

Error LeftATransactionOpen() {
  return ErrorOf(ErrorKind::kNeedsSession,
                 "the script left a transaction open; it was rolled back. Use "
                 "SessionControl.begin");
}

Error NotInABlock() {
  Error error = ErrorOf(ErrorKind::kDatabase, "savepoints can only be used in transaction blocks");
  error.sql.sqlstate = "25P01";
  error.sql.severity = "ERROR";
  error.sql.message = error.message;
  return error;
}

Notice NoTransaction() {
  return {
      .severity = "WARNING", .sqlstate = "25P01", .message = "there is no transaction in progress"};
}

bool IsBlank(std::string_view sql) { return BlankPrefix(sql) == sql.size(); }

}  // namespace

std::optional<Error> SqliteSession::RunScript(const Call& call, Outcome& outcome) {
  const Statement& script = call.statement;
  if (script.separate_transactions && TransactionIsOpen()) return NotInATransaction();
  if (std::optional<Error> error = CheckText(script.sql)) return error;
  ScriptState state;
  std::optional<Error> error = RunStatementsOfScript(script, state, outcome);
  if (!error.has_value() && state.own_block) {
    std::string tag;
    committing_ = false;
    error = CommitTransaction(tag, outcome);
  } else if (state.own_block) {
    RollBackTransaction();
  }
  if (error.has_value() && state.took_effect && error->sql.sqlstate == "57014") {
    error->outcome_unknown = true;
  }
  const bool held = call.session.kind != SessionUse::Kind::kNone || call.session.auto_pin;
  if (!held && TransactionIsOpen()) {
    RollBackTransaction();
    if (!error.has_value()) error = LeftATransactionOpen();
  }
  return error;
}

std::optional<Error> SqliteSession::RunStatementsOfScript(const Statement& script,
                                                          ScriptState& state, Outcome& outcome) {
  for (uint64_t index = 0;; ++index) {
    state.at += BlankPrefix(script.sql.substr(state.at));
    if (state.at == script.sql.size()) return std::nullopt;
    std::optional<Error> error = RunNextOfScript(script, state, outcome);
    uncached_ = {};
    if (error.has_value()) {
      error->place = {.part = "statement", .index = index};
      return error;
    }
    bytes_kept_ += outcome.result.rows.data_bytes();
    outcome.results.push_back(std::exchange(outcome.result, {}));
  }
}

std::optional<Error> SqliteSession::RunNextOfScript(const Statement& script, ScriptState& state,
                                                    Outcome& outcome) {
  const size_t begin = state.at;
  committing_ = false;
  if (interruption_.requested()) {
    failed_ = TransactionIsOpen() && !state.own_block;
    return InterruptedError();
  }
  // Not even compiled, because that is when some PRAGMAs take effect.
  if (failed_ && !IsTransactionControl(script.sql.substr(begin))) return AbortedTransaction();
  const bool in_block = TransactionIsOpen() && !state.own_block;
  bool refused_by_text = false;
  uncached_ = {};
  std::optional<Error> error = CompileAt(script.sql, begin, uncached_, state.at, refused_by_text);
  if (!error.has_value()) {
    Statement statement = script;
    statement.sql = script.sql.substr(begin, state.at - begin);
    const bool alone = script.separate_transactions ||
                       (outcome.results.empty() && IsBlank(script.sql.substr(state.at)));
    error = uncached_.transaction.has_value()
                ? RunTransactionCommandOfScript(uncached_, statement, state, outcome)
                : RunPlainOfScript(uncached_, statement, alone, state, outcome.result);
  }
  if (error.has_value() && in_block) failed_ = true;
  return error;
}

std::optional<Error> SqliteSession::RunPlainOfScript(Prepared& prepared, const Statement& statement,
                                                     bool alone, ScriptState& state,
                                                     Result& result) {
  const bool sets_the_connection = prepared.leaves_traces && !prepared.writes;
  if (!InTransaction() && !alone && !sets_the_connection) {
    if (std::optional<Error> error = BeginTransaction(false)) return error;
    state.own_block = true;
  }
  const bool was_open = InTransaction();
  Execution execution;
  std::optional<Error> error = RunLookedUp(prepared, statement, execution);
  result = std::move(execution.outcome.result);
  if (!was_open && InTransaction()) RollBackTransaction();
  const bool committed = !error.has_value() && !InTransaction() && prepared.writes;
  state.took_effect = state.took_effect || committed;
  return error;
}

std::optional<Error> SqliteSession::RunTransactionCommandOfScript(Prepared& prepared,
                                                                  const Statement& statement,
                                                                  ScriptState& state,
                                                                  Outcome& outcome) {
  const TransactionCommand command = *prepared.transaction;
  const bool ends = command == TransactionCommand::kCommit;
  if (!state.own_block) {
    std::optional<Error> error = RunTransactionCommand(prepared, statement, outcome);
    state.took_effect = state.took_effect || (ends && !error.has_value());
    return error;
  }
  switch (command) {
    case TransactionCommand::kBegin:
      // What has run so far belongs to it.
      state.own_block = false;
      outcome.result.command_tag = "BEGIN";
      return std::nullopt;
    case TransactionCommand::kCommit:
    case TransactionCommand::kRollback: {
      outcome.notices.push_back(NoTransaction());
      state.own_block = false;
      std::optional<Error> error = RunTransactionCommand(prepared, statement, outcome);
      state.took_effect = state.took_effect || (ends && !error.has_value());
      return error;
    }
    case TransactionCommand::kSavepoint:
    case TransactionCommand::kRelease:
    case TransactionCommand::kRollbackTo:
      return NotInABlock();
  }
  return std::nullopt;
}

}  // namespace dbsidecar::pool
