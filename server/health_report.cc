#include "server/health_report.h"

#include "server/metrics_report.h"
#include "server/process_figures.h"

namespace dbsidecar::server {
namespace {

using std::chrono::system_clock;

system_clock::time_point Ago(pool::Duration age) {
  return system_clock::now() - std::chrono::duration_cast<system_clock::duration>(age);
}

v1::DatabaseStatus StatusOf(const pool::PoolStats& stats) {
  if (stats.database_up) return v1::DATABASE_STATUS_UP;
  return stats.last_connect_error_age ? v1::DATABASE_STATUS_DOWN : v1::DATABASE_STATUS_UNKNOWN;
}

void FillDatabase(const pool::PoolStats& stats, v1::DatabaseCheck& check) {
  check.set_pool(stats.name);
  check.set_driver(stats.driver);
  check.set_status(StatusOf(stats));
  SetTimestamp(Ago(stats.status_age), *check.mutable_status_since_time());
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

// One line for each pool whose database cannot be reached.
void AddUnreachable(const std::vector<pool::PoolStats>& pools, v1::HealthResponse& health) {
  for (const pool::PoolStats& stats : pools) {
    if (stats.database_up) continue;
    const std::string which = pools.size() > 1 ? " of the pool \"" + stats.name + "\"" : "";
    health.add_causes("the database" + which + " is not reachable: " +
                      (stats.last_connect_error.empty() ? std::string("no connection yet")
                                                        : stats.last_connect_error));
  }
}

}  // namespace

void FillPoolHealth(const pool::PoolStats& stats, v1::PoolHealth& pool) {
  pool.set_pool(stats.name);
  pool.set_state(StateOf(stats));
  if (stats.facts.host.empty()) return;
  v1::ServerHealth& server = *pool.add_servers();
  server.set_host(stats.facts.host);
  server.set_port(static_cast<uint32_t>(stats.facts.port));
  server.set_status(StatusOf(stats));
  server.set_role(stats.facts.role);
  server.set_server_version(stats.facts.server_version);
  server.set_connections(static_cast<uint32_t>(stats.total));
  server.set_server_connections(static_cast<uint32_t>(stats.facts.connections));
  server.set_server_connections_max(static_cast<uint32_t>(stats.facts.connections_max));
  if (stats.last_success_age) {
    SetTimestamp(Ago(*stats.last_success_age), *server.mutable_last_check_time());
  }
  if (stats.last_connect_error_age) {
    server.set_last_error(stats.last_connect_error);
    SetTimestamp(Ago(*stats.last_connect_error_age), *server.mutable_last_error_time());
  }
}

void FillHealth(const std::vector<pool::PoolStats>& pools, v1::LifecyclePhase phase, bool ready,
                v1::HealthResponse& health) {
  SetTimestamp(system_clock::now(), *health.mutable_time());
  health.set_phase(phase);
  health.set_ready(ready);
  for (const pool::PoolStats& stats : pools) FillDatabase(stats, *health.add_databases());
  AddUnreachable(pools, health);
  if (health.causes_size() > 0) {
    health.set_status(v1::HEALTH_STATUS_UNHEALTHY);
    return;
  }
  health.set_status(v1::HEALTH_STATUS_DEGRADED);
  if (phase != v1::LIFECYCLE_PHASE_SERVING) {
    health.add_causes("the sidecar is starting or stopping");
    return;
  }
  for (const pool::PoolStats& stats : pools) {
    if (!stats.paused) continue;
    health.add_causes("an operator has paused the pool \"" + stats.name +
                      "\": calls wait until it is resumed");
  }
  if (health.causes_size() > 0) return;
  if (!ready) {
    health.add_causes(
        "not ready: the database has not answered lately, or it was lost twice within a minute and "
        "is not back for long enough");
  } else {
    health.set_status(v1::HEALTH_STATUS_HEALTHY);
  }
}

}  // namespace dbsidecar::server
