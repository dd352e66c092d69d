// One open SQLite database handle: opens it, prepares and runs statements. It blocks, so it lives
// on its connection's thread, which alone may use it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/call.h"
#include "pool/driver.h"
#include "pool/lru_cache.h"
#include "pool/sqlite/authorizer.h"
#include "pool/sqlite/interruption.h"
#include "pool/sqlite/sqlite_config.h"
#include "pool/sqlite/sqlite_error.h"
#include "pool/sqlite/sqlite_location.h"
#include "pool/sqlite/statement_text.h"

struct sqlite3;
struct sqlite3_stmt;

namespace dbsidecar::pool {

class SqliteSession {
 public:
  enum class Role {
    kReader,    // Leaves statements that write to the writer.
    kWriter,    // Runs everything.
    kReadOnly,  // There is no writer: refuses statements that write.
  };

  struct Execution {
    Outcome outcome;
    Condition condition = Condition::kClean;
    bool belongs_to_writer = false;  // Not run; `outcome` is empty.
    bool refused_by_text = false;    // The text alone decided `outcome.error`.
  };

  SqliteSession(const SqliteConfig& config, const SqliteLocation& location, Role role,
                Interruption& interruption);
  ~SqliteSession();
  SqliteSession(const SqliteSession&) = delete;
  SqliteSession& operator=(const SqliteSession&) = delete;

  std::optional<OpenFailure> Open();
  bool Ping();
  // Rolls back what is open and makes a reader one again.
  bool Reset();
  // Runs one statement in autocommit; waits for locks until shortly before `deadline`.
  Execution Run(const Statement& statement, Instant deadline);

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  struct Prepared {
    std::unique_ptr<sqlite3_stmt, Finalize> statement;
    CommandName name;
    bool writes = false;
    bool returns_rows = false;
    std::vector<size_t> parameter_numbers;  // By SQLite's index, from 0: which of the caller's.
    size_t parameters_needed = 0;
  };

  static int OnBusy(void* self, int attempts);
  static int OnProgress(void* self);
  static int OnCommit(void* self);
  bool WaitForLock(int attempts);

  std::optional<OpenFailure> SetUp();
  std::optional<OpenFailure> SetJournalMode();
  OpenFailure OpenFailureNow();
  // Runs a statement of the driver's own; `first_cell` may be null. False = it failed.
  bool RunOwn(const std::string& sql, std::string* first_cell = nullptr);
  // The same at set-up, where SQLite reports some locks without asking whether to wait.
  bool RunOwnPatiently(const std::string& sql, std::string* first_cell = nullptr);

  std::optional<Error> TryRun(const Statement& statement, Execution& execution);
  std::optional<Error> RunPrepared(Prepared& prepared, const Statement& statement, Result& result);
  std::optional<Error> Step(Prepared& prepared, const ResultLimits& limits, Result& result);
  std::optional<Error> StepOrRollBack(Prepared& prepared, const ResultLimits& limits,
                                      Result& result);
  void FinishResult(const Prepared& prepared, Result& result);
  Condition Settle();

  // Null = `error` says why.
  Prepared* Lookup(std::string_view sql, std::optional<Error>& error, bool& refused_by_text);
  std::optional<Error> Compile(std::string_view sql, Prepared& prepared, bool& refused_by_text);
  std::optional<Error> NumberParameters(Prepared& prepared);
  std::optional<Error> Bind(Prepared& prepared, const std::vector<Value>& parameters);
  // What the last call of SQLite complained about.
  Error Failure(std::string_view sql = {}, size_t skipped = 0);

  const SqliteConfig& config_;
  const SqliteLocation& location_;
  const Role role_;
  Interruption& interruption_;

  sqlite3* database_ = nullptr;
  Authorizer authorizer_;
  LruCache<Prepared> prepared_;
  Prepared uncached_;  // The statement at hand when it is too long for the cache.
  Instant busy_until_;
  bool broken_ = false;
  // The statement at hand has begun to commit. SQLite asks for progress once more after that, and
  // would report an interrupt although the statement took effect.
  bool committing_ = false;
};

}  // namespace dbsidecar::pool
