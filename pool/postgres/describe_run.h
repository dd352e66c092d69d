// Asks the server what a statement takes and returns: parsed and described in one round trip, and a
// second one only where it has types that are not PostgreSQL's own.
#pragma once

#include <libpq-fe.h>

#include <deque>
#include <string>

#include "pool/call.h"
#include "pool/postgres/postgres_run.h"

namespace dbsidecar::pool {

class DescribeRun final : public PostgresRun {
 public:
  // `call` is borrowed, and so is the description in it. In a transaction all is undone, an error
  // too.
  DescribeRun(const Call& call, PGconn* conn, bool in_transaction);

  bool Send() override;
  bool wants_to_send() const override { return false; }
  bool over() const override { return stage_ == Stage::kSent && expected_.empty(); }
  void Stop() override { stopped_ = true; }
  bool expects_results() const override { return !expected_.empty(); }
  bool expects_rows() const override { return false; }
  bool expects_sync() const override { return expected_.front() == Command::kSync; }
  void Take(const PGresult* result) override;
  void EndCommand() override { expected_.pop_front(); }
  void EndSync() override { expected_.pop_front(); }
  void TakeNotice(Notice) override {}
  bool fatal() const override { return fatal_; }
  Outcome Finish() override { return std::move(outcome_); }
  Outcome Lost(const std::string& reason) override;

 private:
  enum class Command { kControl, kDescribe, kTypes, kSync };
  enum class Stage { kDescribe, kTypes, kSent };

  bool SendDescribe();
  bool SendTypes();
  bool SendControl(const char* sql);
  bool SendSync();
  std::string UnknownTypes() const;
  void TakeTypes(const PGresult* result);

  const Call& call_;
  PGconn* const conn_;
  const bool in_transaction_;
  Stage stage_ = Stage::kDescribe;
  std::deque<Command> expected_;
  bool stopped_ = false;
  bool fatal_ = false;
  Outcome outcome_;
};

}  // namespace dbsidecar::pool
