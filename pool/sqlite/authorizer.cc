#include "pool/sqlite/authorizer.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "pool/sqlite/sqlite_error.h"

namespace dbsidecar::pool {
namespace {

// They report, and change nothing, whatever their argument.
constexpr std::array<std::string_view, 14> kReportingPragmas = {
    "TABLE_INFO",    "TABLE_XINFO",      "TABLE_LIST",        "INDEX_LIST",      "INDEX_INFO",
    "INDEX_XINFO",   "FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK", "INTEGRITY_CHECK", "QUICK_CHECK",
    "DATABASE_LIST", "FUNCTION_LIST",    "COLLATION_LIST",    "COMPILE_OPTIONS"};
// They report without an argument; with one they would change the connection or the file.
constexpr std::array<std::string_view, 12> kReportingPragmasWithoutArgument = {
    "USER_VERSION", "APPLICATION_ID", "PAGE_COUNT",  "PAGE_SIZE",  "FREELIST_COUNT", "ENCODING",
    "JOURNAL_MODE", "FOREIGN_KEYS",   "SYNCHRONOUS", "CACHE_SIZE", "SCHEMA_VERSION", "TEMP_STORE"};
// They write to the database itself, not to the connection.
constexpr std::array<std::string_view, 2> kWritingPragmas = {"USER_VERSION", "APPLICATION_ID"};

// They change the connection, and end with it.
constexpr std::array<std::string_view, 19> kSessionPragmas = {"ANALYSIS_LIMIT",
                                                              "AUTOMATIC_INDEX",
                                                              "CACHE_SIZE",
                                                              "CACHE_SPILL",
                                                              "CASE_SENSITIVE_LIKE",
                                                              "CELL_SIZE_CHECK",
                                                              "DEFER_FOREIGN_KEYS",
                                                              "FOREIGN_KEYS",
                                                              "IGNORE_CHECK_CONSTRAINTS",
                                                              "LEGACY_ALTER_TABLE",
                                                              "MMAP_SIZE",
                                                              "QUERY_ONLY",
                                                              "RECURSIVE_TRIGGERS",
                                                              "REVERSE_UNORDERED_SELECTS",
                                                              "SECURE_DELETE",
                                                              "SYNCHRONOUS",
                                                              "TEMP_STORE",
                                                              "THREADS",
                                                              "TRUSTED_SCHEMA"};

}  // namespace

std::span<const std::string_view> SessionPragmas() { return kSessionPragmas; }

namespace {

template <size_t kSize>
bool Contains(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Error NeedsSession(std::string_view what, std::string_view remedy) {
  return ErrorOf(ErrorKind::kNeedsSession, fmt::format("{}; {}", what, remedy));
}

Error RefusedTransaction() {
  return NeedsSession("a statement in autocommit cannot open or end a transaction",
                      "use SessionControl.begin and SessionControl.commit: transactions are opened "
                      "with the call's session, not with SQL text in autocommit");
}

Error RefusedSessionState(std::string_view what) {
  return NeedsSession(fmt::format("{} changes the state of the connection, which the next caller "
                                  "would inherit",
                                  what),
                      "use SessionControl.pin to hold a connection of your own");
}

Error RefusedTemporary() {
  return RefusedSessionState("a temporary table, view, trigger or index");
}

Error Unsupported(std::string message) {
  return ErrorOf(ErrorKind::kUnsupported, std::move(message));
}

Error RefusedPragma(const std::string& pragma) {
  return Unsupported(
      fmt::format("PRAGMA {} is not served: it is not known, or acts on more than "
                  "the connection, and so on every caller",
                  pragma));
}

Error RefusedVacuumInto() {
  return Unsupported("VACUUM INTO writes to a file of its own, which the sidecar does not allow");
}

std::optional<TransactionCommand> TransactionCommandOf(int action, const char* operation) {
  const std::string_view name = operation == nullptr ? "" : operation;
  if (action == SQLITE_TRANSACTION) {
    if (name == "BEGIN") return TransactionCommand::kBegin;
    return name == "COMMIT" ? TransactionCommand::kCommit : TransactionCommand::kRollback;
  }
  if (action == SQLITE_SAVEPOINT) {
    if (name == "BEGIN") return TransactionCommand::kSavepoint;
    return name == "RELEASE" ? TransactionCommand::kRelease : TransactionCommand::kRollbackTo;
  }
  return std::nullopt;
}

bool IsSchemaTable(const char* table) {
  return table != nullptr && UpperCase(table).starts_with("SQLITE_");
}

// CREATE TABLE temp.t is no CREATE TEMP TABLE to SQLite, but it adds to the same schema. ALTER
// TABLE on any table reads and updates that schema too, in case something in it names the table.
bool ChangesTemporarySchema(int action, const char* database, const char* table) {
  return (action == SQLITE_INSERT || action == SQLITE_DELETE) && database != nullptr &&
         std::string_view(database) == "temp" && IsSchemaTable(table);
}

}  // namespace

void Authorizer::Install(sqlite3* database) { sqlite3_set_authorizer(database, Callback, this); }

void Authorizer::BeginStatement(Purpose purpose) {
  phase_ = Phase::kCompiling;
  purpose_ = purpose;
  verdict_ = {};
}

Verdict Authorizer::EndStatement() {
  phase_ = Phase::kOwn;
  return std::exchange(verdict_, {});
}

void Authorizer::BeginRun() {
  phase_ = Phase::kRunning;
  verdict_ = {};
}

std::optional<Error> Authorizer::EndRun() {
  phase_ = Phase::kOwn;
  return std::exchange(verdict_, {}).refusal;
}

int Authorizer::Callback(void* self, int action, const char* first, const char* second,
                         const char* database, const char* trigger) {
  return static_cast<Authorizer*>(self)->Allows(action, first, second, database, trigger)
             ? SQLITE_OK
             : SQLITE_DENY;
}

bool Authorizer::Allows(int action, const char* first, const char* second, const char* database,
                        const char* trigger) {
  std::optional<Error> refusal;
  switch (phase_) {
    case Phase::kOwn:
      return true;
    case Phase::kRunning:
      // VACUUM attaches a nameless temporary database; VACUUM INTO names a file.
      if (action == SQLITE_ATTACH && first != nullptr && *first != '\0') {
        refusal = RefusedVacuumInto();
      }
      break;
    case Phase::kCompiling:
      refusal = JudgeInUse(action, first, second, database);
      NoteChange(action, first, trigger);
      break;
  }
  if (!refusal.has_value()) return true;
  verdict_.refusal = std::move(refusal);
  return false;
}

// What autocommit is refused for the next caller's sake, a session may do: the connection is opened
// anew after it.
std::optional<Error> Authorizer::JudgeInUse(int action, const char* first, const char* second,
                                            const char* database) {
  std::optional<Error> refusal = Judge(action, first, second, database);
  if (!refusal.has_value() || refusal->kind != ErrorKind::kNeedsSession) return refusal;
  switch (purpose_) {
    case Purpose::kAutocommit:
      return refusal;
    case Purpose::kDescription:
      if (action == SQLITE_PRAGMA) return refusal;
      break;
    case Purpose::kSession:
      break;
  }
  verdict_.transaction = TransactionCommandOf(action, first);
  verdict_.leaves_traces = verdict_.leaves_traces || !verdict_.transaction.has_value();
  return std::nullopt;
}

std::optional<Error> Authorizer::Judge(int action, const char* first, const char* second,
                                       const char* database) {
  if (ChangesTemporarySchema(action, database, first)) return RefusedTemporary();
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return RefusedTransaction();
    case SQLITE_ATTACH:
      return RefusedSessionState("ATTACH");
    case SQLITE_DETACH:
      return RefusedSessionState("DETACH");
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_VIEW:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_INDEX:
      return RefusedTemporary();
    case SQLITE_PRAGMA:
      return JudgePragma(first, second);
    case SQLITE_FUNCTION:
      if (second != nullptr && UpperCase(second) == "LOAD_EXTENSION") {
        return Unsupported("load_extension() is not allowed: the sidecar loads no extensions");
      }
      return std::nullopt;
    default:  // SQLite's own codes, most of which need no judgement.
      return std::nullopt;
  }
}

std::optional<Error> Authorizer::JudgePragma(const char* name, const char* argument) {
  const std::string pragma = UpperCase(name == nullptr ? "" : name);
  const bool bare = argument == nullptr;
  if (Contains(kReportingPragmas, pragma) ||
      (bare && Contains(kReportingPragmasWithoutArgument, pragma))) {
    verdict_.reading_pragma = true;
  } else if (pragma == "OPTIMIZE" || Contains(kWritingPragmas, pragma)) {
    verdict_.writing_pragma = true;
  } else if (Contains(kSessionPragmas, pragma)) {
    verdict_.reading_pragma = true;
    return RefusedSessionState("PRAGMA " + pragma);
  } else {
    return RefusedPragma(pragma);
  }
  return std::nullopt;
}

// The first one is the statement's own; those of triggers and foreign keys come after it.
void Authorizer::NoteChange(int action, const char* table, const char* trigger) {
  if (verdict_.change.has_value() || trigger != nullptr || IsSchemaTable(table)) return;
  if (action == SQLITE_INSERT) verdict_.change = Command::kInsert;
  if (action == SQLITE_UPDATE) verdict_.change = Command::kUpdate;
  if (action == SQLITE_DELETE) verdict_.change = Command::kDelete;
}

}  // namespace dbsidecar::pool
