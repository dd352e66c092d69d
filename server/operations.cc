#include "server/operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/config_in_force.h"
#include "server/log.h"
#include "server/metrics_report.h"
#include "server/operator_lists.h"
#include "server/pools.h"
#include "server/reports.h"
#include "server/request_parser.h"
#include "server/stop_orders.h"
#include "server/temporary_log_level.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using std::chrono_literals::operator""ms;

// Between two looks at what is waited for.
constexpr pool::Duration kPoll = 5ms;

pool::Error Invalid(std::string why) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why));
}

pool::Error DeadlineError(std::string why) {
  return pool::OwnError(pool::ErrorKind::kDeadline, std::move(why));
}

// A list of problems as one message.
pool::Error Refused(const std::vector<std::string>& problems) {
  const std::string count =
      problems.size() == 1 ? "" : fmt::format("{} problems: ", problems.size());
  return Invalid(count + Join(problems, "; "));
}

std::optional<pool::Error> CheckTime(const google::protobuf::Duration& duration,
                                     std::string_view field) {
  if (IsTimeLimit(duration)) return std::nullopt;
  return Invalid(fmt::format("`{}` must be between 0 and 10 years", field));
}

std::optional<LogLevel> LevelOf(v1::LogLevel level) {
  switch (level) {
    case v1::LOG_LEVEL_DEBUG:
      return LogLevel::kDebug;
    case v1::LOG_LEVEL_INFO:
      return LogLevel::kInfo;
    case v1::LOG_LEVEL_WARNING:
      return LogLevel::kWarn;
    case v1::LOG_LEVEL_ERROR:
      return LogLevel::kError;
    case v1::LOG_LEVEL_UNSPECIFIED:
    case v1::LOG_LEVEL_TRACE:
    case v1::LOG_LEVEL_CRITICAL:
    case v1::LogLevel_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::LogLevel_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return std::nullopt;
}

v1::LogLevel MessageOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return v1::LOG_LEVEL_DEBUG;
    case LogLevel::kInfo:
      return v1::LOG_LEVEL_INFO;
    case LogLevel::kWarn:
      return v1::LOG_LEVEL_WARNING;
    case LogLevel::kError:
      return v1::LOG_LEVEL_ERROR;
  }
  return v1::LOG_LEVEL_UNSPECIFIED;
}

void AddChanges(const std::vector<OptionDifference>& differences,
                google::protobuf::RepeatedPtrField<v1::OptionChange>& into) {
  for (const OptionDifference& difference : differences) {
    v1::OptionChange& change = *into.Add();
    change.set_name(difference.name);
    change.set_old_value(difference.old_value);
    change.set_new_value(difference.new_value);
  }
}

void LogReload(const ConfigInForce::Reloaded& reloaded) {
  if (!reloaded.problems.empty()) {
    Log(LogLevel::kError, "config.reload_failed",
        {{"problems", Join(reloaded.problems, "; ")},
         {"remedy", "nothing was changed; correct these, and reload again"}});
    return;
  }
  for (const OptionDifference& change : reloaded.applied) {
    Log(LogLevel::kInfo, "config.changed",
        {{"option", change.name}, {"old", change.old_value}, {"new", change.new_value}});
  }
  for (const OptionDifference& change : reloaded.refused) {
    Log(LogLevel::kWarn, "config.needs_restart",
        {{"option", change.name},
         {"in_force", change.old_value},
         {"new", change.new_value},
         {"remedy", "restart the sidecar to apply it"}});
  }
  Log(LogLevel::kInfo, "config.reloaded",
      {{"applied", reloaded.applied.size()}, {"need_restart", reloaded.refused.size()}});
}

// What runs in all pools.
struct InProgress {
  uint32_t calls = 0;
  uint32_t sessions = 0;
};

