// The pools as the services see them: each with the driver of its database, behind calls that any
// thread may make. One thread owns them all, so that what holds for the calls of one pool (answers
// come one at a time, those of a turn go out together) holds for those of several.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/pool.h"
#include "server/config/config.h"
#include "server/loop_thread.h"
#include "server/pool_observer.h"

namespace dbsidecar::server {

struct PoolReport {
  pool::PoolStats stats;
  std::map<std::string, uint64_t> outcomes;  // Calls by gRPC code.
};

// What is counted by statement and by caller.
struct PoolFigures {
  pool::StatementsReport statements;
  std::vector<pool::CallerFigures> callers;
};

// What is configured for the pool of this number; see Pools::names.
const Config& ConfigOf(const Config& config, size_t pool);

class Pools {
 public:
  // `on_status` is told, on the loop thread, when the database of the pool of this number, in the
  // order of the configuration, goes up or down.
  Pools(const Config& config, const std::function<void(size_t pool, bool up)>& on_status);
  // REQUIRES: Stop has returned.
  ~Pools();

  // Opens the pools and waits until `min` connections of each are up and its first has answered.
  // Empty on success, the reason otherwise: after `limit`, or at once when trying on is pointless.
  // Gives up quietly when `interrupted` says so.
  std::string Start(pool::Duration limit, const std::function<bool()>& interrupted);

  // Of the pools in the order of the configuration: the default one first. Any thread, as the next.
  const std::vector<std::string>& names() const { return names_; }
  // Which of them `name` is, and "" the default one; the error names those that there are.
  std::optional<pool::Error> Find(const std::string& name, size_t& pool) const;

  // Any thread. Calls, subscribers, and owners of sessions, have ids of one kind.
  uint64_t NextCallId() { return next_call_id_.fetch_add(1, std::memory_order_relaxed); }

  // The call is answered exactly once, on the loop thread: by the pool it names; one that continues
  // a session and names none, by the session's.
  void Submit(pool::Call& call);
  // The same for several, at the cost of one.
  void Submit(std::vector<pool::Call*> calls);
  // The same, on the caller's own thread if the loop has nothing to do: sooner under way, but not
  // gathered with those that come next. REQUIRES: the thread is a DeepThread.
  void SubmitAtOnce(std::vector<pool::Call*> calls);
  void Cancel(pool::CallId id);
  // The call's sink was full and takes more.
  void Resume(pool::CallId id);
  // See pool::Pool and pool::Subscriber.
  void Subscribe(pool::Subscriber& subscriber);
  void Unsubscribe(pool::SubscriberId id);
  void SubscriberCaughtUp();
  // From now on, of which `attached` tells on the loop thread, calls may name the client; nothing
  // refers to it any more when `done` is called there.
  void Attach(pool::AttachedClient& client, std::function<void()> attached);
  void Detach(pool::AttachedClient& client, std::function<void()> done);
  void EndSessionsOf(uint64_t owner);

  // Runs when everything that is ready in this turn of the loop has been seen to. Loop thread.
  void AtTurnEnd(pool::TurnEndHandler& handler) { loop_.AtTurnEnd(handler); }

  // Waits for the loop, which never blocks. In the order of the pools.
  std::vector<PoolReport> Report();
  PoolReport Report(size_t pool);
  const RecentEvents& recent_events() const { return events_; }
  // The same.
  std::vector<PoolFigures> Figures();

  // What operators do; see pool::Pool. All but the cancels wait for the loop.
  void Pause(size_t pool);
  void Unpause(size_t pool);
  bool at_rest(size_t pool);
  // Makes the pools, which go by `before`, go by what of `now` can be changed while they run. The
  // reason, if it cannot be done; then nothing has changed. REQUIRES: both have the same pools.
  std::optional<pool::Error> Reconfigure(const Config& before, const Config& now);
  // Of one pool, or of all. The oldest first.
  pool::Listing<pool::RunningStatement> Statements(std::optional<size_t> pool,
                                                   const pool::ListFilter& filter);
  pool::Listing<pool::OpenSession> Sessions(std::optional<size_t> pool,
                                            const pool::ListFilter& filter);
  // `done` is called on the loop thread.
  void CancelStatement(pool::CallId id, std::optional<pool::Duration> terminate_after,
                       std::function<void(pool::CancelVerdict)> done);
  void CancelSession(uint64_t id, std::function<void(pool::SessionVerdict)> done);
  // Any thread. Of a text's shape in the pool of this name; "" = cannot be told.
  std::string Fingerprint(const std::string& pool, const std::string& sql) const;
  // The same: the text as it may be shown.
  std::string WithoutConstants(const std::string& pool, const std::string& sql) const;

  // Refuses new calls, waits until the accepted ones are answered or `limit` has passed or
  // `hurry` says so, gives up the rest, and closes the connections. Returns the number of calls
  // given up.
  size_t Stop(pool::Duration limit, const std::function<bool()>& hurry);

 private:
  // A pool and what belongs to it.
  struct Member {
    Member(const Config& config, size_t pool_number, pool::EventLoop& loop, RecentEvents& events,
           const std::function<void(size_t pool, bool up)>& on_status);

    const size_t number;
    PoolObserver observer;
    const std::unique_ptr<pool::Driver> driver;
    pool::Pool pool;
  };

  // Null = there is none of this name.
  Member* MemberOf(std::string_view name) const;
  Member* MemberFor(const pool::Call& call);
  void SubmitNow(pool::Call& call);
  void SubmitAll(const std::vector<pool::Call*>& calls);
  pool::Error NoSuchPool(std::string_view name) const;
  void CancelStatementIn(size_t pool, pool::CallId id,
                         std::optional<pool::Duration> terminate_after,
                         std::function<void(pool::CancelVerdict)> done);
  void CancelSessionIn(size_t pool, uint64_t id, std::function<void(pool::SessionVerdict)> done);
  template <typename Entry>
  using ListMethod = pool::Listing<Entry> (pool::Pool::*)(const pool::ListFilter& filter) const;
  template <typename Entry>
  pool::Listing<Entry> ListOf(std::optional<size_t> pool, const pool::ListFilter& filter,
                              ListMethod<Entry> list);
  PoolObserver::ConnectTrouble Trouble() const;
  template <typename Result>
  Result Ask(std::function<Result()> question);
  // Whether all of them say so.
  bool AskAll(const std::function<bool(pool::Pool& pool)>& question);
  void TellAll(std::function<void(pool::Pool& pool)> order);
  template <typename Predicate>
  bool Await(pool::Duration limit, Predicate until, const std::function<bool()>& interrupted);

  std::atomic<uint64_t> next_call_id_{1};
  pool::EventLoop loop_;
  RecentEvents events_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Member>> members_;  // As many as there are names.
  std::unique_ptr<LoopThread> thread_;
};

}  // namespace dbsidecar::server
