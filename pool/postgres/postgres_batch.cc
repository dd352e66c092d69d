// The part of PostgresConnection that runs calls that are more than one statement.
#include <memory>
#include <utility>

#include "pool/postgres/describe_run.h"
#include "pool/postgres/postgres_connection.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/steps_run.h"

namespace dbsidecar::pool {

std::vector<std::string_view> PostgresConnection::TextsOf(const Call& call) {
  if (call.description != nullptr) return {};  // It does not run.
  if (call.batch == nullptr) return {call.statement.sql};
  std::vector<std::string_view> texts;
  for (const BatchStep& step : call.batch->steps) texts.push_back(step.statement.sql);
  return texts;
}

std::shared_ptr<StatementTraits> PostgresConnection::TraitsOfAll(const Call& call) {
  auto result = std::make_shared<StatementTraits>();
  StatementTraits& all = *result;
  all.pure_read = true;
  all.plain_read = true;
  all.commits_inside = false;
  all.leaves_traces = false;
  all.changes_catalog = false;
  all.changes_meaning = false;
  for (const std::string_view text : TextsOf(call)) {
    const auto found = environment_.classifier.Classify(text);
    const StatementTraits& one = *found;
    all.pure_read = all.pure_read && one.pure_read;
    all.plain_read = all.plain_read && one.plain_read;
    all.commits_inside = all.commits_inside || one.commits_inside;
    all.leaves_traces = all.leaves_traces || one.leaves_traces;
    all.changes_catalog = all.changes_catalog || one.changes_catalog;
    all.changes_meaning = all.changes_meaning || one.changes_meaning;
    all.unknown_names.insert(all.unknown_names.end(), one.unknown_names.begin(),
                             one.unknown_names.end());
  }
  return result;
}

std::unique_ptr<PostgresRun> PostgresConnection::NewRun(const Operation& operation) {
  const Call& call = *operation.call;
  if (call.description != nullptr) {
    return std::make_unique<DescribeRun>(call, conn_, operation.in_transaction);
  }
  const RunTraits traits{.only_reads = operation.traits->pure_read,
                         .plain_reads = operation.traits->plain_read,
                         .may_commit_inside = operation.traits->commits_inside};
  return std::make_unique<StepsRun>(call, traits, conn_, operation.in_transaction);
}

void PostgresConnection::SendRun(OperationPtr operation) {
  const Call& call = *operation->call;
  const bool continues = call.session.kind == SessionUse::Kind::kContinue;
  operation->in_transaction = continues && transaction_status() != TransactionStatus::kIdle;
  in_session_ = call.session.kind != SessionUse::Kind::kNone;
  NoteSettings(*operation);
  operation->run = NewRun(*operation);
  // In its block nothing can.
  if (call.batch == nullptr || call.batch->atomic) {
    auto traits = std::make_shared<StatementTraits>(*operation->traits);
    traits->commits_inside = false;
    operation->traits = std::move(traits);
  }
  in_flight_.push_back(std::move(operation));
  if (lost_ || conn_ == nullptr) {
    Lose("not connected");
  } else {
    SendMore();
  }
}

// The run is the last on its connection; before it there may be what nobody hears of.
void PostgresConnection::SendMore() {
  if (in_flight_.empty() || lost_ || closing_ || conn_ == nullptr) return;
  PostgresRun* run = in_flight_.back()->run.get();
  if (run == nullptr) return;
  if (!run->Send()) {
    Lose(PQerrorMessage(conn_));
    return;
  }
  Flush();
  if (!lost_ && run->over() && in_flight_.size() == 1) CompleteFront();
}

// False when no more can be read now.
bool PostgresConnection::ReadRunResult(Operation& operation) {
  PostgresRun& run = *operation.run;
  if (!run.expects_results()) return false;
  if (run.expects_rows() && !operation.row_by_row) {
    operation.row_by_row = PQsetSingleRowMode(conn_) == 1;
  }
  if (PQisBusy(conn_)) return false;
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(conn_), &PQclear);
  if (result == nullptr) {
    // Without any result before it the connection has failed.
    if (!std::exchange(operation.answered, false)) return false;
    operation.row_by_row = false;
    if (!run.expects_sync()) run.EndCommand();
    return !lost_ && conn_ != nullptr;
  }
  operation.answered = true;
  switch (PQresultStatus(result.get())) {
    case PGRES_PIPELINE_SYNC:
      operation.answered = false;
      operation.row_by_row = false;
      run.EndSync();
      break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      Lose("COPY was started outside CopyIn and CopyOut");
      break;
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_ABORTED:
      if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR && PQstatus(conn_) == CONNECTION_BAD &&
          !IsFromServer(result.get())) {
        // libpq's own word for a lost connection.
        Lose(PQresultErrorMessage(result.get()));
        break;
      }
      run.Take(result.get());
      if (run.fatal()) Lose(PQresultErrorMessage(result.get()));
      break;
  }
  return !lost_ && conn_ != nullptr;
}

void PostgresConnection::StopRun(const Call& call) {
  for (const OperationPtr& operation : in_flight_) {
    if (operation->call == &call && operation->run != nullptr) operation->run->Stop();
  }
}

// True = a statement that ran names something that the catalogue is to be read again for.
bool PostgresConnection::TakeUnknown(const Call& call) {
  bool unknown = false;
  for (const std::string_view text : TextsOf(call)) {
    unknown = environment_.classifier.TakeUnknown(text) || unknown;
  }
  return unknown;
}

}  // namespace dbsidecar::pool
