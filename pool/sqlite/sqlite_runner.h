// The work of a connection's thread: takes what waits in its queue, runs it on its session, writes
// that wait together in one transaction, and reports what came of it, several at a time.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "pool/call.h"
#include "pool/sqlite/job_queue.h"
#include "pool/sqlite/part_gate.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {

class SqliteRunner final : public ProgressWatcher {
 public:
  struct Report {
    enum class Kind { kPinged, kReset, kExecuted, kHandedBack, kPart };
    Kind kind;
    bool ok = false;       // kPinged, kReset.
    Call* call = nullptr;  // kExecuted, kHandedBack, kPart.
    SqliteSession::Execution execution{};
    std::optional<AuditFindings> findings{};  // kReset, of an audit.
    Part part{};                              // kPart.
  };
  using Reports = std::vector<Report>;

  // All are borrowed. `post` takes reports in the order in which they came about.
  SqliteRunner(const SqliteConfig& config, const SqliteLocation& location, SqliteSession::Role role,
               Interruption& interruption, JobQueue& queue, PartGate& gate,
               std::function<void(Reports)> post);

  std::optional<OpenFailure> Open() { return session_.Open(); }
  // Returns when the queue ends. REQUIRES: Open succeeded.
  void Run();

  void OnProgress(Instant now) override;
  bool OnPart(Part part) override;
  bool wants_part() const override { return gate_.open(); }

 private:
  using Job = JobQueue::Job;
  struct Member {
    Call* call;
    SqliteSession::Execution execution;
  };

  std::optional<Job> Next();
  void Perform(const Job& job);
  Report Reset(bool audit);
  void RunStatement(const Job& job);
  void RunAlone(Call& call);
  SqliteSession::Execution RunCall(const Call& call);
  void RunReads(const Job& first);
  void RunWrites(const Job& first);
  // Runs `first` and what comes after it. The one that has to run alone; null = none.
  Call* RunMembers(Job first);
  void EndGroup(Call* apart);
  void RunAgainAlone(const std::vector<Call*>& calls);

  void Finish(Call& call, SqliteSession::Execution execution);
  void Flush();

  const bool writes_;
  JobQueue& queue_;
  PartGate& gate_;
  const std::function<void(Reports)> post_;
  SqliteSession session_;
  Call* alone_ = nullptr;      // Runs now, and not in a group.
  std::vector<Member> group_;  // Those that ran in the transaction at hand.
  Instant running_since_ = kNever;
  Reports finished_;  // Not posted yet.
  Instant finished_since_{};
};

}  // namespace dbsidecar::pool
