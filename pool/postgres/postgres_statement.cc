// The part of PostgresConnection that knows what a statement is: how it is sent, and what its
// results mean.
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "pool/postgres/call_settings.h"
#include "pool/postgres/parameters.h"
#include "pool/postgres/postgres_connection.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/postgres_result.h"
#include "pool/postgres/transaction_commands.h"

namespace dbsidecar::pool {
namespace {

// How often a statement is prepared anew in a storm of definitions. One that is wrong and not out
// of date fails at the second attempt, which does not run by name.
constexpr int kRetriesMax = 5;
// Rows that nobody wants are read and dropped; beyond so many a cancel costs less.
constexpr uint64_t kDroppedRowsMax = 1000;

std::string PreparedName(uint64_t number) { return fmt::format("dbsidecar_{}", number); }

// Outside a transaction it would just be prepared anew. To the caller it is a conflict like others.
Error StaleInTransaction() {
  Error error = OwnError(ErrorKind::kDatabase,
                         "a definition changed under a statement of this transaction; run the "
                         "whole transaction again");
  error.sql.sqlstate = "40001";
  error.sql.severity = "ERROR";
  error.sql.message = error.message;
  return error;
}

// With what other transactions did at the same time; the server undid this one.
bool IsConflict(const Error& error) {
  return error.sql.sqlstate == "40001" || error.sql.sqlstate == "40P01";
}

// By sqlcommenter's rules: at the end of the text, and not where it has a comment already, behind
// which this one might be no comment. Empty = none.
std::string TraceComment(const Call& call) {
  const std::string_view sql = call.statement.sql;
  const bool has_comment =
      sql.find("--") != std::string_view::npos || sql.find("/*") != std::string_view::npos;
  if (!call.trace.sampled() || has_comment) return "";
  return fmt::format(" /*traceparent='{}'*/", call.trace.text());
}

Error LeftATransactionOpen() {
  return OwnError(ErrorKind::kNeedsSession,
                  "the statement left a transaction open; it was rolled back. Use "
                  "SessionControl.begin");
}

}  // namespace

// Of a connection that was lost it is unknown, which says nothing about a statement that was
// answered before.
TransactionStatus PostgresConnection::transaction_status() const {
  switch (PQtransactionStatus(conn_)) {
    case PQTRANS_INTRANS:
      return TransactionStatus::kInTransaction;
    case PQTRANS_INERROR:
      return TransactionStatus::kFailed;
    case PQTRANS_IDLE:
    case PQTRANS_ACTIVE:
    case PQTRANS_UNKNOWN:
      return TransactionStatus::kIdle;
  }
  return TransactionStatus::kIdle;
}

bool PostgresConnection::SendStatement(Operation& operation) {
  const SessionUse& session = operation.call->session;
  operation.in_transaction = session.kind == SessionUse::Kind::kContinue &&
                             transaction_status() != TransactionStatus::kIdle;
  in_session_ = session.kind != SessionUse::Kind::kNone;
  if (session.kind == SessionUse::Kind::kEnd) {
    return SendPlain(operation, Command::kCommit,
                     session.end == SessionUse::End::kCommit ? "COMMIT" : "ROLLBACK");
  }
  if (session.kind == SessionUse::Kind::kBegin &&
      !SendPlain(operation, Command::kBegin, BeginText(session.begin))) {
    return false;
  }
  NoteSettings(operation);
  // BEGIN as SQL has to be the first in its transaction, and keeps what comes after it.
  const bool settings_last = operation.traits->transaction_control;
  if (!settings_last && !SendSettings(operation)) return false;
  const std::optional<TimeoutLift> lift =
      settings_last ? std::nullopt
                    : TimeoutLiftFor(*operation.call, environment_.statement_timeout);
  if (lift && !SendSettingsCommand(operation, LiftCommand(*lift, SettingsReach::kTransaction))) {
    return false;
  }
  if (!SendExecute(operation)) return false;
  // Without a session its transaction ends here.
  if (lift && in_session_ && !SendSettingsCommand(operation, UnliftCommand())) return false;
  if (settings_last && !SendSettings(operation)) return false;
  return !session.commit || SendPlain(operation, Command::kCommit, "COMMIT");
}

// What a text means depends on the settings, so a statement that was prepared under some must not
// be run under others.
void PostgresConnection::NoteSettings(Operation& operation) {
  const bool continues = operation.call->session.kind == SessionUse::Kind::kContinue;
  std::string key = MeaningKey(operation.call->statement.settings);
  if (!continues) {
    session_meaning_key_ = std::move(key);
    session_meaning_mixed_ = false;
  } else if (!key.empty()) {
    session_meaning_mixed_ = true;
  }
  operation.may_be_prepared = !session_meaning_mixed_;
  operation.meaning_key = session_meaning_key_;
}

// In the same transaction as the statement, so they end with it; a pinned session keeps them.
bool PostgresConnection::SendSettings(Operation& operation) {
  const Call& call = *operation.call;
  if (call.statement.settings.none()) return true;
  const bool pins = call.session.kind == SessionUse::Kind::kPin;
  return SendSettingsCommand(
      operation, CommandFor(call.statement.settings,
                            pins ? SettingsReach::kSession : SettingsReach::kTransaction));
}

bool PostgresConnection::SendSettingsCommand(Operation& operation, const SettingsCommand& command) {
  std::vector<const char*> values;
  for (const std::string& value : command.values) values.push_back(value.c_str());
  operation.Expect(Command::kSettings);
  return PQsendQueryParams(conn_, command.sql.c_str(), static_cast<int>(values.size()), nullptr,
                           values.data(), nullptr, nullptr, 0) == 1;
}

bool PostgresConnection::SendPlain(Operation& operation, Command command, const std::string& sql) {
  operation.Expect(command);
  return PQsendQueryParams(conn_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
}

bool PostgresConnection::SendExecute(Operation& operation) {
  const Statement& statement = operation.call->statement;
  const Parameters parameters(statement);
  const std::string comment =
      environment_.trace_comments ? TraceComment(*operation.call) : std::string();
  // With it the text is one that never comes again.
  if (operation.may_be_prepared && comment.empty()) ChoosePrepared(KeyOf(operation), operation);
  const std::string name =
      operation.prepared_number == 0 ? "" : PreparedName(operation.prepared_number);
  if (operation.prepares) {
    operation.Expect(Command::kPrepare);
    if (PQsendPrepare(conn_, name.c_str(), std::string(statement.sql).c_str(), parameters.count(),
                      parameters.types()) != 1) {
      return false;
    }
  }
  // In a session it would be for all that follows there.
  if (statement.read_only && !operation.traits->plain_read && !in_session_) {
    if (!SendReadOnly(operation)) return false;
  }
  operation.Expect(Command::kExecute);
  if (name.empty()) {
    return PQsendQueryParams(conn_, (std::string(statement.sql) + comment).c_str(),
                             parameters.count(), parameters.types(), parameters.values(),
                             parameters.lengths(), parameters.formats(), 0) == 1;
  }
  return PQsendQueryPrepared(conn_, name.c_str(), parameters.count(), parameters.values(),
                             parameters.lengths(), parameters.formats(), 0) == 1;
}

bool PostgresConnection::SendReadOnly(Operation& operation) {
  const bool prepares = read_only_number_ == 0;
  if (prepares) read_only_number_ = next_number_++;
  operation.read_only_number = read_only_number_;
  const std::string name = PreparedName(read_only_number_);
  if (prepares) {
    operation.Expect(Command::kReadOnly);
    if (PQsendPrepare(conn_, name.c_str(), kMakeReadOnly, 0, nullptr) != 1) return false;
  }
  operation.Expect(Command::kReadOnly);
  return PQsendQueryPrepared(conn_, name.c_str(), 0, nullptr, nullptr, nullptr, 0) == 1;
}

std::string PostgresConnection::KeyOf(const Operation& operation) {
  return PreparedKey(operation.call->statement) + operation.meaning_key;
}

// A text is prepared when it comes for the second time: one that comes only once would push out
// those that come again.
void PostgresConnection::ChoosePrepared(const std::string& key, Operation& operation) {
  if (environment_.prepared_max == 0) return;
  Prepared* known = prepared_.Find(key);
  if (known == nullptr) {
    std::vector<Prepared> forgotten;
    prepared_.Insert(key, Prepared{}, &forgotten);
    for (const Prepared& prepared : forgotten) {
      if (prepared.number != 0) unwanted_.push_back(prepared.number);
    }
    return;
  }
  operation.prepares = known->number == 0;
  if (operation.prepares) known->number = next_number_++;
  operation.prepared_number = known->number;
}

// The prepared statement by which it ran is out of date, or was never made.
void PostgresConnection::Forget(const Operation& operation) {
  const std::string key = KeyOf(operation);
  const Prepared* known = prepared_.Find(key);
  // It may have been prepared anew already.
  if (known == nullptr || known->number != operation.prepared_number) return;
  if (known->number != 0) unwanted_.push_back(known->number);
  prepared_.Erase(key);
}

// The same of the one that made it read-only. Others behind it may fail likewise after another has
// been made.
void PostgresConnection::ForgetReadOnly(const Operation& operation) {
  if (operation.read_only_number != read_only_number_) return;
  unwanted_.push_back(std::exchange(read_only_number_, 0));
}

void PostgresConnection::DeallocateUnwanted() {
  // One may fail, because the server does not know the name.
  for (const uint64_t number : std::exchange(unwanted_, {})) {
    if (!RunUnheard("DEALLOCATE " + PreparedName(number))) return;
  }
}

void PostgresConnection::Take(Operation& operation, const PGresult* result) {
  switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
      if (operation.current() == Command::kExecute) TakeRows(operation, result);
      break;
    case PGRES_COMMAND_OK:
      if (operation.current() == Command::kCommit) {
        operation.outcome.end_tag = PQcmdStatus(const_cast<PGresult*>(result));
      }
      if (operation.current() != Command::kExecute) break;
      operation.completed = true;
      operation.outcome.result.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
      break;
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
      if (PQstatus(conn_) == CONNECTION_BAD && !IsFromServer(result)) {
        // libpq's own word for a lost connection. It says nothing about the statement.
        Lose(PQresultErrorMessage(result));
        break;
      }
      TakeError(operation, result);
      // Before one that shares its Sync with others is taken for complete.
      if (operation.fatal) Lose(operation.outcome.error->message);
      break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      Lose("COPY was started outside CopyIn and CopyOut");
      break;
    case PGRES_PIPELINE_ABORTED:  // Follows the error that tells why, its own or another's.
      operation.skipped = !operation.outcome.error.has_value();
      break;
    case PGRES_EMPTY_QUERY:
      operation.empty = true;
      operation.completed = true;
      break;
    case PGRES_NONFATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
      break;
  }
}

void PostgresConnection::TakeRows(Operation& operation, const PGresult* result) {
  if (operation.kind != Operation::Kind::kStatement) {
    TakeFindings(operation, result);
    return;
  }
  if (IsStream(operation)) {
    TakeStreamedRows(operation, result);
    return;
  }
  Result& into = operation.outcome.result;
  if (into.columns.empty() && PQnfields(result) > 0) {
    into.columns = ColumnsOf(result);
    into.rows.SetColumnCount(into.columns.size());
  }
  const ResultLimits& limits = operation.call->statement.limits;
  for (int row = 0; row < PQntuples(result); ++row) {
    if (limits.rows_max != 0 && into.rows.row_count() >= limits.rows_max) {
      (limits.truncate ? into.truncated : operation.too_large) = true;
    }
    if (into.truncated || operation.too_large) {
      ++operation.dropped_rows;
      continue;
    }
    AppendRow(result, row, into.rows);
    if (limits.bytes_max != 0 && into.rows.data_bytes() > limits.bytes_max) {
      operation.too_large = true;
    }
  }
  if (operation.too_large) into.rows = RowBuffer();
  if (PQresultStatus(result) == PGRES_TUPLES_OK) {
    operation.completed = true;
    into.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
  }
  if (operation.dropped_rows > kDroppedRowsMax) StopEarly(operation);
}

void PostgresConnection::TakeError(Operation& operation, const PGresult* result) {
  if (operation.outcome.error.has_value()) return;
  operation.outcome.error = DatabaseError(result);
  // In a text that is not the caller's.
  if (operation.current() == Command::kSettings) operation.outcome.error->sql.position = 0;
  operation.fatal = IsFatal(result);
  operation.prepare_failed = operation.current() == Command::kPrepare;
  const bool read_only = operation.current() == Command::kReadOnly;
  // Also when it was prepared just now: a definition can change between that and its execution.
  const bool by_name =
      read_only || (operation.prepared_number != 0 && operation.current() == Command::kExecute);
  operation.surely_stale = by_name && IsStalePlan(result);
  operation.stale = operation.surely_stale || (by_name && MayBeStalePlan(result));
  operation.read_only_stale = read_only && operation.stale;
}

// Nobody wants the rest. A result that was cut is a success, so the cancel must not undo anything:
// only what the database itself kept from writing is cut short. One that is too large fails anyway.
void PostgresConnection::StopEarly(Operation& operation) {
  // In a session it would fail the transaction.
  const bool may_stop = operation.call->session.none() &&
                        (operation.too_large ? operation.traits->pure_read : OnlyReads(operation));
  if (operation.stopped || !may_stop) return;
  operation.stopped = true;
  StartCancel();
}

void PostgresConnection::Reply(OperationPtr replied) {
  Operation& operation = *replied;
  Call& call = *operation.call;
  // Before anything more is sent: from then on libpq calls the connection active.
  // Behind it others may be under way, none of which can open a transaction.
  const SessionUse& session = call.session;
  if (call.sink != nullptr) EndStream();
  const TransactionStatus status =
      in_flight_.empty() ? transaction_status() : TransactionStatus::kIdle;
  if (operation.stale || operation.prepare_failed || (operation.skipped && operation.prepares)) {
    Forget(operation);
  }
  if (operation.skipped) {
    RunAgain(operation);
    return;
  }
  if (operation.read_only_stale) ForgetReadOnly(operation);
  if (!session.none() && operation.traits->changes_meaning) session_meaning_mixed_ = true;
  if (operation.stale && operation.in_transaction) {
    if (operation.surely_stale) operation.outcome.error = StaleInTransaction();
  } else if (operation.stale && operation.retries < kRetriesMax && !operation.parts_went_out) {
    if (status != TransactionStatus::kIdle) RunUnheard("ROLLBACK");
    // The statement did not start, or was undone as a whole; prepared anew it may well run.
    ++operation.retries;
    RunAgain(operation);
    return;
  }
  if (operation.run != nullptr) operation.outcome = operation.run->Finish();
  Outcome& outcome = operation.outcome;
  outcome.undone = operation.hit_by_cancel && outcome.error &&
                   outcome.error->sql.sqlstate == "57014" && !operation.stopped &&
                   !operation.traits->commits_inside && !IsCancelWanted(call);
  Result& result = outcome.result;
  if (operation.run == nullptr) result.rows_affected = RowsAffected(result.command_tag);
  if (operation.stopped && outcome.error && outcome.error->sql.sqlstate == "57014") {
    outcome.error.reset();  // We asked for it.
  }
  outcome.may_run_again = outcome.error && IsConflict(*outcome.error) && MayRunAgain(operation);
  const bool interrupted = outcome.error && outcome.error->sql.sqlstate.starts_with("57");
  if (interrupted && operation.traits->commits_inside) outcome.error->outcome_unknown = true;
  if (operation.too_large && !outcome.error) {
    const auto too_large = IsStream(operation) ? &RowTooLarge : &ResultTooLarge;
    outcome.error = too_large(call.statement.limits, !operation.traits->pure_read);
  }
  Condition condition = LeavesTraces(operation) ? Condition::kDirty : Condition::kClean;
  if (cancel_astray_) condition = Condition::kBroken;
  // Nothing but its own answer makes a statement a success.
  const bool ran_alone = operation.run == nullptr && operation.exchange == nullptr;
  const bool answered = operation.completed && (operation.empty || !result.command_tag.empty());
  const bool ended = answered || operation.stopped || session.kind == SessionUse::Kind::kEnd;
  if (ran_alone && !outcome.error && !ended) {
    outcome.error = LostError(operation, "its answer did not come");
    outcome.may_run_again = MayRunAgain(operation);
    condition = Condition::kBroken;
  }
  if (!session.none() && !outcome.error && TookTheTransactionWithIt(operation)) {
    outcome.error = LostError(operation, "the server ended it");
    condition = Condition::kBroken;
  }
  outcome.transaction_status = status;
  if (status != TransactionStatus::kIdle && session.none()) {
    outcome.transaction_status = TransactionStatus::kIdle;
    condition = Condition::kBroken;  // Closing it rolls back.
    // A script may have failed inside a transaction of its own.
    if (!outcome.error) outcome.error = LeftATransactionOpen();
  }
  ForgetCancel(&call);
  if (!outcome.error && !operation.traits->unknown_names.empty() && TakeUnknown(call)) {
    events_.OnCatalogChanged();
  }
  const bool unchanged = outcome.error && !outcome.error->outcome_unknown;
  if (operation.traits->changes_catalog && status != TransactionStatus::kIdle && !session.none()) {
    ++changes_in_transaction_;  // Nobody sees them before the COMMIT.
  } else {
    EndChange(operation, !unchanged);
  }
  if (status == TransactionStatus::kIdle) EndChangesInTransaction();
  events_.OnReply(id_, call, std::move(outcome), condition);
}

// The statement was answered, but its connection is gone by now, and so is the transaction that it
// was a part of.
bool PostgresConnection::TookTheTransactionWithIt(const Operation& operation) const {
  if (PQtransactionStatus(conn_) != PQTRANS_UNKNOWN) return false;
  const SessionUse& session = operation.call->session;
  if (operation.run != nullptr) {
    const bool opens = session.kind == SessionUse::Kind::kBegin;
    return (opens || operation.in_transaction) && !session.commit;
  }
  const std::string& tag = operation.outcome.result.command_tag;
  const bool ended = !operation.outcome.end_tag.empty() || tag == "COMMIT" || tag == "ROLLBACK";
  return !ended;
}

void PostgresConnection::RunAgain(const Operation& operation) {
  auto again = std::make_unique<Operation>(Operation::Kind::kStatement);
  again->call = operation.call;
  again->traits = operation.traits;
  again->classified = operation.classified;
  again->retries = operation.retries;
  // Or one that fails each time might keep a neighbour from ever running.
  again->syncs_alone = true;
  Queue(std::move(again));
}

// By what is known now: it may have run after a change that was noticed after it was sent.
bool PostgresConnection::LeavesTraces(const Operation& operation) {
  StatementClassifier& classifier = environment_.classifier;
  if (operation.traits->leaves_traces || classifier.changing()) return true;
  if (operation.classified == classifier.version()) return false;
  for (const std::string_view text : TextsOf(*operation.call)) {
    if (classifier.Classify(text)->leaves_traces) return true;
  }
  return false;
}

void PostgresConnection::EndChange(const Operation& operation, bool changed) {
  if (operation.traits == nullptr || !operation.traits->changes_catalog) return;
  environment_.classifier.ChangeEnds();
  if (!changed) return;
  environment_.classifier.ForgetCatalog();
  events_.OnCatalogChanged();
}

void PostgresConnection::EndChangesInTransaction() {
  if (changes_in_transaction_ == 0) return;
  for (; changes_in_transaction_ > 0; --changes_in_transaction_) {
    environment_.classifier.ChangeEnds();
  }
  environment_.classifier.ForgetCatalog();
  events_.OnCatalogChanged();
}

bool PostgresConnection::Commits(const Operation& operation) {
  const SessionUse& session = operation.call->session;
  return session.commit || operation.traits->transaction_control ||
         (session.kind == SessionUse::Kind::kEnd && session.end == SessionUse::End::kCommit);
}

// The database has kept it from writing.
bool PostgresConnection::OnlyReads(const Operation& operation) {
  return operation.call->statement.read_only && operation.call->session.none() &&
         !operation.traits->commits_inside;
}

// Nothing of it remains: it only reads, or is part of a transaction that has not been committed.
bool PostgresConnection::IsHarmless(const Operation& operation) {
  const SessionUse::Kind kind = operation.call->session.kind;
  const bool in_transaction = kind == SessionUse::Kind::kBegin || kind == SessionUse::Kind::kEnd ||
                              (kind == SessionUse::Kind::kContinue && operation.in_transaction);
  return OnlyReads(operation) ||
         (in_transaction && !Commits(operation) && !operation.traits->commits_inside);
}

// Of one that failed for a reason that may pass.
bool PostgresConnection::MayRunAgain(const Operation& operation) {
  const Statement& statement = operation.call->statement;
  return !operation.call->session.in_session() && !operation.traits->commits_inside &&
         !operation.parts_went_out && (statement.read_only || statement.idempotent);
}

Error PostgresConnection::LostError(const Operation& operation, const std::string& reason) {
  const bool unknown = operation.sent && !IsHarmless(operation);
  const std::string_view effect =
      unknown ? "so whether it took effect is unknown" : "it had no effect";
  return {.kind = ErrorKind::kConnectionLost,
          .message = fmt::format(
              "the connection was lost {}, {}: {}",
              operation.sent ? "while the statement was running" : "before the statement was sent",
              effect, reason),
          .sql = {},
          .outcome_unknown = unknown};
}

}  // namespace dbsidecar::pool
