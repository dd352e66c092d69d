// The seam between the pool and a database: PoolCore decides, the Pool acts through this.
//
// Everything here is called on the loop thread and never blocks it. A driver that must block does
// so on threads of its own and posts back to the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/call.h"
#include "pool/error.h"
#include "pool/notifications.h"
#include "pool/server_findings.h"
#include "pool/statement_figures.h"
#include "pool/statement_history.h"

namespace dbsidecar::pool {

using ConnectionId = uint64_t;

// What a connection is worth after a statement.
enum class Condition {
  kClean,   // As if just opened: the next caller can have it.
  kDirty,   // In a known state that a reset will clear.
  kBroken,  // In an unknown state, or gone: closed, never lent again.
};

// What an audit of a connection found, named for people, such as "setting work_mem" or
// "temporary table t".
struct AuditFindings {
  std::vector<std::string> left;      // What the session left behind, and the reset cleared.
  std::vector<std::string> survived;  // What the reset did not clear, so that the reset failed.
};

// What a connection reports. Each request is answered exactly once, except that Close overtakes
// all: after it only OnClosed comes.
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;

  virtual void OnConnected(ConnectionId id) = 0;
  // The connection does not exist; the driver has let go of it. `permanent`: trying again with
  // the same configuration is pointless (wrong password, unknown database).
  virtual void OnConnectFailed(ConnectionId id, Error error, bool permanent) = 0;
  virtual void OnPinged(ConnectionId id, bool ok) = 0;
  virtual void OnReset(ConnectionId id, bool ok) = 0;
  // The statement is over and the driver has let go of `call`.
  virtual void OnReply(ConnectionId id, Call& call, Outcome outcome, Condition condition) = 0;
  // Rows of a call with a sink. False = the sink is full: read no more of them until
  // Connection::Resume or Connection::Cancel.
  [[nodiscard]] virtual bool OnPart(ConnectionId id, Call& call, Part part) = 0;
  // The source of a call has nothing now, so its connection waits for Connection::Resume.
  virtual void OnStarved(ConnectionId, Call&) {}
  // The statement was not run: it belongs to `lane`. The driver has let go of `call`, and will
  // name that lane for this text from now on.
  virtual void OnWrongLane(ConnectionId id, Call& call, size_t lane) = 0;
  // The statement was not run, because the one before it on a shared connection takes long. The
  // driver has let go of `call`.
  virtual void OnHandedBack(ConnectionId id, Call& call) = 0;
  // The server closed it. Calls on it have been answered by OnReply before.
  virtual void OnLost(ConnectionId id, Error error) = 0;
  // The driver has let go of it: it no longer counts against `max`.
  virtual void OnClosed(ConnectionId id) = 0;
  // What AuditAndReset found; comes before its OnReset.
  virtual void OnAudited(ConnectionId, const AuditFindings&) {}
  // What Driver::RefreshFacts learns is out of date.
  virtual void OnCatalogChanged() = 0;
};

// The error of a result over one of its limits. `took_effect`: the statement did more than read.
Error ResultTooLarge(const ResultLimits& limits, bool took_effect);
// The same of a row that no part of a stream can hold.
Error RowTooLarge(const ResultLimits& limits, bool took_effect);

class Connection {
 public:
  virtual ~Connection() = default;

  virtual void Open() = 0;
  // A round trip that proves the connection alive.
  virtual void Ping() = 0;
  // Clears all session state.
  virtual void Reset() = 0;
  // The same, and looks at the session before and after: OnAudited, then OnReset.
  virtual void AuditAndReset() { Reset(); }
  // Runs the call's statement in autocommit, after those that are on the connection already.
  virtual void Execute(Call& call) = 0;
  // Asks the database to interrupt `call`. OnReply still comes, and only once the cancel can no
  // longer hit whatever runs here next; another call that was hit is run again. Rows that a sink
  // would have got are dropped from now on.
  virtual void Cancel(Call& call) = 0;
  // The call's sink, which was full, takes more, or its source has more. May come to nothing, when
  // the call is over.
  virtual void Resume(Call& /*call*/) {}
  // Interrupts whatever runs now, because others wait behind it on a shared connection; it is
  // reported with Outcome::undone. May come to nothing. For a driver that hands back those who
  // wait, there is nothing to do.
  virtual void Evict() {}
  // PostgreSQL's process that serves it; 0 = none.
  virtual int32_t server_pid() const { return 0; }
  // Lets go, whatever is under way. Calls on it are not reported again.
  virtual void Close() = 0;
  // Calls on it whose statement was not sent, and never will be, now that it is closed: they may
  // run elsewhere. The driver has let go of them. Asked once, after Close.
  virtual std::vector<Call*> TakeUnsent() { return {}; }
};

