// A call: one statement on its way through the pool, owned by whoever submitted it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/batch.h"
#include "pool/description.h"
#include "pool/error.h"
#include "pool/result.h"
#include "pool/session.h"
#include "pool/statement.h"
#include "pool/time.h"
#include "pool/trace_context.h"

namespace dbsidecar::pool {

using CallId = uint64_t;

// What became of a call. `result` is meaningful only without an error.
struct Outcome {
  std::optional<Error> error;
  Result result;
  std::vector<Result> results;  // Of a script: one for each statement.
  CopyData copy;                // What is left of a COPY TO STDOUT.
  uint64_t copy_bytes = 0;      // Of a COPY in all.
  std::vector<Notice> notices;
  TransactionStatus transaction_status = TransactionStatus::kIdle;  // Afterwards.
  std::string session;  // The token of the session that is open now; empty = none.
  std::string end_tag;  // What an inline COMMIT, or the end of a session, answered.
  Timing timing;
  std::vector<StepResult> steps;              // Of a batch that went well, one for each.
  std::vector<int64_t> rows_affected_by_row;  // If Call::wants_rows_affected; -1 = none.
  // The connection was lost, or the call was cancelled, before the statement went out.
  bool never_sent = false;
  // A cancel that was not its caller's wish undid it.
  bool undone = false;
  // The connection was lost, and running the statement (again) elsewhere does no harm.
  bool may_run_again = false;
};

// A part of a result that is still coming.
struct Part {
  CopyData copy;
  Result result;  // Rows. The columns are in the first part only, the counts and the tag in none.
  std::vector<Notice> notices;  // That came before these rows.
};

// How much a part holds: it is cut when one of these is reached, and has one row at least.
struct PartLimits {
  uint64_t rows_max = 0;           // 0 = no limit.
  uint64_t bytes_max = 64 * 1024;  // RowBuffer::data_bytes().
};

inline bool IsFull(const RowBuffer& rows, const PartLimits& limits) {
  return (limits.rows_max != 0 && rows.row_count() >= limits.rows_max) ||
         rows.data_bytes() >= limits.bytes_max;
}

// Takes the result of a call part by part, while the statement still runs. The last part comes with
// the answer (Call::Answer): the rows that are left, perhaps none, or all with their columns. After
// an answer nothing comes any more. Loop thread.
class PartSink {
 public:
  virtual ~PartSink() = default;
  // False = it is full: it gets no more before Pool::Resume, and the driver stops reading.
  [[nodiscard]] virtual bool Take(Part part) = 0;
};

// Gives the data of a COPY FROM STDIN. Loop thread.
class CopySource {
 public:
  enum class Next {
    kData,     // `data` is the next piece, or for kAbort the reason.
    kNothing,  // Nothing is there yet: Pool::Resume says when there is.
    kEnd,
    kAbort,
  };

  virtual ~CopySource() = default;
  virtual Next TakeNext(std::string& data) = 0;
};

// Life: Submit, then exactly one Answer, then exactly one Done, both on the loop thread. A call
// that gave up is answered while the database still runs its statement; until Done the pool and
// its drivers (SQLite's on their own threads) read `statement`, so it must stay unchanged.
class Call {
 public:
  virtual ~Call() = default;

  // Carries the reply to the caller.
  virtual void Answer(Outcome outcome) = 0;
  // Nothing refers to this call any more; it may delete itself.
  virtual void Done() = 0;

  CallId id = 0;               // Unique among the calls of all pools; set by whoever submits.
  std::string_view pool_name;  // In which it is to run; empty = the default one. Not Pool's affair.
  Statement statement;
  SessionUse session;
  Instant deadline = kNever;     // The caller's own.
  bool flow_controlled = false;  // Its sender is held back by other means than a full queue.
  std::string_view caller;       // Who it is, for diagnoses; may be empty.
  std::string_view route;        // What it serves, for limits; may be empty.
  std::string_view rpc;          // The RPC it came by, such as "Query"; may be empty.
  TraceContext trace;            // Where it belongs in its caller's trace.
  // At most one of these three, borrowed until Done. Such a call is alone on its connection.
  //
  // Instead of `statement`, whose flags count for it all.
  const Batch* batch = nullptr;
  // `statement` runs for each; its own parameters are ignored.
  const ParameterRows* rows = nullptr;
  // The statement is described there instead of run; its parameters count by their types alone, and
  // may be fewer than it has.
  Description* description = nullptr;
  bool wants_rows_affected = false;  // Outcome::rows_affected_by_row.
  // Set: the result goes there as it comes. Such a call is alone on its connection, and is not run
  // again once a part has gone out.
  PartSink* sink = nullptr;
  PartLimits part_limits;
  // It is more than one statement, or may be.
  bool IsSeveral() const {
    return batch != nullptr || rows != nullptr || statement.form == StatementForm::kScript;
  }

  CopySource* source = nullptr;  // Of StatementForm::kCopyIn; its sink only hears of the start.
};

}  // namespace dbsidecar::pool
