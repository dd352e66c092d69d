#include "server/metrics_baseline.h"

#include <algorithm>
#include <utility>

namespace dbsidecar::server {
namespace {

using Counts = google::protobuf::Map<std::string, uint64_t>;

// What was not there before counted nothing; and none goes below zero, whatever is asked for.
template <typename Number>
Number Less(Number now, Number earlier) {
  return now > earlier ? now - earlier : Number{};
}

void Subtract(const Counts& earlier, Counts& counts) {
  for (auto& [name, count] : counts) {
    const auto found = earlier.find(name);
    if (found != earlier.end()) count = Less(count, found->second);
  }
}

void Subtract(const v1::Histogram& earlier, v1::Histogram& histogram) {
  for (int i = 0; i < std::min(histogram.counts_size(), earlier.counts_size()); ++i) {
    histogram.set_counts(i, Less(histogram.counts(i), earlier.counts(i)));
  }
  histogram.set_sum_seconds(Less(histogram.sum_seconds(), earlier.sum_seconds()));
  histogram.set_count(Less(histogram.count(), earlier.count()));
}

void Subtract(const v1::LaneMetrics& earlier, v1::LaneMetrics& lane) {
  lane.set_statements_total(Less(lane.statements_total(), earlier.statements_total()));
}

void Subtract(const v1::StatementMetrics& earlier, v1::StatementMetrics& statement) {
  statement.set_calls_total(Less(statement.calls_total(), earlier.calls_total()));
  statement.set_failed_total(Less(statement.failed_total(), earlier.failed_total()));
  statement.set_rows_total(Less(statement.rows_total(), earlier.rows_total()));
  Subtract(earlier.execute(), *statement.mutable_execute());
}

void Subtract(const v1::CallerMetrics& earlier, v1::CallerMetrics& caller) {
  caller.set_calls_total(Less(caller.calls_total(), earlier.calls_total()));
  caller.set_failed_total(Less(caller.failed_total(), earlier.failed_total()));
  caller.set_refused_total(Less(caller.refused_total(), earlier.refused_total()));
  Subtract(earlier.queue_wait(), *caller.mutable_queue_wait());
}

// Each from the one with the same name.
template <typename Entries, typename NameOf>
void SubtractEach(const Entries& earlier, Entries& entries, NameOf name_of) {
  for (auto& entry : entries) {
    for (const auto& before : earlier) {
      if (name_of(before) == name_of(entry)) Subtract(before, entry);
    }
  }
}

}  // namespace

void SubtractTotals(const v1::PoolMetrics& earlier, v1::PoolMetrics& metrics) {
#define SUBTRACT(field) metrics.set_##field(Less(metrics.field(), earlier.field()))
  SUBTRACT(errors_total);
  SUBTRACT(connections_opened_total);
  SUBTRACT(connect_failures_total);
  SUBTRACT(statements_total);
  SUBTRACT(statements_failed_total);
  SUBTRACT(arrived_total);
  SUBTRACT(granted_total);
  SUBTRACT(abandoned_total);
  SUBTRACT(retries_total);
  SUBTRACT(outcome_unknown_total);
  SUBTRACT(evictions_total);
#undef SUBTRACT
  Subtract(earlier.connections_closed_total(), *metrics.mutable_connections_closed_total());
  Subtract(earlier.statements_by_outcome_total(), *metrics.mutable_statements_by_outcome_total());
  Subtract(earlier.refused_total(), *metrics.mutable_refused_total());
  Subtract(earlier.limited_total(), *metrics.mutable_limited_total());
  Subtract(earlier.sessions_revoked_total(), *metrics.mutable_sessions_revoked_total());
  Subtract(earlier.queue_wait(), *metrics.mutable_queue_wait());
  Subtract(earlier.connect(), *metrics.mutable_connect());
  Subtract(earlier.execute(), *metrics.mutable_execute());
  Subtract(earlier.total_time(), *metrics.mutable_total_time());
  Subtract(earlier.head_of_line_wait(), *metrics.mutable_head_of_line_wait());
  SubtractEach(earlier.lanes(), *metrics.mutable_lanes(),
               [](const v1::LaneMetrics& lane) { return lane.lane(); });
  SubtractEach(earlier.statements(), *metrics.mutable_statements(),
               [](const v1::StatementMetrics& statement) { return statement.fingerprint(); });
  SubtractEach(earlier.callers(), *metrics.mutable_callers(),
               [](const v1::CallerMetrics& caller) { return caller.caller(); });
}

void SubtractTotals(const v1::RpcMetrics& earlier, v1::RpcMetrics& metrics) {
  metrics.set_handled_total(Less(metrics.handled_total(), earlier.handled_total()));
  Subtract(earlier.handling(), *metrics.mutable_handling());
}

void MetricsBaseline::Set(const std::string& pool, v1::MetricsResponse totals) {
  const std::lock_guard lock(mutex_);
  since_ = totals.time();
  for (v1::PoolMetrics& figures : *totals.mutable_pools()) {
    if (pool.empty() || figures.pool() == pool) pools_[figures.pool()] = figures;
  }
  if (pool.empty()) process_ = std::move(totals);
}

void MetricsBaseline::Apply(v1::MetricsResponse& metrics) const {
  const std::lock_guard lock(mutex_);
  if (!since_) return;
  *metrics.mutable_counting_since_time() = *since_;
  for (v1::PoolMetrics& figures : *metrics.mutable_pools()) {
    const auto earlier = pools_.find(figures.pool());
    if (earlier != pools_.end()) SubtractTotals(earlier->second, figures);
  }
  if (!process_) return;
  metrics.mutable_process()->set_cpu_seconds_total(
      Less(metrics.process().cpu_seconds_total(), process_->process().cpu_seconds_total()));
  for (v1::RpcMetrics& rpc : *metrics.mutable_rpcs()) {
    for (const v1::RpcMetrics& earlier : process_->rpcs()) {
      if (earlier.method() == rpc.method() && earlier.code() == rpc.code()) {
        SubtractTotals(earlier, rpc);
      }
    }
  }
}

}  // namespace dbsidecar::server
