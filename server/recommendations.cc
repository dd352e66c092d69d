#include "server/recommendations.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <utility>

#include "server/config/values.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// How full a pool should be at its usual load, so that bursts have room.
constexpr double kGoodShare = 0.75;
constexpr double kFullPercent = 80;
constexpr seconds kMinuteMin{10};       // Less of the last minute tells nothing.
constexpr minutes kHourMin{30};         // Nor does less of the last hour, of what is missing in it.
constexpr double kWaitMin = 0.05;       // Seconds, of the slowest of a hundred waits.
constexpr double kCallsMin = 20;        // Fewer are no sample.
constexpr double kErrorsMin = 10;       // Within a minute...
constexpr double kErrorShareMin = 0.1;  // ...and of all calls.
constexpr double kIdleSessionShare = 0.5;
constexpr seconds kIdleSessionMin{5};
constexpr double kLockWaitMin = 1;  // Seconds.
constexpr double kChurnMin = 60;    // Connections within an hour.
constexpr double kLostMin = 5;      // The same.
constexpr double kServerNearlyFull = 0.9;
constexpr double kMemoryPercent = 70;
constexpr size_t kSmallPool = 8;

enum class Id {
  kPoolTooSmall,
  kCallsRefused,
  kCallsWait,
  kErrorBurst,
  kIdleSessions,
  kLockWaits,
  kServerConnections,
  kConnectionsLost,
  kIdleTimeoutShort,
  kLifetimeShort,
  kMemoryNearLimit,
  kSequentialScans,
  kCostlyStatements,
  kPoolTooLarge,
};
// By Id.
constexpr std::array<std::string_view, 14> kIds = {
    "pool-too-small",     "calls-refused",  "calls-wait",         "error-burst",
    "idle-sessions",      "lock-waits",     "server-connections", "connections-lost",
    "idle-timeout-short", "lifetime-short", "memory-near-limit",  "sequential-scans",
    "costly-statements",  "pool-too-large"};

double Seconds(std::chrono::nanoseconds time) { return duration<double>(time).count(); }

std::string LengthOf(std::chrono::nanoseconds time) {
  if (time < minutes(2)) return fmt::format("{:.0f} s", Seconds(time));
  return fmt::format("{:.0f} min", Seconds(time) / 60);
}

using Figures = std::initializer_list<std::pair<const char*, double>>;

// Looks at one pool from every side, and writes down what there is to say.
class Advisor {
 public:
  Advisor(const AdviceFigures& figures, const AdviceSettings& settings)
      : hour_(figures.hour),
        settings_(settings),
        first_(figures.minute.front()),
        now_(figures.minute.back().stats),
        window_(figures.minute.back().time - figures.minute.front().time) {
    FillPerformance(figures.minute, minute_);
    for (const FiguresSample& look : figures.minute) {
      waiting_mean_ += static_cast<double>(look.stats.waiting);
    }
    waiting_mean_ /= static_cast<double>(figures.minute.size());
    in_use_mean_ = minute_.utilization_percent() / 100 * max();
  }

  std::vector<v1::Recommendation> Run() {
    LookAtSize();
    LookAtRefusals();
    LookAtErrors();
    LookAtSessions();
    LookAtServer();
    LookAtChurn();
    LookAtMemory();
    LookAtStatements();
    std::ranges::stable_sort(advice_, std::ranges::greater(), &v1::Recommendation::severity);
    return std::move(advice_);
  }

 private:
  double max() const { return static_cast<double>(now_.max); }
  bool postgres() const { return now_.facts.connections_max > 0; }

  v1::Recommendation& Add(Id id, v1::Severity severity, std::string evidence, std::string remedy,
                          Figures figures) {
    v1::Recommendation& advice = advice_.emplace_back();
    advice.set_id(std::string(kIds[static_cast<size_t>(id)]));
    advice.set_severity(severity);
    advice.set_pool(now_.name);
    advice.set_evidence(std::move(evidence));
    advice.set_remedy(std::move(remedy));
    advice.set_docs_url(Concat("docs/recommendations.md#", advice.id()));
    for (const auto& [name, value] : figures) (*advice.mutable_figures())[name] = value;
    return advice;
  }

