// A database as the services see it: a driver, its pool, and the thread that owns both, behind
// calls that any thread may make.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/pool.h"
#include "server/config/config.h"
#include "server/loop_thread.h"
#include "server/pool_observer.h"

namespace dbsidecar::server {

struct DatabaseReport {
  pool::PoolStats stats;
  std::map<std::string, uint64_t> outcomes;  // Calls by gRPC code.
};

// What is counted by statement and by caller.
struct DatabaseFigures {
  pool::StatementsReport statements;
  std::vector<pool::CallerFigures> callers;
};

class Database {
 public:
  // `on_status` is told, on the loop thread, when the database goes up or down.
  Database(const Config& config, std::function<void(bool up)> on_status);
  // REQUIRES: Stop has returned.
  ~Database();

  // Opens the pool and waits until `min` connections are up and the first has answered. Empty on
  // success, the reason otherwise: after `limit`, or at once when trying on is pointless. Gives up
  // quietly when `interrupted` says so.
  std::string Start(pool::Duration limit, const std::function<bool()>& interrupted);

  // Any thread. Calls, subscribers, and owners of sessions, have ids of one kind.
  uint64_t NextCallId() { return next_call_id_.fetch_add(1, std::memory_order_relaxed); }

  // The call is answered exactly once, on the loop thread.
  void Submit(pool::Call& call);
  // The same for several, at the cost of one.
  void Submit(std::vector<pool::Call*> calls);
  // The same, on the caller's own thread if the loop has nothing to do: sooner under way, but not
  // gathered with those that come next. REQUIRES: the thread is a DeepThread.
  void SubmitAtOnce(std::vector<pool::Call*> calls);
  void Cancel(pool::CallId id);
  // The call's sink was full and takes more.
  void Resume(pool::CallId id);
  // See pool::Pool, pool::Subscriber and pool::AttachedClient.
  void Subscribe(pool::Subscriber& subscriber);
  void Unsubscribe(pool::SubscriberId id);
  void SubscriberCaughtUp();
  void Attach(pool::AttachedClient& client);
  void Detach(pool::AttachedClient& client);
  void EndSessionsOf(uint64_t owner);

  // Runs when everything that is ready in this turn of the loop has been seen to. Loop thread.
  void AtTurnEnd(pool::TurnEndHandler& handler) { loop_.AtTurnEnd(handler); }

  // Waits for the loop, which never blocks.
  DatabaseReport Report();
  const RecentEvents& recent_events() const { return events_; }
  // The same.
  DatabaseFigures Figures();

  // What operators do; see pool::Pool. All but the cancels wait for the loop.
  void Pause();
  void Unpause();
  bool at_rest();
  // Makes the pool go by what of `config` can be changed while it runs.
  std::optional<pool::Error> Reconfigure(const Config& config);
  pool::Listing<pool::RunningStatement> Statements(const pool::ListFilter& filter);
  pool::Listing<pool::OpenSession> Sessions(const pool::ListFilter& filter);
  // `done` is called on the loop thread.
  void CancelStatement(pool::CallId id, std::optional<pool::Duration> terminate_after,
                       std::function<void(pool::CancelVerdict)> done);
  void CancelSession(uint64_t id, std::function<void(pool::SessionVerdict)> done);
  // Any thread. Of a text's shape; "" = cannot be told.
  std::string Fingerprint(const std::string& sql) const;
  std::string pool_name() const { return "default"; }

  // Refuses new calls, waits until the accepted ones are answered or `limit` has passed or
  // `hurry` says so, gives up the rest, and closes the connections. Returns the number of calls
  // given up.
  size_t Stop(pool::Duration limit, const std::function<bool()>& hurry);

 private:
  void SubmitAll(const std::vector<pool::Call*>& calls);
  template <typename Result>
  Result Ask(std::function<Result()> question);
  template <typename Predicate>
  bool Await(pool::Duration limit, Predicate until, const std::function<bool()>& interrupted);

  std::atomic<uint64_t> next_call_id_{1};
  pool::EventLoop loop_;
  RecentEvents events_;
  PoolObserver observer_;
  std::unique_ptr<pool::Driver> driver_;
  std::unique_ptr<pool::Pool> pool_;
  std::unique_ptr<LoopThread> thread_;
};

}  // namespace dbsidecar::server
