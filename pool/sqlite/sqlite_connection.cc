#include "pool/sqlite/sqlite_connection.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace dbsidecar::pool {
namespace {

constexpr size_t kKnownTextsMax = 4096;
constexpr size_t kKnownTextBytesMax = size_t{4} << 20;
// A read that takes longer has a connection of its own: it gains more from running beside others
// than it loses by waking a thread.
constexpr Duration kSharedReadMax = std::chrono::microseconds(50);
constexpr size_t kKnownTextMax = kKnownTextBytesMax / 8;

}  // namespace

SqliteShared::SqliteShared(SqliteConfig the_config, EventLoop& the_loop)
    : config(std::move(the_config)),
      location(SqliteLocation::Parse(config.location)),
      loop(the_loop),
      known_(kKnownTextsMax, kKnownTextBytesMax) {}

Classification SqliteShared::Classify(std::string_view sql) {
  Classification classification;
  // A connection finds out, before it runs.
  classification.may_write = false;
  classification.transaction_control = IsTransactionControl(sql);
  if (sql.size() > kKnownTextMax) return classification;
  Known* known = known_.Find(sql);
  if (known == nullptr) known = &known_.Insert(sql, {});
  classification.refusal = known->refusal;
  classification.lane = known->lane;
  classification.shareable = !classification.transaction_control;
  classification.is_short = known->reads.IsShort(kSharedReadMax);
  classification.figures = &known->figures;
  return classification;
}

void SqliteShared::Learn(std::string_view sql, std::optional<Error> refusal, size_t lane) {
  if (Known* known = known_.Find(sql)) {
    known->refusal = std::move(refusal);
    known->lane = lane;
  }
}

void SqliteShared::NoteRead(std::string_view sql, Duration took) {
  if (Known* known = known_.Find(sql)) known->reads.Record(took);
}

void SqliteShared::HandOverLater(SqliteConnection& connection) {
  if (handing_over_.empty()) loop.AtTurnEnd(*this);
  handing_over_.push_back(&connection);
}

void SqliteShared::Forget(SqliteConnection& connection) { std::erase(handing_over_, &connection); }

void SqliteShared::OnTurnEnd() {
  for (SqliteConnection* connection : handing_over_) connection->HandOver();
  handing_over_.clear();
}

SqliteConnection::SqliteConnection(ConnectionId id, SqliteSession::Role role, SqliteShared& shared,
                                   ConnectionEvents& events)
    : id_(id),
      role_(role),
      shared_(shared),
      events_(events),
      self_(std::make_shared<SqliteConnection*>(this)) {}

SqliteConnection::~SqliteConnection() {
  shared_.Forget(*this);
  if (!thread_.joinable()) return;
  queue_.End();
  thread_.join();
}

void SqliteConnection::Open() {
  try {
    thread_ = std::thread([this] { RunThread(); });
  } catch (const std::system_error& error) {
    OpenFailure failure{
        .error = ErrorOf(ErrorKind::kNoConnection,
                         fmt::format("cannot start a thread for a connection: {}", error.what()))};
    Post([failure](SqliteConnection& self) { self.OnThreadEnd(failure); });
  }
}

void SqliteConnection::Ping() { Enqueue({.kind = JobQueue::Job::Kind::kPing}); }

void SqliteConnection::Reset() { Enqueue({.kind = JobQueue::Job::Kind::kReset}); }

void SqliteConnection::AuditAndReset() {
  Enqueue({.kind = JobQueue::Job::Kind::kReset, .audit = true});
}

void SqliteConnection::Execute(Call& call) {
  const bool alone = !call.session.none() || call.sink != nullptr || call.IsSeveral() ||
                     call.description != nullptr;
  Enqueue({.kind = JobQueue::Job::Kind::kExecute, .call = &call, .alone = alone});
}

void SqliteConnection::Enqueue(JobQueue::Job job) {
  if (handed_over_.empty()) shared_.HandOverLater(*this);
  handed_over_.push_back(job);
}

void SqliteConnection::Cancel(Call& call) {
  HandOver();
  // It runs, and is interrupted, or it is over: its reply is on the way.
  if (!queue_.Cancel(call)) return;
  cancelled_.push_back(&call);
  PostEvent([&call](SqliteConnection& self) {
    std::erase(self.cancelled_, &call);
    SqliteSession::Execution execution;
    execution.outcome.error = InterruptedError();
    execution.outcome.never_sent = true;
    self.OnExecuted(call, std::move(execution));
  });
}

