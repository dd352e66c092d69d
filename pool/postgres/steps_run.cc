#include "pool/postgres/steps_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pool/check.h"
#include "pool/driver.h"
#include "pool/postgres/parameters.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/postgres_result.h"
#include "pool/postgres/transaction_commands.h"

namespace dbsidecar::pool {
namespace {

// In one turn of the loop, so that others get theirs.
constexpr size_t kStepsPerTurn = 256;
// Commands that are sent and not answered.
constexpr size_t kExpectedMax = 2048;
// The server sends its answers when so many commands have come, or when its buffer is full.
constexpr size_t kAskAfter = 512;
// What libpq may hold before it is made to write.
constexpr size_t kUnflushedMax = 32 * 1024;
// Of each command, beside its texts and values.
constexpr size_t kCommandBytes = 64;
constexpr size_t kNoticesMax = 100;

bool HasNul(const Value& value) {
  return value.kind == Value::Kind::kText && value.text.find('\0') != std::string_view::npos;
}

size_t BytesOf(const Parameters& parameters) {
  size_t bytes = kCommandBytes;
  for (int i = 0; i < parameters.count(); ++i) {
    bytes += static_cast<size_t>(parameters.lengths()[i]) + sizeof(int32_t);
  }
  return bytes;
}

bool NeedsOwnBlock(const Call& call, const RunTraits& traits, bool in_transaction) {
  if (in_transaction) return false;
  if (call.batch == nullptr) return traits.may_commit_inside;
  const auto may_fail = [](const BatchStep& step) { return step.may_fail; };
  const std::vector<BatchStep>& steps = call.batch->steps;
  return call.batch->atomic &&
         (traits.may_commit_inside || std::any_of(steps.begin(), steps.end(), may_fail));
}

bool Opens(const Call& call) { return call.session.kind == SessionUse::Kind::kBegin; }

}  // namespace

StepsRun::StepsRun(const Call& call, RunTraits traits, PGconn* conn, bool in_transaction)
    : call_(call),
      traits_(traits),
      conn_(conn),
      in_transaction_(in_transaction || Opens(call)),
      own_block_(NeedsOwnBlock(call, traits, in_transaction_)) {
  if (call.batch != nullptr) {
    states_.resize(size());
    outcome_.steps.resize(size());
  } else {
    row_ = call.statement;
    if (call.wants_rows_affected) outcome_.rows_affected_by_row.resize(size(), -1);
    if (size() == 0) outcome_.result.rows_affected = 0;
  }
}

size_t StepsRun::size() const {
  return call_.batch != nullptr ? call_.batch->steps.size() : call_.rows->size();
}

bool StepsRun::MayFail(size_t step) const {
  return call_.batch != nullptr && call_.batch->steps[step].may_fail;
}

// --- Sending. ---

bool StepsRun::Send() {
  wants_to_send_ = false;
  if (stage_ == Stage::kBegin && !SendBegin()) return false;
  if (stage_ == Stage::kSteps && !SendSteps()) return false;
  if (stage_ == Stage::kEnd && !SendEnd()) return false;
  return stage_ != Stage::kUndo || SendUndo();
}

bool StepsRun::SendBegin() {
  stage_ = Stage::kSteps;
  if (Opens(call_) && !SendControl(BeginText(call_.session.begin), kNoStep)) return false;
  if (own_block_ && !SendControl("BEGIN", kNoStep)) return false;
  if (call_.session.kind == SessionUse::Kind::kPin) {
    if (!SendSettings(SettingsReach::kSession, kNoStep)) return false;
    return !WaitsForItsSettings() || SendSync(kNoStep);
  }
  return !atomic() || SendPreamble(kNoStep);
}

// Steps that are independent would run without them if they failed.
bool StepsRun::WaitsForItsSettings() const {
  return !atomic() && call_.session.kind == SessionUse::Kind::kPin && !expected_.empty() &&
         next_ == 0;
}

bool StepsRun::SendSteps() {
  if (WaitsForItsSettings()) return true;
  for (size_t sent = 0; next_ < size() && !failed_ && !stopped_; ++sent) {
    if (unflushed_bytes_ >= kUnflushedMax) {
      unflushed_bytes_ = 0;
      const int left = PQflush(conn_);
      if (left < 0) return false;
      wants_to_send_ = left > 0;
    }
    wants_to_send_ = wants_to_send_ || sent == kStepsPerTurn;
    if (wants_to_send_) return true;
    if (expected_.size() >= kExpectedMax) return AskForResults();
    switch (ReadinessOf(next_)) {
      case Readiness::kNotYet:
        return AskForResults();
      case Readiness::kNo:
        states_[next_++] = StepState::kOver;
        break;
      case Readiness::kYes:
        if (!SendStep(next_++)) return false;
        break;
    }
    if (unasked_ >= kAskAfter && !AskForResults()) return false;
  }
  stage_ = Stage::kEnd;
  return true;
}

StepsRun::Readiness StepsRun::ReadinessOf(size_t step) const {
  if (call_.batch == nullptr) return Readiness::kYes;
  for (const StepCondition& condition : call_.batch->steps[step].conditions) {
    DBSIDECAR_CHECK(condition.step < step);
    if (states_[condition.step] != StepState::kOver) return Readiness::kNotYet;
    if (!Holds(condition, outcome_.steps[condition.step])) return Readiness::kNo;
  }
  return Readiness::kYes;
}

bool StepsRun::SendStep(size_t step) {
  if (call_.batch != nullptr) states_[step] = StepState::kSent;
  if (!atomic()) return SendAlone(step);
  return MayFail(step) ? SendInSavepoint(step) : SendStatement(step);
}

// See the head of steps_run.h.
bool StepsRun::SendInSavepoint(size_t step) {
  return SendControl("SAVEPOINT dbsidecar_step", kNoStep) &&
         SendControl("SAVEPOINT dbsidecar_try", kNoStep) && SendStatement(step) &&
         SendControl("SAVEPOINT dbsidecar_try", kNoStep) && SendSync(kNoStep) &&
         SendControl("ROLLBACK TO SAVEPOINT dbsidecar_try", kNoStep) &&
         SendControl("RELEASE SAVEPOINT dbsidecar_step", kNoStep);
}

bool StepsRun::SendAlone(size_t step) {
  return SendPreamble(step) && SendStatement(step) && SendSync(step);
}

// What holds for one transaction, at its start.
bool StepsRun::SendPreamble(size_t step) {
  const SessionUse::Kind kind = call_.session.kind;
  if (kind != SessionUse::Kind::kPin && !SendSettings(SettingsReach::kTransaction, step)) {
    return false;
  }
  // In a session it would be for all that follows there.
  const bool make_read_only =
      kind == SessionUse::Kind::kNone && call_.statement.read_only && !traits_.plain_reads;
  return !make_read_only || SendControl(kMakeReadOnly, step);
}

bool StepsRun::SendSettings(SettingsReach reach, size_t step) {
  if (call_.statement.settings.none()) return true;
  const SettingsCommand command = CommandFor(call_.statement.settings, reach);
  std::vector<const char*> values;
  for (const std::string& value : command.values) values.push_back(value.c_str());
  Expect(Command::kControl, step);
  unnamed_key_.clear();
  return PQsendQueryParams(conn_, command.sql.c_str(), static_cast<int>(values.size()), nullptr,
                           values.data(), nullptr, nullptr, 0) == 1;
}

// A text that comes several times in a row is parsed once. Not where its first parse may have
// failed and others run on.
bool StepsRun::SendStatement(size_t step) {
  const Statement& statement = StatementOf(step);
  if (std::any_of(statement.parameters.begin(), statement.parameters.end(), &HasNul)) {
    FailAll(OwnError(ErrorKind::kInvalidArgument,
                     "a parameter contains a NUL character (U+0000), which PostgreSQL's text "
                     "cannot hold; send it as bytes"),
            step);
    return true;
  }
  const Parameters parameters(statement);
  Expect(Command::kExecute, step);
  unflushed_bytes_ += BytesOf(parameters);
  if (IsUnnamedOneOnServer(statement)) {
    return PQsendQueryPrepared(conn_, "", parameters.count(), parameters.values(),
                               parameters.lengths(), parameters.formats(), 0) == 1;
  }
  unflushed_bytes_ += statement.sql.size();
  NoteUnnamed(step, statement);
  return PQsendQueryParams(conn_, std::string(statement.sql).c_str(), parameters.count(),
                           parameters.types(), parameters.values(), parameters.lengths(),
                           parameters.formats(), 0) == 1;
}

const Statement& StepsRun::StatementOf(size_t step) {
  if (call_.batch != nullptr) return call_.batch->steps[step].statement;
  row_.parameters.clear();
  call_.rows->Get(step, row_.parameters);
  return row_;
}

bool StepsRun::IsUnnamedOneOnServer(const Statement& statement) const {
  if (unnamed_key_.empty()) return false;
  return call_.batch == nullptr || unnamed_key_ == PreparedKey(statement);
}

void StepsRun::NoteUnnamed(size_t step, const Statement& statement) {
  if (atomic() && !MayFail(step)) {
    unnamed_key_ = PreparedKey(statement);
  } else {
    unnamed_key_.clear();
  }
}

// A cancel may hit a step that may fail, and must not be taken for that failure: so all that may
// fail is over before the COMMIT goes out.
bool StepsRun::WaitsForThoseThatMayFail() const {
  for (size_t step = 0; step < states_.size() && atomic(); ++step) {
    if (states_[step] == StepState::kSent && MayFail(step)) return true;
  }
  return false;
}

bool StepsRun::SendEnd() {
  if (!failed_ && WaitsForThoseThatMayFail()) return AskForResults();
  stage_ = Stage::kSent;
  if (!atomic()) return true;
  if (stopped_ && !failed_) {
    FailAll(OwnError(ErrorKind::kCancelled, ""), kNoStep);
  }
  if (failed_) {
    stage_ = own_block_ ? Stage::kUndo : Stage::kSent;
    // The server does not know yet. In a session its transaction fails with it.
    const bool undone = failed_on_server_ || SendControl("ROLLBACK TO SAVEPOINT dbsidecar_gives_up",
                                                         kNoStep, Command::kGiveUp);
    return undone && SendSync(kNoStep);
  }
  if ((call_.session.commit || own_block_) && !SendControl("COMMIT", kNoStep, Command::kCommit)) {
    return false;
  }
  commit_sent_ = true;
  return SendSync(kNoStep);
}

// The error has left our block open, as a failed one.
bool StepsRun::SendUndo() {
  stage_ = Stage::kSent;
  rolled_back_ = true;
  return SendControl("ROLLBACK", kNoStep) && SendSync(kNoStep);
}

bool StepsRun::SendControl(const std::string& sql, size_t step, Command command) {
  Expect(command, step);
  unnamed_key_.clear();
  return PQsendQueryParams(conn_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
}

bool StepsRun::SendSync(size_t step) {
  Expect(Command::kSync, step);
  unasked_ = 0;
  return PQpipelineSync(conn_) == 1;
}

bool StepsRun::AskForResults() {
  if (unasked_ == 0) return true;
  unasked_ = 0;
  return PQsendFlushRequest(conn_) == 1;
}

void StepsRun::Expect(Command command, size_t step) {
  expected_.push_back({command, step});
  sent_anything_ = true;
  ++unasked_;
  unflushed_bytes_ += kCommandBytes;
}

// --- Receiving. ---

void StepsRun::Take(const PGresult* result) {
  const Expected at = expected_.front();
  switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
      if (at.command == Command::kExecute) TakeRows(at.step, result);
      break;
    case PGRES_TUPLES_OK:
      if (at.command != Command::kExecute) break;
      TakeRows(at.step, result);
      TakeTag(at.step, result);
      break;
    case PGRES_COMMAND_OK:
      if (at.command == Command::kExecute) TakeTag(at.step, result);
      if (at.command == Command::kCommit && !own_block_) {
        outcome_.end_tag = PQcmdStatus(const_cast<PGresult*>(result));
      }
      break;
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
      fatal_ = fatal_ || IsFatal(result);
      TakeError(DatabaseError(result));
      break;
    case PGRES_PIPELINE_ABORTED:  // Follows the error that tells why.
      command_failed_ = true;
      break;
    case PGRES_EMPTY_QUERY:
    case PGRES_NONFATAL_ERROR:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
    case PGRES_PIPELINE_SYNC:
      break;
  }
}

Result& StepsRun::ResultOf(size_t step) {
  return call_.batch != nullptr ? outcome_.steps[step].result : outcome_.result;
}

const ResultLimits& StepsRun::LimitsOf(size_t step) const {
  return call_.batch != nullptr ? call_.batch->steps[step].statement.limits
                                : call_.statement.limits;
}

void StepsRun::TakeRows(size_t step, const PGresult* result) {
  Result& into = ResultOf(step);
  const ResultLimits& limits = LimitsOf(step);
  if (into.columns.empty() && PQnfields(result) > 0) {
    into.columns = ColumnsOf(result);
    into.rows.SetColumnCount(into.columns.size());
  }
  if (call_.batch != nullptr) {
    outcome_.steps[step].rows_returned += static_cast<uint64_t>(PQntuples(result));
  }
  // All that many rows return is one result.
  if (call_.batch == nullptr && too_large_step_ != kNoStep) return;
  for (int row = 0; row < PQntuples(result); ++row) {
    if (limits.rows_max != 0 && into.rows.row_count() >= limits.rows_max) {
      (limits.truncate ? into.truncated : too_large_) = true;
    }
    if (into.truncated || too_large_) continue;
    const uint64_t before = into.rows.data_bytes();
    AppendRow(result, row, into.rows);
    bytes_ += into.rows.data_bytes() - before;
    too_large_ = limits.bytes_max != 0 && bytes_ > limits.bytes_max;
  }
  if (!too_large_) return;
  bytes_ -= std::min(bytes_, into.rows.data_bytes());
  into.rows = RowBuffer();
  into.rows.SetColumnCount(into.columns.size());
}

void StepsRun::TakeTag(size_t step, const PGresult* result) {
  Result& into = ResultOf(step);
  into.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
  const int64_t affected = RowsAffected(into.command_tag);
  if (call_.batch != nullptr) {
    into.rows_affected = affected;
    return;
  }
  if (call_.wants_rows_affected) outcome_.rows_affected_by_row[step] = affected;
  if (affected >= 0) into.rows_affected = std::max<int64_t>(into.rows_affected, 0) + affected;
}

void StepsRun::TakeError(Error error) {
  command_failed_ = true;
  const Expected at = expected_.front();
  if (failed_ || at.command == Command::kGiveUp) return;
  const bool ends = at.command == Command::kCommit || at.command == Command::kSync;
  if (ends && fatal_) return;  // It came instead of the answer to the commit.
  if (at.command != Command::kExecute) error.sql.position = 0;
  const bool cancelled = stopped_ && atomic() && error.sql.sqlstate == "57014";
  const bool of_step = at.step != kNoStep && (!atomic() || MayFail(at.step)) && !cancelled;
  if (of_step) {
    FailStep(at.step, std::move(error));
    return;
  }
  // Of one in a savepoint what undoes it alone is sent already.
  failed_on_server_ = at.step == kNoStep || !MayFail(at.step);
  FailAll(std::move(error), at.step);
}

void StepsRun::FailStep(size_t step, Error error) {
  if (states_[step] == StepState::kOver) return;
  states_[step] = StepState::kOver;
  if (!atomic() && traits_.may_commit_inside && error.sql.sqlstate.starts_with("57")) {
    error.outcome_unknown = true;
  }
  StepResult& into = outcome_.steps[step];
  into.outcome = StepOutcome::kFailed;
  into.result = Result();
  into.error = std::move(error);
}

void StepsRun::FailAll(Error error, size_t step) {
  failed_ = true;
  if (step != kNoStep) {
    error.place = {.part = call_.batch != nullptr ? "step" : "row", .index = step};
  }
  outcome_.error = std::move(error);
}

void StepsRun::EndCommand() {
  const Expected done = expected_.front();
  expected_.pop_front();
  const bool ok = !std::exchange(command_failed_, false);
  // Of a step that is a transaction of its own only its Sync tells.
  if (done.command == Command::kExecute && ok && atomic()) EndStep(done.step);
}

void StepsRun::EndSync() {
  const Expected done = expected_.front();
  expected_.pop_front();
  command_failed_ = false;
  if (done.step != kNoStep && states_[done.step] != StepState::kOver) EndStep(done.step);
  // What failed was all sent, with a COMMIT that the server skipped.
  if (own_block_ && failed_ && !rolled_back_ && stage_ == Stage::kSent && expected_.empty()) {
    stage_ = Stage::kUndo;
  }
}

void StepsRun::EndStep(size_t step) {
  const bool too_large = std::exchange(too_large_, false);
  if (too_large && !atomic()) {
    FailStep(step, ResultTooLarge(LimitsOf(step), !traits_.only_reads));
    return;
  }
  if (too_large && too_large_step_ == kNoStep) too_large_step_ = step;
  if (call_.batch == nullptr) return;
  states_[step] = StepState::kOver;
  outcome_.steps[step].outcome = StepOutcome::kOk;
}

void StepsRun::TakeNotice(Notice notice) {
  if (expected_.empty() || expected_.front().command != Command::kExecute) return;
  std::vector<Notice>& notices =
      call_.batch != nullptr ? outcome_.steps[expected_.front().step].notices : outcome_.notices;
  if (notices.size() < kNoticesMax) notices.push_back(std::move(notice));
}

// --- The end. ---

Outcome StepsRun::Finish() {
  for (size_t step = 0; step < states_.size() && !atomic(); ++step) {
    if (states_[step] == StepState::kUnsent) FailStep(step, OwnError(ErrorKind::kCancelled, ""));
  }
  if (too_large_step_ != kNoStep && !failed_) {
    FailAll(ResultTooLarge(LimitsOf(too_large_step_), !traits_.only_reads), too_large_step_);
  }
  if (outcome_.error) {
    outcome_.steps.clear();
    outcome_.rows_affected_by_row.clear();
    outcome_.result = Result();
  }
  return std::move(outcome_);
}

Outcome StepsRun::Lost(const std::string& reason) {
  const bool harmless = call_.statement.read_only || (in_transaction_ && !call_.session.commit);
  if (!failed_ && atomic()) {
    FailAll(LostError(reason, commit_sent_ && !harmless), kNoStep);
  } else if (!failed_) {
    for (size_t step = 0; step < size(); ++step) {
      // After its last word the server has run nothing more.
      const bool may_have_run = states_[step] == StepState::kSent && !fatal_;
      FailStep(step, LostError(reason, may_have_run && !harmless));
    }
  }
  const bool never_sent = !sent_anything_;
  if (never_sent && !outcome_.error) outcome_.error = LostError(reason, false);
  Outcome outcome = Finish();
  outcome.never_sent = never_sent;
  return outcome;
}

Error StepsRun::LostError(const std::string& reason, bool unknown) const {
  Error error = OwnError(
      ErrorKind::kConnectionLost,
      fmt::format("the connection was lost, {}: {}",
                  unknown ? "so whether it took effect is unknown" : "it had no effect", reason));
  error.outcome_unknown = unknown;
  return error;
}

}  // namespace dbsidecar::pool
