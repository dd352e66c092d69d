// Answers a request for the past from what is stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dbsidecar/v1/metrics.pb.h"
#include "pool/error.h"
#include "server/history/history_store.h"

namespace dbsidecar::server {

// By the rules of metrics.proto. `now` is in seconds since 1970. An error = why not.
std::optional<pool::Error> FillHistory(const HistoryStore& store,
                                       const v1::MetricsHistoryRequest& request, int64_t now,
                                       v1::MetricsHistoryResponse& response);

// More points than this are not for a thread that serves others meanwhile.
inline constexpr int64_t kHttpPointsMax = 2000;

// A request from the query of a URL: `pool` and `series` (repeated, or separated by commas),
// `start` and `end` (RFC 3339 or seconds since 1970), `step` (`10s`, or a number of seconds),
// `points_max`. An error names the parameter that is wrong.
std::optional<pool::Error> ParseHistoryQuery(std::string_view query,
                                             v1::MetricsHistoryRequest& request);

}  // namespace dbsidecar::server
