#include "server/reports.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <limits>
#include <string>
#include <utility>

#include "server/awaited_call.h"
#include "server/config/options.h"
#include "server/database.h"
#include "server/health_report.h"
#include "server/metrics_report.h"
#include "server/process_figures.h"
#include "server/readiness.h"
#include "server/recommendations.h"

namespace dbsidecar::server {
namespace {

// A check that is asked for does not take longer, whatever its caller's deadline.
constexpr std::chrono::seconds kCheckMax{5};
// Whoever scrapes more often gets the same again: then it costs a copy of the text.
constexpr std::chrono::milliseconds kPageAgeMax{100};

pool::Error NoSuchPool(const std::string& name, const std::string& known) {
  return pool::OwnError(pool::ErrorKind::kPoolNotFound,
                        "there is no pool \"" + name + "\"; there is \"" + known + "\"");
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

Reports::Reports(Database& database, Readiness& readiness, const ConfigInForce& config)
    : database_(database),
      readiness_(readiness),
      config_(config),
      statement_series_(static_cast<size_t>(config.Get()->metrics.statements)),
      webhook_(NewWebhook(config.Get()->alerts)),
      alerts_({.hold = config.Get()->alerts.hold,
               .restarts_last_hour = [this] { return RestartsLastHour(); },
               .on_change =
                   [this](const std::vector<AlertState>& changes) {
                     if (webhook_ != nullptr) webhook_->Tell(changes);
                   }}),
      history_(config.Get()->history.enabled ? std::make_unique<History>(config.Get()->history.file)
                                             : nullptr),
      live_(*this, database.recent_events()),
      sampler_([this] { return Look(); },
               [this](const FiguresSampler::Looks& looks) { alerts_.Look(looks); }) {}

FiguresSample Reports::Look() {
  DatabaseReport report = database_.Report();
  memory_limit_bytes_ = system_.MemoryLimit();
  FiguresSample sample = {.time = std::chrono::steady_clock::now(),
                          .cpu_seconds = ProcessorSeconds(),
                          .throttled_seconds = system_.ThrottledSeconds(),
                          .available_cpus = available_cpus_,
                          .uptime_seconds = 0,
                          .resident_bytes = ResidentBytes(),
                          .memory_limit_bytes = memory_limit_bytes_,
                          .stats = std::move(report.stats),
                          .outcomes = std::move(report.outcomes)};
  sample.uptime_seconds = std::chrono::duration<double>(sample.time - started_).count();
  if (history_) history_->Add(std::chrono::system_clock::now(), sample);
  readiness_.Look(sample.stats);
  live_.OnLook(sample);
  return sample;
}

std::optional<pool::Error> Reports::FillHistory(const v1::MetricsHistoryRequest& request,
                                                v1::MetricsHistoryResponse& response) const {
  if (history_) return history_->Fill(request, response);
  return pool::OwnError(pool::ErrorKind::kHistoryOff,
                        "the history is switched off; start the sidecar with --history");
}

// Through the pool, as calls go: what it finds is what they would. Its error is in the pool's
// figures afterwards.
void Reports::Check(pool::Instant deadline) {
  // It would only wait; and what is paused is not to be asked.
  if (database_.Report().stats.paused) return;
  AwaitedCall call;
  call.id = database_.NextCallId();
  call.statement.sql = "SELECT 1";
  call.statement.read_only = true;
  call.caller = "health check";
  call.deadline = std::min(deadline, pool::Clock::now() + kCheckMax);
  database_.Submit(call);
  call.Await();
}

std::optional<pool::Error> Reports::FillHealth(const v1::HealthRequest& request,
                                               pool::Instant deadline, v1::HealthResponse& health) {
  if (request.check_now()) Check(deadline);
  const DatabaseReport report = database_.Report();
  const pool::PoolStats& stats = report.stats;
  if (!request.pool().empty() && request.pool() != stats.name) {
    return NoSuchPool(request.pool(), stats.name);
  }
  server::FillHealth(stats, phase(), readiness_.ready(), health);
  FillAlerts(alerts_.states(), health);
  health.set_version(DBSIDECAR_VERSION);
  SetDuration(std::chrono::steady_clock::now() - started_, *health.mutable_uptime());
  const bool all = request.level() == v1::HEALTH_LEVEL_DATABASE;
  if (all || request.level() == v1::HEALTH_LEVEL_DETAILED) {
    FillDetails(stats, *health.mutable_detailed());
    FillPoolMetrics(stats, report.outcomes, report.stats.waiters_max,
                    *health.mutable_detailed()->add_pools());
  }
  if (all) {
    v1::PoolHealth& pool = *health.mutable_database()->add_pools();
    FillPoolHealth(stats, pool);
    pool.set_url(DatabaseUrlText());
    *pool.mutable_check() = health.databases(0);
    *pool.mutable_metrics() = health.detailed().pools(0);
    FillConfiguration(*health.mutable_database());
    FillRecommendations(*health.mutable_database());
  }
  return std::nullopt;
}

void Reports::FillDetails(const pool::PoolStats& stats, v1::DetailedHealth& details) {
  const std::deque<FiguresSample> minute = sampler_.LastMinute();
  FillProcessMetrics(*details.mutable_process());
  details.mutable_process()->set_memory_limit_bytes(memory_limit_bytes_);
  system_.FillSystem(details.process(), *details.mutable_system());
  system_.FillMemory(details.process(), *details.mutable_memory());
  system_.FillCpu(*details.mutable_cpu());
  FillCpuShares(minute, *details.mutable_cpu());
  v1::PerformanceIndicators& performance = *details.add_performance();
  performance.set_pool(stats.name);
  FillPerformance(minute, performance);
}

void Reports::FillConfiguration(v1::DatabaseHealth& health) const {
  const std::shared_ptr<const Config> config = config_.Get();
  for (const OptionValue& value : config->values) {
    v1::ConfigurationEntry& entry = *health.add_configuration();
    entry.set_name(std::string(value.option->flag));
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

void Reports::FillRecommendations(v1::DatabaseHealth& health) {
  const AdviceFigures figures{.minute = sampler_.LastMinute(), .hour = alerts_.hour()};
  if (figures.minute.empty() || figures.hour.empty()) return;  // It has only just begun.
  const std::shared_ptr<const Config> config = config_.Get();
  const AdviceSettings settings{.waiters_max = static_cast<size_t>(config->pool.waiters_max),
                                .wait_timeout = config->pool.wait_timeout,
                                .idle_timeout = config->pool.idle_timeout,
                                .lifetime = config->pool.lifetime,
                                .session_idle_timeout = config->query.session_idle_timeout,
                                .replicas = static_cast<size_t>(config->replicas)};
  for (v1::Recommendation& advice : Recommend(figures, settings)) {
    *health.add_recommendations() = std::move(advice);
  }
}

std::string Reports::DatabaseUrlText() const {
  const std::shared_ptr<const Config> config = config_.Get();
  for (const OptionValue& value : config->values) {
    if (value.option->flag == "database-url") return value.value;
  }
  return "";
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
  const DatabaseReport report = database_.Report();
  for (const std::string& pool : request.pools()) {
    if (pool != report.stats.name) return NoSuchPool(pool, report.stats.name);
  }
  SetTimestamp(std::chrono::system_clock::now(), *metrics.mutable_time());
  SetTimestamp(started_at_, *metrics.mutable_counting_since_time());
  FillPoolMetrics(report.stats, report.outcomes, report.stats.waiters_max, *metrics.add_pools());
  FillFigures(request, *metrics.mutable_pools(0));
  if (request.rpcs()) rpcs_.Fill(metrics);
  FillProcessMetrics(*metrics.mutable_process());
  metrics.mutable_process()->set_memory_limit_bytes(memory_limit_bytes_);
  FillAlerts(alerts_.states(), metrics);
  metrics.mutable_build()->set_version(DBSIDECAR_VERSION);
  metrics.mutable_build()->set_compiler(__VERSION__);
  return std::nullopt;
}

void Reports::FillFigures(const v1::MetricsRequest& request, v1::PoolMetrics& metrics) {
  if (request.statements_max() == 0 && !request.callers()) return;
  DatabaseFigures figures = database_.Figures();
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
  const DatabaseFigures figures = database_.Figures();
  v1::PoolMetrics& pool = *metrics.mutable_pools(0);
  if (config_.Get()->metrics.statements > 0) {
    for (const pool::StatementFigures& statement :
         statement_series_.List(figures.statements, pool::Clock::now())) {
      FillStatement(statement, *pool.add_statements());
    }
  }
  FillCallers(figures.callers, pool);
  return MetricsText(metrics, format);
}

}  // namespace dbsidecar::server