// What a driver knows of a statement's text before any connection is used.
struct Classification {
  std::optional<Error> refusal;  // Set: not in autocommit, or not at all.
  size_t lane = 0;               // Index into Driver::lanes().
  // It may be on a connection together with others: it leaves no trace in the session and is a
  // transaction of its own.
  bool shareable = false;
  bool transaction_control = false;  // BEGIN, COMMIT, SAVEPOINT...: refused without a session.
  bool may_write = true;
  bool is_short = false;  // By the driver's own measure; otherwise its history tells.
  std::shared_ptr<StatementHistory> history{};  // Of this text; may be null.
  // A place that is kept with this text, for StatementTable. Valid until the next Classify; null =
  // the text is not kept.
  StatementFiguresPlace* figures = nullptr;
};

// How callers share the connections of a lane: as PoolConfig's fields of these names say.
struct LaneSharing {
  size_t shared_max = 0;
  size_t shared_depth = 0;
  size_t shared_spread = 0;
  // Not only statements that are short by experience: the others had to wait for the same
  // connection anyway.
  bool all = false;
};

// The share of the pool's budget that connections of one kind have.
struct LaneShape {
  size_t min = 0;
  size_t max = 0;
  std::optional<LaneSharing> sharing{};  // Unset: as the pool is configured.
  // "reader", "writer"; "" = the pool tells its shared connections from the others.
  std::string_view name{};
};

// How a driver connects, as far as it may change while it runs.
struct ConnectSettings {
  std::string location;  // PostgreSQL: the URL. SQLite: is not looked at.
  Duration connect_timeout{};
  Duration statement_timeout{};
  Duration keepalive_after{};
};

// What a driver learnt about the database it talks to; empty until known.
struct DatabaseFacts {
  std::string server_version;  // "15.20" or SQLite's "3.40.1".
  int connections_max = 0;     // PostgreSQL's max_connections; 0 = no such limit.
  std::string role;            // "primary", "replica" or "embedded".
  std::string user;
  std::string host;  // PostgreSQL's host, or the folder of its Unix socket.
  int port = 0;
  int connections = 0;        // Of all its clients, as the server counts them; 0 = not known.
  ServerFindings findings{};  // PostgreSQL only.
};

class Driver {
 public:
  virtual ~Driver() = default;

  // "postgresql" or "sqlite".
  virtual std::string_view name() const = 0;
  // How many kinds of connections there are and how `min` and `max` divide between them. The sum
  // of the lanes' `max` never exceeds `max`.
  virtual std::vector<LaneShape> Lanes(size_t min, size_t max) const = 0;
  // Of one of several lanes, for people; "" where there is one.
  virtual std::string_view LaneName(size_t /*lane*/) const { return ""; }
  // For connections that are opened from now on.
  virtual void Reconfigure(const ConnectSettings& /*settings*/) {}
  virtual Classification Classify(const Statement& statement) = 0;
  // Whether calls may keep a connection (Call::session).
  virtual bool has_sessions() const { return false; }
  // The lane of a call that keeps its connection.
  virtual size_t SessionLane(const SessionUse& /*use*/,
                             const Classification& classification) const {
    return classification.lane;
  }
  virtual bool has(StatementForm form) const { return form == StatementForm::kSingle; }
  // Whether calls may bring settings (Statement::settings). Without, the pool itself sees to
  // `statement_timeout` and refuses the others.
  virtual bool has_settings() const { return false; }
  // What is known of the statement without asking the database: the part of Description that says
  // so. Or why it cannot be described.
  // The statement's shape, equal for texts that differ only in constants and spacing; "" = cannot
  // be told. Any thread.
  virtual std::string Fingerprint(std::string_view sql) const = 0;
  // The text with a placeholder for each constant; "" = they cannot all be told.
  virtual std::string WithoutConstants(std::string_view /*sql*/) const { return ""; }
  virtual std::optional<Error> Describe(const Statement& statement, Description& into) = 0;
  // The connection is not open yet. `events` outlives it.
  virtual std::unique_ptr<Connection> NewConnection(ConnectionId id, size_t lane,
                                                    ConnectionEvents& events) = 0;
  // Whether it can hear notifications.
  virtual bool has_notifications() const { return false; }
  // Not open yet; takes a place in the budget from Open to OnSourceClosed. `events` outlives it.
  // REQUIRES: has_notifications.
  virtual std::unique_ptr<NotificationSource> NewNotificationSource(
      NotificationSourceEvents& /*events*/) {
    return nullptr;
  }
  // What is known now; loop thread.
  virtual DatabaseFacts facts() const = 0;
  // Whether RefreshFacts opens a connection of its own, for which the caller reserves a place in
  // the budget.
  virtual bool facts_take_a_place() const = 0;
  // Learns the facts anew. `done` runs on the loop thread once that connection is gone; false: the
  // database did not answer, and what was known stays.
  virtual void RefreshFacts(std::function<void(bool learnt)> done) = 0;
};

}  // namespace dbsidecar::pool
