#include "pool/postgres/control_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <pqxx/pqxx>
#include <stop_token>
#include <thread>

#include "pool/postgres/blocking_threads.h"
#include "pool/postgres/postgres_findings.h"
#include "pool/postgres/session_functions.h"

namespace dbsidecar::pool {
namespace {

// How long the server may take for the answers to all questions.
constexpr Duration kAnswerMax = std::chrono::seconds(10);

DatabaseFacts AskFacts(pqxx::nontransaction& transaction) {
  const pqxx::row row = transaction.exec1(
      "SELECT split_part(current_setting('server_version'), ' ', 1), "
      "current_setting('max_connections')::int,"
      " CASE WHEN pg_is_in_recovery() THEN 'replica' ELSE 'primary' END, current_user,"
      " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')");
  pqxx::connection_base& connection = transaction.conn();
  return {.server_version = row[0].as<std::string>(),
          .connections_max = row[1].as<int>(),
          .role = row[2].as<std::string>(),
          .user = row[3].as<std::string>(),
          .host = connection.hostname() == nullptr ? "" : connection.hostname(),
          .port = connection.port() == nullptr ? 0 : std::atoi(connection.port()),
          .connections = row[4].as<int>()};
}

// What is suspect, for the questions below; {0} is ListedFunctions(). Objects name the functions
// that they call in pg_depend, but for PostgreSQL's own, which show only in their expression trees.
constexpr char kSuspects[] = R"sql(
WITH RECURSIVE
  listed AS (
    SELECT oid FROM pg_proc WHERE proname = ANY ('{0}'::text[])),
  written AS (
    SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.provolatile <> 'i' AND l.lanname NOT IN ('internal', 'c')
      AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    UNION SELECT oid FROM listed),
  function AS (
    SELECT oid FROM written
    UNION SELECT a.aggfnoid FROM pg_aggregate a JOIN written w
      ON w.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                   a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)),
  operator AS (
    SELECT o.oid, o.oprname FROM pg_operator o JOIN function f ON f.oid = o.oprcode),
  calling AS (
    SELECT d.classid, d.objid FROM pg_depend d JOIN function f
      ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = f.oid
    UNION SELECT d.classid, d.objid FROM pg_depend d JOIN operator o
      ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid),
  builtin (pattern) AS (
    SELECT ':(funcid|opfuncid) (' || string_agg(oid::text, '|') || ') ' FROM listed),
  rule AS (
    SELECT r.oid, r.ev_class, r.ev_action FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)),
  touched AS (
    SELECT t.tgrelid AS oid FROM pg_trigger t JOIN function f ON f.oid = t.tgfoid
      WHERE NOT t.tgisinternal
    UNION SELECT r.ev_class FROM rule r JOIN calling c
      ON c.classid = 'pg_rewrite'::regclass AND c.objid = r.oid
    UNION SELECT r.ev_class FROM rule r, builtin b WHERE r.ev_action::text ~ b.pattern
    UNION SELECT a.adrelid FROM pg_attrdef a JOIN calling c
      ON c.classid = 'pg_attrdef'::regclass AND c.objid = a.oid
    UNION SELECT a.adrelid FROM pg_attrdef a, builtin b WHERE a.adbin::text ~ b.pattern
    UNION SELECT n.conrelid FROM pg_constraint n JOIN calling c
      ON c.classid = 'pg_constraint'::regclass AND c.objid = n.oid WHERE n.conrelid <> 0
    UNION SELECT n.conrelid FROM pg_constraint n, builtin b
      WHERE n.conrelid <> 0 AND n.conbin::text ~ b.pattern
    UNION SELECT p.polrelid FROM pg_policy p JOIN calling c
      ON c.classid = 'pg_policy'::regclass AND c.objid = p.oid
    UNION SELECT p.polrelid FROM pg_policy p, builtin b
      WHERE p.polqual::text ~ b.pattern OR p.polwithcheck::text ~ b.pattern),
  leads_to (oid, target) AS (
    SELECT r.ev_class, d.refobjid FROM rule r JOIN pg_depend d
      ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_class'::regclass
    UNION SELECT inhparent, inhrelid FROM pg_inherits
    UNION SELECT inhrelid, inhparent FROM pg_inherits
    UNION SELECT confrelid, conrelid FROM pg_constraint
      WHERE contype = 'f' AND (confdeltype NOT IN ('a', 'r') OR confupdtype NOT IN ('a', 'r'))),
  relation AS (
    SELECT oid FROM touched
    UNION SELECT l.oid FROM relation r JOIN leads_to l ON l.target = r.oid)
)sql";

