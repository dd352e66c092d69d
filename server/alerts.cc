#include "server/alerts.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "server/process_figures.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

constexpr double kSecondsMax = 60;  // For a transaction.

// What the caller or its statement brought about is not among them, nor are conflicts, which are
// the caller's to try again.
constexpr std::array<std::string_view, 6> kFaults = {
    "unavailable", "deadline_exceeded", "resource_exhausted", "internal", "unknown", "data_loss"};

constexpr std::array kRules = {
    AlertRule{.name = "DatabaseDown",
              .severity = v1::SEVERITY_CRITICAL,
              .hold = AlertHold::kShort,
              .fires_above = 0,
              .clears_at = 0,
              .of_pool = [](const PoolAlertFigures& figures) -> double {
                return figures.database_down ? 1 : 0;
              },
              .of_process = nullptr,
              .summary = "the database does not answer"},
    AlertRule{.name = "ConnectBackOff",
              .severity = v1::SEVERITY_WARNING,
              .hold = AlertHold::kShort,
              .fires_above = 2,
              .clears_at = 0,
              .of_pool =
                  [](const PoolAlertFigures& figures) { return figures.connect_failures_in_a_row; },
              .of_process = nullptr,
              .summary = "{0:.0f} connects in a row have failed, and the next ones are put off "
                         "(limit {1:g})"},
    AlertRule{
        .name = "PoolUtilizationHigh",
        .severity = v1::SEVERITY_WARNING,
        .hold = AlertHold::kFull,
        .fires_above = 90,
        .clears_at = 80,
        .of_pool = [](const PoolAlertFigures& figures) { return figures.utilization_percent; },
        .of_process = nullptr,
        .summary = "{0:.0f} % of the connections are in use (limit {1:g} %)"},
    AlertRule{.name = "PoolWaitingHigh",
              .severity = v1::SEVERITY_WARNING,
              .hold = AlertHold::kFull,
              .fires_above = 5,
              .clears_at = 2,
              .of_pool = [](const PoolAlertFigures& figures) { return figures.waiting; },
              .of_process = nullptr,
              .summary = "{0:.0f} calls wait for a connection (limit {1:g})"},
    AlertRule{
        .name = "QueueWaitHigh",
        .severity = v1::SEVERITY_WARNING,
        .hold = AlertHold::kFull,
        .fires_above = 1,
        .clears_at = 0.5,
        .of_pool = [](const PoolAlertFigures& figures) { return figures.queue_wait_p99_seconds; },
        .of_process = nullptr,
        .summary = "1 of 100 calls waits {0:.2g} s or longer for a connection "
                   "(limit {1:g} s)"},
    AlertRule{.name = "ErrorsHigh",
              .severity = v1::SEVERITY_WARNING,
              .hold = AlertHold::kNone,
              .fires_above = 10,
              .clears_at = 10,
              .of_pool = [](const PoolAlertFigures& figures) { return figures.faults_last_hour; },
              .of_process = nullptr,
              .summary = "{0:.0f} calls could not be served within the last hour (limit {1:g})"},
    AlertRule{
        .name = "TransactionLong",
        .severity = v1::SEVERITY_WARNING,
        .hold = AlertHold::kNone,
        .fires_above = kSecondsMax,
        .clears_at = kSecondsMax,
        .of_pool =
            [](const PoolAlertFigures& figures) { return figures.oldest_transaction_seconds; },
        .of_process = nullptr,
        .summary = "a transaction has been open for {0:.0f} s (limit {1:g} s)"},
    AlertRule{.name = "MemoryHigh",
              .severity = v1::SEVERITY_WARNING,
              .hold = AlertHold::kFull,
              .fires_above = 80,
              .clears_at = 75,
              .of_pool = nullptr,
              .of_process = [](const AlertFigures& figures) { return figures.memory_used_percent; },
              .summary = "the process holds {0:.0f} % of the memory that it may have "
                         "(limit {1:g} %)"},
    AlertRule{.name = "RestartsFrequent",
              .severity = v1::SEVERITY_WARNING,
              .hold = AlertHold::kNone,
              .fires_above = 2,
              .clears_at = 2,
              .of_pool = nullptr,
              .of_process = [](const AlertFigures& figures) { return figures.restarts_last_hour; },
              .summary = "the sidecar has been started again {0:.0f} times within the last hour "
                         "(limit {1:g})"},
};

std::string SummaryOf(const AlertRule& rule, double figure) {
  return fmt::format(fmt::runtime(rule.summary), figure, rule.fires_above);
}

std::string CauseOf(const AlertState& state) {
  const std::string pool = state.pool.empty() ? "" : Concat(" (pool \"", state.pool, "\")");
  return Concat("alert ", state.rule->name, pool, ": ", state.summary);
}

}  // namespace

