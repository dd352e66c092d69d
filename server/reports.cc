#include "server/reports.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <deque>
#include <limits>
#include <string>
#include <utility>

#include "server/awaited_call.h"
#include "server/config/options.h"
#include "server/health_report.h"
#include "server/metrics_report.h"
#include "server/pools.h"
#include "server/process_figures.h"
#include "server/readiness.h"
#include "server/recommendations.h"

namespace dbsidecar::server {
namespace {

// A check that is asked for does not take longer, whatever its caller's deadline.
constexpr std::chrono::seconds kCheckMax{5};
// Whoever scrapes more often gets the same again: then it costs a copy of the text.
constexpr std::chrono::milliseconds kPageAgeMax{100};

std::vector<pool::PoolStats> StatsOf(const std::vector<size_t>& pools,
                                     const std::vector<PoolReport>& reports) {
  std::vector<pool::PoolStats> stats;
  stats.reserve(pools.size());
  for (const size_t pool : pools) stats.push_back(reports[pool].stats);
  return stats;
}

// As `config check` shows it.
std::string UrlOf(const Config& config) {
  for (const OptionValue& value : config.values) {
    if (value.option->flag == "database-url") return value.value;
  }
  return "";
}

AdviceSettings SettingsOf(const Config& config) {
  return {.waiters_max = static_cast<size_t>(config.pool.waiters_max),
          .wait_timeout = config.pool.wait_timeout,
          .idle_timeout = config.pool.idle_timeout,
          .lifetime = config.pool.lifetime,
          .session_idle_timeout = config.query.session_idle_timeout,
          .replicas = static_cast<size_t>(config.replicas)};
}

v1::ConfigurationSource SourceOf(ValueSource source) {
  switch (source) {
    case ValueSource::kDefault:
      return v1::CONFIGURATION_SOURCE_DEFAULT;
    case ValueSource::kProfile:
      return v1::CONFIGURATION_SOURCE_PROFILE;
    case ValueSource::kFile:
      return v1::CONFIGURATION_SOURCE_FILE;
    case ValueSource::kEnvironment:
      return v1::CONFIGURATION_SOURCE_ENVIRONMENT;
    case ValueSource::kFlag:
      return v1::CONFIGURATION_SOURCE_FLAG;
    case ValueSource::kAdmin:
      return v1::CONFIGURATION_SOURCE_ADMIN;
    case ValueSource::kRule:
      return v1::CONFIGURATION_SOURCE_RULE;
    case ValueSource::kInherited:
      break;  // Told of where it comes from.
  }
  return v1::CONFIGURATION_SOURCE_UNSPECIFIED;
}

std::unique_ptr<Webhook> NewWebhook(const AlertConfig& config) {
  if (config.webhook.none()) return nullptr;
  std::array<char, HOST_NAME_MAX + 1> name{};
  gethostname(name.data(), HOST_NAME_MAX);
  return std::make_unique<Webhook>(config.webhook, name.data());
}

}  // namespace

Reports::Reports(Pools& pools, Readiness& readiness, const ConfigInForce& config)
    : pools_(pools),
      readiness_(readiness),
      config_(config),
      statement_series_(pools.names().size(),
                        StatementSeries(static_cast<size_t>(config.Get()->metrics.statements))),
      webhook_(NewWebhook(config.Get()->alerts)),
      alerts_({.hold = config.Get()->alerts.hold,
               .restarts_last_hour = [this] { return RestartsLastHour(); },
               .on_change =
                   [this](const std::vector<AlertState>& changes) {
                     if (webhook_ != nullptr) webhook_->Tell(changes);
                   }}),
      history_(config.Get()->history.enabled ? std::make_unique<History>(config.Get()->history.file)
                                             : nullptr),
      live_(*this, pools.recent_events()),
      sampler_([this] { return Look(); },
               [this](const std::vector<FiguresSampler::Looks>& looks) { alerts_.Look(looks); }) {}

std::vector<FiguresSample> Reports::Look() {
  std::vector<PoolReport> reports = pools_.Report();
  memory_limit_bytes_ = system_.MemoryLimit();
  FiguresSample process = {.time = std::chrono::steady_clock::now(),
                           .cpu_seconds = ProcessorSeconds(),
                           .throttled_seconds = system_.ThrottledSeconds(),
                           .available_cpus = available_cpus_,
                           .uptime_seconds = 0,
                           .resident_bytes = ResidentBytes(),
                           .memory_limit_bytes = memory_limit_bytes_,
                           .stats = {}};
  process.uptime_seconds = std::chrono::duration<double>(process.time - started_).count();
  std::vector<FiguresSample> samples(reports.size(), process);
  for (size_t i = 0; i < reports.size(); ++i) {
    samples[i].stats = std::move(reports[i].stats);
    samples[i].outcomes = std::move(reports[i].outcomes);
    readiness_.Look(i, samples[i].stats);
  }
  if (history_) history_->Add(std::chrono::system_clock::now(), samples);
  live_.OnLook(samples);
  return samples;
}

std::optional<pool::Error> Reports::FillHistory(const v1::MetricsHistoryRequest& request,
                                                v1::MetricsHistoryResponse& response) const {
  if (history_) return history_->Fill(request, response);
  return pool::OwnError(pool::ErrorKind::kHistoryOff,
                        "the history is switched off; start the sidecar with --history");
}

// Through the pools, as calls go: what it finds is what they would. Its error is in a pool's
// figures afterwards.
void Reports::Check(std::optional<size_t> pool, pool::Instant deadline) {
  std::deque<AwaitedCall> calls;
  const std::vector<PoolReport> reports = pools_.Report();
  for (size_t i = 0; i < reports.size(); ++i) {
    // It would only wait; and what is paused is not to be asked.
    if ((pool && *pool != i) || reports[i].stats.paused) continue;
    AwaitedCall& call = calls.emplace_back();
    call.id = pools_.NextCallId();
    call.pool_name = pools_.names()[i];
    call.statement.sql = "SELECT 1";
    call.statement.read_only = true;
    call.caller = "health check";
    call.deadline = std::min(deadline, pool::Clock::now() + kCheckMax);
    pools_.Submit(call);
  }
  for (AwaitedCall& call : calls) call.Await();
}

std::optional<pool::Error> Reports::Choose(const std::vector<std::string>& names,
                                           std::vector<size_t>& pools) const {
  for (const std::string& name : names) {
    size_t pool = 0;
    if (auto trouble = pools_.Find(name, pool)) return trouble;
    if (std::ranges::find(pools, pool) == pools.end()) pools.push_back(pool);
  }
  for (size_t i = 0; names.empty() && i < pools_.names().size(); ++i) pools.push_back(i);
  return std::nullopt;
}

std::optional<pool::Error> Reports::FillHealth(const v1::HealthRequest& request,
                                               pool::Instant deadline, v1::HealthResponse& health) {
  std::vector<std::string> names;
  if (!request.pool().empty()) names.push_back(request.pool());
  std::vector<size_t> pools;
  if (auto trouble = Choose(names, pools)) return trouble;
  if (request.check_now()) {
    Check(names.empty() ? std::nullopt : std::optional(pools[0]), deadline);
  }
  const std::vector<PoolReport> reports = pools_.Report();
  server::FillHealth(StatsOf(pools, reports), phase(), readiness_.ready(), health);
  FillAlerts(alerts_.states(), health);
  health.set_version(DBSIDECAR_VERSION);
  SetDuration(std::chrono::steady_clock::now() - started_, *health.mutable_uptime());
  const bool all = request.level() == v1::HEALTH_LEVEL_DATABASE;
  if (all || request.level() == v1::HEALTH_LEVEL_DETAILED) {
    FillDetails(pools, reports, *health.mutable_detailed());
  }
  if (all) FillPools(pools, reports, health);
  return std::nullopt;
}

void Reports::FillDetails(const std::vector<size_t>& pools, const std::vector<PoolReport>& reports,
                          v1::DetailedHealth& details) {
  const std::vector<FiguresSampler::Looks> minute = sampler_.LastMinute();
  FillProcessMetrics(*details.mutable_process());
  details.mutable_process()->set_memory_limit_bytes(memory_limit_bytes_);
  system_.FillSystem(details.process(), *details.mutable_system());
  system_.FillMemory(details.process(), *details.mutable_memory());
  system_.FillCpu(*details.mutable_cpu());
  if (!minute.empty()) FillCpuShares(minute[0], *details.mutable_cpu());
  for (const size_t pool : pools) {
    FillPoolMetrics(reports[pool].stats, reports[pool].outcomes, *details.add_pools());
    v1::PerformanceIndicators& performance = *details.add_performance();
    performance.set_pool(reports[pool].stats.name);
    if (!minute.empty()) FillPerformance(minute[pool], performance);
  }
}

void Reports::FillPools(const std::vector<size_t>& pools, const std::vector<PoolReport>& reports,
                        v1::HealthResponse& health) {
  const std::shared_ptr<const Config> config = config_.Get();
  for (size_t i = 0; i < pools.size(); ++i) {
    v1::PoolHealth& pool = *health.mutable_database()->add_pools();
    FillPoolHealth(reports[pools[i]].stats, pool);
    pool.set_url(UrlOf(ConfigOf(*config, pools[i])));
    *pool.mutable_check() = health.databases(static_cast<int>(i));
    *pool.mutable_metrics() = health.detailed().pools(static_cast<int>(i));
  }
  FillConfiguration(*health.mutable_database());
  FillRecommendations(pools, *health.mutable_database());
}

void Reports::FillConfiguration(v1::DatabaseHealth& health) const {
  const std::shared_ptr<const Config> config = config_.Get();
  for (const auto& [name, value] : ToldValues(*config)) {
    v1::ConfigurationEntry& entry = *health.add_configuration();
    entry.set_name(name);
    entry.set_value(value.value);
    entry.set_source(SourceOf(value.source));
    entry.set_reloadable(value.option->reload);
  }
}

// An hour is much to look through, so it is not done at every look.
std::optional<size_t> Reports::RestartsLastHour() {
  constexpr std::chrono::seconds kInterval{10};
  const auto now = std::chrono::steady_clock::now();
  if (!history_ || now < restarts_due_) return restarts_;
  restarts_due_ = now + kInterval;
  v1::MetricsHistoryRequest request;
  request.add_series("uptime_seconds");
  request.mutable_step()->set_seconds(1);
  request.set_points_max(std::chrono::seconds(std::chrono::hours(1)).count());
  v1::MetricsHistoryResponse response;
  if (history_->Fill(request, response) || response.series().empty()) return restarts_;
  const auto& uptimes = response.series(0).means();
  restarts_ = RestartsIn(std::span(uptimes.data(), static_cast<size_t>(uptimes.size())));
  return restarts_;
}

void Reports::FillRecommendations(const std::vector<size_t>& pools, v1::DatabaseHealth& health) {
  const std::vector<FiguresSampler::Looks> minute = sampler_.LastMinute();
  const std::vector<PoolTrend> hour = alerts_.hour();
  if (minute.empty() || hour.empty()) return;  // It has only just begun.
  const std::shared_ptr<const Config> config = config_.Get();
  for (const size_t pool : pools) {
    const AdviceFigures figures{.minute = minute[pool], .hour = hour[pool]};
    const AdviceSettings settings = SettingsOf(ConfigOf(*config, pool));
    for (v1::Recommendation& advice : Recommend(figures, settings)) {
      *health.add_recommendations() = std::move(advice);
    }
  }
  std::stable_sort(health.mutable_recommendations()->begin(),
                   health.mutable_recommendations()->end(),
                   [](const auto& a, const auto& b) { return a.severity() > b.severity(); });
}

std::optional<pool::Error> Reports::FillMetrics(const v1::MetricsRequest& request,
                                                v1::MetricsResponse& metrics) {
  if (auto trouble = FillTotals(request, metrics)) return trouble;
  baseline_.Apply(metrics);
  return std::nullopt;
}

google::protobuf::Timestamp Reports::ResetStatistics(const std::string& pool) {
  v1::MetricsRequest everything;
  everything.set_statements_max(std::numeric_limits<uint32_t>::max());
  everything.set_callers(true);
  everything.set_rpcs(true);
  v1::MetricsResponse totals;
  FillTotals(everything, totals);
  baseline_.Set(pool, totals);
  return totals.time();
}

std::optional<pool::Error> Reports::FillTotals(const v1::MetricsRequest& request,
                                               v1::MetricsResponse& metrics) {
  std::vector<size_t> pools;
  if (auto trouble = Choose({request.pools().begin(), request.pools().end()}, pools)) {
    return trouble;
  }
  const std::vector<PoolReport> reports = pools_.Report();
  SetTimestamp(std::chrono::system_clock::now(), *metrics.mutable_time());
  SetTimestamp(started_at_, *metrics.mutable_counting_since_time());
  std::vector<PoolFigures> figures;
  if (request.statements_max() > 0 || request.callers()) figures = pools_.Figures();
  for (const size_t pool : pools) {
    v1::PoolMetrics& into = *metrics.add_pools();
    FillPoolMetrics(reports[pool].stats, reports[pool].outcomes, into);
    if (!figures.empty()) FillFigures(request, std::move(figures[pool]), into);
  }
  if (request.rpcs()) rpcs_.Fill(metrics);
  FillProcessMetrics(*metrics.mutable_process());
  metrics.mutable_process()->set_memory_limit_bytes(memory_limit_bytes_);
  FillAlerts(alerts_.states(), metrics);
  metrics.mutable_build()->set_version(DBSIDECAR_VERSION);
  metrics.mutable_build()->set_compiler(__VERSION__);
  return std::nullopt;
}

void Reports::FillFigures(const v1::MetricsRequest& request, PoolFigures figures,
                          v1::PoolMetrics& metrics) {
  const bool counted = config_.Get()->metrics.statements > 0;
  if (request.statements_max() > 0 && counted) {
    FillStatements(std::move(figures.statements), request.statements_max(), metrics);
  }
  if (request.callers()) FillCallers(figures.callers, metrics);
}

std::shared_ptr<const std::string> Reports::MetricsPage(MetricsFormat format) {
  const std::lock_guard lock(page_mutex_);
  Page& page = format == MetricsFormat::kOpenMetrics ? open_metrics_page_ : prometheus_page_;
  const auto now = std::chrono::steady_clock::now();
  if (page.text == nullptr || now - page.made >= kPageAgeMax) {
    page = {.text = std::make_shared<const std::string>(MakePage(format)), .made = now};
  }
  return page.text;
}

std::string Reports::MakePage(MetricsFormat format) {
  v1::MetricsResponse metrics;
  FillTotals({}, metrics);
  rpcs_.Fill(metrics);
  const std::vector<PoolFigures> figures = pools_.Figures();
  const bool counted = config_.Get()->metrics.statements > 0;
  for (size_t i = 0; i < figures.size(); ++i) {
    v1::PoolMetrics& pool = *metrics.mutable_pools(static_cast<int>(i));
    FillCallers(figures[i].callers, pool);
    if (!counted) continue;
    for (const pool::StatementFigures& statement :
         statement_series_[i].List(figures[i].statements, pool::Clock::now())) {
      FillStatement(statement, *pool.add_statements());
    }
  }
  return MetricsText(metrics, format);
}

}  // namespace dbsidecar::server
