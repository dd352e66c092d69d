// Alerts: conditions that an operator should look at.
//
// Plain state without a clock, I/O or log: the figures of one look after the other and the time go
// in, what changed comes out. docs/monitoring/alerts.yaml has the same rules for Prometheus, and
// docs/runbooks.md a page for each; a test compares the three.
#pragma once

#include <chrono>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dbsidecar/v1/health.pb.h"
#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server {

// What the rules judge, of one pool.
struct PoolAlertFigures {
  std::string pool;
  double utilization_percent = 0;
  double waiting = 0;
  double faults_last_hour = 0;  // See FaultsIn.
  bool database_down = false;
  double queue_wait_p99_seconds = 0;  // Of the last minute.
  double connect_failures_in_a_row = 0;
  double oldest_transaction_seconds = 0;
};

// And of the process with its pools.
struct AlertFigures {
  std::vector<PoolAlertFigures> pools;
  double memory_used_percent = 0;
  double restarts_last_hour = 0;  // 0 = not known.
};

// Errors that are not the fault of the statement or its caller: what could not be served, as a
// count of answers by outcome (the names of gRPC's codes in lower case).
double FaultsIn(const std::map<std::string, uint64_t>& outcomes);
// The outcomes that it counts.
std::span<const std::string_view> FaultOutcomes();

// How often the sidecar was started again, by its uptimes one after the other; NaN = not known.
size_t RestartsIn(std::span<const double> uptimes);

// How long a condition has to hold before its alert fires, as a share of the configured hold time.
enum class AlertHold {
  kNone,
  kShort,  // A sixth.
  kFull,
};

// Fires when its figure has been above `fires_above` for the hold time; if it falls to `clears_at`
// meanwhile, the time starts anew. Resolves when the figure has been at or below `clears_at` for
// the whole hold time, whatever AlertHold says. Between the two limits all stays as it is.
struct AlertRule {
  std::string_view name;
  v1::Severity severity;
  AlertHold hold;
  double fires_above;
  double clears_at;
  // Which figure: of each pool, or of the process. One of them is null.
  double (*of_pool)(const PoolAlertFigures& figures);
  double (*of_process)(const AlertFigures& figures);
  // For people; {0} is the figure, {1} is `fires_above`.
  std::string_view summary;
};

// In the order in which they are shown.
std::span<const AlertRule> AlertRules();
std::chrono::nanoseconds HoldTime(AlertHold hold, std::chrono::nanoseconds configured);
// "warning".
std::string_view SeverityWord(v1::Severity severity);
// The page that says what to do, in this repository.
std::string RunbookOf(const AlertRule& rule);

// One time by two clocks: one to measure with and one to tell.
struct LookTime {
  std::chrono::steady_clock::time_point steady;
  std::chrono::system_clock::time_point wall;
};

// A rule and what it says of a pool.
struct AlertState {
  const AlertRule* rule = nullptr;
  std::string pool;  // "" = the process.
  bool firing = false;
  // With the latest figure; while it fires, the latest that was not clear.
  std::string summary;
  std::chrono::system_clock::time_point since{};  // The condition holds; REQUIRES: firing.
};

class Alerts {
 public:
  // `hold`: see AlertHold.
  explicit Alerts(std::chrono::nanoseconds hold) : hold_(hold) {}

  // What began to fire or was resolved with this look. REQUIRES: looks come in the order of time.
  std::vector<AlertState> Judge(LookTime now, const AlertFigures& figures);

  // Every rule for every pool that was ever looked at, rule by rule.
  std::vector<AlertState> states() const;

 private:
  struct Condition {
    AlertState state;
    bool holds = false;  // Since `began`, whether it fires yet or not.
    LookTime began{};
    bool clear = true;  // At or below the lower limit since `cleared`.
    std::chrono::steady_clock::time_point cleared{};
  };

  // Whether it begins or ceases to fire.
  bool Judge(LookTime now, double figure, Condition& condition) const;

  const std::chrono::nanoseconds hold_;
  std::map<std::pair<size_t, std::string>, Condition> conditions_;  // By rule and pool.
};

// Alerts that fire, into a health report: its list, and its status with the causes. Readiness is
// not touched.
void FillAlerts(const std::vector<AlertState>& states, v1::HealthResponse& health);
// All, into a metrics report.
void FillAlerts(const std::vector<AlertState>& states, v1::MetricsResponse& metrics);

}  // namespace dbsidecar::server