  static void Suggest(v1::Recommendation& advice, std::string_view option, std::string value) {
    advice.set_option(std::string(option));
    advice.set_suggested_value(std::move(value));
  }

  // How many connections this pool can have at most when all sidecars have as many; none = not
  // known.
  std::optional<double> ServerShare() const {
    if (!postgres()) return std::nullopt;
    const double others = std::max(0.0, now_.facts.connections - static_cast<double>(now_.total) -
                                            static_cast<double>(settings_.replicas - 1) * max());
    const double room =
        now_.facts.connections_max - now_.facts.findings.reserved_connections - others;
    return std::max(1.0, std::floor(room / static_cast<double>(settings_.replicas)));
  }

  // More is needed than there is; or there are waits although there is enough.
  void LookAtSize() {
    const auto waits =
        static_cast<double>(GrowthOf(first_.stats.queue.count(), now_.queue.count()));
    const double wait_p99 = Seconds(QuantileOf(first_.stats.queue, now_.queue, 0.99));
    const bool waited = wait_p99 > kWaitMin || waiting_mean_ >= 1;
    const bool known = window_ >= kMinuteMin && waits >= kCallsMin && waited;
    if (known && minute_.utilization_percent() > kFullPercent) {
      TellThatItIsTooSmall(wait_p99);
    } else if (known) {
      TellOfWaits(wait_p99);
    }
    LookWhetherItIsTooLarge();
  }

  // By Little's law: what is in the system on average, in use or waiting, is what would be in use
  // if there were enough. Not more than twice as many at once: the database decides how far that
  // goes.
  void TellThatItIsTooSmall(double wait_p99) {
    const double needed = in_use_mean_ + waiting_mean_;
    double wanted =
        std::clamp(std::ceil(needed / kGoodShare), max() + 1, std::max(max() + 1, 2 * max()));
    const std::optional<double> share = ServerShare();
    const bool limited = share && *share < wanted;
    if (limited) wanted = std::max(*share, max());
    v1::Recommendation& advice = Add(
        Id::kPoolTooSmall, v1::SEVERITY_WARNING,
        fmt::format("within the last {:.0f} s {:.0f} % of {} connections were in use and {:.1f} "
                    "calls waited on average; 1 of 100 waited {:.0f} ms or longer. By "
                    "Little's law {:.1f} connections are needed",
                    Seconds(window_), minute_.utilization_percent(), now_.max, waiting_mean_,
                    wait_p99 * 1000, needed),
        RemedyFor(limited ? share : std::nullopt),
        {{"connections_max", max()},
         {"connections_needed", needed},
         {"in_use_mean", in_use_mean_},
         {"waiting_mean", waiting_mean_},
         {"utilization_percent", minute_.utilization_percent()},
         {"wait_p99_seconds", wait_p99},
         {"statements_per_second", minute_.statements_per_second()}});
    if (now_.driver == "sqlite" && now_.max == 1) return;  // In memory there can be no more.
    advice.set_option("max-connections");
    if (wanted > max()) advice.set_suggested_value(fmt::format("{:.0f}", wanted));
  }

  // `share`: as many as the server has room for, if that is what limits.
  std::string RemedyFor(std::optional<double> share) const {
    if (share) {
      return fmt::format(
          "the server has room for {:.0f} connections in each of {} sidecars: raise "
          "its max_connections first, or make the statements faster",
          *share, settings_.replicas);
    }
    if (now_.driver == "sqlite") {
      return "make the statements faster; more connections help those that read, not those that "
             "write";
    }
    return "raise the maximum, if the database has processors to spare; otherwise make the "
           "statements faster";
  }

