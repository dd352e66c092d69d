// The client of a dbsidecar: statements, transactions and sessions over one Pipeline stream.
//
//   dbsidecar::Client client("unix:/run/dbsidecar.sock");
//   for (auto& row : client.Query("select id, name from fruit where price < $1", 1.5)) {
//     auto id = row.Get<int64_t>("id");
//     auto name = row.Get<std::optional<std::string>>(1);
//   }
//
// Every way to run a statement has three forms:
//
//   Query(sql, values...)           blocks; returns the Result or throws (error.h).
//   QueryAsync(sql, values...)      returns a std::future<Result>; get() throws.
//   QueryThen(sql, params, then)    calls `then` with an Outcome.
//
// each with CallOptions before the SQL if wanted: `Query({.read_only = true}, sql, values...)`.
//
// Coalescing. A lone call is written at once, by the thread that makes it. Calls made while a write
// is under way share the next frame. Calls made by callbacks share one frame when all callbacks of
// the frame of replies just read have run. Nothing ever waits for a timer to fill a frame.
//
// Time. Every call has a deadline (CallOptions::timeout, else ClientOptions::timeout) and is
// answered by then, whatever the sidecar and the network do: the sidecar is told to give up a
// little earlier, so that its answer, which knows whether the statement took effect, comes first.
//
// Limits. Each connection holds at most `calls_max` unanswered calls. At the limit a blocking call
// waits for room until its deadline, and QueryAsync and QueryThen fail with ResourceExhausted
// (reason QUEUE_FULL, nothing was sent). At most `in_flight_max` of them are sent; the others wait
// in the client, still unsent.
//
// Lost connections. The client reconnects by itself, with jittered back-off. Calls not yet sent
// wait, at most `connect_timeout`, and go to the new stream. Of calls sent and unanswered, those
// that are `read_only` or `idempotent` are sent again, once; the others fail with OutcomeUnknown. A
// transaction or session ends with its stream and is rolled back: SessionLost; but a commit under
// way is OutcomeUnknown.
//
// Threads. All functions of a Client may be called from any thread at the same time. A Transaction
// or a Session is for one thread at a time. Callbacks run on the client's own thread, one after
// another (each connection has one), and must not block: a blocking form called there throws
// (reason WRONG_USE), because no reply could be read meanwhile. A call that fails before it is sent
// is answered on the thread that finds out: the one that makes it, requests its stop, or ends its
// transaction.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "dbsidecar/error.h"
#include "dbsidecar/params.h"
#include "dbsidecar/result.h"

