#include "server/cli/top_frame.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string_view>
#include <tuple>

#include "server/cli/admin_text.h"
#include "server/cli/display_text.h"
#include "server/cli/health_text.h"
#include "server/cli/metrics_text.h"
#include "server/cli/result_table.h"
#include "server/cli/text_table.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using google::protobuf::util::TimeUtil;

// Cut to `width` columns, at a character's boundary.
std::string Fitted(const std::string& text, std::size_t width) {
  if (DisplayWidth(text) <= width) return text;
  std::string fitted = text;
  while (!fitted.empty() && DisplayWidth(fitted) > width) {
    do {
      fitted.pop_back();
    } while (!fitted.empty() && (static_cast<unsigned char>(fitted.back()) & 0x80) != 0 &&
             (static_cast<unsigned char>(fitted.back()) & 0xC0) != 0xC0);
    // What is left of a character of several bytes.
    if (!fitted.empty() && (static_cast<unsigned char>(fitted.back()) & 0xC0) == 0xC0) {
      fitted.pop_back();
    }
  }
  return fitted;
}

v1::Histogram Between(const v1::Histogram& earlier, const v1::Histogram& later) {
  v1::Histogram histogram = later;
  const bool same = earlier.counts_size() == later.counts_size();
  // After a reset it has begun anew.
  if (!same || earlier.count() > later.count()) return histogram;
  for (int i = 0; i < later.counts_size(); ++i) {
    histogram.set_counts(i, later.counts(i) - std::min(later.counts(i), earlier.counts(i)));
  }
  histogram.set_count(later.count() - earlier.count());
  return histogram;
}

const v1::PoolMetrics* PoolOf(const std::optional<v1::MetricsResponse>& metrics,
                              const std::string& name) {
  if (!metrics) return nullptr;
  for (const v1::PoolMetrics& pool : metrics->pools()) {
    if (pool.pool() == name) return &pool;
  }
  return nullptr;
}

std::uint64_t Sum(const google::protobuf::Map<std::string, std::uint64_t>& counts) {
  std::uint64_t sum = 0;
  for (const auto& entry : counts) sum += entry.second;
  return sum;
}

std::string Quantile(const v1::Histogram& histogram, double q) {
  if (histogram.count() == 0) return "-";
  const double bound = QuantileBound(histogram, q);
  const auto& bounds = histogram.upper_bounds_seconds();
  const bool beyond = !std::isfinite(bound);
  if (beyond && bounds.empty()) return "?";
  const double seconds = beyond ? bounds.Get(bounds.size() - 1) : bound;
  return Concat(beyond ? ">" : "",
                TextOfElapsed(std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9))));
}

std::string Bar(double percent, std::size_t width) {
  const double share = std::clamp(percent, 0.0, 100.0) / 100;
  const auto full = static_cast<std::size_t>(std::lround(share * static_cast<double>(width)));
  return Concat("[", std::string(full, '#'), std::string(width - full, '.'), "]");
}

Ink InkOf(v1::HealthStatus status) {
  if (status == v1::HEALTH_STATUS_HEALTHY) return Ink::kGood;
  return status == v1::HEALTH_STATUS_DEGRADED ? Ink::kWarning : Ink::kBad;
}

class Frame {
 public:
  Frame(const TopLook& look, const TopView& view) : look_(look), view_(view) {}

  std::vector<TopLine> Make() {
    AddHead();
    for (const v1::PoolMetrics& pool : look_.metrics.pools()) AddPool(pool);
    for (const v1::Alert& alert : look_.health.alerts()) AddAlert(alert);
    AddStatements();
    AddSessions();
    return Fit();
  }

 private:
  void Add(const std::string& text, Ink ink = Ink::kPlain) {
    lines_.push_back({.text = Fitted(text, view_.width), .ink = ink});
  }
  void AddField(std::string_view name, const std::string& text, Ink ink = Ink::kPlain) {
    Add(fmt::format("  {:<12}{}", name, Displayable(text)), ink);
  }

  void AddHead() {
    const v1::HealthResponse& health = look_.health;
    const std::string status = ShortName(v1::HealthStatus_Name(health.status()), "HEALTH_STATUS_");
    Add(fmt::format("dbsidecar {}  {}  up {}  {}{}", Displayable(health.version()), look_.address,
                    TextOfUptime(health.uptime()), status, health.ready() ? "" : ", not ready"),
        InkOf(health.status()));
    for (const std::string& cause : health.causes()) {
      Add(Concat("  ", Displayable(cause)), Ink::kWarning);
    }
  }

