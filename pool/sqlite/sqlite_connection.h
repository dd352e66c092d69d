// A connection to SQLite on a thread of its own: takes requests from the loop, runs them on its
// session, and posts what came of them back to the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/lru_cache.h"
#include "pool/sqlite/interruption.h"
#include "pool/sqlite/job_queue.h"
#include "pool/sqlite/part_gate.h"
#include "pool/sqlite/sqlite_runner.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {

inline constexpr size_t kReaderLane = 0;
inline constexpr size_t kWriterLane = 1;

class SqliteConnection;

// What the driver's connections have in common. Outlives them; loop thread only.
class SqliteShared final : public TurnEndHandler {
 public:
  SqliteShared(SqliteConfig the_config, EventLoop& the_loop);

  // What is known of a text, for how long it has been seen.
  Classification Classify(std::string_view sql);
  // What preparing it has shown: it is refused, or it belongs to the writer.
  void Learn(std::string_view sql, std::optional<Error> refusal, size_t lane);
  void NoteRead(std::string_view sql, Duration took);

  // Lets the connection hand over its work at the end of this turn of the loop: a thread that is
  // woken once finds all of it.
  void HandOverLater(SqliteConnection& connection);
  void Forget(SqliteConnection& connection);
  void OnTurnEnd() override;

  const SqliteConfig config;
  SqliteLocation location;
  EventLoop& loop;

 private:
  struct Known {
    std::optional<Error> refusal{};
    size_t lane = 0;
    StatementHistory reads{};  // On a reader.
    StatementFiguresPlace figures{};
  };

  LruCache<Known> known_;
  std::vector<SqliteConnection*> handing_over_;
};

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(ConnectionId id, SqliteSession::Role role, SqliteShared& shared,
                   ConnectionEvents& events);
  ~SqliteConnection() override;

  void Open() override;
  void Ping() override;
  void Reset() override;
  void AuditAndReset() override;
  void Execute(Call& call) override;
  void Cancel(Call& call) override;
  void Resume(Call& call) override;
  void Close() override;
  std::vector<Call*> TakeUnsent() override;

  // Wakes the thread for what has come in this turn of the loop.
  void HandOver() { queue_.Add(handed_over_); }

 private:
  // --- On the loop thread. ---
  void Enqueue(JobQueue::Job job);
  void OnReports(SqliteRunner::Reports& reports);
  void OnExecuted(Call& call, SqliteSession::Execution execution);
  void OnThreadEnd(std::optional<OpenFailure> failure);

  // --- On the connection's thread. ---
  void RunThread();
  // Returns why the session did not open; else once the connection was closed.
  std::optional<OpenFailure> RunSession();

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
  bool closed_ = false;                     // Loop thread only.
  std::vector<JobQueue::Job> handed_over_;  // At the end of this turn. Loop thread only.
  std::vector<Call*> cancelled_;            // Not run, and about to be reported. Loop thread only.
  Interruption interruption_;
  JobQueue queue_{interruption_};
  PartGate gate_{interruption_};
  std::thread thread_;
};

}  // namespace dbsidecar::pool