  void TellOfWaits(double wait_p99) {
    const double opened =
        static_cast<double>(GrowthOf(first_.stats.counters.opened, now_.counters.opened));
    v1::Recommendation& advice = Add(
        Id::kCallsWait, v1::SEVERITY_INFO,
        fmt::format("within the last {:.0f} s 1 of 100 calls waited {:.0f} ms or longer, "
                    "although only {:.0f} % of {} connections were in use on average; {:.0f} "
                    "were opened meanwhile",
                    Seconds(window_), wait_p99 * 1000, minute_.utilization_percent(), now_.max,
                    opened),
        opened > 0 ? "the calls come in bursts and wait for connections to be opened: keep more "
                     "of them open"
                   : "the calls come in bursts, or few statements that take long hold up the "
                     "others: spread them",
        {{"wait_p99_seconds", wait_p99},
         {"utilization_percent", minute_.utilization_percent()},
         {"connections_opened", opened},
         {"in_use_max", static_cast<double>(hour_.in_use_max())}});
    const size_t min = std::min(hour_.in_use_max(), now_.max);
    if (opened > 0 && min > now_.min) {
      Suggest(advice, "min-connections", std::to_string(min));
    }
  }

  void LookWhetherItIsTooLarge() {
    if (!postgres() || hour_.length() < kHourMin || now_.max < kSmallPool) return;
    const size_t used = hour_.in_use_max();
    if (used * 4 > now_.max || hour_.waiting_max() > 0) return;
    const size_t enough = std::max({now_.min, used * 2, kSmallPool / 2});
    Suggest(Add(Id::kPoolTooLarge, v1::SEVERITY_INFO,
                fmt::format("within the last {} at most {} of {} connections were in use at once, "
                            "and no call waited",
                            LengthOf(hour_.length()), used, now_.max),
                "lower the maximum, so that the server keeps its connections for others",
                {{"connections_max", max()},
                 {"in_use_max", static_cast<double>(used)},
                 {"window_seconds", Seconds(hour_.length())}}),
            "max-connections", std::to_string(enough));
  }

  double Refused(pool::RefuseReason reason) const {
    return hour_.Growth([reason](const pool::PoolStats& stats) {
      return stats.counters.refused[static_cast<size_t>(reason)];
    });
  }

  void LookAtRefusals() {
    const double full = Refused(pool::RefuseReason::kQueueFull);
    const double late = Refused(pool::RefuseReason::kWaitTimeout);
    if (full + late == 0) return;
    v1::Recommendation& advice = Add(
        Id::kCallsRefused, v1::SEVERITY_WARNING,
        fmt::format(
            "within the last {} {:.0f} calls were refused because the queue was full (limit "
            "{}), and {:.0f} because they had waited {}",
            LengthOf(hour_.length()), full, settings_.waiters_max, late,
            FormatDuration(settings_.wait_timeout)),
        "make room first (pool-too-small, lock-waits, idle-sessions); a longer queue or time only "
        "helps against short bursts",
        {{"refused_queue_full", full},
         {"refused_wait_timeout", late},
         {"waiting_max", static_cast<double>(hour_.waiting_max())},
         {"window_seconds", Seconds(hour_.length())}});
    advice.set_option(full > late ? "waiters-max" : "wait-timeout");
  }

  void LookAtErrors() {
    const auto calls = static_cast<double>(GrowthOf(first_.stats.statements, now_.statements));
    const auto errors = static_cast<double>(GrowthOf(first_.stats.errors, now_.errors));
    if (errors < kErrorsMin || errors < kErrorShareMin * calls) return;
    Add(Id::kErrorBurst, v1::SEVERITY_WARNING,
        fmt::format("{:.0f} of {:.0f} calls failed within the last {:.0f} s; the latest: {}",
                    errors, calls, Seconds(window_), now_.last_error),
        "see docs/errors.md for what it means and who can mend it; dbsidecar_statements_total "
        "tells "
        "the failures by their code",
        {{"failed", errors}, {"calls", calls}, {"window_seconds", Seconds(window_)}});
  }

