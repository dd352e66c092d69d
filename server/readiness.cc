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

Readiness::Readiness(ReadinessOptions options, size_t pools,
                     std::function<void(const ReadinessState&)> publish)
    : options_(options),
      publish_(std::move(publish)),
      pools_(pools, {.damper = FlapDamper(options.hold)}),
      state_{.databases = std::vector<bool>(pools)} {
  publish_(state_);
}

void Readiness::SetServing(bool serving) {
  const std::lock_guard lock(mutex_);
  serving_ = serving;
  Update();
}

void Readiness::SetDatabaseUp(size_t pool, bool up) {
  const std::lock_guard lock(mutex_);
  pools_[pool].up = up;
  Update();
}

void Readiness::SetAnswerMax(pool::Duration answer_max) {
  const std::lock_guard lock(mutex_);
  options_.answer_max = answer_max;
}

void Readiness::Look(size_t pool, const pool::PoolStats& stats) {
  const std::lock_guard lock(mutex_);
  pools_[pool].answers = AnswersLately(stats, options_.answer_max);
  Update();
}

bool Readiness::ready() const {
  const std::lock_guard lock(mutex_);
  return state_.ready;
}

void Readiness::Update() {
  const bool asks_for_answers = options_.policy == ReadinessPolicy::kDatabase;
  const bool needs_database = options_.policy != ReadinessPolicy::kProcess;
  ReadinessState state{.ready = serving_, .databases = {}};
  for (Evidence& pool : pools_) {
    const bool up =
        pool.damper.Update(pool.up && (pool.answers || !asks_for_answers), pool::Clock::now());
    state.ready = state.ready && (up || !needs_database);
    state.databases.push_back(serving_ && up);
  }
  if (state == state_) return;
  state_ = std::move(state);
  publish_(state_);
}

}  // namespace dbsidecar::server