InProgress InProgressIn(Pools& pools) {
  InProgress open;
  for (const PoolReport& report : pools.Report()) {
    open.calls += static_cast<uint32_t>(report.stats.running + report.stats.waiting);
    open.sessions += static_cast<uint32_t>(report.stats.sessions);
  }
  return open;
}

// Of a list: "" means all pools, and elsewhere the default one.
std::optional<size_t> Only(const std::string& name, size_t pool) {
  return name.empty() ? std::nullopt : std::optional(pool);
}

// Waits for what the pool will say. Shared with the pool, which may say it when nobody waits.
template <typename Verdict>
class Awaited {
 public:
  std::function<void(Verdict)> Hear() {
    return [promise = promise_](Verdict verdict) { promise->set_value(verdict); };
  }
  // Unset: its caller's patience came to its end.
  std::optional<Verdict> Await(const Operations::Patience& patience) {
    std::future<Verdict> future = promise_->get_future();
    while (future.wait_for(kPoll) != std::future_status::ready) {
      if (pool::Clock::now() >= patience.deadline || patience.has_left()) return std::nullopt;
    }
    return future.get();
  }

 private:
  std::shared_ptr<std::promise<Verdict>> promise_ = std::make_shared<std::promise<Verdict>>();
};

}  // namespace

Operations::Trouble Operations::CheckServing() const {
  const bool stops = reports_.phase() == v1::LIFECYCLE_PHASE_LAME_DUCK ||
                     reports_.phase() == v1::LIFECYCLE_PHASE_DRAINING;
  if (!stops) return std::nullopt;
  return pool::OwnError(pool::ErrorKind::kDraining, "the sidecar is stopping");
}

Operations::Trouble Operations::Pause(const v1::PauseRequest& request, const Patience& patience,
                                      v1::PauseResponse& response) {
  size_t pool = 0;
  if (Trouble trouble = pools_.Find(request.pool(), pool)) return trouble;
  if (Trouble trouble = CheckTime(request.timeout(), "timeout")) return trouble;
  if (Trouble trouble = CheckServing()) return trouble;
  pool::Instant until = patience.deadline;
  if (request.has_timeout()) {
    until = std::min(until, pool::Clock::now() + ToDuration(request.timeout()));
  }
  pools_.Pause(pool);
  Log(LogLevel::kWarn, "pool.paused",
      {{"pool", pools_.names()[pool]}, {"remedy", "Admin.Resume serves again"}});
  while (!pools_.at_rest(pool)) {
    if (!pools_.Report(pool).stats.paused) {
      return pool::OwnError(pool::ErrorKind::kDraining,
                            "the pause has ended before connections were at rest: the pool was "
                            "resumed, or the sidecar stops");
    }
    if (pool::Clock::now() >= until || patience.has_left()) {
      const pool::PoolStats stats = pools_.Report(pool).stats;
      return DeadlineError(
          fmt::format("connections still in use: {} (by open sessions: {}); the pool stays paused",
                      stats.in_use(), stats.sessions));
    }
    std::this_thread::sleep_for(kPoll);
  }
  response.set_state(StateOf(pools_.Report(pool).stats));
  return std::nullopt;
}

Operations::Trouble Operations::Resume(const v1::ResumeRequest& request,
                                       v1::ResumeResponse& response) {
  size_t pool = 0;
  if (Trouble trouble = pools_.Find(request.pool(), pool)) return trouble;
  pools_.Unpause(pool);
  const pool::PoolStats stats = pools_.Report(pool).stats;
  response.set_state(StateOf(stats));
  Log(LogLevel::kInfo, "pool.resumed", {{"pool", stats.name}, {"waiting", stats.waiting}});
  return std::nullopt;
}

Operations::Trouble Operations::Reload(const v1::ReloadRequest& request,
                                       v1::ReloadResponse& response) {
  if (Trouble trouble = CheckServing()) return trouble;
  const ConfigInForce::Reloaded reloaded = config_.Reload(request.dry_run());
  if (!request.dry_run()) LogReload(reloaded);
  if (!reloaded.problems.empty()) return Refused(reloaded.problems);
  AddChanges(reloaded.applied, *response.mutable_applied());
  AddChanges(reloaded.refused, *response.mutable_refused());
  return std::nullopt;
}

