// The statements of one call that has several (Call::batch, Call::rows), on a connection that is
// theirs alone: what is sent when, and what its results mean.
//
// An atomic run is one transaction: an implicit one that the last Sync ends, or, where a statement
// needs it, a block of its own. A step that may fail runs in a savepoint, and still nobody waits
// for its outcome: an error makes the server skip up to the next Sync, so a Sync follows it, and
// then, whatever became of it,
//
//   SAVEPOINT step; SAVEPOINT try; <statement>; SAVEPOINT try; Sync; ROLLBACK TO try; RELEASE step
//
// undoes nothing after a success, because the second `try` was made after the statement, and
// everything after a failure, because that one was skipped. The only thing that is waited for is an
// outcome that a condition asks for.
#pragma once

#include <libpq-fe.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "pool/call.h"
#include "pool/postgres/call_settings.h"
#include "pool/postgres/postgres_run.h"

namespace dbsidecar::pool {

// What the classifier says of all statements of a run together.
struct RunTraits {
  bool only_reads = true;
  bool plain_reads = true;         // And need no transaction that is made read-only.
  bool may_commit_inside = false;  // One of them, outside a transaction block.
};

class StepsRun final : public PostgresRun {
 public:
  // `call` is borrowed. `in_transaction`: a block is open already.
  StepsRun(const Call& call, RunTraits traits, PGconn* conn, bool in_transaction);

  bool Send() override;
  bool wants_to_send() const override { return wants_to_send_; }
  bool over() const override { return stage_ == Stage::kSent && expected_.empty(); }
  void Stop() override { stopped_ = true; }
  bool expects_results() const override { return !expected_.empty(); }
  bool expects_rows() const override { return expected_.front().command == Command::kExecute; }
  bool expects_sync() const override { return expected_.front().command == Command::kSync; }
  void Take(const PGresult* result) override;
  void EndCommand() override;
  void EndSync() override;
  void TakeNotice(Notice notice) override;
  bool fatal() const override { return fatal_; }
  Outcome Finish() override;
  Outcome Lost(const std::string& reason) override;

 private:
  enum class Command {
    kControl,  // BEGIN, savepoints, settings: ours.
    kExecute,
    kCommit,
    kGiveUp,  // Meant to fail.
    kSync,
  };
  enum class Stage { kBegin, kSteps, kEnd, kUndo, kSent };
  enum class Readiness { kYes, kNo, kNotYet };
  enum class StepState : uint8_t { kUnsent, kSent, kOver };
  struct Expected {
    Command command;
    size_t step;  // Whose it is; kNoStep = of none.
  };
  static constexpr size_t kNoStep = static_cast<size_t>(-1);

  bool SendBegin();
  bool SendSteps();
  bool SendStep(size_t step);
  bool SendInSavepoint(size_t step);
  bool SendAlone(size_t step);
  bool SendStatement(size_t step);
  bool WaitsForThoseThatMayFail() const;
  bool SendEnd();
  bool SendUndo();
  bool SendSettings(SettingsReach reach, size_t step);
  bool SendPreamble(size_t step);
  bool SendControl(const std::string& sql, size_t step, Command command = Command::kControl);
  bool SendSync(size_t step);
  bool AskForResults();
  void Expect(Command command, size_t step);

  size_t size() const;
  bool atomic() const { return call_.batch == nullptr || call_.batch->atomic; }
  bool MayFail(size_t step) const;
  bool WaitsForItsSettings() const;
  Readiness ReadinessOf(size_t step) const;
  const Statement& StatementOf(size_t step);
  bool IsUnnamedOneOnServer(const Statement& statement) const;
  void NoteUnnamed(size_t step, const Statement& statement);

  void TakeRows(size_t step, const PGresult* result);
  void TakeTag(size_t step, const PGresult* result);
  void TakeError(Error error);
  void EndStep(size_t step);
  void FailStep(size_t step, Error error);
  void FailAll(Error error, size_t step);
  Result& ResultOf(size_t step);
  const ResultLimits& LimitsOf(size_t step) const;
  Error LostError(const std::string& reason, bool unknown) const;

  const Call& call_;
  const RunTraits traits_;
  PGconn* const conn_;
  const bool in_transaction_;  // A block is open that is not ours.
  const bool own_block_;       // One that begins and ends with the run.

  Stage stage_ = Stage::kBegin;
  size_t next_ = 0;  // The first step that is not sent.
  bool sent_anything_ = false;
  bool commit_sent_ = false;  // From now on all of it may have taken effect.
  bool wants_to_send_ = false;
  bool stopped_ = false;
  bool rolled_back_ = false;
  size_t unflushed_bytes_ = 0;
  size_t unasked_ = 0;       // Commands since the server was last told to send its answers.
  std::string unnamed_key_;  // Of the unnamed statement that the server has; empty = unknown.
  Statement row_;            // The one of many rows that is being sent.

  std::deque<Expected> expected_;
  std::vector<StepState> states_;  // Of a batch.
  bool command_failed_ = false;    // The current one, or it was skipped.
  bool failed_ = false;            // All of it; `outcome_.error` says why.
  bool failed_on_server_ = false;
  bool fatal_ = false;
  bool too_large_ = false;           // The result of the current step.
  size_t too_large_step_ = kNoStep;  // The first of an atomic run.
  uint64_t bytes_ = 0;               // Of all rows that are kept.
  Outcome outcome_;
};

}  // namespace dbsidecar::pool
