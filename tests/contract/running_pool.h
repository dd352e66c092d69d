// A pool that runs on its loop's thread, as in the server, and the calls a test makes to it.
// Every wait ends after kPatience, with a failure.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "pool/event_loop.h"
#include "pool/pool.h"
#include "server/loop_thread.h"

namespace dbsidecar::contract {

#if defined(__SANITIZE_THREAD__)
inline constexpr std::chrono::seconds kPatience{120};
#else
inline constexpr std::chrono::seconds kPatience{30};
#endif
// A call is answered so long after its time is up, at most.
inline constexpr std::chrono::milliseconds kLateness{100};

class RunningPool;

class TestCall final : public pool::Call {
 public:
  explicit TestCall(std::string sql, std::vector<pool::Value> parameters = {});
  // Cancels what still runs, and waits until it is done.
  ~TestCall() override;

  void Answer(pool::Outcome outcome) override;
  void Done() override;

  // The outcome, once it is there.
  const pool::Outcome& Await();
  // Waits until nothing refers to this call any more.
  void AwaitDone();
  bool answered();
  bool done();
  int answers();

  // The first column of the first row as text; or the error, as "kind sqlstate message".
  std::string AwaitText();

  // From its submission to its answer.
  pool::Duration took() const { return answered_at_ - submitted_at_; }
  // The place of its answer among all answers of the process.
  uint64_t answered_as() const { return answered_as_; }
  // REQUIRES: `to` outlives this.
  void NoteSubmitted(RunningPool& to);

 private:
  const std::string sql_;
  RunningPool* submitted_to_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  pool::Outcome outcome_;
  int answers_ = 0;
  int dones_ = 0;
  pool::Instant submitted_at_;
  pool::Instant answered_at_;
  uint64_t answered_as_ = 0;
};

// As pool::SlowStatement.
struct SlowReport {
  std::string caller;
  std::string rpc;
  std::string fingerprint;
  std::string text;
  pool::Duration ran{};
  uint64_t rows = 0;
  bool failed = false;
};

class RunningPool final : public pool::Observer {
 public:
  using MakeDriver = std::function<std::unique_ptr<pool::Driver>(pool::EventLoop&)>;

  RunningPool(const MakeDriver& make_driver, pool::PoolOptions options);
  // Drains, and demands that nothing is left.
  ~RunningPool() override;
  RunningPool(const RunningPool&) = delete;
  RunningPool& operator=(const RunningPool&) = delete;

  // Runs `task` on the loop thread and returns when it is done.
  void Do(const std::function<void()>& task);
  void Submit(TestCall& call);
  // Submits all of them in one turn of the loop.
  void SubmitTogether(const std::vector<TestCall*>& calls);
  // Submits it and waits until its statement was handed to a connection.
  void Start(TestCall& call);
  void Cancel(TestCall& call);
  pool::PoolStats Stats();
  // Waits until the pool knows its database: before that, statements are judged more strictly.
  bool AwaitWarm();
  // Polls, on the loop thread, until `condition` holds. False = not within kPatience.
  bool Becomes(const std::function<bool()>& condition);

  // Runs one statement to its end.
  pool::Outcome Run(const std::string& sql, std::vector<pool::Value> parameters = {});
  pool::Outcome RunLimited(const std::string& sql, pool::ResultLimits limits);
  pool::Outcome RunReadOnly(const std::string& sql);
  // As TestCall::AwaitText.
  std::string Text(const std::string& sql, std::vector<pool::Value> parameters = {});
  // The same, REQUIRES success: for setting things up.
  void Must(const std::string& sql);

  pool::Pool& pool() { return *pool_; }
  template <typename DriverType>
  DriverType& driver() {
    return static_cast<DriverType&>(*driver_);
  }

  // What audits found, the oldest first.
  std::vector<pool::SessionAudit> Audits();

  // What was told of slow statements, the oldest first.
  std::vector<SlowReport> SlowStatements();

  void OnLeased(pool::ConnectionId id, pool::CallId call) override;
  void OnSessionAudited(const pool::SessionAudit& audit) override;
  void OnSlowStatement(const pool::SlowStatement& slow) override;

 private:
  pool::Outcome RunToEnd(TestCall& call);

  pool::EventLoop loop_;
  std::unique_ptr<pool::Driver> driver_;
  std::unique_ptr<pool::Pool> pool_;
  std::mutex mutex_;
  std::condition_variable leased_changed_;
  std::vector<pool::SessionAudit> audits_;
  std::vector<SlowReport> slow_;
  std::set<pool::CallId> leased_;  // Calls whose statement was handed to a connection.
  std::atomic<pool::CallId> next_id_ = 1;
  std::unique_ptr<server::LoopThread> thread_;
};

// Cells as text; "NULL" for none.
std::string CellText(const pool::Result& result, size_t row, size_t column);
// The rows, cells parted by ',' and rows by ';'. The error, if there is one.
std::string Rows(const pool::Outcome& outcome);
// "kind sqlstate: message", or "" for success.
std::string ErrorText(const pool::Outcome& outcome);
std::string SqlState(const pool::Outcome& outcome);
std::optional<pool::ErrorKind> KindOf(const pool::Outcome& outcome);

pool::Value Integer(int64_t value);
pool::Value Real(double value);
pool::Value Boolean(bool value);
// Borrowed, so literals only.
pool::Value Text(const char* value);
pool::Value Bytes(std::string_view value);
pool::Value Null();

}  // namespace dbsidecar::contract
