#include "server/live_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "server/history/history_series.h"
#include "server/message_json.h"
#include "server/process_figures.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using Json = nlohmann::ordered_json;

std::string Compact(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ObjectOf(const Rates& rates) {
  Json object = Json::object();
  object["pool"] = rates.pool;
  const std::span<const Series> series = rates.pool.empty() ? ProcessSeries() : PoolSeries();
  for (size_t i = 0; i < series.size() && i < rates.values.size(); ++i) {
    const double value = rates.values[i];
    object[std::string(series[i].name)] = std::isfinite(value) ? Json(value) : Json();
  }
  return object;
}

template <typename Messages>
std::string ArrayOf(const Messages& messages) {
  std::string array;
  for (const auto& message : messages) {
    array += Concat(array.empty() ? "" : ",", ToCompactJson(message));
  }
  return Concat("[", array, "]");
}

}  // namespace

std::string ServerSentEvent(std::string_view name, std::string_view data) {
  return Concat("event: ", name, "\ndata: ", data, "\n\n");
}

std::string SnapshotJson(const v1::HealthResponse& health, const std::vector<Rates>& rates,
                         const LiveLists& lists) {
  Json all = Json::array();
  for (const Rates& one : rates) all.push_back(ObjectOf(one));
  return Concat("{\"health\":", ToCompactJson(health), ",\"rates\":", Compact(all),
                ",\"statements\":", ArrayOf(lists.statements.statements()),
                ",\"sessions\":", ArrayOf(lists.sessions.sessions()), "}");
}

std::string EventsJson(const std::vector<PoolEvent>& events) {
  Json all = Json::array();
  for (const PoolEvent& event : events) {
    Json object = Json::object();
    object["number"] = event.number;
    google::protobuf::Timestamp time;
    SetTimestamp(event.time, time);
    object["time"] = Rfc3339(time);
    object["kind"] = std::string(event.kind);
    object["pool"] = event.pool;
    object["connection"] = event.connection;
    object["text"] = event.text;
    all.push_back(std::move(object));
  }
  return Compact(all);
}

}  // namespace dbsidecar::server