void SqliteConnection::Close() {
  if (std::exchange(closed_, true)) return;
  queue_.End();
  // Without a thread nothing else reports the end.
  if (!thread_.joinable()) {
    Post([](SqliteConnection& self) { self.OnThreadEnd(std::nullopt); });
  }
}

// A stream has its connection alone.
void SqliteConnection::Resume(Call& /*call*/) { gate_.Open(); }

std::vector<Call*> SqliteConnection::TakeUnsent() {
  HandOver();
  std::vector<Call*> calls = queue_.TakeWaiting();
  calls.insert(calls.end(), cancelled_.begin(), cancelled_.end());
  cancelled_.clear();
  return calls;
}

void SqliteConnection::OnReports(SqliteRunner::Reports& reports) {
  for (SqliteRunner::Report& report : reports) {
    // One report may lead to the end of the connection.
    if (closed_) return;
    switch (report.kind) {
      case SqliteRunner::Report::Kind::kPinged:
        events_.OnPinged(id_, report.ok);
        break;
      case SqliteRunner::Report::Kind::kReset:
        if (report.findings) events_.OnAudited(id_, *report.findings);
        events_.OnReset(id_, report.ok);
        break;
      case SqliteRunner::Report::Kind::kExecuted:
        OnExecuted(*report.call, std::move(report.execution));
        break;
      case SqliteRunner::Report::Kind::kPart:
        if (events_.OnPart(id_, *report.call, std::move(report.part))) gate_.Open();
        break;
      case SqliteRunner::Report::Kind::kHandedBack:
        events_.OnHandedBack(id_, *report.call);
        break;
    }
  }
}

void SqliteConnection::OnExecuted(Call& call, SqliteSession::Execution execution) {
  const std::string_view text =
      execution.deciding_text.empty() ? call.statement.sql : execution.deciding_text;
  if (execution.belongs_to_writer) {
    shared_.Learn(text, std::nullopt, kWriterLane);
    events_.OnWrongLane(id_, call, kWriterLane);
    return;
  }
  if (execution.refused_by_text) {
    Error refusal = *execution.outcome.error;
    refusal.place.reset();  // Of this call alone.
    shared_.Learn(text, std::move(refusal), 0);
  }
  // How long a stream takes says more about its reader, and several statements say nothing of one.
  const bool tells = call.sink == nullptr && !call.IsSeveral() && call.description == nullptr &&
                     !execution.outcome.error.has_value();
  if (role_ != SqliteSession::Role::kWriter && tells) {
    shared_.NoteRead(call.statement.sql, execution.took);
  }
  events_.OnReply(id_, call, std::move(execution.outcome), execution.condition);
}

void SqliteConnection::OnThreadEnd(std::optional<OpenFailure> failure) {
  // The thread has nothing left to do but return.
  if (thread_.joinable()) thread_.join();
  if (closed_) {
    events_.OnClosed(id_);
  } else if (failure.has_value()) {
    events_.OnConnectFailed(id_, std::move(failure->error), failure->permanent);
  }
}

void SqliteConnection::RunThread() {
  pthread_setname_np(pthread_self(), fmt::format("sqlite-{}", id_ % 100000).c_str());
  std::optional<OpenFailure> failure = RunSession();
  Post([failure = std::move(failure)](SqliteConnection& self) { self.OnThreadEnd(failure); });
}

std::optional<OpenFailure> SqliteConnection::RunSession() {
  SqliteRunner runner(shared_.config, shared_.location, role_, interruption_, queue_, gate_,
                      [this](SqliteRunner::Reports reports) {
                        PostEvent([reports = std::move(reports)](SqliteConnection& self) mutable {
                          self.OnReports(reports);
                        });
                      });
  if (std::optional<OpenFailure> failure = runner.Open()) return failure;
  PostEvent([](SqliteConnection& self) { self.events_.OnConnected(self.id_); });
  runner.Run();
  return std::nullopt;
}

void SqliteConnection::Post(std::function<void(SqliteConnection&)> task) {
  shared_.loop.Post([weak = std::weak_ptr(self_), task = std::move(task)] {
    if (const std::shared_ptr<SqliteConnection*> self = weak.lock()) task(**self);
  });
}

void SqliteConnection::PostEvent(std::function<void(SqliteConnection&)> task) {
  Post([task = std::move(task)](SqliteConnection& self) {
    if (!self.closed_) task(self);
  });
}

}  // namespace dbsidecar::pool
