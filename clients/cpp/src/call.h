// A call from the moment it is made until its reply has come, and the session it may belong to.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <stop_token>
#include <string>

#include "clients/cpp/src/completion.h"
#include "dbsidecar/v1/session.pb.h"

namespace dbsidecar::internal {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;

class Connection;
struct Call;

enum class SessionStage {
  kUnopened,  // No statement has been made.
  kOpening,   // The first statement is on its way; the others are held until it has the token.
  kOpen,      // The token is known.
  kGone,      // Ended, refused or lost.
};

// Why a session is gone.
enum class SessionFate {
  kEnded,    // As asked, or by the sidecar.
  kRefused,  // Its first statement failed.
  kLost,     // With its stream.
};

// What a Transaction or Session shares with its calls. Guarded by its connection's mutex, except
// for what is const.
struct SessionState {
  const bool transaction = false;  // Otherwise: pinned.
  const std::string opening;       // Fields of the SessionControl that opens it.
  const std::string request;       // Fields of the QueryRequest that opens it: pool, settings.

  SessionStage stage = SessionStage::kUnopened;
  bool ending = false;  // Its end has been asked for; no more statements.
  // Once it is gone.
  SessionFate fate = SessionFate::kEnded;
  std::string why{};
  std::string token{};
  uint64_t stream = 0;  // The number of the stream it was opened on.
  std::deque<Call*> held{};
};

struct CancelOnStop {
  Connection* connection;
  uint64_t id;
  void operator()() const;
};
using StopCallback = std::stop_callback<CancelOnStop>;

enum class CallStage {
  kFree,       // Not in use.
  kHeld,       // Waits for its session's token, in the session's list.
  kQueued,     // Waits for the next frame, in the connection's list.
  kSent,       // In a frame given to gRPC.
  kAbandoned,  // Answered by this side; the sidecar's reply is still due.
};

// What there is to know of a call when it is made.
struct Draft {
  std::string* body = nullptr;  // Fields of its QueryRequest; taken by a swap.
  std::shared_ptr<SessionState> session;
  // Set: it is an EndSession.
  v1::SessionEnd end = v1::SESSION_END_UNSPECIFIED;
  bool commit = false;
  bool read_only = false;
  bool idempotent = false;
  Instant made;
  Instant deadline;
  std::stop_token stop;
};

struct Call {
  uint64_t id = 0;  // Of the present use of this record.
  CallStage stage = CallStage::kFree;
  std::string body;
  std::shared_ptr<SessionState> session;
  v1::SessionEnd end = v1::SESSION_END_UNSPECIFIED;
  bool opens = false;  // Its session.
  bool commit = false;
  bool read_only = false;
  bool idempotent = false;
  bool sent_before = false;  // On a stream that broke.
  bool cancelled = false;
  Instant made;
  Instant deadline;
  Completion completion;
  std::unique_ptr<StopCallback> stop;

  bool ends_session() const { return end != v1::SESSION_END_UNSPECIFIED; }
};

}  // namespace dbsidecar::internal
