#include "tests/integration/canary_ledger.h"

#include <algorithm>
#include <pqxx/pqxx>
#include <sstream>
#include <unordered_map>

namespace dbsidecar::integration {
namespace {

constexpr size_t kFaultTextsMax = 20;

std::string ProblemOf(CanaryFate fate, int stored) {
  const std::string times = "is stored " + std::to_string(stored) + " times";
  switch (fate) {
    case CanaryFate::kOnce:
      return stored == 1 ? "" : "was acknowledged and " + times;
    case CanaryFate::kNever:
      return stored == 0 ? "" : "was said to have had no effect and " + times;
    case CanaryFate::kAtMostOnce:
      return stored <= 1 ? "" : "was said to be unknown and " + times;
  }
  return "has no fate";
}

}  // namespace

void CanaryLedger::Answered(const CanaryCall& call, const CanaryAnswer& answer) {
  ++answered_;
  const CanaryVerdict verdict = Judge(call, answer);
  ++counts_[static_cast<size_t>(verdict)];
  if (verdict == CanaryVerdict::kWrong) Fault(Describe(call, answer));
  if (call.writes()) Promise(call.id, FateOf(call, answer));
  CheckTime(call, answer);
}

void CanaryLedger::CheckTime(const CanaryCall& call, const CanaryAnswer& answer) {
  const auto overdue = answer.took - call.timeout.value_or(kCanaryQueryTimeout);
  if (overdue <= 0ms) return;
  {
    const std::lock_guard lock(mutex_);
    most_overdue_ = std::max(most_overdue_, overdue);
  }
  if (overdue <= 100ms + kScheduling) return;
  const auto stall = stalls_.LongestSince(Clock::now() - answer.took);
  if (overdue > 100ms + kScheduling + 2 * stall) {
    Fault("too late, and the machine stalled for " + std::to_string(Milliseconds(stall)) +
          " ms at most: " + Describe(call, answer));
  } else {
    ++excused_;
  }
}

void CanaryLedger::Abandoned(const CanaryCall& call) {
  ++abandoned_;
  CanaryAnswer none;
  none.code = grpc::StatusCode::CANCELLED;
  if (call.writes()) Promise(call.id, FateOf(call, none));
}

void CanaryLedger::Promise(int64_t id, CanaryFate fate) {
  const std::lock_guard lock(mutex_);
  writes_.emplace_back(id, fate);
}

void CanaryLedger::Fault(const std::string& what) {
  ++faults_;
  const std::lock_guard lock(mutex_);
  if (fault_texts_.size() >= kFaultTextsMax) return;
  fault_texts_.push_back(what);
  std::cout << "[ fault    ] " << what << std::endl;
}

std::vector<std::string> CanaryLedger::CompareWithTable(const std::string& url) {
  std::unordered_map<int64_t, int> stored;
  pqxx::connection connection(url);
  pqxx::nontransaction work(connection);
  for (const auto& row : work.exec("select id from canary_written")) ++stored[row[0].as<int64_t>()];
  std::vector<std::string> problems;
  long once = 0;
  long maybe = 0;
  const size_t rows = stored.size();
  const std::lock_guard lock(mutex_);
  for (const auto& [id, fate] : writes_) {
    const auto it = stored.find(id);
    const int times = it == stored.end() ? 0 : it->second;
    once += fate == CanaryFate::kOnce ? 1 : 0;
    maybe += fate == CanaryFate::kAtMostOnce ? times : 0;
    const std::string problem = ProblemOf(fate, times);
    if (!problem.empty()) problems.push_back("write " + std::to_string(id) + " " + problem);
    if (it != stored.end()) stored.erase(it);
  }
  for (const auto& [id, times] : stored) {
    problems.push_back("nobody wrote " + std::to_string(id) + ", and it is stored");
  }
  std::cout << "[ figures  ] " << writes_.size() << " writes, " << once << " acknowledged, " << rows
            << " stored, " << maybe << " of them of unknown outcome; " << problems.size()
            << " wrong\n";
  writes_.clear();
  return problems;
}

std::vector<std::string> CanaryLedger::fault_texts() const {
  const std::lock_guard lock(mutex_);
  return fault_texts_;
}

std::chrono::nanoseconds CanaryLedger::most_overdue() const {
  const std::lock_guard lock(mutex_);
  return most_overdue_;
}

std::string CanaryLedger::Figures() const {
  std::ostringstream text;
  text << answered_ << " calls: " << count(CanaryVerdict::kMatched) << " matched, "
       << count(CanaryVerdict::kWrong) << " mismatched, " << count(CanaryVerdict::kCancelled)
       << " cancelled, " << count(CanaryVerdict::kExpired) << " expired, "
       << count(CanaryVerdict::kCutOff) << " cut off, " << count(CanaryVerdict::kUnknown)
       << " unknown, " << abandoned_ << " abandoned, " << faults_ << " faults; at most "
       << Milliseconds(most_overdue()) << " ms past a deadline, " << excused_
       << " late because the machine stalled";
  return text.str();
}

}  // namespace dbsidecar::integration
