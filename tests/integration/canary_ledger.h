// What the callers of the canary test were answered: the figures, the faults, and what every write
// was promised, to be compared with the table in the end.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/canary_call.h"
#include "tests/integration/fixture.h"
#include "tests/integration/stall_watch.h"

namespace dbsidecar::integration {

// Safe to use from any thread.
class CanaryLedger {
 public:
  // An answer has come. Not its own, or later than is promised: a fault. What the machine held up
  // meanwhile is allowed for, once here and once in the sidecar.
  void Answered(const CanaryCall& call, const CanaryAnswer& answer);
  // The caller left before there was an answer.
  void Abandoned(const CanaryCall& call);
  void Fault(const std::string& what);

  // The rows that `canary_written` has and should not have, or the other way about; also ids that
  // nobody wrote. REQUIRES: no statement runs any more. Empties what is remembered of writes.
  std::vector<std::string> CompareWithTable(const std::string& url);

  long answered() const { return answered_; }
  long count(CanaryVerdict verdict) const { return counts_[static_cast<size_t>(verdict)]; }
  long abandoned() const { return abandoned_; }
  long faults() const { return faults_; }
  // Answers that were late and no fault, because the machine was.
  long excused() const { return excused_; }
  // The first few.
  std::vector<std::string> fault_texts() const;
  // Past the deadline, of all answers; what is promised is 100 ms.
  std::chrono::nanoseconds most_overdue() const;
  std::string Figures() const;

 private:
  void CheckTime(const CanaryCall& call, const CanaryAnswer& answer);
  void Promise(int64_t id, CanaryFate fate);

  StallWatch stalls_;
  std::atomic<long> answered_{0};
  std::atomic<long> abandoned_{0};
  std::atomic<long> faults_{0};
  std::atomic<long> excused_{0};
  std::array<std::atomic<long>, kCanaryVerdicts> counts_{};
  mutable std::mutex mutex_;  // Guards all below.
  std::vector<std::string> fault_texts_;
  std::vector<std::pair<int64_t, CanaryFate>> writes_;
  std::chrono::nanoseconds most_overdue_{};
};

}  // namespace dbsidecar::integration
