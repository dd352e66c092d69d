// The part of SqliteSession that tells what a session left behind: what is there before the
// database is opened anew, and not afterwards.
#include <fmt/format.h>
#include <sqlite3.h>

#include <string>

#include "pool/sqlite/authorizer.h"
#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {

std::map<std::string, std::string> SqliteSession::StateOfSession() {
  std::map<std::string, std::string> state;
  for (const std::string_view pragma : SessionPragmas()) {
    RunOwn(fmt::format("PRAGMA {}", pragma), &state[fmt::format("setting {}", pragma)]);
  }
  const auto take = [](void* into, int, char** texts, char**) {
    (*static_cast<std::map<std::string, std::string>*>(into))[texts[0]] = "";
    return 0;
  };
  sqlite3_exec(database_, "SELECT 'temporary ' || type || ' ' || name FROM sqlite_temp_schema",
               take, &state, nullptr);
  sqlite3_exec(database_,
               "SELECT 'attached database ' || name FROM pragma_database_list "
               "WHERE name NOT IN ('main', 'temp')",
               take, &state, nullptr);
  return state;
}

bool SqliteSession::AuditAndReset(AuditFindings& findings) {
  if (InTransaction()) RunOwn(rollback_);
  const std::map<std::string, std::string> before = StateOfSession();
  traces_ = true;
  if (!Reset()) return false;
  const std::map<std::string, std::string> clean = StateOfSession();
  for (const auto& [name, value] : before) {
    const auto it = clean.find(name);
    if (it == clean.end() || it->second != value) findings.left.push_back(name);
  }
  return true;
}

}  // namespace dbsidecar::pool
