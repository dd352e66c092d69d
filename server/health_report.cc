#include "server/health_report.h"

#include "server/process_figures.h"

namespace dbsidecar::server {
namespace {

using std::chrono::system_clock;

system_clock::time_point Ago(pool::Duration age) {
  return system_clock::now() - std::chrono::duration_cast<system_clock::duration>(age);
}

void FillDatabase(const pool::PoolStats& stats, v1::DatabaseCheck& check) {
  check.set_pool(stats.name);
  check.set_driver(stats.driver);
  check.set_status(stats.database_up              ? v1::DATABASE_STATUS_UP
                   : stats.last_connect_error_age ? v1::DATABASE_STATUS_DOWN
                                                  : v1::DATABASE_STATUS_UNKNOWN);
  check.set_server_version(stats.facts.server_version);
  check.set_role(stats.facts.role);
  if (stats.last_success_age) {
    SetTimestamp(Ago(*stats.last_success_age), *check.mutable_last_check_time());
  }
  if (stats.last_connect_error_age) {
    check.set_last_error(stats.last_connect_error);
    SetTimestamp(Ago(*stats.last_connect_error_age), *check.mutable_last_error_time());
  }
}

}  // namespace

void FillHealth(const pool::PoolStats& stats, v1::LifecyclePhase phase,
                v1::HealthResponse& health) {
  SetTimestamp(system_clock::now(), *health.mutable_time());
  health.set_phase(phase);
  health.set_ready(phase == v1::LIFECYCLE_PHASE_SERVING && stats.database_up);
  FillDatabase(stats, *health.add_databases());
  if (!stats.database_up) {
    health.set_status(v1::HEALTH_STATUS_UNHEALTHY);
    health.add_causes("the database is not reachable: " + (stats.last_connect_error.empty()
                                                               ? std::string("no connection yet")
                                                               : stats.last_connect_error));
  } else if (phase != v1::LIFECYCLE_PHASE_SERVING) {
    health.set_status(v1::HEALTH_STATUS_DEGRADED);
    health.add_causes("the sidecar is starting or stopping");
  } else {
    health.set_status(v1::HEALTH_STATUS_HEALTHY);
  }
}

}  // namespace dbsidecar::server