// Rows of a name, whether it is suspect, and whether it is volatile.
Catalog::Names Names(const pqxx::result& rows) {
  Catalog::Names names;
  for (const auto& row : rows) {
    names[row[0].as<std::string>()] = row[1].as<bool>()   ? NamedCode::kSuspect
                                      : row[2].as<bool>() ? NamedCode::kVolatile
                                                          : NamedCode::kHarmless;
  }
  return names;
}

// "{a,b}", PostgreSQL's text for an array of plain names.
std::string ListedFunctions() {
  std::string names;
  for (const auto& [name, instead] : kSessionFunctions) names += fmt::format("{},", name);
  for (const std::string_view name : kTraceFunctions) names += fmt::format("{},", name);
  for (const std::string_view name : kSlotFunctions) names += fmt::format("{},", name);
  names.pop_back();
  return "{" + names + "}";
}

Catalog AskCatalog(pqxx::nontransaction& transaction) {
  // Not as a parameter: libpqxx 6.4 leaks the result of a failed statement with parameters.
  const std::string suspects = fmt::format(kSuspects, ListedFunctions());
  const auto ask = [&](const char* question) { return transaction.exec(suspects + question); };
  // Unqualified names mean PostgreSQL's own, whatever the role's search_path is.
  transaction.exec("SET search_path = pg_catalog");
  Catalog catalog;
  catalog.functions = Names(
      ask("SELECT p.proname, bool_or(p.oid IN (SELECT oid FROM function) AND p.oid NOT IN"
          " (SELECT oid FROM listed)), bool_or(p.provolatile = 'v') FROM pg_proc p GROUP BY 1"));
  catalog.relations =
      Names(ask("SELECT c.relname, bool_or(c.oid IN (SELECT oid FROM relation)),"
                " bool_or(c.relkind IN ('v', 'f') OR c.relrowsecurity) FROM pg_class c"
                " WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') GROUP BY 1"));
  catalog.operators =
      Names(ask("SELECT o.oprname, bool_or(o.oid IN (SELECT oid FROM operator)),"
                " bool_or(coalesce(p.provolatile = 'v', false)) FROM pg_operator o"
                " LEFT JOIN pg_proc p ON p.oid = o.oprcode GROUP BY 1"));
  catalog.suspect_everywhere =
      ask("SELECT EXISTS (SELECT FROM calling c WHERE c.classid IN ('pg_cast'::regclass,"
          " 'pg_amproc'::regclass, 'pg_amop'::regclass, 'pg_opclass'::regclass,"
          " 'pg_opfamily'::regclass, 'pg_event_trigger'::regclass))"
          " OR EXISTS (SELECT FROM pg_constraint n JOIN calling c ON c.classid ="
          " 'pg_constraint'::regclass AND c.objid = n.oid WHERE n.contypid <> 0)"
          " OR EXISTS (SELECT FROM pg_constraint n, builtin b WHERE n.contypid <> 0"
          " AND n.conbin::text ~ b.pattern)"
          " OR EXISTS (SELECT FROM pg_range g JOIN function f ON f.oid IN (g.rngcanonical,"
          " g.rngsubdiff))")[0][0]
          .as<bool>();
  return catalog;
}

// The facts stand without them.
ServerFindings AskFindingsIfPossible(pqxx::nontransaction& transaction) {
  try {
    return AskFindings(transaction);
  } catch (const std::exception&) {
    return {};
  }
}

// False when `limit` came first.
bool WaitFor(const std::stop_token& stop, Duration limit) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop, limit, [&] { return stop.stop_requested(); });
  return stop.stop_requested();
}

}  // namespace

ControlReport AskServer(const std::string& conninfo) {
  ControlReport report;
  try {
    pqxx::connection connection(conninfo);
    const int fd = dup(connection.sock());
    try {
      // Ends with the questions, so that it never touches a number that is another's by then.
      const std::jthread watchdog([fd](const std::stop_token& answered) {
        if (!WaitFor(answered, kAnswerMax)) shutdown(fd, SHUT_RDWR);
      });
      pqxx::nontransaction transaction(connection);
      report.facts = AskFacts(transaction);
      report.catalog = AskCatalog(transaction);
      report.facts.findings = AskFindingsIfPossible(transaction);
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
