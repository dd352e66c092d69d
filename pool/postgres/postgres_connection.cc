#include "pool/postgres/postgres_connection.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "pool/check.h"
#include "pool/postgres/parameters.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/postgres_result.h"

namespace dbsidecar::pool {
namespace {

using ResultPtr = std::unique_ptr<PGresult, decltype(&PQclear)>;

constexpr size_t kNoticesMax = 100;
// How often a statement is prepared anew in a storm of definitions. One that is wrong and not out
// of date fails at the second attempt, which does not run by name.
constexpr int kRetriesMax = 5;
// Rows that nobody wants are read and dropped; beyond so many a cancel costs less.
constexpr uint64_t kDroppedRowsMax = 1000;
constexpr size_t kPreparedBytesMax = 8 * 1024 * 1024;
constexpr Duration kCloseMax = std::chrono::seconds(2);
// Statements share a Sync up to so long in all, by experience: the first has no answer before the
// last is over.
constexpr Duration kSyncMax = std::chrono::milliseconds(5);
// How long the server may take to accept a cancel.
constexpr Duration kCancelMax = std::chrono::seconds(2);
// Between two cancels of the same statement; doubled each time.
constexpr Duration kCancelPauseMin = std::chrono::milliseconds(5);
constexpr Duration kCancelPauseMax = std::chrono::seconds(1);

// The rest of the implicit transaction, up to the Sync, cannot write. As a function call it gives
// no warning about running outside a transaction block.
constexpr char kMakeReadOnly[] =
    "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)";

// Blocks until the server has passed the cancel on, or cannot be reached. False when `limit` came
// first: libpq cannot be told to give up, so the request is left to a thread of its own, and may
// still arrive.
bool SendCancel(PGcancel* cancel, Duration limit) {
  std::promise<void> sent;
  std::future<void> done = sent.get_future();
  std::thread([cancel, sent = std::move(sent)]() mutable {
    char ignored[256];
    PQcancel(cancel, ignored, sizeof(ignored));
    PQfreeCancel(cancel);
    sent.set_value();
  }).detach();
  return done.wait_for(limit) == std::future_status::ready;
}

std::string BeginText(const BeginOptions& options) {
  std::string sql = "BEGIN";
  switch (options.isolation) {
    case BeginOptions::Isolation::kDefault:
      break;
    case BeginOptions::Isolation::kReadCommitted:
      sql += " ISOLATION LEVEL READ COMMITTED";
      break;
    case BeginOptions::Isolation::kRepeatableRead:
      sql += " ISOLATION LEVEL REPEATABLE READ";
      break;
    case BeginOptions::Isolation::kSerializable:
      sql += " ISOLATION LEVEL SERIALIZABLE";
      break;
  }
  if (options.read_only) sql += " READ ONLY";
  if (options.deferrable) sql += " DEFERRABLE";
  return sql;
}

std::string PreparedName(uint64_t number) { return fmt::format("dbsidecar_{}", number); }

StatementTraits TraitsOfTheEnd() {
  StatementTraits traits;
  traits.commits_inside = false;
  traits.leaves_traces = false;
  traits.changes_catalog = false;
  return traits;
}

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

// Runs on a thread of its own: stops what still runs, says goodbye, and waits until the server
// process has gone.
void Disconnect(PGconn* conn, bool busy) {
  PGcancel* cancel = busy ? PQgetCancel(conn) : nullptr;
  if (cancel != nullptr) SendCancel(cancel, kCancelMax);
  const int fd = PQsocket(conn) >= 0 ? dup(PQsocket(conn)) : -1;
  PQfinish(conn);
  if (fd >= 0) AwaitPeerClose(fd, kCloseMax);
}

}  // namespace

PostgresConnection::PostgresConnection(ConnectionId id, ConnectionEvents& events,
                                       PostgresEnvironment environment)
    : id_(id),
      events_(events),
      environment_(environment),
      link_(std::make_shared<Link>(Link{this})),
      prepared_(environment.prepared_max, kPreparedBytesMax) {}

PostgresConnection::~PostgresConnection() {
  link_->connection = nullptr;
  for (; changes_in_transaction_ > 0; --changes_in_transaction_) {
    environment_.classifier.ChangeEnds();
  }
  StopCancelling();
  environment_.loop.NotAtTurnEnd(*this);
  Unwatch();
  if (conn_ != nullptr) PQfinish(conn_);
}

// --- Opening and closing. ---

void PostgresConnection::Open() {
  connecting_ = true;
  environment_.threads.Run(
      [link = link_, conninfo = environment_.conninfo, &loop = environment_.loop] {
        PGconn* conn = PQconnectdb(conninfo.c_str());
        loop.Post([link, conn] {
          if (link->connection != nullptr) {
            link->connection->Connected(conn);
          } else {
            PQfinish(conn);
          }
        });
      });
}

void PostgresConnection::Connected(PGconn* conn) {
  connecting_ = false;
  conn_ = conn;
  if (closing_) {
    Close();
    return;
  }
  if (PQstatus(conn) != CONNECTION_OK) {
    ConnectError failure = ConnectErrorOf(conn);
    PQfinish(std::exchange(conn_, nullptr));
    // The last word: the pool destroys this connection.
    events_.OnConnectFailed(id_, std::move(failure.error), failure.permanent);
    return;
  }
  PQsetnonblocking(conn, 1);
  PQenterPipelineMode(conn);
  PQsetNoticeReceiver(conn, &PostgresConnection::OnNotice, this);
  fd_ = PQsocket(conn);
  environment_.loop.Watch(fd_, this);
  events_.OnConnected(id_);
}

// libpq closes the socket by itself when the connection fails, so it cannot be asked then.
void PostgresConnection::Unwatch() {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  if (PQsocket(conn_) == fd) {
    environment_.loop.Unwatch(fd, this);
  } else {
    environment_.loop.Forget(fd, this);
  }
}

void PostgresConnection::Close() {
  closing_ = true;
  EndChangesInTransaction();
  StopCancelling();
  if (connecting_) return;  // Connected() comes back here.
  Unwatch();
  const bool busy = !in_flight_.empty() && !lost_;
  for (const Operation& operation : in_flight_) EndChange(operation, true);
  for (const Operation& operation : held_) EndChange(operation, true);
  for (const Operation& operation : unsent_) EndChange(operation, false);
  in_flight_.clear();
  held_.clear();
  unsent_.clear();
  environment_.threads.Run(
      [link = link_, conn = std::exchange(conn_, nullptr), busy, &loop = environment_.loop] {
        if (conn != nullptr) Disconnect(conn, busy);
        loop.Post([link] {
          if (PostgresConnection* self = link->connection) self->events_.OnClosed(self->id_);
        });
      });
}

// --- Sending. ---

void PostgresConnection::Ping() { Send(Operation(Operation::Kind::kPing), true); }

void PostgresConnection::Reset() {
  EndChangesInTransaction();
  if (conn_ != nullptr && transaction_status() != TransactionStatus::kIdle) RunUnheard("ROLLBACK");
  prepared_.Clear();
  unwanted_.clear();
  read_only_number_ = 0;
  Send(Operation(Operation::Kind::kReset), true);
}

void PostgresConnection::Execute(Call& call) {
  Operation operation(Operation::Kind::kStatement);
  operation.call = &call;
  if (call.session.kind == SessionUse::Kind::kEnd) {
    operation.traits = TraitsOfTheEnd();
  } else {
    operation.traits = environment_.classifier.Classify(call.statement.sql);
  }
  operation.classified = environment_.classifier.version();
  if (operation.traits.changes_catalog) environment_.classifier.ChangeBegins();
  Queue(std::move(operation));
}

void PostgresConnection::Queue(Operation operation) {
  if (unsent_.empty()) environment_.loop.AtTurnEnd(*this);
  unsent_.push_back(std::move(operation));
}

// The statements are those of different callers, so their order is free: first those that share a
// Sync.
void PostgresConnection::OnTurnEnd() {
  std::vector<Operation> unsent = std::move(unsent_);
  unsent_.clear();
  if (!in_session_) DeallocateUnwanted();
  const auto others = std::stable_partition(unsent.begin(), unsent.end(), &MaySyncLater);
  Duration together{};
  for (auto it = unsent.begin(); it != unsent.end(); ++it) {
    together += Expected(*it);
    const bool last = it + 1 == others || it >= others || together > kSyncMax;
    if (last) together = Duration::zero();
    Send(std::move(*it), last);
  }
}

Duration PostgresConnection::Expected(const Operation& operation) {
  return operation.traits.history->average();
}

bool PostgresConnection::MaySyncLater(const Operation& operation) {
  return operation.traits.plain_read && operation.call->statement.read_only &&
         !operation.syncs_alone && operation.call->session.none();
}

void PostgresConnection::Send(Operation operation, bool sync) {
  const bool usable = !lost_ && conn_ != nullptr;
  // Without its Sync a statement is undone, unless it commits by itself.
  operation.sent = usable && operation.traits.commits_inside;
  bool sent = usable && SendCommands(operation);
  operation.sent = operation.sent || sent;
  if (sync) {
    operation.Expect(Command::kSync);
    // Writes to the socket, too.
    sent = sent && PQpipelineSync(conn_) == 1;
  }
  in_flight_.push_back(std::move(operation));
  if (!sent) {
    Lose(conn_ == nullptr ? "not connected" : PQerrorMessage(conn_));
  } else if (sync) {
    Flush();
  }
}

bool PostgresConnection::SendCommands(Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kStatement:
      return SendStatement(operation);
    case Operation::Kind::kReset:
      operation.Expect(Command::kExecute);
      return PQsendQueryParams(conn_, "DISCARD ALL", 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
    case Operation::Kind::kPing:
    case Operation::Kind::kForget:
      return true;
  }
  return true;
}

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
  return SendExecute(operation) &&
         (!session.commit || SendPlain(operation, Command::kCommit, "COMMIT"));
}

