// COPY FROM STDIN and TO STDOUT (PostgreSQL manual, "COPY Operations"; libpq, "Functions Associated
// with the COPY Command").
#pragma once

#include <string>

#include "pool/postgres/plain_exchange.h"

namespace dbsidecar::pool {

class CopyOutExchange final : public PlainExchange {
 public:
  CopyOutExchange(const Call& call, const std::optional<TimeoutLift>& lift);

 private:
  Progress Take(PGconn* conn, const PGresult* result, Outcome& outcome) override;
  Progress Carry(PGconn* conn, Outcome& outcome) override;
  bool is_copying() const override { return copying_; }

  const uint64_t chunk_bytes_;
  bool copying_ = false;
};

// Takes from the source only what the socket has room for.
class CopyInExchange final : public PlainExchange {
 public:
  CopyInExchange(const Call& call, const std::optional<TimeoutLift>& lift);

  bool is_sending() const override { return copying_; }
  void StopSending() override { failed_ = true; }

 private:
  Progress Take(PGconn* conn, const PGresult* result, Outcome& outcome) override;
  Progress Carry(PGconn* conn, Outcome& outcome) override;
  void OnError(Error& error) override;
  bool is_copying() const override { return copying_; }
  Progress End(PGconn* conn, const char* reason);

  CopySource& source_;
  bool copying_ = false;
  bool failed_ = false;       // The server has said so, and ignores what still comes.
  std::string abort_reason_;  // The caller's.
  bool aborted_ = false;
};

}  // namespace dbsidecar::pool
