// The connection that listens: libpq, non-blocking, on the event loop, with PostgreSQL's simple
// protocol (its manual, LISTEN and "Asynchronous Notification").
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pool/event_loop.h"
#include "pool/notifications.h"
#include "pool/postgres/blocking_threads.h"

namespace dbsidecar::pool {

class PostgresListener final : public NotificationSource, public FdHandler {
 public:
  // All borrowed.
  PostgresListener(NotificationSourceEvents& events, const std::string& conninfo, EventLoop& loop,
                   BlockingThreads& threads);
  ~PostgresListener() override;

  void Open() override;
  void Change(const std::vector<std::string>& listen,
              const std::vector<std::string>& unlisten) override;
  void Resume() override;
  void Close() override;

  void OnReady(bool readable, bool writable) override;

 private:
  // Survives the listener in tasks that other threads post back.
  struct Link {
    PostgresListener* listener;
  };

  void Connected(PGconn* conn);
  std::string Quoted(const std::string& channel) const;
  void Flush();
  void Read();
  // False: nothing more to be read now.
  bool ReadNotifications();
  bool ReadResult();
  void Lose();
  void Watch();
  void Unwatch();
  static void OnNotice(void* self, const PGresult* notice);

  NotificationSourceEvents& events_;
  const std::string& conninfo_;
  EventLoop& loop_;
  BlockingThreads& threads_;
  const std::shared_ptr<Link> link_;

  PGconn* conn_ = nullptr;
  int fd_ = -1;  // Its socket, while it is watched.
  bool connecting_ = false;
  bool closing_ = false;
  bool paused_ = false;
  bool changing_ = false;  // A change has been sent and not been answered.
  bool first_change_ = true;
  std::optional<Error> refusal_;  // Of the change under way.
  std::string last_words_;        // Why the server ends the connection.
};

}  // namespace dbsidecar::pool
