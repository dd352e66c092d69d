#include "pool/postgres/postgres_findings.h"

#include <exception>
#include <pqxx/pqxx>
#include <string>

namespace dbsidecar::pool {
namespace {

// Of each question: a server that is slow to tell has more important things to do.
constexpr char kTimeLimit[] = "SET statement_timeout = '1s'; SET search_path = pg_catalog";

// A question that fails has no answer, and that is all.
template <typename Read>
void Ask(pqxx::nontransaction& transaction, const std::string& question, Read read) {
  try {
    for (const auto& row : transaction.exec(question)) read(row);
  } catch (const pqxx::sql_error&) {
    // Not permitted, not there, or not within the time.
  }
}

constexpr char kReserved[] =
    "SELECT current_setting('superuser_reserved_connections')::int"
    " + coalesce(current_setting('reserved_connections', true)::int, 0)";

constexpr char kLockWaits[] =
    "SELECT count(*), coalesce(extract(epoch FROM max(clock_timestamp() - query_start)), 0)"
    " FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

// By the counts since the statistics were last reset. A report that reads a table once a night is
// not meant.
constexpr char kScannedTables[] =
    "SELECT format('%I.%I', schemaname, relname), n_live_tup, seq_scan, coalesce(idx_scan, 0)"
    " FROM pg_stat_user_tables"
    " WHERE n_live_tup >= 10000 AND seq_scan >= 100 AND seq_scan * 10 >= coalesce(idx_scan, 0)"
    " AND seq_tup_read / seq_scan >= n_live_tup / 4"
    " ORDER BY seq_tup_read DESC LIMIT 3";

constexpr char kStatementsSchema[] =
    "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = "
    "e.extnamespace WHERE e.extname = 'pg_stat_statements'";

// Behind the schema's name.
constexpr char kCostlyStatements[] =
    ".pg_stat_statements WHERE queryid IS NOT NULL AND calls >= 100"
    " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND shared_blks_hit + shared_blks_read >= 200 * calls"
    " AND shared_blks_hit + shared_blks_read >= 20 * rows"
    " ORDER BY total_exec_time DESC LIMIT 3";

void AskStatements(pqxx::nontransaction& transaction, ServerFindings& findings) {
  std::string schema;
  Ask(transaction, kStatementsSchema,
      [&](const auto& row) { schema = row[0].template as<std::string>(); });
  if (schema.empty()) return;
  const std::string question =
      "SELECT queryid::text, calls, mean_exec_time / 1000,"
      " (shared_blks_hit + shared_blks_read)::float8 / calls, rows::float8 / calls FROM " +
      schema + kCostlyStatements;
  Ask(transaction, question, [&](const auto& row) {
    findings.costly_statements.push_back({.id = row[0].template as<std::string>(),
                                          .calls = row[1].template as<double>(),
                                          .mean_seconds = row[2].template as<double>(),
                                          .blocks_per_call = row[3].template as<double>(),
                                          .rows_per_call = row[4].template as<double>()});
  });
}

}  // namespace

ServerFindings AskFindings(pqxx::nontransaction& transaction) {
  ServerFindings findings;
  Ask(transaction, kTimeLimit, [](const auto&) {});
  Ask(transaction, kReserved,
      [&](const auto& row) { findings.reserved_connections = row[0].template as<int>(); });
  Ask(transaction, kLockWaits, [&](const auto& row) {
    findings.waiting_for_locks = row[0].template as<int>();
    findings.longest_lock_wait_seconds = row[1].template as<double>();
  });
  Ask(transaction, kScannedTables, [&](const auto& row) {
    findings.scanned_tables.push_back({.name = row[0].template as<std::string>(),
                                       .rows = row[1].template as<double>(),
                                       .sequential_scans = row[2].template as<double>(),
                                       .index_scans = row[3].template as<double>()});
  });
  AskStatements(transaction, findings);
  return findings;
}

}  // namespace dbsidecar::pool
