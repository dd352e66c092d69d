// The part of Pool that serves operators: pause, new limits, lists, and cancels by hand.
#include <fmt/format.h>

#include <algorithm>

#include "pool/pool.h"

namespace dbsidecar::pool {
namespace {

// Keeps the oldest `filter.count_max`, in order. An entry is a pair of a time and an id.
template <typename Entries>
bool KeepOldest(const ListFilter& filter, Entries& entries) {
  const bool truncated = entries.size() > filter.count_max;
  const auto end =
      truncated ? entries.begin() + static_cast<ptrdiff_t>(filter.count_max) : entries.end();
  std::partial_sort(entries.begin(), end, entries.end());
  entries.erase(end, entries.end());
  return truncated;
}

}  // namespace

void Pool::Pause() {
  for (auto& lane : lanes_) lane->Pause(loop_.now(), actions_);
  Act();
}

void Pool::Unpause() {
  for (auto& lane : lanes_) lane->Unpause(loop_.now(), actions_);
  Act();
}

bool Pool::paused() const { return lanes_[0]->paused(); }

std::optional<Error> Pool::Reconfigure(const PoolOptions& options) {
  const std::vector<LaneShape> shapes = driver_.Lanes(options.core.min, options.core.max);
  if (shapes.size() != lanes_.size()) {
    // The driver goes by what it was asked last.
    driver_.Lanes(options_.core.min, options_.core.max);
    return OwnError(ErrorKind::kInvalidArgument,
                    fmt::format("{} needs a restart to go from {} to {} connections at most, "
                                "because it divides them otherwise",
                                driver_.name(), options_.core.max, options.core.max));
  }
  if (!hub_->empty() && LaneConfig(options.core, shapes[0]).max < 2) {
    return OwnError(ErrorKind::kInvalidArgument,
                    "the connection that hears notifications takes one place while there are "
                    "subscribers, and none would be left for statements; keep at least 2");
  }
  const bool other_interval = options.health_check_interval != options_.health_check_interval;
  PoolOptions now_in_force = options;
  now_in_force.name = options_.name;
  now_in_force.seed = options_.seed;
  now_in_force.listen_backlog_max = options_.listen_backlog_max;
  options_ = std::move(now_in_force);
  if (other_interval) ScheduleCheck();
  slow_statement_ = options_.slow_statement;
  statement_table_.KeepTexts(options_.keeps_statement_texts);
  for (size_t i = 0; i < lanes_.size(); ++i) {
    all_share_[i] = shapes[i].sharing.has_value() && shapes[i].sharing->all;
    lanes_[i]->Reconfigure(loop_.now(), LaneConfig(options_.core, shapes[i]), actions_);
  }
  hub_->Reconfigure(lanes_[0]->config());
  if (options_.limits != limits_.options()) LetOn(limits_.Reconfigure(options_.limits));
  Act();
  return std::nullopt;
}

std::string_view Pool::TextOf(const Call& call) {
  if (call.session.kind == SessionUse::Kind::kEnd) return {};
  const std::string_view text = call.batch != nullptr && !call.batch->steps.empty()
                                    ? call.batch->steps[0].statement.sql
                                    : call.statement.sql;
  return text.size() <= kTextShownMax ? text : std::string_view();
}

// PostgreSQL's one lane has two kinds of connections, by what is on them.
std::string Pool::LaneNameOf(const CallState& state) const {
  const std::string_view name = driver_.LaneName(state.lane);
  if (!name.empty()) return std::string(name);
  const bool shared = state.connection == 0 ? state.shareable : state.shares;
  return shared ? "shared" : "leased";
}

int32_t Pool::ServerPidOf(ConnectionId id) const {
  const auto it = connections_.find(id);
  return it == connections_.end() ? 0 : it->second.handle->server_pid();
}

RunningStatement Pool::ShownOf(const CallState& state) const {
  const Instant now = loop_.now();
  const Call& call = *state.call;
  const bool waits = state.connection == 0;
  RunningStatement shown;
  shown.pool = options_.name;
  shown.id = call.id;
  shown.state = state.gave_up != GiveUp::kNone ? RunningStatement::State::kCancelling
                : waits                        ? RunningStatement::State::kWaiting
                                               : RunningStatement::State::kRunning;
  shown.age = now - state.arrived;
  shown.waited = (waits ? now : state.granted) - state.arrived;
  if (!waits) shown.ran = now - state.granted;
  shown.text = TextOf(call);
  shown.caller = call.caller;
  shown.session = state.session == nullptr ? 0 : state.session->id;
  shown.lane = LaneNameOf(state);
  shown.server_pid = ServerPidOf(state.connection);
  shown.rpc = call.rpc;
  return shown;
}

Listing<RunningStatement> Pool::Statements(const ListFilter& filter) const {
  std::vector<std::pair<Instant, CallId>> oldest;
  for (const auto& [id, state] : calls_) {
    if (loop_.now() - state.arrived >= filter.age_min) oldest.emplace_back(state.arrived, id);
  }
  Listing<RunningStatement> listing;
  listing.truncated = KeepOldest(filter, oldest);
  for (const auto& [arrived, id] : oldest) listing.entries.push_back(ShownOf(calls_.at(id)));
  return listing;
}

OpenSession Pool::ShownOf(const Session& session) const {
  OpenSession shown;
  shown.pool = options_.name;
  shown.id = session.id;
  shown.pinned = session.pinned;
  shown.failed = session.status == TransactionStatus::kFailed;
  shown.age = loop_.now() - session.began;
  if (session.running == 0) shown.idle = loop_.now() - session.idle_since;
  shown.statements = session.statements;
  shown.last_text = session.last_text;
  shown.caller = session.caller;
  const auto client = clients_.find(session.client_id);
  if (client != clients_.end()) shown.client_name = client->second->client_name;
  shown.server_pid = ServerPidOf(session.connection);
  return shown;
}

Listing<OpenSession> Pool::Sessions(const ListFilter& filter) const {
  std::vector<std::pair<Instant, const Session*>> oldest;
  for (const auto& [token, session] : sessions_) {
    if (loop_.now() - session->began < filter.age_min) continue;
    oldest.emplace_back(session->began, session.get());
  }
  Listing<OpenSession> listing;
  listing.truncated = KeepOldest(filter, oldest);
  for (const auto& [began, session] : oldest) listing.entries.push_back(ShownOf(*session));
  return listing;
}

void Pool::CancelStatement(CallId id, std::optional<Duration> terminate_after,
                           std::function<void(CancelVerdict)> done) {
  if (!calls_.contains(id)) {
    done({.found = false});
    return;
  }
  watches_[id].push_back({.done = std::move(done)});
  StopWaitingFor(calls_.at(id), GiveUp::kOperator);
  const auto it = calls_.find(id);  // What had waited is gone by now.
  if (it != calls_.end() && terminate_after) {
    CallState& state = it->second;
    // On a shared connection others would lose theirs with it: there the grace of every cancel
    // holds.
    if (!state.shares) state.terminate_at = loop_.now() + *terminate_after;
    if (state.answered) SetTimer(state, std::min(state.timer, state.terminate_at));
  }
  Act();
}

void Pool::CancelSession(uint64_t id, const std::function<void(SessionVerdict)>& done) {
  const auto it = std::find_if(sessions_.begin(), sessions_.end(),
                               [&](const auto& entry) { return entry.second->id == id; });
  if (it == sessions_.end()) {
    done({.found = false});
    return;
  }
  Session& session = *it->second;
  const bool runs = session.running != 0;
  if (runs) {
    watches_[session.running].push_back({.done = [done](CancelVerdict verdict) {
      done({.statement_cancelled = !verdict.finished_first});
    }});
  }
  Revoke(session, "admin");
  Act();
  if (!runs) done({});
}

void Pool::NoteAnswer(CallId id, const Outcome& outcome) {
  const auto it = watches_.find(id);
  if (it == watches_.end()) return;
  const bool cancelled = outcome.error && outcome.error->kind == ErrorKind::kCancelled;
  for (CancelWatch& watch : it->second) watch.verdict.finished_first = !cancelled;
}

void Pool::NoteTerminated(CallId id) {
  const auto it = watches_.find(id);
  if (it == watches_.end()) return;
  for (CancelWatch& watch : it->second) watch.verdict.terminated = true;
}

void Pool::TellWatches(CallId id) {
  const auto it = watches_.find(id);
  if (it == watches_.end()) return;
  const std::vector<CancelWatch> watches = std::move(it->second);
  watches_.erase(it);
  for (const CancelWatch& watch : watches) watch.done(watch.verdict);
}

}  // namespace dbsidecar::pool
