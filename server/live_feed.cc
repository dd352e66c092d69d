#include "server/live_feed.h"

#include <utility>

#include "server/history/history_series.h"
#include "server/http/http_server.h"
#include "server/reports.h"

namespace dbsidecar::server {

void LiveFeed::SetServers(std::vector<HttpServer*> servers) {
  const std::lock_guard lock(mutex_);
  servers_ = std::move(servers);
}

void LiveFeed::SetLists(std::function<LiveLists()> lists) {
  const std::lock_guard lock(mutex_);
  lists_ = std::move(lists);
}

void LiveFeed::OnLook(const std::vector<FiguresSample>& pools) {
  {
    const std::lock_guard lock(mutex_);
    if (!last_look_.empty()) {
      const double seconds =
          std::chrono::duration<double>(pools[0].time - last_look_[0].time).count();
      rates_ = {{.pool = "", .values = ProcessValues(last_look_[0], pools[0])}};
      for (size_t i = 0; i < pools.size(); ++i) {
        rates_.push_back({.pool = pools[i].stats.name,
                          .values = PoolValues(last_look_[i].stats, pools[i].stats, seconds)});
      }
    }
    last_look_ = pools;
  }
  Publish();
}

void LiveFeed::Publish() {
  const std::lock_guard lock(mutex_);
  const std::vector<PoolEvent> events = events_.After(told_);
  if (!events.empty()) told_ = events.back().number;
  if (!HasWatches()) return;
  std::string bytes = ServerSentEvent("snapshot", Snapshot());
  if (!events.empty()) bytes += ServerSentEvent("events", EventsJson(events));
  const auto shared = std::make_shared<const std::string>(std::move(bytes));
  for (HttpServer* server : servers_) server->Publish(shared);
}

std::string LiveFeed::Welcome() {
  const std::lock_guard lock(mutex_);
  // An event of this moment may be published to the new watch once more: they have numbers.
  return "retry: 2000\n\n" + ServerSentEvent("snapshot", Snapshot()) +
         ServerSentEvent("events", EventsJson(events_.After(0)));
}

bool LiveFeed::HasWatches() const {
  for (const HttpServer* server : servers_) {
    if (server->streams() > 0) return true;
  }
  return false;
}

// Without the options in force, which do not change, and the figures of the pools a second time.
std::string LiveFeed::Snapshot() const {
  v1::HealthRequest request;
  request.set_level(v1::HEALTH_LEVEL_DATABASE);
  v1::HealthResponse health;
  reports_.FillHealth(request, pool::kNever, health);
  health.mutable_database()->clear_configuration();
  health.mutable_detailed()->clear_pools();
  return SnapshotJson(health, rates_, lists_ ? lists_() : LiveLists());
}

}  // namespace dbsidecar::server