std::span<const std::string_view> FaultOutcomes() { return kFaults; }

double FaultsIn(const std::map<std::string, uint64_t>& outcomes) {
  double faults = 0;
  for (const std::string_view name : kFaults) {
    const auto found = outcomes.find(std::string(name));
    if (found != outcomes.end()) faults += static_cast<double>(found->second);
  }
  return faults;
}

size_t RestartsIn(std::span<const double> uptimes) {
  size_t restarts = 0;
  double last = 0;
  for (const double uptime : uptimes) {
    if (std::isnan(uptime)) continue;
    if (uptime < last) ++restarts;
    last = uptime;
  }
  return restarts;
}

std::span<const AlertRule> AlertRules() { return kRules; }

std::chrono::nanoseconds HoldTime(AlertHold hold, std::chrono::nanoseconds configured) {
  switch (hold) {
    case AlertHold::kNone:
      return {};
    case AlertHold::kShort:
      return configured / 6;
    case AlertHold::kFull:
      return configured;
  }
  return {};
}

std::string_view SeverityWord(v1::Severity severity) {
  if (severity == v1::SEVERITY_CRITICAL) return "critical";
  return severity == v1::SEVERITY_WARNING ? "warning" : "info";
}

std::string RunbookOf(const AlertRule& rule) {
  return Concat("docs/runbooks.md#", ToLower(rule.name));
}

std::vector<AlertState> Alerts::Judge(LookTime now, const AlertFigures& figures) {
  std::vector<AlertState> changes;
  const auto judge = [&](size_t rule, const std::string& pool, double figure) {
    Condition& condition = conditions_[{rule, pool}];
    condition.state.rule = &kRules[rule];
    condition.state.pool = pool;
    if (Judge(now, figure, condition)) changes.push_back(condition.state);
  };
  for (size_t i = 0; i < kRules.size(); ++i) {
    if (kRules[i].of_process != nullptr) {
      judge(i, "", kRules[i].of_process(figures));
      continue;
    }
    for (const PoolAlertFigures& pool : figures.pools) {
      judge(i, pool.pool, kRules[i].of_pool(pool));
    }
  }
  return changes;
}

bool Alerts::Judge(LookTime now, double figure, Condition& condition) const {
  AlertState& state = condition.state;
  const AlertRule& rule = *state.rule;
  const bool clear = figure <= rule.clears_at;
  // While it fires, the summary says why.
  if (!state.firing || !clear) state.summary = SummaryOf(rule, figure);
  if (clear && !condition.clear) condition.cleared = now.steady;
  condition.clear = clear;
  if (!state.firing) {
    if (clear) condition.holds = false;
    if (!condition.holds && figure > rule.fires_above) {
      condition.holds = true;
      condition.began = now;
    }
    if (!condition.holds || now.steady - condition.began.steady < HoldTime(rule.hold, hold_)) {
      return false;
    }
    state.firing = true;
    state.since = condition.began.wall;
    return true;
  }
  if (!clear || now.steady - condition.cleared < hold_) return false;
  state.firing = false;
  state.summary = SummaryOf(rule, figure);
  condition.holds = false;
  return true;
}

std::vector<AlertState> Alerts::states() const {
  std::vector<AlertState> states;
  for (const auto& [key, condition] : conditions_) states.push_back(condition.state);
  return states;
}

void FillAlerts(const std::vector<AlertState>& states, v1::HealthResponse& health) {
  for (const AlertState& state : states) {
    if (!state.firing) continue;
    v1::Alert& alert = *health.add_alerts();
    alert.set_name(std::string(state.rule->name));
    alert.set_severity(state.rule->severity);
    alert.set_pool(state.pool);
    alert.set_summary(state.summary);
    SetTimestamp(state.since, *alert.mutable_since_time());
    alert.set_runbook_url(RunbookOf(*state.rule));
    // Whatever made it unhealthy says enough.
    if (health.status() == v1::HEALTH_STATUS_UNHEALTHY) continue;
    health.set_status(v1::HEALTH_STATUS_DEGRADED);
    health.add_causes(CauseOf(state));
  }
}

void FillAlerts(const std::vector<AlertState>& states, v1::MetricsResponse& metrics) {
  for (const AlertState& state : states) {
    v1::AlertMetrics& alert = *metrics.add_alerts();
    alert.set_name(std::string(state.rule->name));
    alert.set_severity(std::string(SeverityWord(state.rule->severity)));
    alert.set_pool(state.pool);
    alert.set_firing(state.firing);
  }
}

}  // namespace dbsidecar::server
