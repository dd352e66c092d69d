// Judges the alerts once a second, tells of what changes, and knows which of them fire.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "server/alerts.h"
#include "server/figures_sampler.h"
#include "server/pool_trend.h"

namespace dbsidecar::server {

// What the rules judge, from the looks of the last minute and the last hour at each pool. REQUIRES:
// there is one at each.
AlertFigures AlertFiguresOf(const std::vector<FiguresSampler::Looks>& minute,
                            const std::vector<PoolTrend>& hour);

struct AlertWatchOptions {
  std::chrono::nanoseconds hold{};  // See Alerts.
  // How often the sidecar was started again within the last hour, if somebody keeps count.
  std::function<std::optional<size_t>()> restarts_last_hour = [] { return std::nullopt; };
  // Told of what changed, and of all that fire now, after the log.
  std::function<void(const std::vector<AlertState>& changes)> on_change =
      [](const std::vector<AlertState>&) {};
};

// Threads: any.
class AlertWatch {
 public:
  explicit AlertWatch(AlertWatchOptions options)
      : options_(std::move(options)), alerts_(options_.hold) {}

  // One thread only, at each look.
  void Look(const std::vector<FiguresSampler::Looks>& minute);

  std::vector<AlertState> states() const;
  // The last hour of each pool, for recommendations. Empty before the first look.
  std::vector<PoolTrend> hour() const;

 private:
  const AlertWatchOptions options_;
  mutable std::mutex mutex_;  // Guards all below.
  std::vector<PoolTrend> hour_;
  Alerts alerts_;
};

}  // namespace dbsidecar::server
