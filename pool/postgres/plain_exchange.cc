#include "pool/postgres/plain_exchange.h"

#include <utility>

#include "pool/postgres/call_settings.h"
#include "pool/postgres/copy_exchange.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/script_exchange.h"
#include "pool/postgres/transaction_commands.h"

namespace dbsidecar::pool {

using ResultPtr = std::unique_ptr<PGresult, decltype(&PQclear)>;

PlainExchange::PlainExchange(const Call& call, const std::optional<TimeoutLift>& lift,
                             std::vector<Step> texts) {
  const SessionUse& session = call.session;
  if (session.kind == SessionUse::Kind::kBegin) {
    steps_.push_back({.kind = Step::Kind::kBegin, .sql = BeginText(session.begin)});
  }
  const bool in_transaction =
      session.kind == SessionUse::Kind::kBegin || session.kind == SessionUse::Kind::kContinue;
  const SettingsReach reach =
      in_transaction ? SettingsReach::kTransaction : SettingsReach::kSession;
  const CallSettings& settings = call.statement.settings;
  if (!settings.none()) AddSettings(CommandFor(settings, reach));
  if (lift) AddSettings(LiftCommand(*lift, reach));
  for (Step& text : texts) steps_.push_back(std::move(text));
  if (lift && in_transaction) AddSettings(UnliftCommand());
  if (session.commit) steps_.push_back({.kind = Step::Kind::kCommit, .sql = "COMMIT"});
}

void PlainExchange::AddSettings(SettingsCommand command) {
  steps_.push_back({.kind = Step::Kind::kSettings,
                    .sql = std::move(command.sql),
                    .values = std::move(command.values)});
}

bool PlainExchange::Begin(PGconn* conn) { return steps_.empty() || SendStep(conn); }

bool PlainExchange::SendStep(PGconn* conn) {
  std::vector<const char*> values;
  for (const std::string& value : step().values) values.push_back(value.c_str());
  const bool sent =
      step().kind == Step::Kind::kSettings
          ? PQsendQueryParams(conn, step().sql.c_str(), static_cast<int>(values.size()), nullptr,
                              values.data(), nullptr, nullptr, 0) == 1
          : PQsendQuery(conn, step().sql.c_str()) == 1;
  if (!sent) return false;
  if (row_by_row()) PQsetSingleRowMode(conn);
  return PQflush(conn) >= 0;
}

PlainExchange::Progress PlainExchange::Advance(PGconn* conn, Outcome& outcome) {
  while (next_ < steps_.size()) {
    if (step().kind == Step::Kind::kText) {
      const Progress progress = Carry(conn, outcome);
      if (progress != Progress::kWaits) return progress;
    }
    if (is_copying() || PQisBusy(conn)) return Progress::kWaits;
    const ResultPtr result(PQgetResult(conn), &PQclear);
    if (result == nullptr) {
      if (outcome.error) return Progress::kOver;
      ++next_;
      if (next_ < steps_.size() && !SendStep(conn)) return Progress::kLost;
      continue;
    }
    const Progress progress = TakeResult(conn, result.get(), outcome);
    if (progress != Progress::kWaits) return progress;
  }
  if (!outcome.error) Finish(outcome);
  return Progress::kOver;
}

PlainExchange::Progress PlainExchange::TakeResult(PGconn* conn, const PGresult* result,
                                                  Outcome& outcome) {
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
    // libpq's own word for a lost connection.
    if (PQstatus(conn) == CONNECTION_BAD && !IsFromServer(result)) return Progress::kLost;
    TakeError(result, outcome);
    return fatal_ ? Progress::kLost : Progress::kWaits;
  }
  switch (step().kind) {
    case Step::Kind::kBegin:
    case Step::Kind::kSettings:
      return Progress::kWaits;
    case Step::Kind::kCommit:
      outcome.end_tag = PQcmdStatus(const_cast<PGresult*>(result));
      return Progress::kWaits;
    case Step::Kind::kText:
      return Take(conn, result, outcome);
  }
  return Progress::kWaits;
}

void PlainExchange::TakeError(const PGresult* result, Outcome& outcome) {
  if (outcome.error) return;
  fatal_ = IsFatal(result);
  Error error = DatabaseError(result);
  if (error.sql.position > 0) {
    error.sql.position += static_cast<int32_t>(step().characters_before);
  }
  if (step().kind == Step::Kind::kSettings) error.sql.position = 0;
  if (step().kind == Step::Kind::kText) OnError(error);
  outcome.error = std::move(error);
}

std::unique_ptr<PlainExchange> NewPlainExchange(const Call& call,
                                                const std::optional<TimeoutLift>& lift) {
  switch (call.statement.form) {
    case StatementForm::kSingle:
      return nullptr;
    case StatementForm::kScript:
      return std::make_unique<ScriptExchange>(call);
    case StatementForm::kCopyIn:
      return std::make_unique<CopyInExchange>(call, lift);
    case StatementForm::kCopyOut:
      return std::make_unique<CopyOutExchange>(call, lift);
  }
  return nullptr;
}

}  // namespace dbsidecar::pool
