// Sessions: a connection that stays with one caller from call to call, for a transaction or pinned.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pool/call_limits.h"
#include "pool/time.h"

namespace dbsidecar::pool {

enum class TransactionStatus { kIdle, kInTransaction, kFailed };

struct BeginOptions {
  enum class Isolation : uint8_t { kDefault, kReadCommitted, kRepeatableRead, kSerializable };

  Isolation isolation = Isolation::kDefault;
  bool read_only = false;
  bool deferrable = false;
};

// What a call wants of sessions.
struct SessionUse {
  enum class Kind : uint8_t {
    kNone,
    kBegin,     // Open a transaction first, and keep the connection.
    kPin,       // Keep the connection.
    kContinue,  // In the session of `token`.
    kEnd,       // End that session; there is no statement.
  };
  enum class End : uint8_t { kCommit, kRollback, kRelease };

  Kind kind = Kind::kNone;
  End end = End::kCommit;  // kEnd.
  bool commit = false;     // After the statement has succeeded; the session ends.
  // Keep the connection if the statement leaves a transaction open.
  bool auto_pin = false;
  BeginOptions begin;       // kBegin.
  std::string_view token;   // kContinue and kEnd.
  Duration idle_timeout{};  // Of the session that it opens; 0 = as configured, which it can lower.
  Duration transaction_timeout{};
  uint64_t owner = 0;  // With whose end the session ends; 0 = nobody's.
  // The attached client with whose end it ends as well; empty = nobody's.
  std::string_view client_id;

  bool none() const { return kind == Kind::kNone && !auto_pin; }
  bool in_session() const { return kind == Kind::kContinue || kind == Kind::kEnd; }
};

// An open session. Calls of one session run one at a time, in the order in which they came.
struct Session {
  uint64_t id = 0;  // Of the call that opened it: for operators, who must not know the token.
  std::string token;
  uint64_t connection = 0;
  size_t lane = 0;
  std::string caller;  // Who opened it.
  uint64_t owner = 0;
  std::string client_id;  // Of its attached client; empty = none.
  bool pinned = false;    // Stays without a transaction.
  bool dirty = false;     // A statement may have left something behind.
  bool over = false;      // Ends as soon as the running call has been answered.
  TransactionStatus status = TransactionStatus::kIdle;
  // The places in limits (CallLimits) of the call that opened it; null = none.
  std::unique_ptr<LimitKeys> limit_keys;
  uint64_t running = 0;         // The call whose statement runs; 0 = none.
  std::deque<uint64_t> queued;  // Calls behind it.
  uint64_t statements = 0;      // Begun in it.
  std::string last_text;        // Of its statements; of a batch, the first one's.
  Instant began;
  Duration idle_timeout{};
  Duration transaction_timeout{};
  Instant idle_until = kNever;         // kNever while a call runs.
  Instant transaction_until = kNever;  // kNever without a transaction.
  Instant transaction_since = kNever;  // The same.
  Instant idle_since;
  Instant warn_at = kNever;  // That it is held for long; kNever once that is said.
};

// Who holds a connection, and what for: what is told of a session that is held for too long.
struct SessionReport {
  std::string_view caller;  // May be empty.
  uint64_t connection = 0;
  Duration age{};   // Since it began.
  Duration idle{};  // Since its last statement ended; 0 while one runs.
  TransactionStatus status = TransactionStatus::kIdle;
  std::string fingerprint;  // Of its last statement; "" = cannot be told.
};

// What an audit found when a session was over.
struct SessionAudit {
  std::string caller;  // May be empty.
  uint64_t connection = 0;
  std::string fingerprint;  // Of its last statement; "" = cannot be told.
  // By its statements it had nothing to leave, and without the audit it would not have been reset.
  bool taken_for_clean = false;
  std::vector<std::string> left{};      // As AuditFindings.
  std::vector<std::string> survived{};  // The connection is closed.
};

// A client process that is there as long as it is attached: from Pool::Attach to Pool::Detach. Loop
// thread.
class AttachedClient {
 public:
  virtual ~AttachedClient() = default;

  // A session of this client was rolled back and ended without its doing.
  virtual void OnSessionRevoked(const std::string& token, std::string_view reason) = 0;

  std::string client_id;    // Unique and unguessable; set by whoever attaches.
  std::string client_name;  // As it calls itself; may be empty.
};

// Unguessable: 128 bits from the system's generator, in hexadecimal.
std::string NewSessionToken();

}  // namespace dbsidecar::pool