namespace dbsidecar {

// The empty braces below let -Wextra accept designated initialisers: Query({.read_only = true},
// ...).

// For a client as a whole.
struct ClientOptions {
  // How long a call may take when its own options say nothing.
  std::chrono::milliseconds timeout{30'000};
  // How long calls wait, unsent, while there is no connection. Then: Unavailable.
  std::chrono::milliseconds connect_timeout{5'000};
  // Sockets, each with a Pipeline stream and a thread. One is enough to keep a sidecar busy; more
  // help when a core is not enough to read the replies.
  int connections = 1;
  // Of each connection: calls unanswered; calls sent and unanswered.
  size_t calls_max = 10'000;
  size_t in_flight_max = 1'000;
  // The bytes of a frame of several calls, and of one call (over it: ResourceExhausted, reason
  // REQUEST_TOO_LARGE). Neither may be above the sidecar's `request_bytes_max` (16 MiB by default):
  // it would end the stream, with all calls on it.
  size_t frame_bytes_max = 256 * 1024;
  size_t call_bytes_max = 16 * 1024 * 1024 - 1024;
  // Pauses between attempts to connect: doubled from `backoff_min` up to `backoff_max`, and each
  // then shortened by up to half at random.
  std::chrono::milliseconds backoff_min{50};
  std::chrono::milliseconds backoff_max{1'000};
  // The pool to use when a call's options name none. "" = the sidecar's default pool.
  std::string pool{};
  // Sent with every call, for limits, metrics and logs: `caller` and `route` are the keys that the
  // sidecar itself uses. A call's own tags replace these.
  std::map<std::string, std::string> tags{};
};

// Database settings for one call, or for the transaction or session that it opens: CallSettings of
// the contract. "" and nothing = the pool's own.
struct CallSettings {
  std::string role{};
  std::string search_path{};
  std::string time_zone{};
  std::string application_name{};
  std::optional<std::chrono::milliseconds> statement_timeout{};
  std::optional<std::chrono::milliseconds> lock_timeout{};
};

// For one call.
struct CallOptions {
  // 0 = the client's.
  std::chrono::milliseconds timeout{0};
  // Your word that the statement only reads: it may be sent again after a lost connection, and
  // travel with other reads. The sidecar enforces it.
  bool read_only = false;
  // Your word that running it twice does no more than running it once.
  bool idempotent = false;
  // Keep at most this many rows. 0 = the sidecar's limit, beyond which the call fails.
  uint32_t max_rows = 0;
  bool want_timing = false;
  std::string pool{};
  std::map<std::string, std::string> tags{};
  std::optional<CallSettings> settings{};
  // Cancels the call when a stop is requested. A call not yet sent fails at once with Cancelled.
  // One that runs is cancelled in the database; it is answered when the sidecar says what became of
  // it: with its result, Cancelled, or OutcomeUnknown. A blocking call that waits for room among
  // `calls_max` does not notice a stop until it has some.
  std::stop_token stop{};
};

enum class Isolation { kDefault, kReadCommitted, kRepeatableRead, kSerializable };

struct TransactionOptions {
  Isolation isolation = Isolation::kDefault;
  // The database refuses writes. SQLite: runs beside the one writer.
  bool read_only = false;
  // With kSerializable and `read_only`: wait for a snapshot that cannot fail to serialise.
  bool deferrable = false;
  // Rolled back when no statement came for this long, or when it is older than this. They can only
  // lower the sidecar's limits.
  std::optional<std::chrono::milliseconds> idle_timeout{};
  std::optional<std::chrono::milliseconds> transaction_timeout{};
  // For the whole transaction.
  std::string pool{};
  std::optional<CallSettings> settings{};
};

struct SessionOptions {
  // The connection is given back when no statement came for this long.
  std::optional<std::chrono::milliseconds> idle_timeout{};
  std::string pool{};
  std::optional<CallSettings> settings{};
};

using Callback = std::function<void(Outcome)>;

namespace internal {

class Connection;
class Pool;
struct SessionState;

// One statement on its way to a connection.
struct Statement {
  std::string_view sql;
  const Params& params;
  const CallOptions& options;
  bool commit = false;
};

// The three forms over one way to send; what Client, Transaction and Session share.
template <typename Self>
class Forms {
 public:
  template <typename... Values>
  Result Query(std::string_view sql, const Values&... values) {
    return self().Run({sql, AsParams(values...), kDefaults}).result();
  }
  template <typename... Values>
  Result Query(const CallOptions& options, std::string_view sql, const Values&... values) {
    return self().Run({sql, AsParams(values...), options}).result();
  }

  template <typename... Values>
  std::future<Result> QueryAsync(std::string_view sql, const Values&... values) {
    return self().Start({sql, AsParams(values...), kDefaults});
  }
  template <typename... Values>
  std::future<Result> QueryAsync(const CallOptions& options, std::string_view sql,
                                 const Values&... values) {
    return self().Start({sql, AsParams(values...), options});
  }

  // `then` runs exactly once: on the client's thread, or within this call when that fails at once.
  // It must not block and must not throw.
  void QueryThen(std::string_view sql, const Params& params, Callback then) {
    self().Start({sql, params, kDefaults}, std::move(then));
  }
  void QueryThen(const CallOptions& options, std::string_view sql, const Params& params,
                 Callback then) {
    self().Start({sql, params, options}, std::move(then));
  }

 protected:
  inline static const CallOptions kDefaults{};

  static const Params& AsParams(const Params& params) { return params; }
  template <typename... Values>
  static Params AsParams(const Values&... values) {
    return Params(values...);
  }

 private:
  Self& self() { return static_cast<Self&>(*this); }
};

}  // namespace internal

// A transaction. Nothing is sent until the first statement, which carries the BEGIN; the last can
// carry the COMMIT. Statements run in the order in which they are made, also the asynchronous ones,
// and may be made before earlier ones are answered.
//
// Destroyed before its end, it is rolled back, without waiting. A statement that fails leaves the
// transaction failed (TransactionFailed) until ROLLBACK TO a savepoint, sent as SQL, or its end; if
// that was the first statement, the transaction has ended.
//
// After its end every call fails (reason WRONG_USE). Must not outlive its Client.
class Transaction : public internal::Forms<Transaction> {
 public:
  ~Transaction();
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&& other) noexcept;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Runs the statement and then COMMIT, in one round trip. When either fails, nothing was
  // committed, unless it is OutcomeUnknown.
  template <typename... Values>
  Result CommitWith(std::string_view sql, const Values&... values) {
    return Run({sql, AsParams(values...), kDefaults, true}).result();
  }
  template <typename... Values>
  Result CommitWith(const CallOptions& options, std::string_view sql, const Values&... values) {
    return Run({sql, AsParams(values...), options, true}).result();
  }

  // COMMIT. Without a statement before it: nothing happens. Throws when the database refuses (a
  // deferred constraint, a failed transaction): it was rolled back then, unless it is
  // OutcomeUnknown.
  void Commit();
  std::future<Result> CommitAsync();
  // ROLLBACK. Quiet when the transaction is gone already.
  void Rollback();

 private:
  friend class Client;
  friend class internal::Forms<Transaction>;
  Transaction(internal::Connection& connection, std::shared_ptr<internal::SessionState> state);

  Outcome Run(const internal::Statement& statement);
  std::future<Result> Start(const internal::Statement& statement);
  void Start(const internal::Statement& statement, Callback then);
  void Abandon() noexcept;

  internal::Connection* connection_;
  std::shared_ptr<internal::SessionState> state_;  // Shared with its calls; null once moved from.
};

// A connection of one's own without a transaction: for session settings, temporary tables, advisory
// locks, and transactions in SQL text. It is lent with the first statement. What was said of
// Transaction about order, threads and life holds here.
class Session : public internal::Forms<Session> {
 public:
  ~Session();
  Session(Session&& other) noexcept;
  Session& operator=(Session&& other) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Gives the connection back; what it holds is cleared. With a transaction open (BEGIN by SQL) it
  // fails with kFailedPrecondition and the session goes on. The destructor rolls back instead.
  void Release();

 private:
  friend class Client;
  friend class internal::Forms<Session>;
  Session(internal::Connection& connection, std::shared_ptr<internal::SessionState> state);

  Outcome Run(const internal::Statement& statement);
  std::future<Result> Start(const internal::Statement& statement);
  void Start(const internal::Statement& statement, Callback then);
  void Abandon() noexcept;

  internal::Connection* connection_;
  std::shared_ptr<internal::SessionState> state_;
};

class Client : public internal::Forms<Client> {
 public:
  // `target` as for gRPC: "unix:/run/dbsidecar.sock", "127.0.0.1:50051". Does not wait: connecting
  // begins in the background. Error: an option makes no sense.
  explicit Client(const std::string& target, ClientOptions options = {});
  // Answers everything outstanding (Cancelled; OutcomeUnknown for what was sent) and waits for the
  // callbacks. REQUIRES: its Transactions and Sessions are gone; not called from a callback.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Transaction Begin(const TransactionOptions& options = {});
  Session Pin(const SessionOptions& options = {});

  // Waits until every connection has a stream. False: not within `timeout`. No need to call it
  // before the first statement.
  bool WaitUntilConnected(std::chrono::milliseconds timeout);

 private:
  friend class internal::Forms<Client>;
  Outcome Run(const internal::Statement& statement);
  std::future<Result> Start(const internal::Statement& statement);
  void Start(const internal::Statement& statement, Callback then);

  std::unique_ptr<internal::Pool> pool_;
};

}  // namespace dbsidecar
