// What watches of the live page get: each second a snapshot and what has happened, made once for
// all of them, and not at all while there are none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/figures_sampler.h"
#include "server/live_json.h"
#include "server/recent_events.h"

namespace dbsidecar::server {

class HttpServer;
class Reports;

// Threads: any.
class LiveFeed {
 public:
  // Both borrowed.
  LiveFeed(Reports& reports, const RecentEvents& events) : reports_(reports), events_(events) {}

  // Where to publish: borrowed, until others are set. Waits for what is being published.
  void SetServers(std::vector<HttpServer*> servers);
  // Who tells what runs, asked for each snapshot. Without one the lists are empty.
  void SetLists(std::function<LiveLists()> lists);
  // A look at the figures of each pool, each second: publishes.
  void OnLook(const std::vector<FiguresSample>& pools);
  // The same between two looks, for what cannot wait.
  void Publish();
  // What a new watch gets first: the figures of now, and what has happened lately.
  std::string Welcome();

 private:
  bool HasWatches() const;
  std::string Snapshot() const;

  Reports& reports_;
  const RecentEvents& events_;
  std::mutex mutex_;  // Guards all below.
  std::vector<HttpServer*> servers_;
  std::function<LiveLists()> lists_;
  std::vector<FiguresSample> last_look_;  // Empty = there was none.
  std::vector<Rates> rates_;              // Of the stretch up to the last look.
  uint64_t told_ = 0;                     // The number of the last event that was published.
};

}  // namespace dbsidecar::server
