// What runs in a pool and which sessions are open, as an operator sees it, and what becomes of what
// an operator cancels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/call.h"
#include "pool/time.h"

namespace dbsidecar::pool {

struct RunningStatement {
  enum class State {
    kWaiting,     // For a connection, or for its turn in its session.
    kRunning,     //
    kCancelling,  // Nobody waits for it any more, and its cancel is on its way.
  };

  std::string pool;
  CallId id = 0;
  State state = State::kWaiting;
  Duration age{};                 // Since it arrived.
  Duration waited{};              // For a connection.
  std::optional<Duration> ran{};  // Unset = it waits.
  std::string text;               // Of a batch, the first one's; "" = too long to be kept.
  std::string caller;             // May be empty.
  uint64_t session = 0;           // Session::id; 0 = none.
  std::string lane;
  int32_t server_pid = 0;  // PostgreSQL's; 0 = none.
  std::string_view rpc;    // By which it came: "Query", "Pipeline"...
};

struct OpenSession {
  std::string pool;
  uint64_t id = 0;
  bool pinned = false;  // Otherwise it ends with its transaction.
  bool failed = false;  // Its transaction can only be rolled back.
  Duration age{};
  std::optional<Duration> idle{};  // Unset = a statement runs.
  uint64_t statements = 0;
  std::string last_text;  // As RunningStatement::text.
  std::string caller;
  std::string client_name;  // Of its attached client; may be empty.
  int32_t server_pid = 0;
};

// Which of them: the oldest first, `count_max` at most.
struct ListFilter {
  Duration age_min{};
  size_t count_max = 100;
};

template <typename Entry>
struct Listing {
  std::vector<Entry> entries;
  bool truncated = false;  // There are more.
};

// Longer texts are not shown, nor is a fingerprint made of them.
inline constexpr size_t kTextShownMax = 16 * 1024;

// What became of a statement that an operator cancelled.
struct CancelVerdict {
  bool found = true;
  bool finished_first = false;  // It ended of itself, and its caller has its result.
  bool terminated = false;      // Its connection had to be closed.
};

// And of a session.
struct SessionVerdict {
  bool found = true;
  bool statement_cancelled = false;
};

}  // namespace dbsidecar::pool
