// A connection to SQLite on a thread of its own: takes requests from the loop, runs them on its
// session, and posts what came of them back to the loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/lru_cache.h"
#include "pool/sqlite/interruption.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {

inline constexpr size_t kWriterLane = 1;

// What the driver's connections have in common. Outlives them.
struct SqliteShared {
  SqliteShared(SqliteConfig the_config, EventLoop& the_loop);

  const SqliteConfig config;
  SqliteLocation location;
  EventLoop& loop;
  // What was learnt of texts by preparing them: those refused, and those that belong to the
  // writer. Loop thread only.
  LruCache<Classification> known;
};

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(ConnectionId id, SqliteSession::Role role, SqliteShared& shared,
                   ConnectionEvents& events);
  ~SqliteConnection() override;

  void Open() override;
  void Ping() override;
  void Reset() override;
  void Execute(Call& call) override;
  void Cancel(Call& call) override;
  void Close() override;

 private:
  struct Job {
    enum class Kind { kPing, kReset, kExecute };
    Kind kind;
    Call* call = nullptr;  // kExecute.
  };

  // --- On the loop thread. ---
  void Enqueue(Job job);
  void RequestEnd();
  void OnExecuted(Call& call, SqliteSession::Execution execution);
  void OnThreadEnd(std::optional<OpenFailure> failure);
  void Learn(const Call& call, Classification classification);

  // --- On the connection's thread. ---
  void RunThread();
  // Returns why the session did not open; else once the connection was closed.
  std::optional<OpenFailure> RunSession();
  std::optional<Job> NextJob();
  void Perform(SqliteSession& session, const Job& job);

  // From any thread: runs `task` on the loop thread, unless this is destroyed before.
  void Post(std::function<void(SqliteConnection&)> task);
  // The same, unless this is closed before.
  void PostEvent(std::function<void(SqliteConnection&)> task);

  const ConnectionId id_;
  const SqliteSession::Role role_;
  SqliteShared& shared_;
  ConnectionEvents& events_;
  // Posted tasks hold it weakly: it ends with this object, on the loop thread.
  const std::shared_ptr<SqliteConnection*> self_;
  bool closed_ = false;  // Loop thread only.
  Interruption interruption_;
  std::thread thread_;

  std::mutex mutex_;  // Guards all below.
  std::condition_variable work_;
  std::deque<Job> jobs_;
  // The call being run. It is interrupted only under the mutex and while it is here, so that an
  // interrupt never hits the next one.
  Call* running_ = nullptr;
  bool ending_ = false;
};

}  // namespace dbsidecar::pool
