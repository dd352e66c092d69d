#include "bench/load/load.h"

#include <sys/prctl.h>

#include <random>
#include <thread>

namespace dbsidecar::bench {
namespace {

// More of them would tell nothing new.
constexpr int64_t kFailuresMax = 1000;

}  // namespace

Load::Load(Caller& caller, Script& script, LoadOptions options)
    : caller_(caller), script_(script), options_(options), due_(options.slots) {
  for (size_t slot = options_.slots; slot > 0; --slot) free_.push_back(slot - 1);
}

double Load::Run() {
  const auto start = Clock::now();
  end_ = start + std::chrono::duration_cast<Clock::duration>(
                     std::chrono::duration<double>(options_.seconds));
  caller_.ReportTo([this](size_t slot, const Outcome& outcome) { OnAnswered(slot, outcome); });
  std::thread begin([this] { options_.rate > 0 ? BeginAtRate() : BeginAll(); });
  caller_.Run();
  begin.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Load::BeginAll() {
  const std::lock_guard lock(mutex_);
  all_begun_ = true;
  while (!free_.empty()) {
    const size_t slot = free_.back();
    free_.pop_back();
    BeginRound(slot, Clock::now());
  }
}

void Load::BeginAtRate() {
  // The default slack of 50 us would be the larger part of some latencies.
  prctl(PR_SET_TIMERSLACK, 1000);
  std::mt19937_64 random{std::random_device{}()};
  std::exponential_distribution<double> gap(options_.rate);
  auto due = Clock::now();
  while (true) {
    due += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gap(random)));
    if (due >= end_) break;
    std::this_thread::sleep_until(due);
    std::unique_lock lock(mutex_);
    slot_freed_.wait_until(lock, end_, [this] { return given_up_ || !free_.empty(); });
    if (given_up_ || free_.empty()) break;
    const size_t slot = free_.back();
    free_.pop_back();
    BeginRound(slot, due);
  }
  const std::lock_guard lock(mutex_);
  all_begun_ = true;
  StopIfDone();
}

void Load::BeginRound(size_t slot, Clock::time_point due) {
  due_[slot] = due;
  caller_.Send(slot, script_.Begin(slot));
}

void Load::OnAnswered(size_t slot, const Outcome& outcome) {
  const std::lock_guard lock(mutex_);
  switch (outcome.verdict) {
    case Verdict::kAnswered:
      if (const std::optional<Statement> next = script_.Next(slot)) {
        caller_.Send(slot, *next);
        return;
      }
      tally_.Answered(due_[slot]);
      break;
    case Verdict::kFailed:
      tally_.Failed(outcome.error);
      given_up_ = given_up_ || tally_.failures() >= kFailuresMax;
      break;
    case Verdict::kUnimplemented:
      tally_.Unavailable("UNIMPLEMENTED: " + outcome.error);
      given_up_ = true;
      break;
    case Verdict::kLost:
      tally_.Failed(outcome.error);
      given_up_ = true;
      break;
  }
  OnRoundEnded(slot);
}

void Load::OnRoundEnded(size_t slot) {
  if (options_.rate == 0 && !Over()) {
    BeginRound(slot, Clock::now());
    return;
  }
  free_.push_back(slot);
  slot_freed_.notify_one();
  StopIfDone();
}

void Load::StopIfDone() {
  if (all_begun_ && free_.size() == options_.slots) caller_.Stop();
}

}  // namespace dbsidecar::bench
