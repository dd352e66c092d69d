// Whether the sidecar is ready: what decides if work is sent to it.
//
// Liveness is another question, and never depends on a database: a restart mends none.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "pool/pool.h"
#include "server/config/config.h"

namespace dbsidecar::server {

// Keeps something that comes and goes from being told at each change: that it went is told at once,
// that it came back too, unless it went for a second time within kWindow; then only when it has
// stayed for `hold`.
class FlapDamper {
 public:
  static constexpr pool::Duration kWindow = std::chrono::minutes(1);

  explicit FlapDamper(pool::Duration hold) : hold_(hold) {}

  // What to tell now, given how it is. Also to be called when nothing has changed, so that a
  // return that is held back is told in time.
  bool Update(bool up, pool::Instant now);

 private:
  pool::Duration hold_;
  bool up_ = false;
  pool::Instant up_since_ = pool::Instant::min();
  // The latest times when it went; min() = never.
  pool::Instant went_ = pool::Instant::min();
  pool::Instant went_before_ = pool::Instant::min();
};

// Whether the database of a pool answers, by what its calls, pings and connects found: the pool's
// own evidence, and that it is not older than `answer_max`. That of a pool whose connections are
// all at work may be: a full pool is not unready. Nor is one that is paused, whose database is not
// asked.
bool AnswersLately(const pool::PoolStats& stats, pool::Duration answer_max);

struct ReadinessOptions {
  ReadinessPolicy policy = ReadinessPolicy::kPool;
  pool::Duration hold{};        // See FlapDamper.
  pool::Duration answer_max{};  // See AnswersLately; for kDatabase.
};

struct ReadinessState {
  bool ready = false;  // By the policy.
  // Serving, and the database is up: of each pool, whatever the policy.
  std::vector<bool> databases;

  bool operator==(const ReadinessState&) const = default;
};

// Threads: any.
class Readiness {
 public:
  // `publish` is told the state at once and whenever it changes, one call at a time. Pools are
  // numbered; all of them count.
  Readiness(ReadinessOptions options, size_t pools,
            std::function<void(const ReadinessState&)> publish);

  // The process serves; or does no longer.
  void SetServing(bool serving);
  // A pool's evidence has changed.
  void SetDatabaseUp(size_t pool, bool up);
  // See ReadinessOptions.
  void SetAnswerMax(pool::Duration answer_max);
  // A look at a pool, about once a second.
  void Look(size_t pool, const pool::PoolStats& stats);

  bool ready() const;

 private:
  struct Evidence {
    bool up = false;
    bool answers = true;
    FlapDamper damper;
  };

  // REQUIRES: mutex_ is held.
  void Update();

  ReadinessOptions options_;
  const std::function<void(const ReadinessState&)> publish_;
  mutable std::mutex mutex_;  // Guards all below, and `options_`.
  bool serving_ = false;
  std::vector<Evidence> pools_;
  ReadinessState state_;
};

}  // namespace dbsidecar::server
