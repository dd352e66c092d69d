// The part of SqliteSession that tells what a statement takes and returns.
#include <fmt/format.h>

#include <utility>

#include "pool/sqlite/sqlite_result.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

using Purpose = Authorizer::Purpose;

constexpr std::string_view kLeavesTraces =
    "it changes the state of the connection, or opens or ends a transaction";

}  // namespace

SqliteSession::Execution SqliteSession::Describe(const Call& call) {
  SetBusyUntil(call.deadline);
  if (!call.session.in_session()) ForgetSession();
  kept_ = kept_ || call.session.in_session();
  Execution execution;
  // The schema that this connection has read may be out of date, and is looked at again only in a
  // transaction.
  const bool own = !failed_ && !InTransaction();
  if (own && !(RunOwn(begin_reads_) && RunOwn(take_snapshot_))) {
    execution.outcome.error = Failure();
  } else {
    execution.outcome.error = DescribeText(call.statement.sql, *call.description);
  }
  if (own) Settle();
  execution.outcome.transaction_status = Status();
  if (broken_) {
    execution.condition = Condition::kBroken;
  } else if (traces_) {
    execution.condition = Condition::kDirty;
  }
  return execution;
}

std::optional<Error> SqliteSession::DescribeText(std::string_view sql, Description& into) {
  if (interruption_.requested()) return InterruptedError();
  if (failed_ && !IsTransactionControl(sql)) return AbortedTransaction();
  Prepared prepared;
  bool refused_by_text = false;
  purpose_ = Purpose::kDescription;
  std::optional<Error> error = Compile(sql, prepared, refused_by_text);
  purpose_ = Purpose::kAutocommit;
  // Of a PRAGMA, which was not even compiled.
  const bool is_refused = error.has_value() && error->kind == ErrorKind::kNeedsSession;
  if (error.has_value() && !is_refused) return error;
  into.parameter_types.assign(prepared.parameters_needed, 0);
  if (!is_refused && prepared.returns_rows) into.columns = ReadColumns(prepared.statement.get());
  into.needs_session = is_refused || prepared.leaves_traces || prepared.transaction.has_value();
  into.only_reads = !into.needs_session && !prepared.writes;
  if (into.needs_session) {
    into.verdict_reason = kLeavesTraces;
  } else if (prepared.writes) {
    into.verdict_reason = "it writes";
  } else {
    into.verdict_reason = "SQLite compiled it to a statement that only reads";
  }
  return std::nullopt;
}

}  // namespace dbsidecar::pool
