// What the sidecar tells about itself: the content of Health and Metrics, whoever asks and however.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dbsidecar/v1/health.pb.h"
#include "dbsidecar/v1/metrics.pb.h"
#include "pool/error.h"
#include "pool/time.h"
#include "server/alert_watch.h"
#include "server/config_in_force.h"
#include "server/figures_sampler.h"
#include "server/history/history.h"
#include "server/live_feed.h"
#include "server/metrics_baseline.h"
#include "server/metrics_text.h"
#include "server/pools.h"
#include "server/rpc_figures.h"
#include "server/statement_series.h"
#include "server/system_figures.h"
#include "server/webhook.h"

namespace dbsidecar::server {

class Readiness;

// Threads: any.
class Reports {
 public:
  // All are borrowed. Looks at `readiness` too, once a second.
  Reports(Pools& pools, Readiness& readiness, const ConfigInForce& config);

  void SetPhase(v1::LifecyclePhase phase) { phase_.store(phase); }
  v1::LifecyclePhase phase() const { return phase_.load(); }

  // Where RPCs are counted.
  RpcFigures& rpcs() { return rpcs_; }

  // A check that `request` asks for ends at `deadline`, or before it.
  std::optional<pool::Error> FillHealth(const v1::HealthRequest& request, pool::Instant deadline,
                                        v1::HealthResponse& health);
  // Since the start of the process, or ResetStatistics.
  std::optional<pool::Error> FillMetrics(const v1::MetricsRequest& request,
                                         v1::MetricsResponse& metrics);
  // The same since the start of the process, always: for those who take counters that go back for
  // a restart.
  std::optional<pool::Error> FillTotals(const v1::MetricsRequest& request,
                                        v1::MetricsResponse& metrics);
  // Makes FillMetrics count from now on; `pool` "" = everything. Returns when that is.
  google::protobuf::Timestamp ResetStatistics(const std::string& pool);
  std::optional<pool::Error> FillHistory(const v1::MetricsHistoryRequest& request,
                                         v1::MetricsHistoryResponse& response) const;
  LiveFeed& live() { return live_; }
  // What /metrics says; for a moment the same to all who ask.
  std::shared_ptr<const std::string> MetricsPage(MetricsFormat format);

 private:
  struct Page {
    std::shared_ptr<const std::string> text;
    std::chrono::steady_clock::time_point made;
  };

  std::vector<FiguresSample> Look();
  // Of all pools, or of one.
  void Check(std::optional<size_t> pool, pool::Instant deadline);
  // Of these pools, by their numbers; so the next.
  void FillDetails(const std::vector<size_t>& pools, const std::vector<PoolReport>& reports,
                   v1::DetailedHealth& details);
  void FillPools(const std::vector<size_t>& pools, const std::vector<PoolReport>& reports,
                 v1::HealthResponse& health);
  void FillConfiguration(v1::DatabaseHealth& health) const;
  void FillRecommendations(const std::vector<size_t>& pools, v1::DatabaseHealth& health);
  void FillFigures(const v1::MetricsRequest& request, PoolFigures figures,
                   v1::PoolMetrics& metrics);
  // The numbers of the pools that `names` name; without any, all.
  std::optional<pool::Error> Choose(const std::vector<std::string>& names,
                                    std::vector<size_t>& pools) const;
  // REQUIRES: page_mutex_ is held.
  std::string MakePage(MetricsFormat format);
  // The sampler's thread.
  std::optional<size_t> RestartsLastHour();

  Pools& pools_;
  Readiness& readiness_;
  const ConfigInForce& config_;
  const SystemFigures system_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  const std::chrono::system_clock::time_point started_at_ = std::chrono::system_clock::now();
  std::atomic<v1::LifecyclePhase> phase_{v1::LIFECYCLE_PHASE_STARTING};
  RpcFigures rpcs_;
  std::mutex page_mutex_;                          // Guards the three below.
  std::vector<StatementSeries> statement_series_;  // By pool.
  Page prometheus_page_;
  Page open_metrics_page_;
  std::atomic<uint64_t> memory_limit_bytes_ = 0;  // Of the last look, so that scrapes cost little.
  const std::unique_ptr<Webhook> webhook_;        // Null = there is none.
  AlertWatch alerts_;
  std::optional<size_t> restarts_;  // The sampler's, with the next.
  std::chrono::steady_clock::time_point restarts_due_{};
  const double available_cpus_ = system_.AvailableCpus();
  const std::unique_ptr<History> history_;  // None = switched off.
  LiveFeed live_;
  MetricsBaseline baseline_;
  FiguresSampler sampler_;  // Last: it looks at all the others.
};

}  // namespace dbsidecar::server