  void AddPool(const v1::PoolMetrics& pool) {
    const std::string state = ShortName(v1::PoolState_Name(pool.state()), "POOL_STATE_");
    Add(fmt::format("pool {} ({})  {}  {} of {} in use {}", Displayable(pool.pool()),
                    Displayable(pool.driver()), state, pool.active(), pool.max(),
                    Bar(pool.utilization_percent(), 20)),
        pool.state() == v1::POOL_STATE_ACTIVE ? Ink::kHeading : Ink::kWarning);
    AddField("connections",
             fmt::format("{} active, {} idle, {} connecting, {} pinging, {} resetting, {} closing",
                         pool.active(), pool.idle(), pool.connecting(), pool.pinging(),
                         pool.resetting(), pool.closing()));
    AddWaiting(pool);
    AddRates(pool);
    AddTimes(pool);
    if (!pool.last_error().empty()) AddField("last error", pool.last_error());
  }

  void AddWaiting(const v1::PoolMetrics& pool) {
    std::string text = fmt::format("{} of {}", pool.waiting(), pool.waiting_max());
    if (pool.has_oldest_wait()) text += Concat(", the oldest for ", TextOfSpan(pool.oldest_wait()));
    AddField("waiting", fmt::format("{:<40}sessions {}", text, pool.sessions()),
             pool.waiting() > 0 ? Ink::kWarning : Ink::kPlain);
  }

  double Seconds() const {
    const auto since = look_.before ? look_.before->time() : look_.metrics.counting_since_time();
    const auto span = look_.metrics.time() - since;
    return std::max(1e-3, static_cast<double>(TimeUtil::DurationToNanoseconds(span)) / 1e9);
  }

  void AddRates(const v1::PoolMetrics& pool) {
    const v1::PoolMetrics* before = PoolOf(look_.before, pool.pool());
    const auto rate = [&](std::uint64_t now, std::uint64_t then) {
      // Below what it was it has begun anew.
      return static_cast<double>(now >= then ? now - then : now) / Seconds();
    };
    static const v1::PoolMetrics kNothing;
    const v1::PoolMetrics& then = before == nullptr ? kNothing : *before;
    const double failed = rate(pool.statements_failed_total(), then.statements_failed_total());
    const double refused = rate(Sum(pool.refused_total()), Sum(then.refused_total()));
    AddField("statements",
             fmt::format("{:.1f}/s, {:.1f} failed/s, {:.1f} refused/s",
                         rate(pool.statements_total(), then.statements_total()), failed, refused),
             failed + refused > 0 ? Ink::kWarning : Ink::kPlain);
  }

  void AddTimes(const v1::PoolMetrics& pool) {
    const v1::PoolMetrics* before = PoolOf(look_.before, pool.pool());
    static const v1::PoolMetrics kNothing;
    const v1::PoolMetrics& then = before == nullptr ? kNothing : *before;
    AddTime("queue wait", Between(then.queue_wait(), pool.queue_wait()));
    AddTime("execute", Between(then.execute(), pool.execute()));
    AddTime("total time", Between(then.total_time(), pool.total_time()));
  }

  void AddTime(std::string_view name, const v1::Histogram& histogram) {
    AddField(name, fmt::format("p50 {:<10} p95 {:<10} p99 {}", Quantile(histogram, 0.5),
                               Quantile(histogram, 0.95), Quantile(histogram, 0.99)));
  }

  void AddAlert(const v1::Alert& alert) {
    Add(fmt::format("ALERT {} {}: {}", ShortName(v1::Severity_Name(alert.severity()), "SEVERITY_"),
                    Displayable(alert.name()), Displayable(alert.summary())),
        Ink::kBad);
  }

  void AddStatements() {
    if (!look_.statements) {
      Add(Concat("no lists: ", Displayable(look_.no_lists)));
      return;
    }
    const auto statements = Ordered(*look_.statements, view_.order);
    Add(fmt::format("statements: {}{}, by {}", statements.size(),
                    look_.statements->truncated() ? " and more" : "", NameOf(view_.order)),
        Ink::kHeading);
    if (statements.empty()) return;
    std::vector<std::vector<std::string>> rows = {
        {">id", "state", ">waited", ">ran", "rpc", "caller", "fingerprint"}};
    for (const v1::RunningStatement& statement : statements) {
      const std::string caller = CallerOf(statement.tags());
      rows.push_back({std::to_string(statement.id()), NameOfState(statement.state()),
                      TextOfSpan(statement.waited()),
                      statement.has_ran() ? TextOfSpan(statement.ran()) : "-", statement.rpc(),
                      caller.empty() ? "-" : caller,
                      statement.sql().empty() ? statement.fingerprint() : statement.sql()});
    }
    AddTable(rows, [&](std::size_t row) {
      return statements[row].id() == view_.chosen ? Ink::kChosen : Ink::kPlain;
    });
  }

