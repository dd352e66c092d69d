// Drives one driver's connections from a test: the loop runs on a thread of its own, the test
// waits for what connections report. Every wait ends after kPatience, with a failure.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "pool/driver.h"
#include "pool/event_loop.h"

namespace dbsidecar::pool {

inline constexpr std::chrono::seconds kPatience{30};

// An event loop on a thread of its own.
class LoopThread {
 public:
  LoopThread() : thread_([this] { loop_.Run(); }) {}
  ~LoopThread() {
    loop_.Stop();
    thread_.join();
  }

  EventLoop& loop() { return loop_; }

  // Runs `task` on the loop thread and returns when it is done.
  void Do(const std::function<void()>& task) {
    std::mutex mutex;
    std::condition_variable done;
    bool is_done = false;
    loop_.Post([&] {
      task();
      std::lock_guard lock(mutex);
      is_done = true;
      done.notify_one();
    });
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return is_done; });
  }

 private:
  EventLoop loop_;
  std::thread thread_;
};

// A call that owns its text.
class ProbeCall : public Call {
 public:
  explicit ProbeCall(std::string sql, std::vector<Value> parameters = {}) : sql_(std::move(sql)) {
    statement.sql = sql_;
    statement.parameters = std::move(parameters);
  }

  void Answer(Outcome) override {}
  void Done() override {}

 private:
  const std::string sql_;
};

struct ProbeEvent {
  enum class Kind {
    kConnected,
    kConnectFailed,
    kPinged,
    kReset,
    kReply,
    kWrongLane,
    kHandedBack,
    kLost,
    kClosed
  };

  Kind kind;
  bool ok = false;  // kPinged and kReset; `permanent` of kConnectFailed.
  Error error{};    // kConnectFailed and kLost.
  Call* call = nullptr;
  Outcome outcome{};
  Condition condition = Condition::kClean;
  size_t lane = 0;
};

class ConnectionProbe : public ConnectionEvents {
 public:
  ConnectionProbe(LoopThread& loop, Driver& driver, size_t lane, ConnectionId id = 1)
      : loop_(loop) {
    loop_.Do([&] { connection_ = driver.NewConnection(id, lane, *this); });
  }
  ~ConnectionProbe() override {
    loop_.Do([this] { connection_.reset(); });
  }

  void Open() {
    loop_.Do([this] { connection_->Open(); });
  }
  // REQUIRES: a database that opens.
  void OpenWell() {
    Open();
    const ProbeEvent event = Wait();
    ASSERT_EQ(event.kind, ProbeEvent::Kind::kConnected) << event.error.message;
  }
  void Start(Call& call) {
    loop_.Do([&] { connection_->Execute(call); });
  }
  // Hands them over in one turn of the loop; `then` is cancelled in the same.
  void StartTogether(const std::vector<Call*>& calls, Call* then = nullptr) {
    loop_.Do([&] {
      for (Call* call : calls) connection_->Execute(*call);
      if (then != nullptr) connection_->Cancel(*then);
    });
  }
  // Does something else first, in the same turn of the loop.
  void StartAfter(const std::function<void()>& something, const std::vector<Call*>& calls) {
    loop_.Do([&] {
      something();
      for (Call* call : calls) connection_->Execute(*call);
    });
  }
  void Cancel(Call& call) {
    loop_.Do([&] { connection_->Cancel(call); });
  }
  void Ping() {
    loop_.Do([this] { connection_->Ping(); });
  }
  void Reset() {
    loop_.Do([this] { connection_->Reset(); });
  }
  void Close() {
    loop_.Do([this] { connection_->Close(); });
  }
  void Destroy() {
    loop_.Do([this] { connection_.reset(); });
  }

