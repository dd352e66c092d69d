// The part of SqliteSession that delivers a result part by part.
//
// Only what reads is streamed. The rows of a write are there once it has been done, and its
// transaction would stay open for as long as the reader takes, so they are collected, within the
// limit of a result, and delivered after the commit.
#include <fmt/format.h>
#include <sqlite3.h>

#include <utility>

#include "pool/sqlite/sqlite_result.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

// How long rows wait for their part to become full.
constexpr Duration kFirstPartWait = std::chrono::milliseconds(1);
constexpr Duration kPartWait = std::chrono::milliseconds(20);

}  // namespace

std::optional<Error> SqliteSession::StepStream(Prepared& prepared, const ResultLimits& limits,
                                               Result& result) {
  sqlite3_stmt* statement = prepared.statement.get();
  int code = sqlite3_step(statement);
  ReadColumnsOnce(prepared);
  result.columns = prepared.columns;
  result.typed_cells = true;
  streamed_ = {.result = &result, .due_at = Clock::now() + kFirstPartWait};
  std::optional<Error> error;
  for (; code == SQLITE_ROW && !error.has_value(); code = sqlite3_step(statement)) {
    if (result.rows.row_count() == 0) result.rows.SetColumnCount(prepared.columns.size());
    const uint64_t bytes_max =
        limits.bytes_max == 0 ? 0 : result.rows.data_bytes() + limits.bytes_max;
    if (!AddRow(statement, bytes_max, result.rows)) {
      error = RowTooLarge(limits, false);
      break;
    }
    ++streamed_.rows;
    const bool full = IsFull(result.rows, call_->part_limits);
    if ((full || Clock::now() >= streamed_.due_at) && !SendPart()) error = InterruptedError();
    if (error.has_value()) break;
  }
  streamed_.result = nullptr;
  if (error.has_value()) return error;
  if (code != SQLITE_DONE) return Failure();
  // Without a row their number is known all the same.
  if (result.rows.row_count() == 0) result.rows.SetColumnCount(prepared.columns.size());
  result.command_tag = CommandTag(prepared.name, streamed_.rows);
  return std::nullopt;
}

// False = interrupted.
bool SqliteSession::SendPart() {
  Result& result = *streamed_.result;
  Part part;
  part.result.columns = std::exchange(result.columns, {});
  part.result.typed_cells = true;
  part.result.rows = std::exchange(result.rows, {});
  const bool sent = watcher_->OnPart(std::move(part));
  streamed_.due_at = Clock::now() + kPartWait;
  return sent;
}

// While the next row takes its time.
void SqliteSession::MaybeSendPart(Instant now) {
  const bool due = streamed_.result != nullptr && now >= streamed_.due_at &&
                   streamed_.result->rows.row_count() > 0;
  if (due && watcher_->wants_part()) SendPart();
}

}  // namespace dbsidecar::pool