bool PostgresConnection::SendPlain(Operation& operation, Command command, const std::string& sql) {
  operation.Expect(command);
  return PQsendQueryParams(conn_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
}

// An operation of its own, of which nobody hears: should it fail, no statement is touched. False =
// it could not be sent.
bool PostgresConnection::RunUnheard(const std::string& sql) {
  Operation operation(Operation::Kind::kForget);
  const bool sent = !lost_ && conn_ != nullptr && SendPlain(operation, Command::kExecute, sql) &&
                    PQpipelineSync(conn_) == 1;
  if (!sent) return false;
  operation.Expect(Command::kSync);
  in_flight_.push_back(std::move(operation));
  Flush();
  return true;
}

bool PostgresConnection::SendExecute(Operation& operation) {
  const Statement& statement = operation.call->statement;
  const Parameters parameters(statement);
  ChoosePrepared(PreparedKey(statement), operation);
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
  if (statement.read_only && !operation.traits.plain_read && !in_session_) {
    if (!SendReadOnly(operation)) return false;
  }
  operation.Expect(Command::kExecute);
  if (name.empty()) {
    return PQsendQueryParams(conn_, std::string(statement.sql).c_str(), parameters.count(),
                             parameters.types(), parameters.values(), parameters.lengths(),
                             parameters.formats(), 0) == 1;
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
  const std::string key = PreparedKey(operation.call->statement);
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

void PostgresConnection::Flush() {
  const int left = PQflush(conn_);
  if (left < 0) {
    Lose(PQerrorMessage(conn_));
    return;
  }
  environment_.loop.WatchWritable(fd_, this, left == 1);
}

// --- Receiving. ---

void PostgresConnection::OnReady(bool readable, bool writable) {
  if (readable && PQconsumeInput(conn_) != 1) {
    ReadResults();
    if (closing_) {
      Unwatch();  // libpq has closed the socket, and its number may come back as another's.
    } else {
      Lose(PQerrorMessage(conn_));
    }
    return;
  }
  ReadResults();
  if (writable && !lost_ && !closing_ && conn_ != nullptr) Flush();
}

void PostgresConnection::ReadResults() {
  if (in_flight_.empty()) {
    // Reads what the server says by itself, such as a parameter's new value or its farewell.
    PGnotify* notification = PQnotifies(conn_);
    PQfreemem(notification);
  }
  while (!closing_ && !in_flight_.empty() && ReadResult()) {
  }
  // libpq may have found the stream unreadable and closed the socket by itself.
  if (!closing_ && !lost_ && PQstatus(conn_) == CONNECTION_BAD) Lose(PQerrorMessage(conn_));
}

// False when no more can be read now.
bool PostgresConnection::ReadResult() {
  Operation& operation = in_flight_.front();
  if (operation.current() == Command::kExecute && !operation.row_by_row) {
    operation.row_by_row = PQsetSingleRowMode(conn_) == 1;
  }
  if (PQisBusy(conn_)) return false;
  const ResultPtr result(PQgetResult(conn_), &PQclear);
  if (result == nullptr) {
    // The end of one command's results. Without any the connection has failed.
    if (!operation.answered) return false;
    operation.answered = false;
    if (operation.current() != Command::kSync) ++operation.next;
    // Its Sync is that of an operation behind it.
    if (operation.over()) CompleteFront();
    return !lost_ && conn_ != nullptr;
  }
  operation.answered = true;
  if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
    CompleteFront();
  } else {
    Take(operation, result.get());
  }
  return !lost_ && conn_ != nullptr;
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
    case PGRES_NONFATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
      break;
  }
}

void PostgresConnection::TakeRows(Operation& operation, const PGresult* result) {
  Result& into = operation.outcome.result;
  if (operation.kind != Operation::Kind::kStatement) return;
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
  operation.fatal = IsFatal(result);
  operation.prepare_failed = operation.current() == Command::kPrepare;
  const bool read_only = operation.current() == Command::kReadOnly;
  // Also when it was prepared just now: a definition can change between that and its execution.
  const bool by_name =
      read_only || (operation.prepared_number != 0 && operation.current() == Command::kExecute);
  operation.stale = by_name && IsStalePlan(result);
  operation.read_only_stale = read_only && operation.stale;
}

// Nobody wants the rest. A result that was cut is a success, so the cancel must not undo anything:
// only what the database itself kept from writing is cut short. One that is too large fails anyway.
void PostgresConnection::StopEarly(Operation& operation) {
  // In a session it would fail the transaction.
  const bool may_stop = operation.call->session.none() &&
                        (operation.too_large ? operation.traits.pure_read : OnlyReads(operation));
  if (operation.stopped || !may_stop) return;
  operation.stopped = true;
  StartCancel();
}

void PostgresConnection::OnNotice(void* self, const PGresult* result) {
  auto* connection = static_cast<PostgresConnection*>(self);
  if (connection->in_flight_.empty()) return;
  std::vector<Notice>& notices = connection->in_flight_.front().outcome.notices;
  if (notices.size() >= kNoticesMax) return;
  SqlError fields = SqlErrorOf(result);
  notices.push_back({.severity = std::move(fields.severity),
                     .sqlstate = std::move(fields.sqlstate),
                     .message = std::move(fields.message)});
}

// --- Completing. ---

void PostgresConnection::CompleteFront() {
  Operation operation = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (operation.kind == Operation::Kind::kForget) return;
  if (cancelling_) {
    // The cancel may still arrive at the server; whatever ran next here would be hit by it.
    held_.push_back(std::move(operation));
  } else {
    CompleteStatement(std::move(operation));
  }
}

void PostgresConnection::CompleteStatement(Operation operation) {
  const bool ok = !operation.outcome.error.has_value();
  switch (operation.kind) {
    case Operation::Kind::kPing:
      events_.OnPinged(id_, ok);
      break;
    case Operation::Kind::kReset:
      events_.OnReset(id_, ok);
      break;
    case Operation::Kind::kForget:
      break;
    case Operation::Kind::kStatement:
      Reply(std::move(operation));
      break;
  }
}

void PostgresConnection::Reply(Operation operation) {
  Call& call = *operation.call;
  // Before anything more is sent: from then on libpq calls the connection active.
  // Behind it others may be under way, none of which can open a transaction.
  const SessionUse& session = call.session;
  const TransactionStatus status =
      in_flight_.empty() ? transaction_status() : TransactionStatus::kIdle;
  if (operation.stale || operation.prepare_failed || (operation.skipped && operation.prepares)) {
    Forget(operation);
  }
  if (operation.skipped) {
    RunAgain(std::move(operation));
    return;
  }
  if (operation.read_only_stale) ForgetReadOnly(operation);
  if (operation.stale && session.kind == SessionUse::Kind::kContinue) {
    operation.outcome.error = StaleInTransaction();
  } else if (operation.stale && operation.retries < kRetriesMax) {
    if (status != TransactionStatus::kIdle) RunUnheard("ROLLBACK");
    // The statement did not start, or was undone as a whole; prepared anew it may well run.
    ++operation.retries;
    RunAgain(std::move(operation));
    return;
  }
  Outcome& outcome = operation.outcome;
  outcome.undone = operation.hit_by_cancel && outcome.error &&
                   outcome.error->sql.sqlstate == "57014" && !operation.stopped &&
                   !operation.traits.commits_inside && !IsCancelWanted(call);
  Result& result = outcome.result;
  result.rows_affected = RowsAffected(result.command_tag);
  if (operation.stopped && outcome.error && outcome.error->sql.sqlstate == "57014") {
    outcome.error.reset();  // We asked for it.
  }
  const bool interrupted = outcome.error && outcome.error->sql.sqlstate.starts_with("57");
  if (interrupted && operation.traits.commits_inside) outcome.error->outcome_unknown = true;
  if (operation.too_large && !outcome.error) {
    outcome.error = ResultTooLarge(call.statement.limits, !operation.traits.pure_read);
  }
  Condition condition = LeavesTraces(operation) ? Condition::kDirty : Condition::kClean;
  if (cancel_astray_) condition = Condition::kBroken;
  if (!session.none() && !outcome.error && TookTheTransactionWithIt(operation)) {
    outcome.error = LostError(operation, "the server ended it");
    condition = Condition::kBroken;
  }
  outcome.transaction_status = status;
  if (status != TransactionStatus::kIdle && session.none()) {
    outcome.transaction_status = TransactionStatus::kIdle;
    condition = Condition::kBroken;  // Closing it rolls back.
    outcome.error = Error{.kind = ErrorKind::kNeedsSession,
                          .message =
                              "the statement left a transaction open; it was rolled back. "
                              "Use SessionControl.begin",
                          .sql = {},
                          .outcome_unknown = false};
  }
  ForgetCancel(&call);
  if (!outcome.error && !operation.traits.unknown_names.empty() &&
      environment_.classifier.TakeUnknown(call.statement.sql)) {
    events_.OnCatalogChanged();
  }
  const bool unchanged = outcome.error && !outcome.error->outcome_unknown;
  if (operation.traits.changes_catalog && status != TransactionStatus::kIdle && !session.none()) {
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
  const std::string& tag = operation.outcome.result.command_tag;
  const bool ended = !operation.outcome.end_tag.empty() || tag == "COMMIT" || tag == "ROLLBACK";
  return PQtransactionStatus(conn_) == PQTRANS_UNKNOWN && !ended;
}

void PostgresConnection::RunAgain(Operation operation) {
  Operation again(Operation::Kind::kStatement);
  again.call = operation.call;
  again.traits = std::move(operation.traits);
  again.classified = operation.classified;
  again.retries = operation.retries;
  // Or one that fails each time might keep a neighbour from ever running.
  again.syncs_alone = true;
  Queue(std::move(again));
}

// By what is known now: it may have run after a change that was noticed after it was sent.
bool PostgresConnection::LeavesTraces(const Operation& operation) {
  StatementClassifier& classifier = environment_.classifier;
  return operation.traits.leaves_traces || classifier.changing() ||
         (operation.classified != classifier.version() &&
          classifier.Classify(operation.call->statement.sql).leaves_traces);
}

void PostgresConnection::EndChange(const Operation& operation, bool changed) {
  if (!operation.traits.changes_catalog) return;
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

void PostgresConnection::Lose(std::string reason) {
  if (lost_) return;
  lost_ = true;
  Unwatch();
  // From the loop, so that nobody up the stack is surprised by what the pool does about it.
  environment_.loop.Post([link = link_, reason = OneLine(std::move(reason))] {
    PostgresConnection* self = link->connection;
    if (self != nullptr && !self->closing_) self->FailAll(reason);
  });
}

bool PostgresConnection::Commits(const Operation& operation) {
  const SessionUse& session = operation.call->session;
  return session.commit || operation.traits.transaction_control ||
         (session.kind == SessionUse::Kind::kEnd && session.end == SessionUse::End::kCommit);
}

// The database has kept it from writing.
bool PostgresConnection::OnlyReads(const Operation& operation) {
  return operation.call->statement.read_only && operation.call->session.none() &&
         !operation.traits.commits_inside;
}

// Nothing of it remains: it only reads, or is part of a transaction that has not been committed.
bool PostgresConnection::IsHarmless(const Operation& operation) {
  const SessionUse::Kind kind = operation.call->session.kind;
  const bool in_transaction = kind == SessionUse::Kind::kBegin || kind == SessionUse::Kind::kEnd ||
                              (kind == SessionUse::Kind::kContinue && operation.in_transaction);
  return OnlyReads(operation) ||
         (in_transaction && !Commits(operation) && !operation.traits.commits_inside);
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

void PostgresConnection::FailAll(const std::string& reason) {
  StopCancelling();
  std::deque<Operation> failed = std::move(held_);
  for (Operation& operation : in_flight_) failed.push_back(std::move(operation));
  for (Operation& operation : unsent_) failed.push_back(std::move(operation));
  held_.clear();
  in_flight_.clear();
  unsent_.clear();
  bool reported = false;
  for (Operation& operation : failed) {
    switch (operation.kind) {
      case Operation::Kind::kPing:
        events_.OnPinged(id_, false);
        reported = true;
        break;
      case Operation::Kind::kReset:
        events_.OnReset(id_, false);
        reported = true;
        break;
      case Operation::Kind::kForget:
        break;
      case Operation::Kind::kStatement: {
        Outcome outcome = std::move(operation.outcome);
        // A FATAL error before CommandComplete came instead of the commit; anything else leaves
        // open how far the server got.
        const bool undone = operation.fatal && !operation.completed &&
                            !operation.traits.commits_inside &&
                            operation.call->session.kind != SessionUse::Kind::kEnd;
        if (!undone) outcome.error = LostError(operation, reason);
        outcome.never_sent = !operation.sent;
        outcome.may_run_again =
            !operation.call->session.in_session() && !operation.traits.commits_inside &&
            (operation.call->statement.read_only || operation.call->statement.idempotent);
        EndChange(operation, true);
        events_.OnReply(id_, *operation.call, std::move(outcome), Condition::kBroken);
        reported = true;
        break;
      }
    }
  }
  if (!reported) {
    events_.OnLost(id_, Error{.kind = ErrorKind::kConnectionLost,
                              .message = reason,
                              .sql = {},
                              .outcome_unknown = false});
  }
}

// --- Cancelling. ---

void PostgresConnection::Cancel(Call& call) {
  if (lost_ || closing_ || IsCancelWanted(call)) return;
  if (cancels_wanted_.empty()) environment_.loop.AddTimer(this);
  cancels_wanted_.push_back(&call);
  cancel_pause_ = kCancelPauseMin;
  OnTick(environment_.loop.now());
}

void PostgresConnection::Evict() {
  if (!lost_ && !closing_ && !in_flight_.empty()) StartCancel();
}

bool PostgresConnection::IsCancelWanted(const Call& call) const {
  return std::find(cancels_wanted_.begin(), cancels_wanted_.end(), &call) != cancels_wanted_.end();
}

void PostgresConnection::OnTick(Instant /*now*/) {
  cancel_again_at_ = kNever;
  if (!MayRunOneToCancel()) {
    CancelLater();  // Those wanted are still behind another operation, or complete and held.
  } else if (!lost_) {
    StartCancel();
  }
}

// The server sends nothing of those that share a Sync before the last of them is over, so any of
// them may be the one that runs.
bool PostgresConnection::MayRunOneToCancel() const {
  for (const Operation& operation : in_flight_) {
    if (operation.call != nullptr && IsCancelWanted(*operation.call)) return true;
    if (operation.commands[operation.size - 1] == Command::kSync) return false;
  }
  return false;
}

void PostgresConnection::CancelLater() {
  if (cancels_wanted_.empty()) return;
  cancel_again_at_ = EventLoop::ReadClock() + cancel_pause_;
  cancel_pause_ = std::min(2 * cancel_pause_, kCancelPauseMax);
}

void PostgresConnection::ForgetCancel(const Call* call) {
  if (std::erase(cancels_wanted_, call) > 0 && cancels_wanted_.empty()) StopCancelling();
}

void PostgresConnection::StopCancelling() {
  cancels_wanted_.clear();
  cancel_again_at_ = kNever;
  environment_.loop.RemoveTimer(this);
}

void PostgresConnection::StartCancel() {
  if (cancelling_) return;
  PGcancel* cancel = PQgetCancel(conn_);
  if (cancel == nullptr) return;
  cancelling_ = true;
  environment_.threads.Run([link = link_, cancel, &loop = environment_.loop] {
    const bool arrived = SendCancel(cancel, kCancelMax);
    loop.Post([link, arrived] {
      if (link->connection != nullptr) link->connection->Cancelled(arrived);
    });
  });
}

void PostgresConnection::Cancelled(bool arrived) {
  cancelling_ = false;
  cancel_astray_ = cancel_astray_ || !arrived;
  std::deque<Operation> held = std::move(held_);
  held_.clear();
  // How far the server was when the signal came cannot be told.
  for (Operation& operation : held) operation.hit_by_cancel = true;
  for (Operation& operation : in_flight_) operation.hit_by_cancel = true;
  for (Operation& operation : held) {
    if (!closing_) CompleteStatement(std::move(operation));
  }
  if (!closing_) CancelLater();
}

}  // namespace dbsidecar::pool
