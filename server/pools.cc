#include "server/pools.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <random>
#include <thread>

#include "absl/strings/str_join.h"
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
  options.name = config.pool_name;
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
  options.limits = {.max = {static_cast<size_t>(config.pool.limit_caller),
                            static_cast<size_t>(config.pool.limit_route),
                            static_cast<size_t>(config.pool.limit_statement)},
                    .waiting_max = static_cast<size_t>(config.pool.limit_waiting),
                    .enforce = config.pool.limit_mode == LimitMode::kEnforce};
  options.seed = std::random_device()();
  return options;
}

pool::ConnectSettings ConnectSettingsOf(const Config& config) {
  return {.location = config.database.name,
          .connect_timeout = config.pool.connect_timeout,
          .statement_timeout = config.query.statement_timeout,
          .keepalive_after = config.pool.keep_alive_after};
}

// One list of several, each of which begins with its oldest.
template <typename Entry>
pool::Listing<Entry> Merged(std::vector<pool::Listing<Entry>> listings, size_t count_max) {
  pool::Listing<Entry> merged = std::move(listings[0]);
  for (size_t i = 1; i < listings.size(); ++i) {
    merged.truncated = merged.truncated || listings[i].truncated;
    std::ranges::move(listings[i].entries, std::back_inserter(merged.entries));
  }
  std::ranges::stable_sort(merged.entries, std::ranges::greater(), &Entry::age);
  if (merged.entries.size() > count_max) {
    merged.entries.resize(count_max);
    merged.truncated = true;
  }
  return merged;
}

}  // namespace

const Config& ConfigOf(const Config& config, size_t pool) {
  return pool == 0 ? config : config.pools[pool - 1];
}

Pools::Member::Member(const Config& config, size_t pool_number, pool::EventLoop& loop,
                      RecentEvents& events,
                      const std::function<void(size_t pool, bool up)>& on_status)
    : number(pool_number),
      observer({.log_events = config.pool.logging,
                .log_calls = config.log.calls,
                .pool = config.pool_name,
                .events = &events,
                .on_database_status = [pool_number,
                                       on_status](bool up) { on_status(pool_number, up); }}),
      driver(NewDriver(config, loop)),
      pool(loop, *driver, PoolOptionsOf(config), observer) {}

Pools::Pools(const Config& config, const std::function<void(size_t pool, bool up)>& on_status) {
  for (size_t i = 0; i <= config.pools.size(); ++i) {
    const Config& own = ConfigOf(config, i);
    names_.push_back(own.pool_name);
    members_.push_back(std::make_unique<Member>(own, i, loop_, events_, on_status));
  }
  thread_ = std::make_unique<LoopThread>(loop_, "pool-loop");
}

Pools::~Pools() {
  // What the drivers' threads still post is dropped with the loop.
  thread_.reset();
  members_.clear();
}

template <typename Result>
Result Pools::Ask(std::function<Result()> question) {
  std::promise<Result> answer;
  std::future<Result> future = answer.get_future();
  loop_.Post([&] { answer.set_value(question()); });
  return future.get();
}

bool Pools::AskAll(const std::function<bool(pool::Pool& pool)>& question) {
  return Ask<bool>([&] {
    return std::ranges::all_of(members_, [&](const auto& one) { return question(one->pool); });
  });
}

void Pools::TellAll(std::function<void(pool::Pool& pool)> order) {
  loop_.Post([this, order = std::move(order)] {
    for (const auto& member : members_) order(member->pool);
  });
}

