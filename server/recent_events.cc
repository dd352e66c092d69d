#include "server/recent_events.h"

#include <utility>

namespace dbsidecar::server {

void RecentEvents::Note(std::string_view kind, std::string_view pool, uint64_t connection,
                        std::string text) {
  if (text.size() > kTextMax) text.resize(kTextMax);
  PoolEvent event{.time = std::chrono::system_clock::now(),
                  .kind = kind,
                  .pool = std::string(pool),
                  .connection = connection,
                  .text = std::move(text)};
  const std::lock_guard lock(mutex_);
  event.number = ++noted_;
  events_.push_back(std::move(event));
  if (events_.size() > kMax) events_.pop_front();
}

std::vector<PoolEvent> RecentEvents::After(uint64_t number) const {
  const std::lock_guard lock(mutex_);
  std::vector<PoolEvent> after;
  for (const PoolEvent& event : events_) {
    if (event.number > number) after.push_back(event);
  }
  return after;
}

}  // namespace dbsidecar::server
