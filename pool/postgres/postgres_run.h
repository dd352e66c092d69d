// What a call sends that is more than one statement, and what the answers mean: on a connection
// that is its own alone.
#pragma once

#include <libpq-fe.h>

#include <string>

#include "pool/call.h"

namespace dbsidecar::pool {

class PostgresRun {
 public:
  virtual ~PostgresRun() = default;

  // Sends what can be sent by now, within bounds. False = libpq refuses: the connection is lost.
  virtual bool Send() = 0;
  // There is more that could go out as soon as the socket takes it.
  virtual bool wants_to_send() const = 0;
  // Everything was sent and answered.
  virtual bool over() const = 0;
  // The caller gave up: nothing more of it is sent, and what can be undone is.
  virtual void Stop() = 0;

  // Results are still to come. The next ones are REQUIRED by the two below.
  virtual bool expects_results() const = 0;
  virtual bool expects_rows() const = 0;
  virtual bool expects_sync() const = 0;
  virtual void Take(const PGresult* result) = 0;
  // No more results of this command.
  virtual void EndCommand() = 0;
  virtual void EndSync() = 0;
  virtual void TakeNotice(Notice notice) = 0;
  // The server's last word was that it ends the connection.
  virtual bool fatal() const = 0;

  // REQUIRES: over().
  virtual Outcome Finish() = 0;
  // The connection is gone.
  virtual Outcome Lost(const std::string& reason) = 0;
};

}  // namespace dbsidecar::pool
