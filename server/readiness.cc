#include "server/readiness.h"

#include <utility>

namespace dbsidecar::server {

bool FlapDamper::Update(bool up, pool::Instant now) {
  if (up != up_) {
    up_ = up;
    if (up) {
      up_since_ = now;
    } else {
      went_before_ = std::exchange(went_, now);
    }
  }
  if (!up) return false;
  const bool flaps = went_before_ != pool::Instant::min() && now - went_before_ < kWindow;
  return !flaps || now - up_since_ >= hold_;
}

bool AnswersLately(const pool::PoolStats& stats, pool::Duration answer_max) {
  if (stats.paused) return true;
  if (stats.in_use() > 0 && stats.in_use() == stats.max) return true;
  return stats.last_success_age && *stats.last_success_age <= answer_max;
}

Readiness::Readiness(ReadinessOptions options, std::function<void(ReadinessState)> publish)
    : options_(options), publish_(std::move(publish)), damper_(options.hold) {
  publish_(state_);
}

void Readiness::SetServing(bool serving) {
  const std::lock_guard lock(mutex_);
  serving_ = serving;
  Update();
}

void Readiness::SetDatabaseUp(bool up) {
  const std::lock_guard lock(mutex_);
  up_ = up;
  Update();
}

void Readiness::SetAnswerMax(pool::Duration answer_max) {
  const std::lock_guard lock(mutex_);
  options_.answer_max = answer_max;
}

void Readiness::Look(const pool::PoolStats& stats) {
  const std::lock_guard lock(mutex_);
  answers_ = AnswersLately(stats, options_.answer_max);
  Update();
}

bool Readiness::ready() const {
  const std::lock_guard lock(mutex_);
  return state_.ready;
}

void Readiness::Update() {
  const bool asks_for_answers = options_.policy == ReadinessPolicy::kDatabase;
  const bool up = damper_.Update(up_ && (answers_ || !asks_for_answers), pool::Clock::now());
  const bool needs_database = options_.policy != ReadinessPolicy::kProcess;
  const ReadinessState state = {.ready = serving_ && (up || !needs_database),
                                .database = serving_ && up};
  if (state.ready == state_.ready && state.database == state_.database) return;
  state_ = state;
  publish_(state_);
}

}  // namespace dbsidecar::server
