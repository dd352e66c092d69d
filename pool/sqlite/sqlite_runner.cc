#include "pool/sqlite/sqlite_runner.h"

#include <utility>

namespace dbsidecar::pool {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// A transaction of several callers' statements takes no more of them beyond these.
constexpr size_t kGroupMax = 128;
constexpr Duration kGroupTimeMax = milliseconds(5);
// How long a result may wait for others, to be posted with them.
constexpr Duration kFinishedMax = microseconds(200);
// A statement that takes longer holds up no one: those behind it are handed back.
constexpr Duration kHandBackAfter = milliseconds(20);

SqliteSession::Execution Interrupted() {
  SqliteSession::Execution execution;
  execution.outcome.error = InterruptedError();
  return execution;
}

}  // namespace

SqliteRunner::SqliteRunner(const SqliteConfig& config, const SqliteLocation& location,
                           SqliteSession::Role role, Interruption& interruption, JobQueue& queue,
                           PartGate& gate, std::function<void(Reports)> post)
    : writes_(role == SqliteSession::Role::kWriter),
      queue_(queue),
      gate_(gate),
      post_(std::move(post)),
      session_(config, location, role, interruption, this) {}

void SqliteRunner::Run() {
  while (const std::optional<Job> job = Next()) Perform(*job);
}

std::optional<SqliteRunner::Job> SqliteRunner::Next() {
  if (const std::optional<Job> job = queue_.TryNext()) return job;
  Flush();
  return queue_.WaitNext();
}

void SqliteRunner::Perform(const Job& job) {
  running_since_ = Clock::now();
  switch (job.kind) {
    case Job::Kind::kPing:
      finished_.push_back({.kind = Report::Kind::kPinged, .ok = session_.Ping()});
      Flush();
      break;
    case Job::Kind::kReset:
      finished_.push_back(Reset(job.audit));
      Flush();
      break;
    case Job::Kind::kExecute:
      RunStatement(job);
      break;
  }
}

SqliteRunner::Report SqliteRunner::Reset(bool audit) {
  if (!audit) return {.kind = Report::Kind::kReset, .ok = session_.Reset()};
  AuditFindings findings;
  const bool ok = session_.AuditAndReset(findings);
  return {.kind = Report::Kind::kReset, .ok = ok, .findings = std::move(findings)};
}

void SqliteRunner::RunStatement(const Job& job) {
  if (job.alone || job.behind == 0) {
    RunAlone(*job.call);
  } else if (writes_) {
    RunWrites(job);
  } else {
    RunReads(job);
  }
}

void SqliteRunner::RunAlone(Call& call) {
  alone_ = &call;
  gate_.Reset();
  SqliteSession::Execution execution = RunCall(call);
  alone_ = nullptr;
  const bool wrote = execution.writes;
  Finish(call, std::move(execution));
  // The next one may take its time to commit, unseen.
  if (wrote) Flush();
}

SqliteSession::Execution SqliteRunner::RunCall(const Call& call) {
  if (call.description != nullptr) return session_.Describe(call);
  if (call.IsSeveral()) return session_.RunSeveral(call);
  const bool in_session = call.session.kind != SessionUse::Kind::kNone ||
                          (call.session.auto_pin && IsTransactionControl(call.statement.sql));
  return in_session ? session_.RunInSession(call) : session_.Run(call);
}

// All that waited when the first of them began, which saw what had been acknowledged by then. So it
// is as if they had run at the same moment, without SQLite's locking and unlocking for each.
void SqliteRunner::RunReads(const Job& first) {
  const Instant began = running_since_;
  session_.BeginReads();
  std::optional<Job> job = first;
  for (size_t left = first.behind; job.has_value(); --left) {
    Finish(*job->call, session_.Read(job->call->statement, job->call->deadline));
    if (left == 0 || running_since_ - began >= kGroupTimeMax) break;
    job = queue_.NextOfGroup();
  }
  session_.EndReads();
}

void SqliteRunner::RunWrites(const Job& first) {
  if (!session_.MayBeGrouped(first.call->statement) || !session_.BeginWrites()) {
    RunAlone(*first.call);
    return;
  }
  Call* const apart = RunMembers(first);
  // A cancel comes too late for those that have run.
  queue_.NothingRuns();
  EndGroup(apart);
  Flush();
}

Call* SqliteRunner::RunMembers(Job first) {
  const Instant began = running_since_;
  std::optional<Job> job = first;
  while (job.has_value()) {
    Call& call = *job->call;
    SqliteSession::Execution execution;
    if (!session_.MayBeGrouped(call.statement) || !session_.RunWrite(call.statement, execution)) {
      return &call;
    }
    group_.push_back({.call = &call, .execution = std::move(execution)});
    running_since_ = Clock::now();
    if (group_.size() >= kGroupMax || running_since_ - began >= kGroupTimeMax) break;
    job = queue_.NextOfGroup();
  }
  return nullptr;
}

void SqliteRunner::EndGroup(Call* apart) {
  using End = SqliteSession::GroupEnd;
  End end{.kind = End::Kind::kRolledBack};
  if (session_.group_is_open()) end = session_.CommitWrites();
  std::vector<Call*> again;
  for (Member& member : group_) {
    SqliteSession::Execution& execution = member.execution;
    switch (end.kind) {
      case End::Kind::kCommitted:
        Finish(*member.call, std::move(execution));
        break;
      case End::Kind::kRolledBack:
        again.push_back(member.call);
        break;
      case End::Kind::kUnknown:
        if (!execution.outcome.error.has_value()) {
          execution.outcome = {};
          execution.outcome.error = end.error;
          execution.outcome.error->outcome_unknown = execution.writes;
        }
        execution.condition = Condition::kBroken;
        Finish(*member.call, std::move(execution));
        break;
    }
  }
  group_.clear();
  if (apart != nullptr) again.push_back(apart);
  RunAgainAlone(again);
}

// Nothing of them took effect.
void SqliteRunner::RunAgainAlone(const std::vector<Call*>& calls) {
  for (Call* cancelled : queue_.PutBack(calls)) Finish(*cancelled, Interrupted());
}

void SqliteRunner::OnProgress(Instant now) {
  if (now - running_since_ >= kHandBackAfter) {
    for (Call* call : queue_.TakeWaiting()) {
      finished_.push_back({.kind = Report::Kind::kHandedBack, .call = call});
    }
  }
  if (!finished_.empty()) post_(std::exchange(finished_, {}));
}

bool SqliteRunner::OnPart(Part part) {
  if (!gate_.Pass()) return false;
  finished_.push_back({.kind = Report::Kind::kPart, .call = alone_, .part = std::move(part)});
  post_(std::exchange(finished_, {}));
  return true;
}

void SqliteRunner::Finish(Call& call, SqliteSession::Execution execution) {
  running_since_ = Clock::now();
  if (finished_.empty()) finished_since_ = running_since_;
  finished_.push_back(
      {.kind = Report::Kind::kExecuted, .call = &call, .execution = std::move(execution)});
  if (running_since_ - finished_since_ >= kFinishedMax) Flush();
}

void SqliteRunner::Flush() {
  if (finished_.empty()) return;
  // Before the reports: their owners may free the calls, and reuse their place.
  queue_.NothingRuns();
  post_(std::exchange(finished_, {}));
}

}  // namespace dbsidecar::pool
