// A driver without a database: its connections do what the test's script and the statements' texts
// say. It shows what the pool does when a database misbehaves in ways that real ones seldom do.
//
// Threads: everything here runs on the loop thread.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "pool/driver.h"
#include "pool/event_loop.h"

namespace dbsidecar::test_support {

// The texts that a fake connection understands:
//   select N       answers one row with the text N
//   sleep          runs until it is cancelled, and then answers 57014
//   deaf           runs, and ignores its cancel
//   dirty          answers well and leaves the session dirty
//   syntax error   answers 42601
//   lose           the connection is lost while it runs
//   stream N       N parts of a row each, with the texts 1 to N, for a call with a sink
//   write          belongs to the last lane; answers there
class FakeDriver final : public pool::Driver {
 public:
  enum class Connect { kSucceed, kFail, kReject, kNever };
  enum class Ping { kAnswer, kFail, kNever };

  // What connections do from now on.
  struct Script {
    std::deque<Connect> connects;  // One for each connect; then `connect`.
    Connect connect = Connect::kSucceed;
    Ping ping = Ping::kAnswer;
    bool close_at_once = true;  // Or only when FinishCloses is called.
    size_t lanes = 1;           // Read once, by the pool's constructor.
    bool sessions = false;      // Calls may keep a connection.
  };
  struct Figures {
    size_t opened = 0;  // Connects begun.
    size_t pings = 0;
    size_t resets = 0;
    size_t closes = 0;        // Connections told to close.
    size_t existing = 0;      // Not let go of yet.
    size_t existing_max = 0;  // The most there have been at once.
  };

  explicit FakeDriver(pool::EventLoop& loop) : loop_(loop) {}

  Script script;
  const Figures& figures() const { return figures_; }
  // The server closes every connection that runs nothing.
  void LoseIdleConnections();
  // Lets go of the connections that were told to close.
  void FinishCloses();

  std::string_view name() const override { return "fake"; }
  bool has_sessions() const override { return script.sessions; }
  std::string Fingerprint(std::string_view sql) const override { return std::string(sql); }
  std::vector<pool::LaneShape> Lanes(size_t min, size_t max) const override;
  pool::Classification Classify(const pool::Statement& statement) override;
  std::unique_ptr<pool::Connection> NewConnection(pool::ConnectionId id, size_t lane,
                                                  pool::ConnectionEvents& events) override;
  pool::DatabaseFacts facts() const override { return {}; }
  std::optional<pool::Error> Describe(const pool::Statement& /*statement*/,
                                      pool::Description& /*into*/) override {
    return std::nullopt;
  }
  bool facts_take_a_place() const override { return false; }
  void RefreshFacts(std::function<void(bool learnt)> done) override {
    loop_.Post([done = std::move(done)] { done(true); });
  }

 private:
  friend class FakeConnection;

  Connect NextConnect();
  void NoteOpened();
  void NoteGone() { --figures_.existing; }

  pool::EventLoop& loop_;
  Figures figures_;
  absl::flat_hash_set<class FakeConnection*> connections_;
  absl::flat_hash_map<std::string, size_t> learnt_lanes_;
};

}  // namespace dbsidecar::test_support
