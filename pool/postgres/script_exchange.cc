#include "pool/postgres/script_exchange.h"

#include <pg_query.h>

#include <algorithm>
#include <string>
#include <utility>

#include "pool/driver.h"
#include "pool/postgres/postgres_result.h"

namespace dbsidecar::pool {
namespace {

// The parser nests as deep as the text does (see statement_classifier.cc).
constexpr size_t kParsedBytesMax = 128 * 1024;

size_t CharactersIn(std::string_view utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

Error NeedsAStream() {
  return OwnError(ErrorKind::kUnsupported,
                  "COPY FROM STDIN and TO STDOUT need a stream; use CopyIn or CopyOut");
}

}  // namespace

std::vector<TextPart> SplitScript(std::string_view sql) {
  const std::string text(sql);
  PgQuerySplitResult split = {};
  bool parsed = false;
  if (sql.size() <= kParsedBytesMax) {
    split = pg_query_split_with_parser(text.c_str());
    parsed = split.error == nullptr;
    if (!parsed) pg_query_free_split_result(split);
  }
  // Knows less of the grammar, and takes what the parser does not.
  if (!parsed) split = pg_query_split_with_scanner(text.c_str());
  std::vector<TextPart> parts;
  if (split.error != nullptr) {
    parts.push_back({.at = 0, .size = sql.size()});  // The server will say what is wrong.
  }
  for (int i = 0; i < split.n_stmts && split.error == nullptr; ++i) {
    parts.push_back({.at = static_cast<size_t>(split.stmts[i]->stmt_location),
                     .size = static_cast<size_t>(split.stmts[i]->stmt_len)});
  }
  pg_query_free_split_result(split);
  return parts;
}

ScriptExchange::ScriptExchange(const Call& call)
    : PlainExchange(call, std::nullopt, StepsOf(call.statement)), limits_(call.statement.limits) {}

std::vector<PlainExchange::Step> ScriptExchange::StepsOf(const Statement& statement) {
  const std::string_view sql = statement.sql;
  std::vector<Step> steps;
  if (!statement.separate_transactions) {
    steps.push_back({.kind = Step::Kind::kText, .sql = std::string(sql)});
    return steps;
  }
  std::vector<TextPart> parts = SplitScript(sql);
  if (parts.empty()) parts.push_back({.at = 0, .size = sql.size()});
  for (const TextPart& part : parts) {
    steps.push_back({.kind = Step::Kind::kText,
                     .sql = std::string(sql.substr(part.at, part.size)),
                     .characters_before = CharactersIn(sql.substr(0, part.at))});
  }
  return steps;
}

PlainExchange::Progress ScriptExchange::Take(PGconn* conn, const PGresult* result,
                                             Outcome& outcome) {
  switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
      TakeRows(result, outcome);
      break;
    case PGRES_TUPLES_OK:
      TakeRows(result, outcome);
      EndStatement(result, outcome);
      break;
    case PGRES_COMMAND_OK:
      if (!std::exchange(in_statement_, true)) outcome.results.emplace_back();
      EndStatement(result, outcome);
      break;
    case PGRES_COPY_IN:
      // The text was not understood before it was sent.
      copies_ = true;
      if (PQputCopyEnd(conn, "not in a script") != 1) return Progress::kLost;
      break;
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      return Progress::kLost;
    case PGRES_EMPTY_QUERY:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
      break;
  }
  return Progress::kWaits;
}

void ScriptExchange::TakeRows(const PGresult* result, Outcome& outcome) {
  if (!std::exchange(in_statement_, true)) {
    outcome.results.emplace_back();
    outcome.results.back().columns = ColumnsOf(result);
    outcome.results.back().rows.SetColumnCount(static_cast<size_t>(PQnfields(result)));
  }
  Result& into = outcome.results.back();
  for (int row = 0; row < PQntuples(result) && !too_large_; ++row) {
    if (limits_.rows_max != 0 && into.rows.row_count() >= limits_.rows_max) {
      (limits_.truncate ? into.truncated : too_large_) = true;
    }
    if (into.truncated || too_large_) continue;
    AppendRow(result, row, into.rows);
    too_large_ = limits_.bytes_max != 0 && bytes_ + into.rows.data_bytes() > limits_.bytes_max;
  }
  if (too_large_) into.rows = RowBuffer();
}

void ScriptExchange::EndStatement(const PGresult* result, Outcome& outcome) {
  Result& into = outcome.results.back();
  into.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
  into.rows_affected = RowsAffected(into.command_tag);
  bytes_ += into.rows.data_bytes();
  in_statement_ = false;
  ++statements_;
  NoteCompleted();
}

// What was committed before stays so, and what else the error says is undone.
void ScriptExchange::OnError(Error& error) {
  if (copies_) error = NeedsAStream();
  error.place = {.part = "statement", .index = statements_};
}

void ScriptExchange::Finish(Outcome& outcome) {
  if (too_large_) outcome.error = ResultTooLarge(limits_, true);
}

}  // namespace dbsidecar::pool