  // The next event, in the order in which they were reported.
  ProbeEvent Wait() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, kPatience, [this] { return !events_.empty(); })) {
      ADD_FAILURE() << "no event within " << kPatience.count() << " s";
      return {.kind = ProbeEvent::Kind::kLost};
    }
    ProbeEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  bool HasEvents() {
    std::lock_guard lock(mutex_);
    return !events_.empty();
  }

  // Runs one call to its reply, which must come next.
  ProbeEvent Run(ProbeCall& call) {
    Start(call);
    ProbeEvent event = Wait();
    EXPECT_EQ(event.call, &call);
    return event;
  }
  ProbeEvent Run(const std::string& sql, std::vector<Value> parameters = {}) {
    ProbeCall call(sql, std::move(parameters));
    return Run(call);
  }
  // The same for a statement that must succeed.
  Result RunWell(const std::string& sql, std::vector<Value> parameters = {}) {
    ProbeEvent event = Run(sql, std::move(parameters));
    EXPECT_EQ(event.kind, ProbeEvent::Kind::kReply) << sql;
    EXPECT_FALSE(event.outcome.error.has_value()) << sql << ": " << event.outcome.error->message;
    return std::move(event.outcome.result);
  }
  // The same for a statement that must fail.
  Error RunBadly(const std::string& sql, std::vector<Value> parameters = {}) {
    ProbeEvent event = Run(sql, std::move(parameters));
    EXPECT_EQ(event.kind, ProbeEvent::Kind::kReply) << sql;
    EXPECT_TRUE(event.outcome.error.has_value()) << sql;
    return event.outcome.error.value_or(Error{});
  }

  void OnConnected(ConnectionId) override { Add({.kind = ProbeEvent::Kind::kConnected}); }
  void OnConnectFailed(ConnectionId, Error error, bool permanent) override {
    Add({.kind = ProbeEvent::Kind::kConnectFailed, .ok = permanent, .error = std::move(error)});
  }
  void OnPinged(ConnectionId, bool ok) override {
    Add({.kind = ProbeEvent::Kind::kPinged, .ok = ok});
  }
  void OnReset(ConnectionId, bool ok) override {
    Add({.kind = ProbeEvent::Kind::kReset, .ok = ok});
  }
  void OnReply(ConnectionId, Call& call, Outcome outcome, Condition condition) override {
    Add({.kind = ProbeEvent::Kind::kReply,
         .call = &call,
         .outcome = std::move(outcome),
         .condition = condition});
  }
  bool OnPart(ConnectionId, Call&, Part) override { return true; }
  void OnWrongLane(ConnectionId, Call& call, size_t lane) override {
    Add({.kind = ProbeEvent::Kind::kWrongLane, .call = &call, .lane = lane});
  }
  void OnHandedBack(ConnectionId, Call& call) override {
    Add({.kind = ProbeEvent::Kind::kHandedBack, .call = &call});
  }
  void OnLost(ConnectionId, Error error) override {
    Add({.kind = ProbeEvent::Kind::kLost, .error = std::move(error)});
  }
  void OnClosed(ConnectionId) override { Add({.kind = ProbeEvent::Kind::kClosed}); }
  void OnCatalogChanged() override {}

 private:
  void Add(ProbeEvent event) {
    std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    arrived_.notify_one();
  }

  LoopThread& loop_;
  std::unique_ptr<Connection> connection_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<ProbeEvent> events_;
};

// Parameters, short to write in tests.
inline Value Null() { return {}; }
inline Value Integer(int64_t integer) {
  Value value;
  value.kind = Value::Kind::kInteger;
  value.integer = integer;
  return value;
}
inline Value Bool(bool boolean) {
  Value value;
  value.kind = Value::Kind::kBool;
  value.boolean = boolean;
  return value;
}
inline Value Double(double real) {
  Value value;
  value.kind = Value::Kind::kDouble;
  value.real = real;
  return value;
}
inline Value Text(std::string_view text) {
  Value value;
  value.kind = Value::Kind::kText;
  value.text = text;
  return value;
}
inline Value Bytes(std::string_view bytes) {
  Value value;
  value.kind = Value::Kind::kBytes;
  value.text = bytes;
  return value;
}

}  // namespace dbsidecar::pool
