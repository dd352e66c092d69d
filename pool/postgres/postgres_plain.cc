// The part of PostgresConnection that leaves pipeline mode for a while: when nothing is in flight,
// one exchange has the connection to itself, and pipeline mode comes back at its end.
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "pool/postgres/postgres_connection.h"

namespace dbsidecar::pool {
namespace {

Error NotInATransaction() {
  return OwnError(ErrorKind::kInvalidArgument,
                  "separate_transactions is not possible inside a transaction; nothing was sent");
}

Error NoTransactionForSettings() {
  return OwnError(ErrorKind::kUnsupported,
                  "settings of a script or a copy in a pinned session would outlast it; set them "
                  "when the session is pinned, or begin a transaction");
}

}  // namespace

void PostgresConnection::QueueExchange(OperationPtr operation) {
  // The only command of which anyone asks, in the search for what may be cancelled.
  operation->Expect(Command::kSync);
  in_flight_.push_back(std::move(operation));
  if (in_flight_.size() == 1) BeginExchange();
}

void PostgresConnection::BeginExchange() {
  Operation& operation = *in_flight_.front();
  if (lost_ || conn_ == nullptr) {
    Lose("not connected");
    return;
  }
  const SessionUse& session = operation.call->session;
  const bool in_transaction = transaction_status() != TransactionStatus::kIdle;
  in_session_ = session.kind != SessionUse::Kind::kNone;
  operation.in_transaction = in_transaction && session.kind == SessionUse::Kind::kContinue;
  NoteSettings(operation);
  const Statement& statement = operation.call->statement;
  if (in_transaction && statement.separate_transactions) {
    operation.outcome.error = NotInATransaction();
  } else if (!in_transaction && session.kind == SessionUse::Kind::kContinue &&
             !statement.settings.none()) {
    operation.outcome.error = NoTransactionForSettings();
  }
  if (operation.outcome.error) {
    // From the loop, as if the server had answered.
    environment_.loop.Post([link = link_] {
      PostgresConnection* self = link->connection;
      if (self != nullptr && !self->closing_ && !self->in_flight_.empty()) self->CompleteFront();
    });
    return;
  }
  operation.sent = PQexitPipelineMode(conn_) == 1 && operation.exchange->Begin(conn_);
  if (operation.sent) {
    Flush();
  } else {
    Lose(PQerrorMessage(conn_));
  }
}

// False when no more can be done now.
bool PostgresConnection::AdvanceExchange() {
  Operation& operation = *in_flight_.front();
  if (!operation.sent) {
    if (!operation.outcome.error) BeginExchange();
    return false;
  }
  const PlainExchange::Progress progress = operation.exchange->Advance(conn_, operation.outcome);
  operation.completed = operation.exchange->completed();
  operation.fatal = operation.exchange->fatal();
  switch (progress) {
    case PlainExchange::Progress::kWaits:
      Flush();
      return false;
    case PlainExchange::Progress::kPart:
      SendPart(operation);
      return true;
    case PlainExchange::Progress::kStarved:
      if (!std::exchange(starved_, true)) events_.OnStarved(id_, *operation.call);
      Flush();
      return false;
    case PlainExchange::Progress::kOver:
      EndExchange();
      return !lost_;
    case PlainExchange::Progress::kLost:
      Lose(operation.fatal ? operation.outcome.error->message : std::string(PQerrorMessage(conn_)));
      return false;
  }
  return false;
}

void PostgresConnection::EndExchange() {
  if (PQenterPipelineMode(conn_) == 1) {
    CompleteFront();
  } else {
    Lose(PQerrorMessage(conn_));
  }
}

// While data goes out libpq keeps an error of the server to itself, so that all the rest would be
// sent for nothing. So its message is looked for before libpq reads it: 'E', a length, and the
// first field, which is the severity. Where it cannot be seen (TLS), the rest is sent for nothing.
void PostgresConnection::PeekForError() {
  if (in_flight_.empty() || lost_ || closing_) return;
  PlainExchange* exchange = in_flight_.front()->exchange.get();
  if (exchange == nullptr || !exchange->is_sending()) return;
  char head[6];
  const ssize_t size = recv(fd_, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
  if (size == sizeof(head) && std::memcmp(head, "E\0\0", 3) == 0 && head[5] == 'S') {
    exchange->StopSending();
  }
}

}  // namespace dbsidecar::pool