  void AddSessions() {
    if (!look_.sessions) return;
    Add(fmt::format("sessions: {}{}", look_.sessions->sessions_size(),
                    look_.sessions->truncated() ? " and more" : ""),
        Ink::kHeading);
    if (look_.sessions->sessions().empty()) return;
    std::vector<std::vector<std::string>> rows = {
        {">id", "kind", ">age", ">idle", ">statements", "caller", "last fingerprint"}};
    const auto& sessions = look_.sessions->sessions();
    for (const v1::OpenSession& session : sessions) {
      const std::string caller = CallerOf(session.tags());
      rows.push_back({std::to_string(session.id()),
                      ToLower(ShortName(v1::SessionKind_Name(session.kind()), "SESSION_KIND_")),
                      TextOfSpan(look_.metrics.time() - session.begin_time()),
                      session.has_idle() ? TextOfSpan(session.idle()) : "runs",
                      std::to_string(session.statements()), caller.empty() ? "-" : caller,
                      session.last_fingerprint()});
    }
    AddTable(rows, [&](std::size_t row) {
      return sessions[static_cast<int>(row)].failed() ? Ink::kWarning : Ink::kPlain;
    });
  }

  template <typename InkOfRow>
  void AddTable(const std::vector<std::vector<std::string>>& rows, const InkOfRow& ink_of) {
    const std::string table = TextOfTable(rows);
    std::size_t row = 0;
    for (const std::string_view line : Split(table, '\n')) {
      if (line.empty()) continue;
      const bool heading = row == 0;
      const Ink ink = heading ? Ink::kPlain : ink_of(row - 1);
      // Without colours, too, it is seen which one is chosen.
      Add(Concat(ink == Ink::kChosen ? "> " : "  ", line), ink);
      ++row;
    }
  }

  // The footer is always there.
  std::vector<TopLine> Fit() {
    if (view_.height > 0) {
      const std::size_t room = view_.height - (view_.footer.empty() ? 0 : 1);
      lines_.resize(std::min(lines_.size(), room));
    }
    if (!view_.footer.empty()) {
      if (view_.height > 0) lines_.resize(view_.height - 1);
      Add(view_.footer, Ink::kHeading);
    }
    return std::move(lines_);
  }

  const TopLook& look_;
  const TopView& view_;
  std::vector<TopLine> lines_;
};

}  // namespace

std::string_view NameOf(TopOrder order) {
  switch (order) {
    case TopOrder::kAge:
      return "age";
    case TopOrder::kState:
      return "state";
    case TopOrder::kCaller:
      return "caller";
  }
  return "";
}

std::vector<v1::RunningStatement> Ordered(const v1::ListStatementsResponse& statements,
                                          TopOrder order) {
  std::vector<v1::RunningStatement> ordered(statements.statements().begin(),
                                            statements.statements().end());
  // They come by age, and stay so within what is equal.
  std::stable_sort(ordered.begin(), ordered.end(), [&](const auto& a, const auto& b) {
    switch (order) {
      case TopOrder::kAge:
        return false;
      case TopOrder::kState:
        return a.state() > b.state();
      case TopOrder::kCaller:
        return CallerOf(a.tags()) < CallerOf(b.tags());
    }
    return false;
  });
  return ordered;
}

std::uint64_t Neighbour(const std::vector<v1::RunningStatement>& statements, std::uint64_t chosen,
                        int steps) {
  if (statements.empty()) return 0;
  const auto found = std::find_if(statements.begin(), statements.end(),
                                  [&](const auto& statement) { return statement.id() == chosen; });
  if (found == statements.end()) return statements.front().id();
  const auto at = found - statements.begin() + steps;
  const auto last = static_cast<std::ptrdiff_t>(statements.size()) - 1;
  return statements[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(at, 0, last))].id();
}

std::vector<TopLine> FrameOf(const TopLook& look, const TopView& view) {
  return Frame(look, view).Make();
}

}  // namespace dbsidecar::server::cli