Operations::Trouble Operations::Drain(const v1::DrainRequest& request,
                                      v1::DrainResponse& response) {
  if (Trouble trouble = CheckTime(request.timeout(), "timeout")) return trouble;
  if (Trouble trouble = CheckTime(request.delay(), "delay")) return trouble;
  const InProgress open = InProgressIn(pools_);
  response.set_calls_in_progress(open.calls);
  response.set_sessions(open.sessions);
  StopOrders::Drain drain;
  if (request.has_delay()) drain.delay = ToDuration(request.delay());
  if (request.has_timeout()) drain.timeout = ToDuration(request.timeout());
  Log(LogLevel::kInfo, "server.drain_ordered");
  orders_.OrderDrain(drain);
  return std::nullopt;
}

Operations::Trouble Operations::Quit(v1::QuitResponse& response) {
  const InProgress open = InProgressIn(pools_);
  response.set_calls_cancelled(open.calls);
  Log(LogLevel::kWarn, "server.quit_ordered", {{"calls", open.calls}});
  orders_.OrderQuit();
  return std::nullopt;
}

Operations::Trouble Operations::ListStatements(const v1::ListStatementsRequest& request,
                                               v1::ListStatementsResponse& response) {
  size_t pool = 0;
  if (Trouble trouble = pools_.Find(request.pool(), pool)) return trouble;
  if (Trouble trouble = CheckTime(request.age_min(), "age_min")) return trouble;
  const auto listing =
      pools_.Statements(Only(request.pool(), pool),
                        FilterOf(ToDuration(request.age_min()), request.statements_max()));
  response.set_truncated(listing.truncated);
  const bool show_sql = config_.Get()->log.show_sql;
  for (const pool::RunningStatement& statement : listing.entries) {
    v1::RunningStatement& entry = *response.add_statements();
    FillStatement(statement, entry);
    entry.set_fingerprint(pools_.Fingerprint(statement.pool, statement.text));
    if (show_sql) {
      entry.set_sql(ShownText(pools_.WithoutConstants(statement.pool, statement.text)));
    }
  }
  return std::nullopt;
}

Operations::Trouble Operations::CancelStatement(const v1::CancelStatementRequest& request,
                                                const Patience& patience,
                                                v1::CancelStatementResponse& response) {
  if (Trouble trouble = CheckTime(request.terminate_after(), "terminate_after")) return trouble;
  std::optional<pool::Duration> terminate_after;
  if (request.has_terminate_after()) terminate_after = ToDuration(request.terminate_after());
  Awaited<pool::CancelVerdict> awaited;
  pools_.CancelStatement(request.id(), terminate_after, awaited.Hear());
  const std::optional<pool::CancelVerdict> verdict = awaited.Await(patience);
  if (!verdict) {
    return DeadlineError("the database has not confirmed the cancel yet; it is on its way");
  }
  if (!verdict->found) {
    return pool::OwnError(
        pool::ErrorKind::kStatementNotFound,
        fmt::format("no statement with the id {} runs or waits; it has ended, or never was",
                    request.id()));
  }
  Log(LogLevel::kWarn, "admin.statement_cancelled",
      {{"call", request.id()},
       {"finished_first", verdict->finished_first},
       {"terminated", verdict->terminated}});
  response.set_finished_first(verdict->finished_first);
  response.set_terminated(verdict->terminated);
  return std::nullopt;
}

