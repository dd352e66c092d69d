// Judges statements while SQLite compiles them: what a pooled connection must not run, because it
// would change the connection for the next caller or reach beyond the database.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "pool/error.h"
#include "pool/sqlite/statement_text.h"

struct sqlite3;

namespace dbsidecar::pool {

enum class TransactionCommand { kBegin, kCommit, kRollback, kSavepoint, kRelease, kRollbackTo };

// Upper case: those that change the connection, and end with it.
std::span<const std::string_view> SessionPragmas();

// What compiling a statement showed.
struct Verdict {
  std::optional<Error> refusal;
  std::optional<TransactionCommand> transaction;
  bool leaves_traces = false;     // In the connection: allowed only in a session.
  std::optional<Command> change;  // The first change of data that it makes by itself.
  bool writing_pragma = false;    // Writes although SQLite cannot tell.
  bool reading_pragma = false;    // Only reads although SQLite cannot tell.
};

class Authorizer {
 public:
  Authorizer() = default;
  Authorizer(const Authorizer&) = delete;
  Authorizer& operator=(const Authorizer&) = delete;

  // REQUIRES: outlives `database`. Installed once: SQLite recompiles every statement whenever an
  // authorizer is set.
  void Install(sqlite3* database);

  // What a statement is compiled for.
  enum class Purpose {
    kAutocommit,
    kSession,      // Its caller has the connection to himself.
    kDescription,  // It will not run, so it must not take effect when it is compiled either.
  };
  // Between these two every statement compiled is the caller's.
  void BeginStatement(Purpose purpose);
  Verdict EndStatement();

  // Between these two the caller's statement runs. What SQLite compiles on its behalf (VACUUM,
  // virtual tables) is allowed, but no file is attached.
  void BeginRun();
  // Set when something was refused.
  std::optional<Error> EndRun();

 private:
  enum class Phase { kOwn, kCompiling, kRunning };

  static int Callback(void* self, int action, const char* first, const char* second,
                      const char* database, const char* trigger);
  bool Allows(int action, const char* first, const char* second, const char* database,
              const char* trigger);
  std::optional<Error> JudgeInUse(int action, const char* first, const char* second,
                                  const char* database);
  std::optional<Error> Judge(int action, const char* first, const char* second,
                             const char* database);
  std::optional<Error> JudgePragma(const char* name, const char* argument);
  void NoteChange(int action, const char* table, const char* trigger);

  Phase phase_ = Phase::kOwn;
  Purpose purpose_ = Purpose::kAutocommit;
  Verdict verdict_;
};

}  // namespace dbsidecar::pool
