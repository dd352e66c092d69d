#include "server/database.h"

#include <fmt/format.h>

#include <future>
#include <random>
#include <thread>

#include "pool/postgres/postgres_driver.h"
#include "pool/sqlite/sqlite_driver.h"

namespace dbsidecar::server {
namespace {

constexpr pool::Duration kPoll = std::chrono::milliseconds(2);
// How long cancelled calls and closing connections may take at the end.
constexpr pool::Duration kCloseMax = std::chrono::seconds(3);
// Statement shapes that are counted, from which those to be listed are chosen.
constexpr size_t kStatementsCounted = 1000;

std::unique_ptr<pool::Driver> NewDriver(const Config& config, pool::EventLoop& loop) {
  switch (config.database.driver) {
    case DatabaseDriver::kPostgres:
      return pool::NewPostgresDriver(
          {.url = config.database.name,
           .connect_timeout = config.pool.connect_timeout,
           .statement_timeout = config.query.statement_timeout,
           .keepalive_after = config.pool.keep_alive_after,
           .prepared_max = static_cast<size_t>(config.query.prepared_max),
           .trace_comments = config.query.trace_comments},
          loop);
    case DatabaseDriver::kSqlite:
      return pool::NewSqliteDriver({.location = config.database.name,
                                    .prepared_max = static_cast<size_t>(config.query.prepared_max)},
                                   loop);
  }
  return nullptr;
}

pool::PoolOptions PoolOptionsOf(const Config& config) {
  pool::PoolOptions options;
  options.core = {
      .min = static_cast<size_t>(config.pool.connections_min),
      .max = static_cast<size_t>(config.pool.connections_max),
      .connecting_max = static_cast<size_t>(config.pool.connecting_max),
      .waiters_max = static_cast<size_t>(config.pool.waiters_max),
      .shared_max = static_cast<size_t>(config.pool.shared_max),
      .wait_timeout = config.pool.wait_timeout,
      .idle_timeout = config.pool.idle_timeout,
      .lifetime = config.pool.lifetime,
      .lifetime_jitter_percent = static_cast<uint32_t>(config.pool.lifetime_jitter_percent),
      .connect_timeout = config.pool.connect_timeout,
      .ping_after = config.pool.keep_alive_after};
  options.query_timeout = config.query.query_timeout;
  options.cancel_grace = config.query.cancel_grace;
  options.session_idle_timeout = config.query.session_idle_timeout;
  options.session_warn_after = config.query.session_warn_after;
  options.session_audit = config.query.session_audit;
  options.transaction_timeout = config.query.transaction_timeout;
  options.listen_backlog_max = static_cast<size_t>(config.query.listen_buffer);
  options.stream_stall_timeout = config.query.stream_stall_timeout;
  options.health_check_interval = config.lifecycle.health_check_interval;
  options.statements_max = config.metrics.statements == 0 ? 0 : kStatementsCounted;
  options.callers_max = static_cast<size_t>(config.metrics.callers);
  options.keeps_statement_texts = config.log.show_sql;
  options.slow_statement = config.log.slow_statement;
  options.seed = std::random_device()();
  return options;
}

}  // namespace

Database::Database(const Config& config, std::function<void(bool up)> on_status)
    : observer_({.log_events = config.pool.logging,
                 .log_calls = config.log.calls,
                 .events = &events_,
                 .on_database_status = std::move(on_status)}),
      driver_(NewDriver(config, loop_)),
      pool_(std::make_unique<pool::Pool>(loop_, *driver_, PoolOptionsOf(config), observer_)),
      thread_(std::make_unique<LoopThread>(loop_, "pool-loop")) {}

Database::~Database() {
  // What the driver's threads still post is dropped with the loop.
  thread_.reset();
  pool_.reset();
  driver_.reset();
}

template <typename Result>
Result Database::Ask(std::function<Result()> question) {
  std::promise<Result> answer;
  std::future<Result> future = answer.get_future();
  loop_.Post([&] { answer.set_value(question()); });
  return future.get();
}

template <typename Predicate>
bool Database::Await(pool::Duration limit, Predicate until,
                     const std::function<bool()>& interrupted) {
  const pool::Instant give_up = pool::Clock::now() + limit;
  while (!Ask<bool>(until)) {
    if (pool::Clock::now() >= give_up || interrupted()) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

std::string Database::Start(pool::Duration limit, const std::function<bool()>& interrupted) {
  loop_.Post([this] { pool_->Start(); });
  const auto trouble = [this] { return observer_.connect_trouble(); };
  const bool warm = Await(
      limit, [this] { return pool_->warm(); },
      [&] { return interrupted() || trouble().permanent; });
  if (warm || interrupted()) return "";
  if (trouble().permanent) return trouble().message;
  return fmt::format(
      "no connection within {:g} s: {}", std::chrono::duration<double>(limit).count(),
      trouble().message.empty() ? "the database does not answer" : trouble().message);
}

void Database::Submit(pool::Call& call) {
  loop_.Post([this, &call] { pool_->Submit(call); });
}

void Database::Submit(std::vector<pool::Call*> calls) {
  loop_.Post([this, calls = std::move(calls)] { SubmitAll(calls); });
}

void Database::SubmitAtOnce(std::vector<pool::Call*> calls) {
  loop_.RunOrPost([this, calls = std::move(calls)] { SubmitAll(calls); });
}

void Database::SubmitAll(const std::vector<pool::Call*>& calls) {
  for (pool::Call* call : calls) pool_->Submit(*call);
}

void Database::Cancel(pool::CallId id) {
  loop_.Post([this, id] { pool_->Cancel(id); });
}

void Database::Resume(pool::CallId id) {
  loop_.Post([this, id] { pool_->Resume(id); });
}

void Database::Subscribe(pool::Subscriber& subscriber) {
  loop_.Post([this, &subscriber] { pool_->Subscribe(subscriber); });
}

void Database::Unsubscribe(pool::SubscriberId id) {
  loop_.Post([this, id] { pool_->Unsubscribe(id); });
}

void Database::SubscriberCaughtUp() {
  loop_.Post([this] { pool_->SubscriberCaughtUp(); });
}

void Database::Attach(pool::AttachedClient& client) {
  loop_.Post([this, &client] { pool_->Attach(client); });
}

void Database::Detach(pool::AttachedClient& client) {
  loop_.Post([this, &client] { pool_->Detach(client); });
}

void Database::EndSessionsOf(uint64_t owner) {
  loop_.Post([this, owner] { pool_->EndSessionsOf(owner); });
}

DatabaseReport Database::Report() {
  return Ask<DatabaseReport>(
      [this] { return DatabaseReport{.stats = pool_->Stats(), .outcomes = observer_.outcomes()}; });
}

DatabaseFigures Database::Figures() {
  return Ask<DatabaseFigures>([this] {
    return DatabaseFigures{.statements = pool_->ReportStatements(),
                           .callers = pool_->ReportCallers()};
  });
}

void Database::Pause() {
  Ask<bool>([this] {
    pool_->Pause();
    return true;
  });
}

void Database::Unpause() {
  Ask<bool>([this] {
    pool_->Unpause();
    return true;
  });
}

bool Database::at_rest() {
  return Ask<bool>([this] { return pool_->at_rest(); });
}

std::optional<pool::Error> Database::Reconfigure(const Config& config) {
  return Ask<std::optional<pool::Error>>([this, &config] {
    std::optional<pool::Error> trouble = pool_->Reconfigure(PoolOptionsOf(config));
    if (trouble) return trouble;
    driver_->Reconfigure({.location = config.database.name,
                          .connect_timeout = config.pool.connect_timeout,
                          .statement_timeout = config.query.statement_timeout,
                          .keepalive_after = config.pool.keep_alive_after});
    observer_.SetLogging(config.pool.logging, config.log.calls);
    return trouble;
  });
}

pool::Listing<pool::RunningStatement> Database::Statements(const pool::ListFilter& filter) {
  return Ask<pool::Listing<pool::RunningStatement>>([&] { return pool_->Statements(filter); });
}

pool::Listing<pool::OpenSession> Database::Sessions(const pool::ListFilter& filter) {
  return Ask<pool::Listing<pool::OpenSession>>([&] { return pool_->Sessions(filter); });
}

void Database::CancelStatement(pool::CallId id, std::optional<pool::Duration> terminate_after,
                               std::function<void(pool::CancelVerdict)> done) {
  loop_.Post([this, id, terminate_after, done = std::move(done)]() mutable {
    pool_->CancelStatement(id, terminate_after, std::move(done));
  });
}

void Database::CancelSession(uint64_t id, std::function<void(pool::SessionVerdict)> done) {
  loop_.Post(
      [this, id, done = std::move(done)]() mutable { pool_->CancelSession(id, std::move(done)); });
}

std::string Database::Fingerprint(const std::string& sql) const {
  return sql.empty() ? "" : driver_->Fingerprint(sql);
}

size_t Database::Stop(pool::Duration limit, const std::function<bool()>& hurry) {
  loop_.Post([this] { pool_->Drain(); });
  const auto never = [] { return false; };
  size_t given_up = 0;
  if (!Await(
          limit, [this] { return pool_->quiet(); }, hurry)) {
    given_up = Ask<size_t>([this] {
      const pool::PoolStats stats = pool_->Stats();
      pool_->CancelAll();
      return stats.running + stats.waiting;
    });
  }
  Await(
      kCloseMax, [this] { return pool_->empty(); }, never);
  return given_up;
}

}  // namespace dbsidecar::server
