#include "server/metrics_report.h"

#include <algorithm>
#include <utility>

#include "server/process_figures.h"
#include "server/reason_names.h"

namespace dbsidecar::server {
namespace {

uint32_t Count(const pool::PoolStats& stats, pool::ConnectionState state) {
  return static_cast<uint32_t>(stats.connections[static_cast<size_t>(state)]);
}

void FillLane(const pool::LaneStats& lane, v1::LaneMetrics& into) {
  into.set_lane(std::string(lane.name));
  into.set_total(static_cast<uint32_t>(lane.total));
  into.set_idle(static_cast<uint32_t>(lane.idle));
  into.set_active(static_cast<uint32_t>(lane.in_use));
  into.set_waiting(static_cast<uint32_t>(lane.waiting));
  into.set_in_flight(static_cast<uint32_t>(lane.in_flight));
  into.set_max(static_cast<uint32_t>(lane.max));
  into.set_statements_total(lane.statements);
}

}  // namespace

v1::PoolState StateOf(const pool::PoolStats& stats) {
  if (stats.draining) return v1::POOL_STATE_DRAINING;
  return stats.paused ? v1::POOL_STATE_PAUSED : v1::POOL_STATE_ACTIVE;
}

void FillHistogram(const pool::Histogram& histogram, v1::Histogram& into) {
  for (const double bound : pool::Histogram::kUpperBoundsSeconds) {
    into.add_upper_bounds_seconds(bound);
  }
  for (const uint64_t count : histogram.counts()) into.add_counts(count);
  into.set_sum_seconds(histogram.sum_seconds());
  into.set_count(histogram.count());
}

void FillExemplars(const pool::Exemplars& exemplars, v1::Histogram& into) {
  for (const pool::Exemplar& exemplar : exemplars.by_bucket()) {
    if (exemplar.trace_id.empty()) continue;
    v1::Exemplar& one = *into.add_exemplars();
    one.set_seconds(exemplar.seconds);
    SetTimestamp(exemplar.time, *one.mutable_time());
    one.set_trace_id(exemplar.trace_id);
    one.set_span_id(exemplar.span_id);
  }
}

void FillPoolMetrics(const pool::PoolStats& stats, const std::map<std::string, uint64_t>& outcomes,
                     v1::PoolMetrics& metrics) {
  metrics.set_pool(stats.name);
  metrics.set_driver(stats.driver);
  metrics.set_state(StateOf(stats));
  metrics.set_total(static_cast<uint32_t>(stats.total));
  metrics.set_idle(Count(stats, pool::ConnectionState::kIdle));
  metrics.set_active(static_cast<uint32_t>(stats.in_use()));
  metrics.set_waiting(static_cast<uint32_t>(stats.waiting));
  metrics.set_connecting(Count(stats, pool::ConnectionState::kConnecting));
  metrics.set_closing(Count(stats, pool::ConnectionState::kClosing));
  metrics.set_pinging(Count(stats, pool::ConnectionState::kPinging));
  metrics.set_resetting(Count(stats, pool::ConnectionState::kResetting));
  size_t in_pool = 0;
  for (const size_t count : stats.connections) in_pool += count;
  metrics.set_reserved(static_cast<uint32_t>(stats.total - in_pool));
  metrics.set_min(static_cast<uint32_t>(stats.min));
  metrics.set_max(static_cast<uint32_t>(stats.max));
  metrics.set_waiting_max(static_cast<uint32_t>(stats.waiters_max));
  if (stats.max > 0) {
    metrics.set_utilization_percent(100.0 * metrics.active() / static_cast<double>(stats.max));
  }
  metrics.set_errors_total(stats.errors);
  if (stats.last_error_age) {
    metrics.set_last_error(stats.last_error);
    SetTimestamp(std::chrono::system_clock::now() -
                     std::chrono::duration_cast<std::chrono::microseconds>(*stats.last_error_age),
                 *metrics.mutable_last_error_time());
  }
  metrics.set_connections_opened_total(stats.counters.opened);
  auto& closed = *metrics.mutable_connections_closed_total();
  for (size_t i = 0; i < pool::kCloseReasons; ++i) {
    closed[std::string(CloseReasonName(static_cast<pool::CloseReason>(i)))] =
        stats.counters.closed[i];
  }
  metrics.set_connect_failures_total(stats.counters.connect_failures);
  metrics.set_sessions(static_cast<uint32_t>(stats.sessions));
  metrics.set_retries_total(stats.retries);
  metrics.set_outcome_unknown_total(stats.outcomes_unknown);
  for (size_t i = 0; i < stats.limited.size(); ++i) {
    const std::string limit(pool::LimitName(static_cast<pool::LimitKind>(i)));
    (*metrics.mutable_limited_total())[limit] = stats.limited[i];
  }
  for (const auto& [reason, count] : stats.sessions_revoked) {
    (*metrics.mutable_sessions_revoked_total())[reason] = count;
  }
  metrics.set_statements_total(stats.statements);
  metrics.set_statements_failed_total(stats.errors);
  for (const auto& [code, count] : outcomes) {
    (*metrics.mutable_statements_by_outcome_total())[code] = count;
  }
  metrics.set_arrived_total(stats.counters.arrived);
  metrics.set_granted_total(stats.counters.granted);
  auto& refused = *metrics.mutable_refused_total();
  for (size_t i = 0; i < pool::kRefuseReasons; ++i) {
    refused[std::string(RefuseReasonName(static_cast<pool::RefuseReason>(i)))] =
        stats.counters.refused[i];
  }
  metrics.set_abandoned_total(stats.counters.abandoned);
  FillHistogram(stats.queue, *metrics.mutable_queue_wait());
  FillHistogram(stats.connect, *metrics.mutable_connect());
  FillHistogram(stats.execute, *metrics.mutable_execute());
  FillHistogram(stats.head_of_line, *metrics.mutable_head_of_line_wait());
  metrics.set_evictions_total(stats.counters.evictions);
  FillHistogram(stats.total_time, *metrics.mutable_total_time());
  metrics.set_database_up(stats.database_up);
  metrics.set_connect_failures_in_a_row(stats.connect_failures_in_a_row);
  metrics.set_sessions_idle(static_cast<uint32_t>(stats.sessions_idle));
  if (stats.oldest_transaction) {
    SetDuration(*stats.oldest_transaction, *metrics.mutable_oldest_transaction());
  }
  FillExemplars(stats.queue_exemplars, *metrics.mutable_queue_wait());
  FillExemplars(stats.execute_exemplars, *metrics.mutable_execute());
  FillExemplars(stats.total_exemplars, *metrics.mutable_total_time());
  if (stats.oldest_lease) SetDuration(*stats.oldest_lease, *metrics.mutable_oldest_lease());
  if (stats.oldest_wait) SetDuration(*stats.oldest_wait, *metrics.mutable_oldest_wait());
  for (const pool::LaneStats& lane : stats.lanes) FillLane(lane, *metrics.add_lanes());
}

void FillStatement(const pool::StatementFigures& statement, v1::StatementMetrics& into) {
  into.set_fingerprint(statement.fingerprint);
  into.set_text(statement.text);
  into.set_calls_total(statement.counts.calls);
  into.set_failed_total(statement.counts.failed);
  into.set_rows_total(statement.counts.rows);
  FillHistogram(statement.counts.execute, *into.mutable_execute());
}

void FillStatements(pool::StatementsReport report, size_t statements_max,
                    v1::PoolMetrics& metrics) {
  std::vector<pool::StatementFigures>& statements = report.statements;
  std::sort(statements.begin(), statements.end(), [](const auto& a, const auto& b) {
    return std::pair(b.counts.execute.sum_seconds(), a.id) <
           std::pair(a.counts.execute.sum_seconds(), b.id);
  });
  pool::StatementFigures other{
      .id = 0, .fingerprint = "other", .text = "", .counts = report.other, .used = {}};
  for (size_t i = 0; i < statements.size(); ++i) {
    if (i < statements_max) {
      FillStatement(statements[i], *metrics.add_statements());
    } else {
      other.counts += statements[i].counts;
    }
  }
  FillStatement(other, *metrics.add_statements());
}

void FillCallers(const std::vector<pool::CallerFigures>& callers, v1::PoolMetrics& metrics) {
  for (const pool::CallerFigures& caller : callers) {
    v1::CallerMetrics& into = *metrics.add_callers();
    into.set_caller(caller.caller);
    into.set_calls_total(caller.calls);
    into.set_failed_total(caller.failed);
    into.set_in_progress(caller.in_progress);
    into.set_refused_total(caller.refused);
    FillHistogram(caller.queue_wait, *into.mutable_queue_wait());
  }
}

}  // namespace dbsidecar::server
