// Notifications (PostgreSQL's LISTEN and NOTIFY): the seam between the hub, which serves all
// subscribers from one connection, and both its sides: the driver, which has that connection, and
// the subscribers.
//
// Threads: everything here is called on the loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "pool/error.h"

namespace dbsidecar::pool {

struct Notification {
  uint64_t number = 0;  // Unique in its pool; counts up.
  std::string channel;
  std::string payload;
  int pid = 0;  // The server process that sent it.
};

// The connection was lost and is back: what was sent in between never arrives.
struct NotificationGap {
  std::chrono::system_clock::time_point lost;
  std::chrono::system_clock::time_point restored;
  std::string reason;
};

using SubscriberId = uint64_t;

// Life: Subscribe; then OnListening and what is heard from then on; after Unsubscribe, or OnEnded,
// exactly one Done. None of these may subscribe or unsubscribe anyone at once.
class Subscriber {
 public:
  virtual ~Subscriber() = default;

  // The subscription is in force.
  virtual void OnListening() = 0;
  // It has room: Backlog() is under the pool's limit.
  virtual void OnNotification(const Notification& notification) = 0;
  virtual void OnGap(const NotificationGap& gap) = 0;
  // The hub ends the subscription; kSubscriberDropped: because it was too slow.
  virtual void OnEnded(const Error& error) = 0;
  // Nothing refers to this subscriber any more; it may delete itself.
  virtual void Done() = 0;

  // What it was told and has not passed on yet. Whoever comes down to half of the limit says so by
  // Pool::SubscriberCaughtUp.
  virtual size_t Backlog() const = 0;

  SubscriberId id = 0;    // Unique among the subscribers of all pools; set by whoever subscribes.
  std::string pool_name;  // As Call::pool_name.
  std::vector<std::string> channels;  // At least one, each once. Unchanged until Done.
};

// What a source reports.
class NotificationSourceEvents {
 public:
  virtual ~NotificationSourceEvents() = default;

  virtual void OnSourceOpened() = 0;
  // The last change is in force.
  virtual void OnChanged() = 0;
  // The database refused the last change as a whole.
  virtual void OnChangeRefused(const Error& error) = 0;
  // It did not open, or was lost: it is to be closed. `permanent`: opening another is pointless
  // with this configuration.
  virtual void OnSourceFailed(const Error& error, bool permanent) = 0;
  // False: no more until Resume, not even the answer to a change.
  virtual bool OnNotification(Notification notification) = 0;
  // The driver has let go of it: it no longer counts against `max`.
  virtual void OnSourceClosed() = 0;
};

// A connection that hears notifications.
class NotificationSource {
 public:
  virtual ~NotificationSource() = default;

  virtual void Open() = 0;
  // In one transaction; answered by OnChanged or OnChangeRefused. Both empty: a round trip that
  // proves it alive.
  // REQUIRES: open, and no change is under way.
  virtual void Change(const std::vector<std::string>& listen,
                      const std::vector<std::string>& unlisten) = 0;
  // After OnNotification has returned false.
  virtual void Resume() = 0;
  // Lets go, whatever is under way: only OnSourceClosed follows.
  virtual void Close() = 0;
};

}  // namespace dbsidecar::pool
