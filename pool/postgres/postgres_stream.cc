// The part of PostgresConnection that delivers a result part by part.
//
// A sink that is full reaches to the server: the socket is not watched, so libpq reads nothing and
// its buffer stays as small as it is, and TCP does the rest.
#include <utility>

#include "pool/postgres/postgres_connection.h"
#include "pool/postgres/postgres_result.h"

namespace dbsidecar::pool {
namespace {

// How long rows wait for their part to become full. The first ones do not wait.
constexpr Duration kPartWait = std::chrono::milliseconds(20);

}  // namespace

void PostgresConnection::BeginStream() { environment_.loop.AddTimer(&part_timer_); }

void PostgresConnection::EndStream() {
  part_due_at_ = kNever;
  starved_ = false;
  environment_.loop.RemoveTimer(&part_timer_);
}

void PostgresConnection::TakeStreamedRows(Operation& operation, const PGresult* result) {
  Result& into = operation.outcome.result;
  if (PQresultStatus(result) == PGRES_TUPLES_OK) {
    operation.completed = true;
    into.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
  }
  if (!std::exchange(operation.has_columns, true)) into.columns = ColumnsOf(result);
  if (operation.too_large || IsCancelWanted(*operation.call)) return;
  for (int row = 0; row < PQntuples(result); ++row) {
    if (into.rows.row_count() == 0) {
      into.rows.SetColumnCount(static_cast<size_t>(PQnfields(result)));
    }
    const uint64_t before = into.rows.data_bytes();
    AppendRow(result, row, into.rows);
    const uint64_t bytes_max = operation.call->statement.limits.bytes_max;
    if (bytes_max != 0 && into.rows.data_bytes() - before > bytes_max) {
      operation.too_large = true;
      into.rows = RowBuffer();
      StopEarly(operation);
    } else if (IsFull(into.rows, operation.call->part_limits)) {
      SendPart(operation);
    }
  }
}

void PostgresConnection::SendPart(Operation& operation) {
  part_due_at_ = kNever;
  operation.parts_went_out = true;
  Outcome& outcome = operation.outcome;
  Part part;
  part.result.columns = std::exchange(outcome.result.columns, {});
  part.result.rows = std::exchange(outcome.result.rows, {});
  part.notices = std::exchange(outcome.notices, {});
  part.copy = std::exchange(outcome.copy, {});
  if (events_.OnPart(id_, *operation.call, std::move(part))) return;
  paused_ = true;
  environment_.loop.Unwatch(fd_, this);
}

// Nothing more is to be had now.
void PostgresConnection::SendPartWhenDue() {
  if (in_flight_.empty() || paused_) return;
  Operation& operation = *in_flight_.front();
  // What is complete goes with the answer.
  if (!IsStream(operation) || operation.completed) return;
  const CopyData& copy = operation.outcome.copy;
  const bool empty = operation.outcome.result.rows.row_count() == 0 && copy.bytes.empty();
  if (empty && !copy.format) return;
  if (!operation.parts_went_out) {
    SendPart(operation);
  } else if (part_due_at_ == kNever) {
    part_due_at_ = environment_.loop.now() + kPartWait;
  }
}

void PostgresConnection::PartTimer::OnTick(Instant /*now*/) {
  connection_.part_due_at_ = kNever;
  connection_.SendPart(*connection_.in_flight_.front());
}

void PostgresConnection::Resume(Call& call) {
  if (in_flight_.empty() || in_flight_.front()->call != &call) return;
  starved_ = false;
  if (std::exchange(paused_, false)) environment_.loop.Watch(fd_, this);
  // libpq has more already, perhaps all. From the loop, so that the pool is not surprised by it.
  environment_.loop.Post([link = link_] {
    if (link->connection != nullptr) link->connection->ReadOn();
  });
}

void PostgresConnection::ReadOn() {
  if (closing_ || lost_ || conn_ == nullptr) return;
  ReadResults();
  if (!closing_ && !lost_ && !paused_) Flush();
}

}  // namespace dbsidecar::pool
