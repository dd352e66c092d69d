// One PostgreSQL connection on the event loop: libpq in non-blocking pipeline mode.
//
// What is sent is an operation: a run of protocol commands, most often with a Sync at its end.
// Operations are answered in the order in which they were sent.
//
// Statements wait for the end of the loop's turn and go out together. Those that only read
// (StatementTraits::plain_read) and whose callers say so share one Sync, at the end of the last:
// they are one implicit transaction. When one of them fails the server skips those behind it up to
// the Sync; these never ran, and are run again, each with a Sync of its own.
#pragma once

#include <libpq-fe.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "pool/driver.h"
#include "pool/event_loop.h"
#include "pool/lru_cache.h"
#include "pool/postgres/blocking_threads.h"
#include "pool/postgres/call_settings.h"
#include "pool/postgres/plain_exchange.h"
#include "pool/postgres/postgres_run.h"
#include "pool/postgres/statement_classifier.h"

namespace dbsidecar::pool {

// What a connection shares with its driver; all borrowed.
struct PostgresEnvironment {
  const std::string& conninfo;  // May change: each connect takes what it is then.
  // What the connections get by it, and not by the URL; 0 = nothing.
  Duration statement_timeout;
  size_t prepared_max;
  bool trace_comments;
  EventLoop& loop;
  BlockingThreads& threads;
  StatementClassifier& classifier;
};

class PostgresConnection final : public Connection,
                                 public FdHandler,
                                 public TimerHandler,
                                 public TurnEndHandler {
 public:
  PostgresConnection(ConnectionId id, ConnectionEvents& events, PostgresEnvironment environment);
  ~PostgresConnection() override;

  void Open() override;
  void Ping() override;
  void Reset() override;
  void AuditAndReset() override;
  void Execute(Call& call) override;
  void Cancel(Call& call) override;
  void Resume(Call& call) override;
  void Evict() override;
  int32_t server_pid() const override;
  void Close() override;

  void OnReady(bool readable, bool writable) override;

  void OnTurnEnd() override;

  Instant NextTick() const override { return cancel_again_at_; }
  void OnTick(Instant now) override;

 private:
  enum class Command { kBegin, kSettings, kPrepare, kReadOnly, kExecute, kCommit, kSync };

  struct Operation {
    enum class Kind { kStatement, kPing, kReset, kAuditBefore, kAuditAfter, kForget };

    explicit Operation(Kind operation_kind) : kind(operation_kind) {}
    void Expect(Command command) { commands[size++] = command; }
    Command current() const { return commands[next]; }
    bool over() const { return next == size; }

    Kind kind;
    std::array<Command, 11> commands{};
    size_t size = 0;
    size_t next = 0;          // The command whose results come now.
    bool answered = false;    // The current command has sent a result.
    bool row_by_row = false;  // Asked of libpq for the current command.
    bool completed = false;   // CommandComplete came, so only the commit can still fail.
    bool empty = false;       // The text had no statement, so its answer has no tag.
    bool fatal = false;       // The error also ended the connection.
    bool stale = false;       // The error may say only that the prepared statement is out of date.
    bool surely_stale = false;     // And does.
    bool read_only_stale = false;  // And it is the one by which it was made read-only.
    bool prepare_failed = false;
    int retries = 0;
    bool in_transaction = false;  // One was open when it was sent.
    bool sent = false;
    bool syncs_alone = false;      // Has a Sync of its own, whatever it is.
    bool skipped = false;          // An operation before it failed, so it was not run.
    bool prepares = false;         // Its text becomes a prepared statement.
    uint64_t prepared_number = 0;  // Of the prepared statement by which it runs; 0 = none.
    uint64_t read_only_number = 0;
    bool may_be_prepared = true;
    std::string meaning_key;  // Of the settings under which it runs.
    bool too_large = false;
    bool hit_by_cancel = false;  // Possibly, by one that was meant for another.
    bool stopped = false;        // We cancelled it because no more of its rows were wanted.
    uint64_t dropped_rows = 0;
    std::unique_ptr<PlainExchange> exchange;  // Set: it runs outside pipeline mode.
    bool has_columns = false;     // Of a stream: they went out with an earlier part, perhaps.
    bool parts_went_out = false;  // So it must not run again.
    Call* call = nullptr;
    std::unique_ptr<PostgresRun> run;  // Of a call that is more than one statement, once sent.
    std::shared_ptr<const StatementTraits> traits;
    uint64_t classified = 0;  // The classifier's version at that time.
    Outcome outcome;
  };
  using OperationPtr = std::unique_ptr<Operation>;

  // A prepared statement on the server, or a text that was seen once and may become one.
  struct Prepared {
    uint64_t number = 0;  // 0 until it is prepared.
  };

  // Under way, from AuditAndReset on.
  struct Audit {
    AuditFindings findings;
    std::string failure;  // Of looking; "" = none.
    bool reset = false;   // It succeeded.
  };

  // Survives the connection in tasks that other threads post back.
  struct Link {
    PostgresConnection* connection;
  };

  void Connected(PGconn* conn);
  std::optional<TimeoutLift> LiftForExchange(const Call& call) const;
  void Queue(OperationPtr operation);
  static bool MaySyncLater(const OperationPtr& operation);
  static Duration Expected(const Operation& operation);
  void Send(OperationPtr operation, bool sync);
  bool SendCommands(Operation& operation);
  bool SendStatement(Operation& operation);
  bool SendExecute(Operation& operation);
  bool SendReadOnly(Operation& operation);
  void NoteSettings(Operation& operation);
  bool SendSettings(Operation& operation);
  bool SendSettingsCommand(Operation& operation, const SettingsCommand& command);
  static std::string KeyOf(const Operation& operation);
  bool SendPlain(Operation& operation, Command command, const std::string& sql);
  bool RunUnheard(const std::string& sql);
  void RollBackWhatIsOpen();
  TransactionStatus transaction_status() const;
  void ChoosePrepared(const std::string& key, Operation& operation);
  void Forget(const Operation& operation);
  void ForgetReadOnly(const Operation& operation);
  void DeallocateUnwanted();
  void Flush();
  bool WantsToSend() const;

  // Calls that are more than one statement; postgres_batch.cc.
  static bool IsRun(const Call& call) {
    return call.batch != nullptr || call.rows != nullptr || call.description != nullptr;
  }
  static std::vector<std::string_view> TextsOf(const Call& call);
  std::shared_ptr<StatementTraits> TraitsOfAll(const Call& call);
  std::unique_ptr<PostgresRun> NewRun(const Operation& operation);
  void SendRun(OperationPtr operation);
  void SendMore();
  bool ReadRunResult(Operation& operation);
  void StopRun(const Call& call);
  bool TakeUnknown(const Call& call);

  void ReadResults();
  bool ReadResult();
  static bool IsAnswerTo(Command command, const PGresult* result);
  void Take(Operation& operation, const PGresult* result);
  void TakeRows(Operation& operation, const PGresult* result);
  void TakeError(Operation& operation, const PGresult* result);
  void StopEarly(Operation& operation);

  // Streams; postgres_stream.cc.
  class PartTimer final : public TimerHandler {
   public:
    explicit PartTimer(PostgresConnection& connection) : connection_(connection) {}
    Instant NextTick() const override { return connection_.part_due_at_; }
    void OnTick(Instant now) override;

   private:
    PostgresConnection& connection_;
  };
  static bool IsStream(const Operation& operation) {
    return operation.call != nullptr && operation.call->sink != nullptr;
  }

  // The simple protocol; postgres_plain.cc.
  void QueueExchange(OperationPtr operation);
  void BeginExchange();
  bool AdvanceExchange();
  void EndExchange();
  void PeekForError();

  void TakeStreamedRows(Operation& operation, const PGresult* result);
  void SendPart(Operation& operation);
  void SendPartWhenDue();
  void BeginStream();
  void EndStream();
  void ReadOn();

  // Audits; postgres_audit.cc.
  void TakeFindings(const Operation& operation, const PGresult* result);
  void CompleteAudit(const Operation& operation);

  void CompleteFront();
  void CompleteStatement(OperationPtr operation);
  void Reply(OperationPtr replied);
  bool TookTheTransactionWithIt(const Operation& operation) const;
  void RunAgain(const Operation& operation);
  bool LeavesTraces(const Operation& operation);
  void EndChange(const Operation& operation, bool changed);
  void EndChangesInTransaction();
  void Lose(std::string reason);
  void FailAll(const std::string& reason);
  static bool Commits(const Operation& operation);
  static bool OnlyReads(const Operation& operation);
  static bool IsHarmless(const Operation& operation);
  static bool MayRunAgain(const Operation& operation);
  static Error LostError(const Operation& operation, const std::string& reason);
  void Unwatch();
  void StartCancel();
  void Cancelled(bool arrived);
  void CancelLater();
  bool MayRunOneToCancel() const;
  bool IsCancelWanted(const Call& call) const;
  void ForgetCancel(const Call* call);
  void StopCancelling();
  static void OnNotice(void* self, const PGresult* result);

  const ConnectionId id_;
  ConnectionEvents& events_;
  const PostgresEnvironment environment_;
  const std::shared_ptr<Link> link_;

  PGconn* conn_ = nullptr;
  int fd_ = -1;  // Its socket, while it is watched.
  bool connecting_ = false;
  bool closing_ = false;
  bool lost_ = false;
  // A cancel request is on its way; nothing else may start until it is in.
  bool cancelling_ = false;
  // One never got there in time, and might hit whatever runs here when it does.
  bool cancel_astray_ = false;
  // The calls to cancel, as long as they run. The server ignores a cancel that comes before it has
  // begun the statement, so one is sent again and again.
  std::vector<const Call*> cancels_wanted_;
  Instant cancel_again_at_ = kNever;
  Duration cancel_pause_{};
  std::vector<OperationPtr> unsent_;  // Statements that go out at the end of this turn.
  std::deque<OperationPtr> in_flight_;
  std::deque<OperationPtr> held_;  // Complete, but a cancel is still on its way.
  // Of the stream that runs: its sink is full, so the socket is not read.
  bool paused_ = false;
  // Its source had nothing, and has not got more since.
  bool starved_ = false;
  // When the rows that wait for a part to become full go out; kNever = none wait.
  Instant part_due_at_ = kNever;
  PartTimer part_timer_{*this};

  std::optional<Audit> audit_;

  LruCache<Prepared> prepared_;
  uint64_t read_only_number_ = 0;  // Of the one that makes a transaction read-only; 0 = none.
  // The last statement was one of a session, whose transaction an error of ours would undo.
  bool in_session_ = false;
  // The settings with which the session began, and whether others have come on top of them.
  std::string session_meaning_key_;
  bool session_meaning_mixed_ = false;
  int changes_in_transaction_ = 0;  // Of the catalogue, by statements of the open transaction.
  uint64_t next_number_ = 1;
  std::vector<uint64_t> unwanted_;  // Prepared statements to be deallocated.
};

}  // namespace dbsidecar::pool
