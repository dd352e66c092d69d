// What one call says to the server outside libpq's pipeline mode: scripts and COPY, which pipeline
// mode does not allow. BEGIN, the call's settings, and COMMIT go before and after, as statements of
// their own.
//
// It knows the connection only while it is called, and is called when the connection is idle first,
// and then whenever there is something new: input, room in the socket, or in the call's sink or
// source.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pool/call.h"
#include "pool/postgres/call_settings.h"

namespace dbsidecar::pool {

class PlainExchange {
 public:
  enum class Progress {
    kWaits,    // For input, or for room in the socket.
    kPart,     // The outcome holds a part for the sink.
    kStarved,  // The source has nothing now.
    kOver,
    kLost,  // The connection is of no more use.
  };

  virtual ~PlainExchange() = default;

  // False: libpq could not send.
  bool Begin(PGconn* conn);
  Progress Advance(PGconn* conn, Outcome& outcome);
  // A cancel request goes to the server, too.
  void Cancel() { cancelled_ = true; }

  // The server has ended the connection with its error.
  bool fatal() const { return fatal_; }
  // Something was complete, so it may be committed.
  bool completed() const { return completed_; }
  // The server's errors cannot be seen while data goes out, unless they are looked for (see
  // PostgresConnection::PeekForError).
  virtual bool is_sending() const { return false; }
  virtual void StopSending() {}

 protected:
  struct Step {
    enum class Kind { kBegin, kSettings, kText, kCommit };
    Kind kind = Kind::kText;
    std::string sql;
    std::vector<std::string> values{};  // Of kSettings.
    size_t characters_before = 0;       // In the call's text.
  };

  // With BEGIN, settings and COMMIT around `texts`, as the call wants it. In autocommit settings
  // last until the connection is reset, which it has to be.
  PlainExchange(const Call& call, const std::optional<TimeoutLift>& lift, std::vector<Step> texts);

  // The results of a text. kWaits goes on with the next result.
  virtual Progress Take(PGconn* conn, const PGresult* result, Outcome& outcome) = 0;
  // Before the next result is asked for. kWaits goes on.
  virtual Progress Carry(PGconn* /*conn*/, Outcome& /*outcome*/) { return Progress::kWaits; }
  // The server has said its last word, and there was no error.
  virtual void Finish(Outcome& /*outcome*/) {}
  virtual void OnError(Error& /*error*/) {}
  virtual bool row_by_row() const { return false; }
  // There is no next result before the data is through.
  virtual bool is_copying() const { return false; }

  void NoteCompleted() { completed_ = true; }
  bool cancelled() const { return cancelled_; }
  const Step& step() const { return steps_[next_]; }

 private:
  void AddSettings(SettingsCommand command);
  bool SendStep(PGconn* conn);
  Progress TakeResult(PGconn* conn, const PGresult* result, Outcome& outcome);
  void TakeError(const PGresult* result, Outcome& outcome);

  std::vector<Step> steps_;
  size_t next_ = 0;
  bool fatal_ = false;
  bool completed_ = false;
  bool cancelled_ = false;
};

// Null for a statement that pipeline mode carries.
std::unique_ptr<PlainExchange> NewPlainExchange(const Call& call,
                                                const std::optional<TimeoutLift>& lift);

}  // namespace dbsidecar::pool
