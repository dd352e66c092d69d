#include "pool/postgres/postgres_connection.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "pool/postgres/postgres_audit.h"
#include "pool/postgres/postgres_cancel.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/postgres_result.h"

namespace dbsidecar::pool {
namespace {

using ResultPtr = std::unique_ptr<PGresult, decltype(&PQclear)>;

constexpr size_t kNoticesMax = 100;
constexpr size_t kPreparedBytesMax = 8 * 1024 * 1024;
constexpr Duration kCloseMax = std::chrono::seconds(2);
// Statements share a Sync up to so long in all, by experience: the first has no answer before the
// last is over.
constexpr Duration kSyncMax = std::chrono::milliseconds(5);

std::shared_ptr<const StatementTraits> TraitsOfTheEnd() {
  auto traits = std::make_shared<StatementTraits>();
  traits->commits_inside = false;
  traits->leaves_traces = false;
  traits->changes_catalog = false;
  traits->changes_meaning = false;
  return traits;
}

// Runs on a thread of its own: stops what still runs, says goodbye, and waits until the server
// process has gone.
void Disconnect(PGconn* conn, bool busy) {
  PGcancel* cancel = busy ? PQgetCancel(conn) : nullptr;
  if (cancel != nullptr) SendCancel(cancel);
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
  EndStream();
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

int32_t PostgresConnection::server_pid() const {
  return conn_ == nullptr ? 0 : static_cast<int32_t>(PQbackendPID(conn_));
}

// libpq closes the socket by itself when the connection fails, so it cannot be asked then.
void PostgresConnection::Unwatch() {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  if (std::exchange(paused_, false)) return;
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
  EndStream();
  Unwatch();
  const bool busy = !in_flight_.empty() && !lost_;
  for (const OperationPtr& operation : in_flight_) EndChange(*operation, true);
  for (const OperationPtr& operation : held_) EndChange(*operation, true);
  for (const OperationPtr& operation : unsent_) EndChange(*operation, false);
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

void PostgresConnection::Ping() { Send(std::make_unique<Operation>(Operation::Kind::kPing), true); }

void PostgresConnection::Reset() {
  EndChangesInTransaction();
  RollBackWhatIsOpen();
  prepared_.Clear();
  unwanted_.clear();
  read_only_number_ = 0;
  Send(std::make_unique<Operation>(Operation::Kind::kReset), true);
}

void PostgresConnection::RollBackWhatIsOpen() {
  if (conn_ != nullptr && transaction_status() != TransactionStatus::kIdle) RunUnheard("ROLLBACK");
}

void PostgresConnection::Execute(Call& call) {
  auto operation = std::make_unique<Operation>(Operation::Kind::kStatement);
  operation->call = &call;
  if (call.session.kind == SessionUse::Kind::kEnd) {
    operation->traits = TraitsOfTheEnd();
  } else if (IsRun(call)) {
    operation->traits = TraitsOfAll(call);
  } else {
    operation->traits = TraitsOf(call.statement, environment_.classifier);
    const std::optional<TimeoutLift> lift = LiftForExchange(call);
    operation->exchange = NewPlainExchange(call, lift);
    const bool lasts = !call.statement.settings.none() || (lift && call.session.none());
    if (operation->exchange != nullptr && lasts) {
      auto traits = std::make_shared<StatementTraits>(*operation->traits);
      traits->leaves_traces = true;
      operation->traits = std::move(traits);
    }
  }
  operation->classified = environment_.classifier.version();
  if (operation->traits->changes_catalog) environment_.classifier.ChangeBegins();
  Queue(std::move(operation));
}

// What it sets has to end: with the transaction, or in autocommit with the reset.
std::optional<TimeoutLift> PostgresConnection::LiftForExchange(const Call& call) const {
  switch (call.session.kind) {
    case SessionUse::Kind::kNone:
    case SessionUse::Kind::kBegin:
      break;
    case SessionUse::Kind::kContinue:
      if (conn_ == nullptr || transaction_status() != TransactionStatus::kInTransaction) {
        return std::nullopt;
      }
      break;
    case SessionUse::Kind::kPin:
    case SessionUse::Kind::kEnd:
      return std::nullopt;
  }
  return TimeoutLiftFor(call, environment_.statement_timeout);
}

void PostgresConnection::Queue(OperationPtr operation) {
  if (IsStream(*operation)) BeginStream();
  if (unsent_.empty()) environment_.loop.AtTurnEnd(*this);
  unsent_.push_back(std::move(operation));
}

// The statements are those of different callers, so their order is free: first those that share a
// Sync.
void PostgresConnection::OnTurnEnd() {
  std::vector<OperationPtr> unsent = std::move(unsent_);
  unsent_.clear();
  if (!in_session_) DeallocateUnwanted();
  const auto others = std::stable_partition(unsent.begin(), unsent.end(), &MaySyncLater);
  Duration together{};
  for (auto it = unsent.begin(); it != unsent.end(); ++it) {
    together += Expected(**it);
    const bool last = it + 1 == others || it >= others || together > kSyncMax;
    if (last) together = Duration::zero();
    Send(std::move(*it), last);
  }
}

Duration PostgresConnection::Expected(const Operation& operation) {
  return operation.traits->history->average();
}

bool PostgresConnection::MaySyncLater(const OperationPtr& pointer) {
  const Operation& operation = *pointer;
  return operation.traits->plain_read && operation.call->statement.read_only &&
         operation.call->statement.settings.none() && !operation.syncs_alone &&
         operation.call->session.none() && !IsRun(*operation.call) && !IsStream(operation);
}

void PostgresConnection::Send(OperationPtr operation, bool sync) {
  if (operation->exchange != nullptr) {
    QueueExchange(std::move(operation));
    return;
  }
  if (operation->call != nullptr && IsRun(*operation->call)) {
    SendRun(std::move(operation));
    return;
  }
  const bool usable = !lost_ && conn_ != nullptr;
  // Without its Sync a statement is undone, unless it commits by itself.
  operation->sent = usable && operation->traits != nullptr && operation->traits->commits_inside;
  bool sent = usable && SendCommands(*operation);
  operation->sent = operation->sent || sent;
  if (sync) {
    operation->Expect(Command::kSync);
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
    case Operation::Kind::kAuditBefore:
    case Operation::Kind::kAuditAfter:
      return SendPlain(operation, Command::kExecute, kAuditText);
    case Operation::Kind::kPing:
    case Operation::Kind::kForget:
      return true;
  }
  return true;
}

// An operation of its own, of which nobody hears: should it fail, no statement is touched. False =
// it could not be sent.
bool PostgresConnection::RunUnheard(const std::string& sql) {
  auto operation = std::make_unique<Operation>(Operation::Kind::kForget);
  const bool sent = !lost_ && conn_ != nullptr && SendPlain(*operation, Command::kExecute, sql) &&
                    PQpipelineSync(conn_) == 1;
  if (!sent) return false;
  operation->Expect(Command::kSync);
  in_flight_.push_back(std::move(operation));
  Flush();
  return true;
}

void PostgresConnection::Flush() {
  const int left = PQflush(conn_);
  if (left < 0) {
    Lose(PQerrorMessage(conn_));
    return;
  }
  environment_.loop.WatchWritable(fd_, this, left == 1 || WantsToSend());
}

// It stopped for want of room, which there may be by now, and then nobody else would say so.
bool PostgresConnection::WantsToSend() const {
  if (in_flight_.empty()) return false;
  const PostgresRun* run = in_flight_.back()->run.get();
  const PlainExchange* exchange = in_flight_.front()->exchange.get();
  return (run != nullptr && run->wants_to_send()) ||
         (exchange != nullptr && exchange->is_sending() && !starved_);
}

// --- Receiving. ---

void PostgresConnection::OnReady(bool readable, bool writable) {
  if (readable) {
    PeekForError();
    // When it finds the connection broken libpq forgets what was sent, and understands what came
    // before no more; where it sent in vain it has read some of that without being asked.
    ReadResults();
  }
  if (readable && !lost_ && !closing_ && PQconsumeInput(conn_) != 1) {
    ReadResults();
    if (closing_) {
      Unwatch();  // libpq has closed the socket, and its number may come back as another's.
    } else {
      Lose(PQerrorMessage(conn_));
    }
    return;
  }
  ReadResults();
  SendMore();
  if (writable && !lost_ && !closing_ && conn_ != nullptr) Flush();
}

void PostgresConnection::ReadResults() {
  if (in_flight_.empty()) {
    // Reads what the server says by itself, such as a parameter's new value or its farewell.
    PGnotify* notification = PQnotifies(conn_);
    PQfreemem(notification);
  }
  while (!closing_ && !paused_ && !in_flight_.empty() && ReadResult()) {
  }
  // libpq may have found the stream unreadable and closed the socket by itself.
  if (!closing_ && !lost_ && PQstatus(conn_) == CONNECTION_BAD) Lose(PQerrorMessage(conn_));
  if (!closing_ && !lost_) SendPartWhenDue();
}

// False when no more can be read now.
bool PostgresConnection::ReadResult() {
  Operation& operation = *in_flight_.front();
  if (operation.exchange != nullptr) return AdvanceExchange();
  if (operation.run != nullptr) return ReadRunResult(operation);
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
  if (!IsAnswerTo(operation.current(), result.get())) {
    // Whose answers these are is not known any more, so nobody gets any of them.
    Lose("the answers that came are out of step with what was sent");
    return false;
  }
  operation.answered = true;
  if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
    CompleteFront();
  } else {
    Take(operation, result.get());
  }
  return !lost_ && conn_ != nullptr;
}

// By its kind. Only the answer to a preparation has no tag. (On a connection that it found broken
// libpq takes the columns of any statement for the answer to a Describe, which has none either.)
bool PostgresConnection::IsAnswerTo(Command command, const PGresult* result) {
  const bool prepares = command == Command::kPrepare || command == Command::kReadOnly;
  const bool controls = command == Command::kBegin || command == Command::kCommit;
  switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
      return command == Command::kSync;
    case PGRES_COMMAND_OK:
      return *PQcmdStatus(const_cast<PGresult*>(result)) == '\0' ? prepares
                                                                 : command != Command::kPrepare;
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
      return command != Command::kPrepare && command != Command::kSync && !controls;
    case PGRES_EMPTY_QUERY:
      return command == Command::kExecute;
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
    case PGRES_PIPELINE_ABORTED:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
    case PGRES_NONFATAL_ERROR:
      return true;
  }
  return true;
}

void PostgresConnection::OnNotice(void* self, const PGresult* result) {
  auto* connection = static_cast<PostgresConnection*>(self);
  if (connection->in_flight_.empty()) return;
  SqlError fields = SqlErrorOf(result);
  Notice notice{.severity = std::move(fields.severity),
                .sqlstate = std::move(fields.sqlstate),
                .message = std::move(fields.message)};
  Operation& operation = *connection->in_flight_.front();
  if (operation.run != nullptr) {
    operation.run->TakeNotice(std::move(notice));
  } else if (operation.outcome.notices.size() < kNoticesMax) {
    operation.outcome.notices.push_back(std::move(notice));
  }
}

// --- Completing. ---

void PostgresConnection::CompleteFront() {
  OperationPtr operation = std::move(in_flight_.front());
  in_flight_.pop_front();
  // Whatever waited for its part to become full goes with the answer.
  part_due_at_ = kNever;
  if (operation->kind == Operation::Kind::kForget) return;
  if (cancelling_) {
    // The cancel may still arrive at the server; whatever ran next here would be hit by it.
    held_.push_back(std::move(operation));
  } else {
    CompleteStatement(std::move(operation));
  }
}

void PostgresConnection::CompleteStatement(OperationPtr operation) {
  const bool ok = !operation->outcome.error.has_value();
  switch (operation->kind) {
    case Operation::Kind::kPing:
      events_.OnPinged(id_, ok);
      break;
    case Operation::Kind::kReset:
      if (audit_) {
        audit_->reset = ok;
      } else {
        events_.OnReset(id_, ok);
      }
      break;
    case Operation::Kind::kAuditBefore:
    case Operation::Kind::kAuditAfter:
      CompleteAudit(*operation);
      break;
    case Operation::Kind::kForget:
      break;
    case Operation::Kind::kStatement:
      Reply(std::move(operation));
      break;
  }
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

void PostgresConnection::FailAll(const std::string& reason) {
  StopCancelling();
  EndStream();
  std::deque<OperationPtr> failed = std::move(held_);
  for (OperationPtr& operation : in_flight_) failed.push_back(std::move(operation));
  for (OperationPtr& operation : unsent_) failed.push_back(std::move(operation));
  held_.clear();
  in_flight_.clear();
  unsent_.clear();
  bool reported = false;
  for (const OperationPtr& pointer : failed) {
    Operation& operation = *pointer;
    switch (operation.kind) {
      case Operation::Kind::kPing:
        events_.OnPinged(id_, false);
        reported = true;
        break;
      case Operation::Kind::kReset:
        if (audit_) break;  // The last of the audit is lost with it.
        [[fallthrough]];
      case Operation::Kind::kAuditAfter:
        events_.OnReset(id_, false);
        reported = true;
        break;
      case Operation::Kind::kAuditBefore:
      case Operation::Kind::kForget:
        break;
      case Operation::Kind::kStatement: {
        Outcome outcome = std::move(operation.outcome);
        // A FATAL error before CommandComplete came instead of the commit; anything else leaves
        // open how far the server got.
        const bool undone = operation.fatal && !operation.completed &&
                            !operation.traits->commits_inside &&
                            operation.call->session.kind != SessionUse::Kind::kEnd;
        if (operation.run != nullptr) {
          outcome = operation.run->Lost(reason);
        } else {
          if (!undone) outcome.error = LostError(operation, reason);
          outcome.never_sent = !operation.sent;
        }
        outcome.may_run_again = MayRunAgain(operation);
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

}  // namespace dbsidecar::pool
