// What /api/events sends, as server-sent events: docs/live-page.md describes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dbsidecar/v1/admin.pb.h"
#include "dbsidecar/v1/health.pb.h"
#include "server/recent_events.h"

namespace dbsidecar::server {

// The latest values of a group of series (server/history/history_series.h).
struct Rates {
  std::string pool = {};           // "" = the process.
  std::vector<float> values = {};  // In the order of its series.
};

// `event: NAME` with `data`, which is one line.
std::string ServerSentEvent(std::string_view name, std::string_view data);

// What runs and what is held open at a moment.
struct LiveLists {
  v1::ListStatementsResponse statements;
  v1::ListSessionsResponse sessions;
};

std::string SnapshotJson(const v1::HealthResponse& health, const std::vector<Rates>& rates,
                         const LiveLists& lists);
// An array, the oldest first.
std::string EventsJson(const std::vector<PoolEvent>& events);

}  // namespace dbsidecar::server
