#include "pool/sqlite/job_queue.h"

#include <algorithm>

namespace dbsidecar::pool {

void JobQueue::Add(std::vector<Job>& jobs) {
  if (jobs.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    jobs_.insert(jobs_.end(), jobs.begin(), jobs.end());
  }
  jobs.clear();
  added_.notify_one();
}

bool JobQueue::Cancel(const Call& call) {
  const std::lock_guard lock(mutex_);
  const auto job = std::find_if(jobs_.begin(), jobs_.end(),
                                [&call](const Job& waiting) { return waiting.call == &call; });
  if (job != jobs_.end()) {
    job->cancelled = !call.session.none();
    if (job->cancelled) return false;
    jobs_.erase(job);
    return true;
  }
  if (running_ == &call) interruption_.Request();
  for (GivenOut& given : given_out_) given.cancelled |= given.call == &call;
  return false;
}

void JobQueue::End() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  interruption_.Request();
  added_.notify_one();
}

std::optional<JobQueue::Job> JobQueue::TryNext() {
  const std::lock_guard lock(mutex_);
  given_out_.clear();
  if (jobs_.empty() || ending_) return std::nullopt;
  return GiveOut();
}

std::optional<JobQueue::Job> JobQueue::WaitNext() {
  std::unique_lock lock(mutex_);
  given_out_.clear();
  running_ = nullptr;
  added_.wait(lock, [this] { return !jobs_.empty() || ending_; });
  if (ending_) return std::nullopt;
  return GiveOut();
}

std::optional<JobQueue::Job> JobQueue::NextOfGroup() {
  const std::lock_guard lock(mutex_);
  const bool joins = !jobs_.empty() && !ending_ && jobs_.front().kind == Job::Kind::kExecute &&
                     !jobs_.front().alone;
  if (!joins) return std::nullopt;
  return GiveOut();
}

JobQueue::Job JobQueue::GiveOut() {
  Job job = jobs_.front();
  jobs_.pop_front();
  job.behind = jobs_.size();
  running_ = job.call;
  if (job.call != nullptr) given_out_.push_back({.call = job.call});
  interruption_.Withdraw();
  if (job.cancelled) interruption_.Request();
  return job;
}

void JobQueue::NothingRuns() {
  const std::lock_guard lock(mutex_);
  running_ = nullptr;
  if (!ending_) interruption_.Withdraw();
}

std::vector<Call*> JobQueue::PutBack(const std::vector<Call*>& calls) {
  const std::lock_guard lock(mutex_);
  std::vector<Call*> cancelled;
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    const auto given = std::find_if(given_out_.begin(), given_out_.end(),
                                    [&](const GivenOut& out) { return out.call == *call; });
    if (given != given_out_.end() && given->cancelled) {
      cancelled.push_back(*call);
    } else {
      jobs_.push_front({.kind = Job::Kind::kExecute, .call = *call, .alone = true});
    }
  }
  return cancelled;
}

std::vector<Call*> JobQueue::TakeWaiting() {
  const std::lock_guard lock(mutex_);
  std::vector<Call*> calls;
  for (const Job& job : jobs_) {
    if (job.call != nullptr) calls.push_back(job.call);
  }
  std::erase_if(jobs_, [](const Job& job) { return job.call != nullptr; });
  return calls;
}

}  // namespace dbsidecar::pool