  // Those that wait for their caller, not for the database.
  void LookAtSessions() {
    const auto idle = static_cast<double>(now_.sessions_idle);
    if (idle < kIdleSessionShare * max() || now_.longest_idle_session < kIdleSessionMin) return;
    v1::Recommendation& advice =
        Add(Id::kIdleSessions, v1::SEVERITY_WARNING,
            fmt::format("{} of {} connections are held by sessions in which nothing runs, the "
                        "longest for {:.0f} s",
                        now_.sessions_idle, now_.max, Seconds(now_.longest_idle_session)),
            "end transactions as soon as their last statement is done; a shorter time limit frees "
            "what was forgotten. session.held in the log names the callers",
            {{"sessions_idle", idle},
             {"sessions", static_cast<double>(now_.sessions)},
             {"connections_max", max()},
             {"longest_idle_seconds", Seconds(now_.longest_idle_session)}});
    const bool off = settings_.session_idle_timeout == milliseconds::zero();
    if (off || settings_.session_idle_timeout > seconds(30)) {
      Suggest(advice, "session-idle-timeout", "30s");
    }
  }

  void LookAtServer() {
    const pool::ServerFindings& findings = now_.facts.findings;
    if (findings.waiting_for_locks > 0 && findings.longest_lock_wait_seconds >= kLockWaitMin) {
      Add(Id::kLockWaits, v1::SEVERITY_WARNING,
          fmt::format("when it was last asked, {} sessions of the database waited for locks of "
                      "others, one of them for {:.0f} s",
                      findings.waiting_for_locks, findings.longest_lock_wait_seconds),
          "find who holds them with pg_blocking_pids(), and keep transactions short",
          {{"waiting_for_locks", findings.waiting_for_locks},
           {"longest_seconds", findings.longest_lock_wait_seconds}});
    }
    const std::optional<double> share = ServerShare();
    if (!share) return;
    const double used = now_.facts.connections;
    const double limit = now_.facts.connections_max;
    const bool full = used >= kServerNearlyFull * limit;
    if (max() <= *share && !full) return;
    v1::Recommendation& advice =
        Add(Id::kServerConnections, v1::SEVERITY_WARNING,
            fmt::format("the server allows {:.0f} connections, of which {} are reserved and {:.0f} "
                        "are open; {} sidecars with up to {} each want {:.0f}",
                        limit, findings.reserved_connections, used, settings_.replicas, now_.max,
                        static_cast<double>(settings_.replicas) * max()),
            "lower the maximum of each sidecar, or raise max_connections of the server",
            {{"server_connections_max", limit},
             {"server_connections", used},
             {"reserved", findings.reserved_connections},
             {"replicas", static_cast<double>(settings_.replicas)},
             {"connections_max", max()}});
    advice.set_option("max-connections");
    if (max() > *share) advice.set_suggested_value(fmt::format("{:.0f}", *share));
  }

  double Closed(pool::CloseReason reason) const {
    return hour_.Growth([reason](const pool::PoolStats& stats) {
      return stats.counters.closed[static_cast<size_t>(reason)];
    });
  }

  double Opened() const {
    return hour_.Growth([](const pool::PoolStats& stats) { return stats.counters.opened; });
  }

  // Connections that are closed and opened again for the sake of a setting.
  void LookAtChurn() {
    const double idle = Closed(pool::CloseReason::kIdleTimeout);
    if (idle >= kChurnMin && Opened() >= idle / 2) {
      Suggest(AddChurn(Id::kIdleTimeoutShort, idle, "idle-timeout", settings_.idle_timeout,
                       "the lulls between bursts are longer than the idle timeout: make it longer, "
                       "or keep more connections open (--min-connections)"),
              "idle-timeout", FormatDuration(LongerIdleTimeout()));
    }
    const double aged = Closed(pool::CloseReason::kLifetime);
    if (aged >= std::max(kChurnMin, 6 * max()) && settings_.lifetime < minutes(10)) {
      Suggest(AddChurn(Id::kLifetimeShort, aged, "lifetime", settings_.lifetime,
                       "each new connection costs a connect and has to prepare its statements "
                       "again: make the lifetime longer"),
              "lifetime", "30min");
    }
    const double lost = Closed(pool::CloseReason::kLost) + Closed(pool::CloseReason::kPingFailed);
    if (lost < kLostMin) return;
    Add(Id::kConnectionsLost, v1::SEVERITY_INFO,
        fmt::format("within the last {} {:.0f} idle connections were closed by the other side or "
                    "no longer answered",
                    LengthOf(hour_.length()), lost),
        "if the server was not restarted, something between forgets idle connections: keep them "
        "idle for less than its limit",
        {{"lost", lost}, {"window_seconds", Seconds(hour_.length())}})
        .set_option("idle-timeout");
  }

