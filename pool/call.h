// A call: one statement on its way through the pool, owned by whoever submitted it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "pool/batch.h"
#include "pool/description.h"
#include "pool/error.h"
#include "pool/result.h"
#include "pool/session.h"
#include "pool/statement.h"
#include "pool/time.h"

namespace dbsidecar::pool {

using CallId = uint64_t;

// What became of a call. `result` is meaningful only without an error.
struct Outcome {
  std::optional<Error> error;
  Result result;
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

  CallId id = 0;  // Unique among the calls in the pool; set by whoever submits.
  Statement statement;
  SessionUse session;
  Instant deadline = kNever;     // The caller's own.
  bool flow_controlled = false;  // Its sender is held back by other means than a full queue.
  std::string_view caller;       // Who it is, for diagnoses; may be empty.
  // At most one of these, borrowed until Done. Such a call is alone on its connection.
  const Batch* batch = nullptr;  // Instead of `statement`, whose flags count for it all.
  const ParameterRows* rows =
      nullptr;  // `statement` runs for each; its own parameters are ignored.
  // Set: the statement is described there instead of run; its parameters count by their types
  // alone, and may be fewer than it has. Borrowed until Done.
  Description* description = nullptr;
  bool wants_rows_affected = false;  // Outcome::rows_affected_by_row.
};

}  // namespace dbsidecar::pool
