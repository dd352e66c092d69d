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

}  // namespace

SqliteShared::SqliteShared(SqliteConfig the_config, EventLoop& the_loop)
    : config(std::move(the_config)),
      location(SqliteLocation::Parse(config.location)),
      loop(the_loop),
      known(kKnownTextsMax, kKnownTextBytesMax) {}

SqliteConnection::SqliteConnection(ConnectionId id, SqliteSession::Role role, SqliteShared& shared,
                                   ConnectionEvents& events)
    : id_(id),
      role_(role),
      shared_(shared),
      events_(events),
      self_(std::make_shared<SqliteConnection*>(this)) {}

SqliteConnection::~SqliteConnection() {
  if (!thread_.joinable()) return;
  RequestEnd();
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

void SqliteConnection::Ping() { Enqueue({.kind = Job::Kind::kPing}); }

void SqliteConnection::Reset() { Enqueue({.kind = Job::Kind::kReset}); }

void SqliteConnection::Execute(Call& call) {
  Enqueue({.kind = Job::Kind::kExecute, .call = &call});
}

void SqliteConnection::Enqueue(Job job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(job);
  work_.notify_one();
}

void SqliteConnection::Cancel(Call& call) {
  std::lock_guard lock(mutex_);
  if (running_ == &call) {
    interruption_.Request();
    return;
  }
  const auto it = std::find_if(jobs_.begin(), jobs_.end(),
                               [&call](const Job& job) { return job.call == &call; });
  if (it == jobs_.end()) return;  // It is over; its reply is on the way.
  jobs_.erase(it);
  SqliteSession::Execution execution;
  execution.outcome.error = InterruptedError();
  PostEvent([&call, execution = std::move(execution)](SqliteConnection& self) mutable {
    self.OnExecuted(call, std::move(execution));
  });
}

void SqliteConnection::Close() {
  if (std::exchange(closed_, true)) return;
  RequestEnd();
  // Without a thread nothing else reports the end.
  if (!thread_.joinable()) {
    Post([](SqliteConnection& self) { self.OnThreadEnd(std::nullopt); });
  }
}

void SqliteConnection::RequestEnd() {
  std::lock_guard lock(mutex_);
  ending_ = true;
  interruption_.Request();
  work_.notify_one();
}

void SqliteConnection::OnExecuted(Call& call, SqliteSession::Execution execution) {
  if (execution.belongs_to_writer) {
    Learn(call, {.refusal = std::nullopt, .lane = kWriterLane});
    events_.OnWrongLane(id_, call, kWriterLane);
    return;
  }
  if (execution.refused_by_text) Learn(call, {.refusal = execution.outcome.error});
  events_.OnReply(id_, call, std::move(execution.outcome), execution.condition);
}

void SqliteConnection::Learn(const Call& call, Classification classification) {
  const std::string_view sql = call.statement.sql;
  if (sql.size() > kKnownTextBytesMax / 8 || shared_.known.Find(sql) != nullptr) return;
  shared_.known.Insert(sql, std::move(classification));
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
  SqliteSession session(shared_.config, shared_.location, role_, interruption_);
  if (std::optional<OpenFailure> failure = session.Open()) return failure;
  PostEvent([](SqliteConnection& self) { self.events_.OnConnected(self.id_); });
  while (const std::optional<Job> job = NextJob()) Perform(session, *job);
  return std::nullopt;
}

std::optional<SqliteConnection::Job> SqliteConnection::NextJob() {
  std::unique_lock lock(mutex_);
  work_.wait(lock, [this] { return !jobs_.empty() || ending_; });
  if (ending_) return std::nullopt;
  const Job job = jobs_.front();
  jobs_.pop_front();
  running_ = job.call;
  interruption_.Withdraw();
  return job;
}

void SqliteConnection::Perform(SqliteSession& session, const Job& job) {
  switch (job.kind) {
    case Job::Kind::kPing:
      PostEvent(
          [ok = session.Ping()](SqliteConnection& self) { self.events_.OnPinged(self.id_, ok); });
      break;
    case Job::Kind::kReset:
      PostEvent(
          [ok = session.Reset()](SqliteConnection& self) { self.events_.OnReset(self.id_, ok); });
      break;
    case Job::Kind::kExecute: {
      SqliteSession::Execution execution = session.Run(job.call->statement, job.call->deadline);
      {
        std::lock_guard lock(mutex_);
        running_ = nullptr;  // Before the reply: its owner may free the call, and reuse its place.
      }
      PostEvent(
          [call = job.call, execution = std::move(execution)](SqliteConnection& self) mutable {
            self.OnExecuted(*call, std::move(execution));
          });
      break;
    }
  }
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