  // Longer than the lifetime would have no effect.
  milliseconds LongerIdleTimeout() const {
    const milliseconds longer = settings_.idle_timeout * 5;
    const bool limited = settings_.lifetime > milliseconds::zero();
    return limited ? std::min(longer, settings_.lifetime) : longer;
  }

  v1::Recommendation& AddChurn(Id id, double closed, std::string_view option, milliseconds setting,
                               std::string remedy) {
    return Add(
        id, v1::SEVERITY_INFO,
        fmt::format("within the last {} {:.0f} connections were closed by {} ({}), and "
                    "{:.0f} opened",
                    LengthOf(hour_.length()), closed, option, FormatDuration(setting), Opened()),
        std::move(remedy),
        {{"closed", closed},
         {"opened", Opened()},
         {"setting_seconds", Seconds(setting)},
         {"window_seconds", Seconds(hour_.length())}});
  }

  void LookAtMemory() {
    const FiguresSample& look = hour_.last();
    if (look.memory_limit_bytes == 0) return;
    const auto held = static_cast<double>(look.resident_bytes);
    const auto limit = static_cast<double>(look.memory_limit_bytes);
    if (100 * held < kMemoryPercent * limit) return;
    v1::Recommendation& advice =
        Add(Id::kMemoryNearLimit, v1::SEVERITY_WARNING,
            fmt::format("the process holds {:.0f} MiB of the {:.0f} MiB that it may have",
                        held / (1 << 20), limit / (1 << 20)),
            "raise the container's limit, have large results read by QueryStream, or allow less "
            "for each",
            {{"resident_bytes", held}, {"limit_bytes", limit}});
    advice.set_pool("");
    advice.set_option("result-bytes-max");
  }

  void LookAtStatements() {
    for (const auto& table : now_.facts.findings.scanned_tables) {
      Add(Id::kSequentialScans, v1::SEVERITY_INFO,
          fmt::format("{} with some {:.0f} rows was read from end to end {:.0f} times, and {:.0f} "
                      "times by an index, since the server's statistics were reset",
                      table.name, table.rows, table.sequential_scans, table.index_scans),
          "find the statements with EXPLAIN; an index on what they compare is missing, or cannot "
          "be "
          "used",
          {{"rows", table.rows},
           {"sequential_scans", table.sequential_scans},
           {"index_scans", table.index_scans}});
    }
    for (const auto& statement : now_.facts.findings.costly_statements) {
      Add(Id::kCostlyStatements, v1::SEVERITY_INFO,
          fmt::format("the statement with queryid {} reads {:.0f} blocks for {:.1f} rows, ran "
                      "{:.0f} times and takes {:.1f} ms on average",
                      statement.id, statement.blocks_per_call, statement.rows_per_call,
                      statement.calls, statement.mean_seconds * 1000),
          "look it up in pg_stat_statements, and see with EXPLAIN (ANALYZE, BUFFERS) what an index "
          "would spare",
          {{"blocks_per_call", statement.blocks_per_call},
           {"rows_per_call", statement.rows_per_call},
           {"calls", statement.calls},
           {"mean_seconds", statement.mean_seconds}});
    }
  }

  const PoolTrend& hour_;
  const AdviceSettings& settings_;
  const FiguresSample& first_;  // Of the last minute.
  const pool::PoolStats& now_;
  const std::chrono::nanoseconds window_;  // From the one to the other.
  v1::PerformanceIndicators minute_;
  double waiting_mean_ = 0;
  double in_use_mean_ = 0;
  std::vector<v1::Recommendation> advice_;
};

}  // namespace

std::span<const std::string_view> RecommendationIds() { return kIds; }

std::vector<v1::Recommendation> Recommend(const AdviceFigures& figures,
                                          const AdviceSettings& settings) {
  return Advisor(figures, settings).Run();
}

}  // namespace dbsidecar::server
