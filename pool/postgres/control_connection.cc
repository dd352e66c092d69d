#include "pool/postgres/control_connection.h"

#include <unistd.h>

#include <exception>
#include <pqxx/pqxx>

#include "pool/postgres/blocking_threads.h"

namespace dbsidecar::pool {
namespace {

DatabaseFacts AskFacts(pqxx::nontransaction& transaction) {
  const pqxx::row row = transaction.exec1(
      "SELECT split_part(current_setting('server_version'), ' ', 1), "
      "current_setting('max_connections')::int,"
      " CASE WHEN pg_is_in_recovery() THEN 'replica' ELSE 'primary' END, current_user");
  return {.server_version = row[0].as<std::string>(),
          .connections_max = row[1].as<int>(),
          .role = row[2].as<std::string>(),
          .user = row[3].as<std::string>()};
}

FunctionCatalog AskFunctions(pqxx::nontransaction& transaction) {
  const pqxx::result rows = transaction.exec(
      "SELECT p.proname, bool_or(p.provolatile = 'v' AND l.lanname NOT IN ('internal', 'c')"
      " AND p.pronamespace <> 'pg_catalog'::regnamespace)"
      " FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang GROUP BY 1");
  FunctionCatalog functions;
  for (const auto& row : rows) functions[row[0].as<std::string>()] = row[1].as<bool>();
  return functions;
}

}  // namespace

ControlReport AskServer(const std::string& conninfo) {
  ControlReport report;
  try {
    pqxx::connection connection(conninfo);
    const int fd = dup(connection.sock());
    try {
      pqxx::nontransaction transaction(connection);
      report.facts = AskFacts(transaction);
      report.functions = AskFunctions(transaction);
    } catch (const std::exception& error) {
      report.error = error.what();
    }
    connection.disconnect();
    if (fd >= 0) AwaitPeerClose(fd, std::chrono::seconds(2));
  } catch (const std::exception& error) {
    report.error = error.what();
  }
  return report;
}

}  // namespace dbsidecar::pool
