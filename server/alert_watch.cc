#include "server/alert_watch.h"

#include "server/log.h"

namespace dbsidecar::server {
namespace {

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

void LogChange(const AlertState& state) {
  Log(state.firing ? LogLevel::kWarn : LogLevel::kInfo,
      state.firing ? "alert.firing" : "alert.resolved",
      {{"name", state.rule->name},
       {"severity", SeverityWord(state.rule->severity)},
       {"pool", state.pool},
       {"summary", state.summary},
       {"runbook", RunbookOf(*state.rule)}});
}

// Not before there is evidence; and while it stops, the pool closes its connections itself.
bool IsDown(const pool::PoolStats& stats) {
  const bool known = stats.last_success_age || stats.last_connect_error_age;
  return known && !stats.database_up && !stats.draining && !stats.paused;
}

PoolAlertFigures FiguresOf(const FiguresSampler::Looks& minute, const PoolTrend& hour) {
  const FiguresSample& now = minute.back();
  const pool::PoolStats& stats = now.stats;
  PoolAlertFigures pool{
      .pool = stats.name,
      .utilization_percent = 0,
      .waiting = static_cast<double>(stats.waiting),
      .faults_last_hour = std::max(0.0, FaultsIn(now.outcomes) - FaultsIn(hour.first().outcomes)),
      .database_down = IsDown(stats),
      .queue_wait_p99_seconds = Seconds(QuantileOf(minute.front().stats.queue, stats.queue, 0.99)),
      .connect_failures_in_a_row = static_cast<double>(stats.connect_failures_in_a_row),
      .oldest_transaction_seconds = Seconds(stats.oldest_transaction.value_or(pool::Duration{}))};
  if (stats.max > 0) {
    pool.utilization_percent =
        100 * static_cast<double>(stats.in_use()) / static_cast<double>(stats.max);
  }
  return pool;
}

}  // namespace

AlertFigures AlertFiguresOf(const std::vector<FiguresSampler::Looks>& minute,
                            const std::vector<PoolTrend>& hour) {
  AlertFigures figures;
  for (size_t i = 0; i < minute.size(); ++i) figures.pools.push_back(FiguresOf(minute[i], hour[i]));
  const FiguresSample& now = minute[0].back();
  if (now.memory_limit_bytes > 0) {
    figures.memory_used_percent =
        100 * static_cast<double>(now.resident_bytes) / static_cast<double>(now.memory_limit_bytes);
  }
  return figures;
}

void AlertWatch::Look(const std::vector<FiguresSampler::Looks>& minute) {
  const LookTime now{.steady = minute[0].back().time, .wall = std::chrono::system_clock::now()};
  const auto restarts = static_cast<double>(options_.restarts_last_hour().value_or(0));
  std::vector<AlertState> changes;
  {
    const std::lock_guard lock(mutex_);
    hour_.resize(minute.size());
    for (size_t i = 0; i < minute.size(); ++i) hour_[i].Note(minute[i].back());
    AlertFigures figures = AlertFiguresOf(minute, hour_);
    figures.restarts_last_hour = restarts;
    changes = alerts_.Judge(now, figures);
  }
  for (const AlertState& change : changes) LogChange(change);
  if (!changes.empty()) options_.on_change(changes);
}

std::vector<AlertState> AlertWatch::states() const {
  const std::lock_guard lock(mutex_);
  return alerts_.states();
}

std::vector<PoolTrend> AlertWatch::hour() const {
  const std::lock_guard lock(mutex_);
  return hour_;
}

}  // namespace dbsidecar::server