template <typename Predicate>
bool Pools::Await(pool::Duration limit, Predicate until, const std::function<bool()>& interrupted) {
  const pool::Instant give_up = pool::Clock::now() + limit;
  while (!AskAll(until)) {
    if (pool::Clock::now() >= give_up || interrupted()) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

// What keeps one of them from coming up; of several, what will not pass.
PoolObserver::ConnectTrouble Pools::Trouble() const {
  PoolObserver::ConnectTrouble trouble;
  for (size_t i = 0; i < members_.size(); ++i) {
    PoolObserver::ConnectTrouble one = members_[i]->observer.connect_trouble();
    if (one.message.empty() || (!trouble.message.empty() && !one.permanent)) continue;
    if (members_.size() > 1) one.message = fmt::format("pool \"{}\": {}", names_[i], one.message);
    trouble = std::move(one);
    if (trouble.permanent) break;
  }
  return trouble;
}

std::string Pools::Start(pool::Duration limit, const std::function<bool()>& interrupted) {
  TellAll([](pool::Pool& pool) { pool.Start(); });
  const bool warm = Await(
      limit, [](pool::Pool& pool) { return pool.warm(); },
      [&] { return interrupted() || Trouble().permanent; });
  if (warm || interrupted()) return "";
  const PoolObserver::ConnectTrouble trouble = Trouble();
  if (trouble.permanent) return trouble.message;
  return fmt::format("no connection within {:g} s: {}",
                     std::chrono::duration<double>(limit).count(),
                     trouble.message.empty() ? "the database does not answer" : trouble.message);
}

pool::Error Pools::NoSuchPool(std::string_view name) const {
  return pool::OwnError(pool::ErrorKind::kPoolNotFound,
                        fmt::format("there is no pool \"{}\"; there is \"{}\"", name,
                                    absl::StrJoin(names_, "\", \"")));
}

Pools::Member* Pools::MemberOf(std::string_view name) const {
  if (name.empty()) return members_[0].get();
  const auto found = std::ranges::find(names_, name);
  return found == names_.end() ? nullptr
                               : members_[static_cast<size_t>(found - names_.begin())].get();
}

std::optional<pool::Error> Pools::Find(const std::string& name, size_t& pool) const {
  const Member* member = MemberOf(name);
  if (member == nullptr) return NoSuchPool(name);
  pool = member->number;
  return std::nullopt;
}

Pools::Member* Pools::MemberFor(const pool::Call& call) {
  if (call.pool_name.empty() && call.session.in_session() && members_.size() > 1) {
    for (const auto& member : members_) {
      if (member->pool.KnowsSession(call.session.token)) return member.get();
    }
  }
  return MemberOf(call.pool_name);
}

void Pools::SubmitNow(pool::Call& call) {
  if (Member* member = MemberFor(call)) {
    member->pool.Submit(call);
    return;
  }
  pool::Outcome outcome;
  outcome.error = NoSuchPool(call.pool_name);
  call.Answer(std::move(outcome));
  call.Done();
}

void Pools::SubmitAll(const std::vector<pool::Call*>& calls) {
  for (pool::Call* call : calls) SubmitNow(*call);
}

void Pools::Submit(pool::Call& call) {
  loop_.Post([this, &call] { SubmitNow(call); });
}

void Pools::Submit(std::vector<pool::Call*> calls) {
  loop_.Post([this, calls = std::move(calls)] { SubmitAll(calls); });
}

void Pools::SubmitAtOnce(std::vector<pool::Call*> calls) {
  loop_.RunOrPost([this, calls = std::move(calls)] { SubmitAll(calls); });
}

void Pools::Cancel(pool::CallId id) {
  TellAll([id](pool::Pool& pool) { pool.Cancel(id); });
}

void Pools::Resume(pool::CallId id) {
  TellAll([id](pool::Pool& pool) { pool.Resume(id); });
}

void Pools::Subscribe(pool::Subscriber& subscriber) {
  loop_.Post([this, &subscriber] {
    if (Member* member = MemberOf(subscriber.pool_name)) {
      member->pool.Subscribe(subscriber);
      return;
    }
    subscriber.OnEnded(NoSuchPool(subscriber.pool_name));
    subscriber.Done();
  });
}

void Pools::Unsubscribe(pool::SubscriberId id) {
  TellAll([id](pool::Pool& pool) { pool.Unsubscribe(id); });
}

void Pools::SubscriberCaughtUp() {
  TellAll([](pool::Pool& pool) { pool.SubscriberCaughtUp(); });
}

void Pools::Attach(pool::AttachedClient& client, std::function<void()> attached) {
  TellAll([&client](pool::Pool& pool) { pool.Attach(client); });
  loop_.Post(std::move(attached));
}

void Pools::Detach(pool::AttachedClient& client, std::function<void()> done) {
  TellAll([&client](pool::Pool& pool) { pool.Detach(client); });
  loop_.Post(std::move(done));
}

void Pools::EndSessionsOf(uint64_t owner) {
  TellAll([owner](pool::Pool& pool) { pool.EndSessionsOf(owner); });
}

std::vector<PoolReport> Pools::Report() {
  return Ask<std::vector<PoolReport>>([this] {
    std::vector<PoolReport> reports;
    for (const auto& member : members_) {
      reports.push_back({member->pool.Stats(), member->observer.outcomes()});
    }
    return reports;
  });
}

PoolReport Pools::Report(size_t pool) {
  return Ask<PoolReport>([&] {
    return PoolReport{members_[pool]->pool.Stats(), members_[pool]->observer.outcomes()};
  });
}

std::vector<PoolFigures> Pools::Figures() {
  return Ask<std::vector<PoolFigures>>([this] {
    std::vector<PoolFigures> figures;
    for (const auto& member : members_) {
      figures.push_back({member->pool.ReportStatements(), member->pool.ReportCallers()});
    }
    return figures;
  });
}

void Pools::Pause(size_t pool) {
  Ask<bool>([&] {
    members_[pool]->pool.Pause();
    return true;
  });
}

void Pools::Unpause(size_t pool) {
  Ask<bool>([&] {
    members_[pool]->pool.Unpause();
    return true;
  });
}

bool Pools::at_rest(size_t pool) {
  return Ask<bool>([&] { return members_[pool]->pool.at_rest(); });
}

std::optional<pool::Error> Pools::Reconfigure(const Config& before, const Config& now) {
  // The driver first: the pool may open connections at once.
  const auto apply = [this](size_t pool, const Config& config) {
    const Config& own = ConfigOf(config, pool);
    members_[pool]->driver->Reconfigure(ConnectSettingsOf(own));
    members_[pool]->observer.SetLogging(own.pool.logging, own.log.calls);
    return members_[pool]->pool.Reconfigure(PoolOptionsOf(own));
  };
  return Ask<std::optional<pool::Error>>([&] {
    std::optional<pool::Error> trouble;
    for (size_t i = 0; i < members_.size(); ++i) {
      trouble = apply(i, now);
      if (!trouble) continue;
      for (size_t j = 0; j <= i; ++j) apply(j, before);
      break;
    }
    return trouble;
  });
}

template <typename Entry>
pool::Listing<Entry> Pools::ListOf(std::optional<size_t> pool, const pool::ListFilter& filter,
                                   ListMethod<Entry> list) {
  return Ask<pool::Listing<Entry>>([&] {
    if (pool) return (members_[*pool]->pool.*list)(filter);
    std::vector<pool::Listing<Entry>> listings;
    for (const auto& member : members_) listings.push_back((member->pool.*list)(filter));
    return Merged(std::move(listings), filter.count_max);
  });
}

pool::Listing<pool::RunningStatement> Pools::Statements(std::optional<size_t> pool,
                                                        const pool::ListFilter& filter) {
  return ListOf(pool, filter, &pool::Pool::Statements);
}

pool::Listing<pool::OpenSession> Pools::Sessions(std::optional<size_t> pool,
                                                 const pool::ListFilter& filter) {
  return ListOf(pool, filter, &pool::Pool::Sessions);
}

// A pool that does not have it says so at once; then the next one is asked.
void Pools::CancelStatementIn(size_t pool, pool::CallId id,
                              std::optional<pool::Duration> terminate_after,
                              std::function<void(pool::CancelVerdict)> done) {
  members_[pool]->pool.CancelStatement(
      id, terminate_after,
      [this, pool, id, terminate_after, done = std::move(done)](pool::CancelVerdict verdict) {
        const bool more = pool + 1 < members_.size();
        if (verdict.found || !more) return done(verdict);
        CancelStatementIn(pool + 1, id, terminate_after, done);
      });
}

void Pools::CancelSessionIn(size_t pool, uint64_t id,
                            std::function<void(pool::SessionVerdict)> done) {
  members_[pool]->pool.CancelSession(
      id, [this, pool, id, done = std::move(done)](pool::SessionVerdict verdict) {
        const bool more = pool + 1 < members_.size();
        if (verdict.found || !more) return done(verdict);
        CancelSessionIn(pool + 1, id, done);
      });
}

void Pools::CancelStatement(pool::CallId id, std::optional<pool::Duration> terminate_after,
                            std::function<void(pool::CancelVerdict)> done) {
  loop_.Post([this, id, terminate_after, done = std::move(done)]() mutable {
    CancelStatementIn(0, id, terminate_after, std::move(done));
  });
}

void Pools::CancelSession(uint64_t id, std::function<void(pool::SessionVerdict)> done) {
  loop_.Post(
      [this, id, done = std::move(done)]() mutable { CancelSessionIn(0, id, std::move(done)); });
}

std::string Pools::Fingerprint(const std::string& pool, const std::string& sql) const {
  const Member* member = MemberOf(pool);
  return sql.empty() || member == nullptr ? "" : member->driver->Fingerprint(sql);
}

std::string Pools::WithoutConstants(const std::string& pool, const std::string& sql) const {
  const Member* member = MemberOf(pool);
  return sql.empty() || member == nullptr ? "" : member->driver->WithoutConstants(sql);
}

size_t Pools::Stop(pool::Duration limit, const std::function<bool()>& hurry) {
  TellAll([](pool::Pool& pool) { pool.Drain(); });
  const auto never = [] { return false; };
  size_t given_up = 0;
  if (!Await(
          limit, [](pool::Pool& pool) { return pool.quiet(); }, hurry)) {
    given_up = Ask<size_t>([this] {
      size_t calls = 0;
      for (const auto& member : members_) {
        const pool::PoolStats stats = member->pool.Stats();
        member->pool.CancelAll();
        calls += stats.running + stats.waiting;
      }
      return calls;
    });
  }
  Await(
      kCloseMax, [](pool::Pool& pool) { return pool.empty(); }, never);
  return given_up;
}

}  // namespace dbsidecar::server
