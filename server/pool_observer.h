// Hears what the pool does: writes the pool's event log, notes the recent events, tells the health
// service, and keeps what the reports need beyond the pool's own figures.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pool/observer.h"
#include "server/config/config.h"
#include "server/event_limit.h"
#include "server/log.h"
#include "server/recent_events.h"
#include "server/status_code.h"

namespace dbsidecar::server {

struct PoolObserverOptions {
  bool log_events = false;  // A line for each connect, lease, release, close and error.
  bool log_calls = false;   // A line for each call.
  std::string pool = "default";
  RecentEvents* events = nullptr;  // Borrowed; none in tests.
  // The database went up or down. Loop thread.
  std::function<void(bool up)> on_database_status;
};

// What the log says of one kind of event.
struct LimitedEvent {
  LogLevel level;
  std::string_view name;
  EventLimit limit{20, std::chrono::milliseconds(100)};  // Then 10 lines a second.
};

class PoolObserver final : public pool::Observer {
 public:
  explicit PoolObserver(PoolObserverOptions options) : options_(std::move(options)) {}

  void OnConnectionOpened(pool::ConnectionId id, pool::Duration connect_time) override;
  void OnConnectFailed(pool::ConnectionId id, const pool::Error& error, bool permanent) override;
  void OnConnectionClosed(pool::ConnectionId id, pool::CloseReason reason) override;
  void OnLeased(pool::ConnectionId id, pool::CallId call) override;
  void OnLimited(const pool::LimitReport& limit) override;
  void OnReleased(pool::ConnectionId id, pool::Condition condition) override;
  void OnAnswered(const pool::Call& call, const pool::Timing& timing,
                  const pool::Error* error) override;
  void OnSlowStatement(const pool::SlowStatement& slow) override;
  void OnDatabaseStatus(bool up, std::string_view reason) override;
  void OnSessionHeld(const pool::SessionReport& session) override;
  void OnSessionAudited(const pool::SessionAudit& audit) override;
  void OnSessionRevoked(const pool::SessionReport& session, std::string_view reason) override;
  void OnListenerStatus(bool up, std::string_view reason) override;

  // From now on; loop thread.
  void SetLogging(bool events, bool calls) {
    options_.log_events = events;
    options_.log_calls = calls;
  }

  // Why no connection came up, for whoever waits for the start; and whether trying on is pointless.
  struct ConnectTrouble {
    std::string message;
    bool permanent = false;
  };
  ConnectTrouble connect_trouble() const;

  // Calls answered, by outcome: "ok" or the name of a gRPC code in lower case. Loop thread.
  std::map<std::string, uint64_t> outcomes() const;

 private:
  void Tell(LogLevel level, std::string_view event, std::vector<LogField> fields) const;
  void TellLimited(LimitedEvent& event, std::vector<LogField> fields) const;
  void TellOf(const pool::SessionReport& session, LimitedEvent& event,
              std::string_view reason) const;
  void Note(std::string_view kind, pool::ConnectionId id, std::string text) const;
  void LogAnswer(const pool::Call& call, const pool::Timing& timing, Code code,
                 const pool::Error* error) const;
  void LogError(const pool::Call& call, Code code, const pool::Error& error);

  PoolObserverOptions options_;
  LimitedEvent connect_{LogLevel::kInfo, "pool.connect"};
  LimitedEvent lease_{LogLevel::kInfo, "pool.lease"};
  LimitedEvent release_{LogLevel::kInfo, "pool.release"};
  LimitedEvent remove_{LogLevel::kInfo, "pool.remove"};
  LimitedEvent error_{LogLevel::kWarn, "pool.error"};
  LimitedEvent limited_{LogLevel::kWarn, "pool.limit_reached"};
  LimitedEvent slow_{LogLevel::kWarn, "statement.slow"};
  LimitedEvent held_{LogLevel::kWarn, "session.held"};
  LimitedEvent revoked_{LogLevel::kWarn, "session.revoked"};
  std::array<uint64_t, kCodes> answered_{};  // By Code.
  mutable std::mutex mutex_;
  ConnectTrouble trouble_;  // Guarded by mutex_.
};

}  // namespace dbsidecar::server
