// One open SQLite database handle: opens it, prepares and runs statements. It blocks, so it lives
// on its connection's thread, which alone may use it.
#pragma once

#include <cstdint>
#include <map>
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

class ProgressWatcher {
 public:
  virtual ~ProgressWatcher() = default;
  // Now and then while a statement runs or waits for a lock.
  virtual void OnProgress(Instant now) = 0;
  // A part of the result of the call at hand. Waits for its reader; false = interrupted meanwhile.
  virtual bool OnPart(Part part) = 0;
  // Whether OnPart would not wait now.
  virtual bool wants_part() const = 0;
};

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
    // Of a batch: the step's text that decided either of these. Borrowed from the call.
    std::string_view deciding_text{};
    bool writes = false;  // By what the statement is.
    Duration took{};      // To run it, prepared.
  };

  // How a transaction of several statements ended.
  struct GroupEnd {
    enum class Kind {
      kCommitted,
      kRolledBack,  // Nothing of it took effect.
      kUnknown,     // The disk failed in the middle of it; `error` says so.
    };
    Kind kind = Kind::kCommitted;
    Error error{};
  };

  // All are borrowed; `watcher` may be null, unless a call has a sink.
  SqliteSession(const SqliteConfig& config, const SqliteLocation& location, Role role,
                Interruption& interruption, ProgressWatcher* watcher = nullptr);
  ~SqliteSession();
  SqliteSession(const SqliteSession&) = delete;
  SqliteSession& operator=(const SqliteSession&) = delete;

  std::optional<OpenFailure> Open();
  bool Ping();
  // Clears what a session has left: rolls back, or opens the database anew.
  bool Reset();
  // The same, but it opens the database anew whatever was left, and tells what that was;
  // sqlite_audit.cc.
  bool AuditAndReset(AuditFindings& findings);
  // Runs one statement in autocommit; waits for locks until shortly before its deadline.
  // REQUIRES: no group is open.
  Execution Run(const Call& call);

  // Runs a call that keeps the connection, or may: one of a session, or one that opens or ends a
  // transaction by its text. Afterwards `outcome.transaction_status` is PostgreSQL's: a transaction
  // in which a statement failed is failed, whatever SQLite would still do.
  Execution RunInSession(const Call& call);

  // --- Calls that are more than one statement, or none; in a session or not. ---

  // Runs a batch, one statement for many rows, or a script; sqlite_batch.cc, sqlite_script.cc.
  // REQUIRES: no group is open.
  Execution RunSeveral(const Call& call);
  // Compiles the call's statement and tells what it is; it has no effect. sqlite_describe.cc.
  Execution Describe(const Call& call);

  // --- Groups: several callers' statements in one transaction. ---

  // Whether the statement may be in one, by what it is and by how long it took the last time.
  bool MayBeGrouped(const Statement& statement);
  // Takes the write lock, or does nothing: it does not wait for a lock.
  bool BeginWrites();
  // Runs one in a savepoint of its own: its failure leaves the others as they are. False = it has
  // to be run again, alone; either it was undone, or the whole group is no more.
  // REQUIRES: MayBeGrouped.
  bool RunWrite(const Statement& statement, Execution& execution);
  // The transaction is still there.
  bool group_is_open() const { return group_open_; }
  // Only now they have taken effect.
  GroupEnd CommitWrites();

  // The reads between these two see the database as it is at the first of them. Nothing depends on
  // either: a read runs as well without.
  void BeginReads();
  Execution Read(const Statement& statement, Instant deadline);
  void EndReads();

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  struct Prepared {
    std::unique_ptr<sqlite3_stmt, Finalize> statement;
    CommandName name;
    bool writes = false;
    bool returns_rows = false;
    bool was_slow = false;  // The last time.
    // Both are for sessions only.
    std::optional<TransactionCommand> transaction{};
    bool leaves_traces = false;
    // As of `recompiled`: how often SQLite has compiled it anew.
    std::vector<ColumnInfo> columns;
    int recompiled = -1;
    std::vector<size_t> parameter_numbers;  // By SQLite's index, from 0: which of the caller's.
    size_t parameters_needed = 0;
  };

  // A statement of the driver's own, prepared when it is first run.
  struct OwnStatement {
    const char* sql;
    std::unique_ptr<sqlite3_stmt, Finalize> statement{};
  };

  static int OnBusy(void* self, int attempts);
  static int OnProgress(void* self);
  static int OnCommit(void* self);
  bool WaitForLock(int attempts);
  void NoteProgress(Instant now);
  bool HoldsUpGroup(Instant now) const;

  std::optional<OpenFailure> SetUp();
  void CloseDatabase();
  std::optional<OpenFailure> SetJournalMode();
  OpenFailure OpenFailureNow();
  // Runs a statement of the driver's own; `first_cell` may be null. False = it failed.
  bool RunOwn(const std::string& sql, std::string* first_cell = nullptr);
  bool RunOwn(OwnStatement& own);
  // The same at set-up, where SQLite reports some locks without asking whether to wait.
  bool RunOwnPatiently(const std::string& sql, std::string* first_cell = nullptr);

  void SetBusyUntil(Instant deadline);
  Execution RunHere(const Statement& statement, Instant deadline);
  std::optional<Error> TryRun(const Statement& statement, Execution& execution);
  std::optional<Error> RunLookedUp(Prepared& prepared, const Statement& statement,
                                   Execution& execution);
  std::optional<Error> RunPrepared(Prepared& prepared, const Statement& statement, Result& result);
  std::optional<Error> Step(Prepared& prepared, const ResultLimits& limits, Result& result);
  std::optional<Error> StepOrRollBack(Prepared& prepared, const ResultLimits& limits,
                                      Result& result);
  std::optional<Error> StepOrUndo(Prepared& prepared, const ResultLimits& limits, Result& result);
  // Streams; sqlite_stream.cc.
  std::optional<Error> StepStream(Prepared& prepared, const ResultLimits& limits, Result& result);
  bool SendPart();
  void MaybeSendPart(Instant now);

  void ReadColumnsOnce(Prepared& prepared);
  int64_t RowsAffected(const Prepared& prepared) const;
  // `returned`: rows, for a statement that affects none.
  void FinishResult(const Prepared& prepared, Result& result, int64_t returned);
  Condition Settle();

  uint64_t BytesLeft(const ResultLimits& limits) const;

  // Batches and many rows; sqlite_batch.cc.
  std::optional<Error> RunSeveralOfCall(const Call& call, Execution& execution);
  std::optional<Error> Preview(const Call& call, Execution& execution);
  std::optional<Error> PreviewStatement(const Statement& statement, Execution& execution);
  std::optional<Error> RunInOneTransaction(const Call& call, Execution& execution);
  std::optional<Error> RunSteps(const Batch& batch, Execution& execution);
  std::optional<Error> RunOneStep(const BatchStep& step, bool counts_rows, StepResult& into,
                                  Execution& execution);
  std::optional<Error> RunStepThatMayFail(const BatchStep& step, bool counts_rows, StepResult& into,
                                          Execution& execution);
  void RunIndependentSteps(const Batch& batch, Execution& execution);
  std::optional<Error> RunRows(const Call& call, Execution& execution);
  std::optional<Error> RunEachRow(const Call& call, Prepared& prepared, Outcome& outcome);
  std::optional<Error> StepRow(Prepared& prepared, const ResultLimits& limits, Result& result);

  std::optional<Error> DescribeText(std::string_view sql, Description& into);

  // Scripts; sqlite_script.cc.
  struct ScriptState {
    size_t at = 0;             // Where the next statement begins.
    bool own_block = false;    // A transaction is open that no BEGIN has opened.
    bool took_effect = false;  // Something is committed.
  };
  std::optional<Error> RunScript(const Call& call, Outcome& outcome);
  std::optional<Error> RunStatementsOfScript(const Statement& script, ScriptState& state,
                                             Outcome& outcome);
  std::optional<Error> RunNextOfScript(const Statement& script, ScriptState& state,
                                       Outcome& outcome);
  std::optional<Error> RunPlainOfScript(Prepared& prepared, const Statement& statement, bool alone,
                                        ScriptState& state, Result& result);
  std::optional<Error> RunTransactionCommandOfScript(Prepared& prepared, const Statement& statement,
                                                     ScriptState& state, Outcome& outcome);

  // What a session can leave behind: by name, its value; sqlite_audit.cc.
  std::map<std::string, std::string> StateOfSession();

  // Sessions; sqlite_transaction.cc.
  static Error AbortedTransaction();
  void ForgetSession();
  std::optional<Error> RunCallOfSession(const Call& call, Execution& execution);
  std::optional<Error> RunStatementOfSession(const Statement& statement, Execution& execution);
  std::optional<Error> RunTransactionCommand(Prepared& prepared, const Statement& statement,
                                             Outcome& outcome);
  std::optional<Error> RunSavepointCommand(Prepared& prepared, TransactionCommand command);
  std::optional<Error> BeginByText(Prepared& prepared, Outcome& outcome);
  std::optional<Error> BeginTransaction(bool read_only);
  std::optional<Error> StepToEnd(Prepared& prepared);
  std::optional<Error> CommitTransaction(std::string& tag, Outcome& outcome);
  void RollBackTransaction();
  TransactionStatus Status() const;
  bool TransactionIsOpen() const { return failed_ || InTransaction(); }
  bool InTransaction() const;
  bool LeftConstraintsOpen() const;
  // Whether it stays, and its savepoint with it.
  bool EndSavepoint(bool keep);
  void RollBackGroup();

  // Null = `error` says why.
  Prepared* Lookup(std::string_view sql, std::optional<Error>& error, bool& refused_by_text);
  std::optional<Error> Compile(std::string_view sql, Prepared& prepared, bool& refused_by_text);
  static std::optional<Error> CheckText(std::string_view sql);
  // Of the statement that begins at `begin`, whatever comes after its `end`.
  std::optional<Error> CompileAt(std::string_view sql, size_t begin, Prepared& prepared,
                                 size_t& end, bool& refused_by_text);
  std::optional<Error> NumberParameters(Prepared& prepared);
  static std::optional<Error> CheckCount(const Prepared& prepared,
                                         const std::vector<Value>& parameters);
  std::optional<Error> Bind(Prepared& prepared, const std::vector<Value>& parameters);
  // What the last call of SQLite complained about.
  Error Failure(std::string_view sql = {}, size_t skipped = 0);

  const SqliteConfig& config_;
  const SqliteLocation& location_;
  const Role role_;
  Interruption& interruption_;
  ProgressWatcher* const watcher_;

  sqlite3* database_ = nullptr;
  Authorizer authorizer_;
  LruCache<Prepared> prepared_;
  Prepared uncached_;  // The statement at hand when it is too long for the cache.
  Instant busy_until_;
  bool broken_ = false;
  // The statement at hand has begun to commit. SQLite asks for progress once more after that, and
  // would report an interrupt although the statement took effect.
  bool committing_ = false;

  OwnStatement begin_reads_{"BEGIN"};
  // At once, not at the first read.
  OwnStatement take_snapshot_{"SELECT 1 FROM sqlite_schema LIMIT 1"};
  OwnStatement begin_writes_{"BEGIN IMMEDIATE"};
  OwnStatement savepoint_{"SAVEPOINT member"};
  OwnStatement release_{"RELEASE member"};
  OwnStatement undo_{"ROLLBACK TO member"};
  OwnStatement commit_{"COMMIT"};
  OwnStatement rollback_{"ROLLBACK"};

  // The result that is being streamed.
  struct Streamed {
    Result* result = nullptr;  // What has not been sent; null = none.
    Instant due_at{};          // When that is to be sent though its part is not full.
    int64_t rows = 0;          // In all.
  };
  Streamed streamed_;
  const Call* call_ = nullptr;  // At hand, unless it is in a group.
  // What statements are compiled for; but for autocommit only while such a call is at hand.
  Authorizer::Purpose purpose_ = Authorizer::Purpose::kAutocommit;
  uint64_t bytes_kept_ = 0;    // Of the results of the call at hand that are there already.
  bool counts_rows_ = false;   // The statement at hand is stepped to its end, whatever its limit.
  uint64_t rows_stepped_ = 0;  // Of the statement at hand, those beyond its limit included.
  bool kept_ = false;          // The last statement was.
  // The session's transaction has failed. SQLite's own may be gone, or as before the statement.
  bool failed_ = false;
  bool read_only_ = false;  // The session's transaction.
  bool traces_ = false;     // Something in the connection that only a new one is free of.

  bool group_open_ = false;
  size_t group_members_ = 0;  // That ran before the one at hand.
  Instant started_;           // The statement at hand, when it is in a group.
  bool held_up_group_ = false;
  bool locked_out_ = false;      // The statement at hand failed for a lock.
  bool undo_if_failed_ = false;  // The statement at hand is all or nothing, whatever SQLite keeps.
};

}  // namespace dbsidecar::pool