Operations::Trouble Operations::ListSessions(const v1::ListSessionsRequest& request,
                                             v1::ListSessionsResponse& response) {
  size_t pool = 0;
  if (Trouble trouble = pools_.Find(request.pool(), pool)) return trouble;
  if (Trouble trouble = CheckTime(request.age_min(), "age_min")) return trouble;
  const auto listing = pools_.Sessions(
      Only(request.pool(), pool), FilterOf(ToDuration(request.age_min()), request.sessions_max()));
  response.set_truncated(listing.truncated);
  for (const pool::OpenSession& session : listing.entries) {
    v1::OpenSession& entry = *response.add_sessions();
    FillSession(session, entry);
    entry.set_last_fingerprint(pools_.Fingerprint(session.pool, session.last_text));
  }
  return std::nullopt;
}

Operations::Trouble Operations::CancelSession(const v1::CancelSessionRequest& request,
                                              const Patience& patience,
                                              v1::CancelSessionResponse& response) {
  Awaited<pool::SessionVerdict> awaited;
  pools_.CancelSession(request.id(), awaited.Hear());
  const std::optional<pool::SessionVerdict> verdict = awaited.Await(patience);
  if (!verdict) {
    return DeadlineError("the session's statement has not ended yet; its cancel is on its way");
  }
  if (!verdict->found) {
    return pool::OwnError(
        pool::ErrorKind::kSessionNotFound,
        fmt::format("no session with the id {} is open; it has ended, or never was", request.id()));
  }
  response.set_statement_cancelled(verdict->statement_cancelled);
  return std::nullopt;
}

Operations::Trouble Operations::ResizePool(const v1::ResizePoolRequest& request,
                                           v1::ResizePoolResponse& response) {
  size_t pool = 0;
  if (Trouble trouble = pools_.Find(request.pool(), pool)) return trouble;
  if (Trouble trouble = CheckServing()) return trouble;
  std::vector<WantedValue> wanted;
  if (request.has_min()) wanted.push_back({"min-connections", std::to_string(request.min())});
  if (request.has_max()) wanted.push_back({"max-connections", std::to_string(request.max())});
  const std::vector<std::string> problems =
      config_.Change(wanted, "Admin.ResizePool", pools_.names()[pool]);
  if (!problems.empty()) return Refused(problems);
  const pool::PoolStats stats = pools_.Report(pool).stats;
  response.set_min(static_cast<uint32_t>(stats.min));
  response.set_max(static_cast<uint32_t>(stats.max));
  response.set_total(static_cast<uint32_t>(stats.total));
  Log(LogLevel::kInfo, "pool.resized",
      {{"pool", stats.name}, {"min", stats.min}, {"max", stats.max}, {"total", stats.total}});
  return std::nullopt;
}

Operations::Trouble Operations::ResetStatistics(const v1::ResetStatisticsRequest& request,
                                                v1::ResetStatisticsResponse& response) {
  size_t pool = 0;
  if (Trouble trouble = pools_.Find(request.pool(), pool)) return trouble;
  *response.mutable_counting_since_time() = reports_.ResetStatistics(request.pool());
  return std::nullopt;
}

Operations::Trouble Operations::SetLogLevel(const v1::SetLogLevelRequest& request,
                                            v1::SetLogLevelResponse& response) {
  if (Trouble trouble = CheckTime(request.duration(), "duration")) return trouble;
  const std::optional<LogLevel> level = LevelOf(request.level());
  if (!level) {
    return Invalid("`level` must be LOG_LEVEL_DEBUG, _INFO, _WARNING or _ERROR");
  }
  response.set_previous_level(MessageOf(CurrentLogLevel()));
  if (request.has_duration()) {
    log_level_.Set(*level, ToDuration(request.duration()));
  } else {
    const std::vector<std::string> problems =
        config_.Change({{"log-level", std::string(LogLevelName(*level))}}, "Admin.SetLogLevel",
                       std::string(kDefaultPool));
    if (!problems.empty()) return Refused(problems);
    // It may be what is configured, while another holds for a while.
    log_level_.Forget();
    server::SetLogLevel(*level);
  }
  return std::nullopt;
}

}  // namespace dbsidecar::server
