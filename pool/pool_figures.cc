// The part of Pool that counts: by statement, by caller and by lane, and tells of what was slow.
#include <algorithm>
#include <utility>

#include "pool/pool.h"

namespace dbsidecar::pool {
namespace {

uint64_t RowsOf(const Result& result) {
  return result.rows_affected >= 0 ? static_cast<uint64_t>(result.rows_affected)
                                   : result.rows.row_count();
}

// Those that its limit dropped included.
uint64_t RowsOf(const StepResult& step) {
  return step.result.rows_affected >= 0 ? static_cast<uint64_t>(step.result.rows_affected)
                                        : step.rows_returned;
}

void AddRun(StatementFigures& figures, bool failed, uint64_t rows) {
  ++figures.counts.calls;
  figures.counts.failed += failed ? 1 : 0;
  figures.counts.rows += rows;
}

// Of a batch or a script the parts together.
uint64_t AllRowsOf(const Outcome& outcome) {
  uint64_t rows = RowsOf(outcome.result);
  for (const Result& result : outcome.results) rows += RowsOf(result);
  for (const StepResult& step : outcome.steps) rows += RowsOf(step);
  return rows;
}

}  // namespace

void Pool::CountArrival(CallState& state) {
  state.caller_figures = caller_table_.Of(state.call->caller, state.arrived);
  if (state.caller_figures != nullptr) ++state.caller_figures->in_progress;
}

void Pool::NoteStatement(CallState& state, StatementFiguresPlace* place) {
  state.figures = statement_table_.Of(state.call->statement.sql, place, state.arrived);
}

void Pool::CountAnswer(CallState& state, const Outcome& outcome) {
  const bool ran = state.connection != 0;
  if (ran) {
    ++lane_statements_[state.lane][state.shares ? 1 : 0];
    CountStatement(state, outcome);
    TellIfSlow(state, outcome);
  }
  if (CallerFigures* caller = state.caller_figures) {
    ++caller->calls;
    caller->failed += outcome.error ? 1 : 0;
    --caller->in_progress;
    if (ran) caller->queue_wait.Record(outcome.timing.queue);
  }
  if (state.call->trace.sampled()) NoteExemplars(state, outcome.timing);
}

void Pool::CountStatement(const CallState& state, const Outcome& outcome) {
  if (!state.step_figures.empty()) {
    CountSteps(state, outcome);
  } else if (state.figures != nullptr) {
    AddRun(*state.figures, outcome.error.has_value(), AllRowsOf(outcome) + state.rows_in_parts);
    state.figures->counts.execute.Record(outcome.timing.execute);
  }
}

// A batch that failed as a whole names the step that did it, if one did.
void Pool::CountSteps(const CallState& state, const Outcome& outcome) {
  if (!outcome.error) {
    for (size_t i = 0; i < outcome.steps.size(); ++i) {
      const StepResult& step = outcome.steps[i];
      StatementFigures* figures = state.step_figures[i].get();
      if (figures != nullptr && step.outcome != StepOutcome::kSkipped) {
        AddRun(*figures, step.error.has_value(), RowsOf(step));
      }
    }
  } else if (outcome.error->place && outcome.error->place->part == "step") {
    StatementFigures* figures = state.step_figures.at(outcome.error->place->index).get();
    if (figures != nullptr) AddRun(*figures, true, 0);
  }
}

void Pool::NoteExemplars(const CallState& state, const Timing& timing) {
  const auto now = std::chrono::system_clock::now();
  const TraceContext& trace = state.call->trace;
  queue_exemplars_.Note(timing.queue, trace, now);
  if (state.connection != 0) execute_exemplars_.Note(timing.execute, trace, now);
  total_exemplars_.Note(timing.queue + timing.execute, trace, now);
}

// How long a stream takes as a whole says more about its reader.
void Pool::TellIfSlow(const CallState& state, const Outcome& outcome) {
  if (slow_statement_ == Duration::zero()) return;
  const Duration ran =
      state.parts_went_out ? state.first_part_at - state.granted : outcome.timing.execute;
  if (ran < slow_statement_) return;
  const bool several = !state.step_figures.empty();
  const bool counted = state.figures != nullptr && !state.figures->fingerprint.empty();
  std::string fingerprint = several   ? ""
                            : counted ? state.figures->fingerprint
                                      : driver_.Fingerprint(state.call->statement.sql);
  observer_.OnSlowStatement({.call = *state.call,
                             .timing = outcome.timing,
                             .ran = ran,
                             .error = outcome.error ? &*outcome.error : nullptr,
                             .rows = AllRowsOf(outcome) + state.rows_in_parts,
                             .fingerprint = std::move(fingerprint),
                             .text = state.figures == nullptr ? "" : state.figures->text});
}

namespace {

LaneStats& LaneOfCall(std::vector<LaneStats>& lanes, size_t first, bool split, bool shares) {
  return lanes[split && shares ? first + 1 : first];
}

}  // namespace

// A lane without a name of its own is told as two: "leased" and "shared".
void Pool::AddLanes(PoolStats& stats) const {
  std::vector<size_t> first;  // In stats.lanes, by lane.
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const PoolCore& core = *lanes_[i];
    const bool split = lane_names_[i].empty();
    const size_t shared = core.count(ConnectionState::kShared);
    const size_t leased = core.count(ConnectionState::kLeased);
    first.push_back(stats.lanes.size());
    stats.lanes.push_back({.name = split ? "leased" : lane_names_[i],
                           .total = core.total() - (split ? shared : 0),
                           .idle = core.count(ConnectionState::kIdle),
                           .in_use = leased + (split ? 0 : shared),
                           .max = core.config().max,
                           .statements = lane_statements_[i][0]});
    if (!split) {
      stats.lanes.back().statements += lane_statements_[i][1];
    } else {
      stats.lanes.push_back({.name = "shared",
                             .total = shared,
                             .in_use = shared,
                             .max = core.config().shared_max,
                             .statements = lane_statements_[i][1]});
    }
  }
  Instant oldest_granted = kNever;
  Instant oldest_arrived = kNever;
  for (const auto& [id, state] : calls_) {
    const bool runs = state.connection != 0;
    LaneStats& lane = LaneOfCall(stats.lanes, first[state.lane], lane_names_[state.lane].empty(),
                                 runs ? state.shares : state.shareable);
    ++(runs ? lane.in_flight : lane.waiting);
    Instant& oldest = runs ? oldest_granted : oldest_arrived;
    oldest = std::min(oldest, runs ? state.granted : state.arrived);
  }
  for (const auto& [token, session] : sessions_) {
    oldest_granted = std::min(oldest_granted, session->began);
  }
  const Instant now = loop_.now();
  if (oldest_granted != kNever) stats.oldest_lease = now - oldest_granted;
  if (oldest_arrived != kNever) stats.oldest_wait = now - oldest_arrived;
}

}  // namespace dbsidecar::pool
