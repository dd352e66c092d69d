// The part of Pool that holds calls back for the limits by caller, route and statement.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pool/pool.h"

namespace dbsidecar::pool {

// A statement is known by its figures, which are counted for its shape.
LimitKeys Pool::LimitKeysOf(const CallState& state) const {
  const auto limited = [this](LimitKind kind) {
    return options_.limits.max[static_cast<size_t>(kind)] != 0;
  };
  LimitKeys keys;
  if (limited(LimitKind::kCaller)) keys[0] = state.call->caller;
  if (limited(LimitKind::kRoute)) keys[1] = state.call->route;
  if (limited(LimitKind::kStatement) && state.figures != nullptr) {
    keys[2] = state.figures->fingerprint;
  }
  return keys;
}

// True: it may ask for a connection. Otherwise it is answered already, or waits until it may.
bool Pool::PassLimits(CallState& state) {
  if (options_.limits.none()) return true;
  LimitKeys keys = LimitKeysOf(state);
  const bool bounded = !state.call->flow_controlled;
  size_t waiting = limits_.waiting();
  for (const auto& lane : lanes_) waiting += lane->waiting();
  const CallLimits::Verdict verdict = limits_.Enter(state.call->id, keys, bounded);
  if (verdict.reached) {
    const LimitKind kind = *verdict.reached;
    observer_.OnLimited({.kind = kind,
                         .key = keys[static_cast<size_t>(kind)],
                         .max = options_.limits.max[static_cast<size_t>(kind)],
                         .enforced = options_.limits.enforce});
  }
  state.limit_keys = std::make_unique<LimitKeys>(std::move(keys));
  if (verdict.entry == CallLimits::Entry::kGoesOn) return true;
  state.held_by = verdict.reached;
  const bool full = bounded && waiting >= options_.core.waiters_max;
  if (verdict.entry == CallLimits::Entry::kRefused || full) {
    limits_.Withdraw(state.call->id);
    FinishHeld(state, RefuseReason::kQueueFull);
    return false;
  }
  SetTimer(state, EarlierDeadline(state.deadline, state.arrived, options_.core.wait_timeout));
  return false;
}

void Pool::FinishHeld(CallState& state, RefuseReason reason) {
  const LimitKind kind = *state.held_by;
  const std::string& key = (*state.limit_keys)[static_cast<size_t>(kind)];
  observer_.OnRefused(state.call->id, reason);
  if (state.caller_figures != nullptr) ++state.caller_figures->refused;
  const std::string limit = fmt::format(
      "{} calls of the {} \"{}\" are at work already, which is the limit (limit-{}; pool \"{}\")",
      limits_.at_work(kind, key), LimitName(kind), key, LimitName(kind), options_.name);
  Outcome outcome;
  switch (reason) {
    case RefuseReason::kQueueFull:
      outcome.error = OwnError(ErrorKind::kQueueFull,
                               fmt::format("too many calls wait for their turn: {}", limit));
      break;
    case RefuseReason::kWaitTimeout:
      outcome.error = OwnError(
          ErrorKind::kWaitTimeout,
          fmt::format("no turn within {:g} s: {}",
                      std::chrono::duration<double>(options_.core.wait_timeout).count(), limit));
      break;
    case RefuseReason::kDeadline:
    case RefuseReason::kDraining:
    case RefuseReason::kConnectRejected:
      outcome.error =
          OwnError(ErrorKind::kDeadline, fmt::format("no turn before the deadline: {}", limit));
      break;
  }
  state.limit_keys.reset();  // It has no place.
  state.held_by.reset();
  Finish(state, std::move(outcome));
}

void Pool::OnHeldTimer(CallState& state) {
  limits_.Withdraw(state.call->id);
  const bool deadline = loop_.now() >= state.deadline;
  FinishHeld(state, deadline ? RefuseReason::kDeadline : RefuseReason::kWaitTimeout);
}

// A held call that its caller, or we, no longer wait for.
void Pool::StopHolding(CallState& state) {
  limits_.Withdraw(state.call->id);
  state.limit_keys.reset();
  state.held_by.reset();
}

void Pool::LeaveLimits(std::unique_ptr<LimitKeys> keys) {
  if (keys == nullptr) return;
  if (limits_.waiting() == 0) {
    limits_.Leave(*keys);
    return;
  }
  places_left_.push_back(std::move(*keys));
  // Whoever ends a call does not always act afterwards.
  if (!acting_) loop_.Post([this] { Act(); });
}

// Only where what the cores decide about those who go on is carried out at once.
void Pool::FillPlaces() {
  const std::vector<LimitKeys> left = std::exchange(places_left_, {});
  for (const LimitKeys& keys : left) LetOn(limits_.Leave(keys));
}

// Its time to wait has run since it arrived.
void Pool::LetOn(const std::vector<CallId>& calls) {
  for (const CallId id : calls) {
    CallState& state = calls_.at(id);
    state.held_by.reset();
    SetTimer(state, kNever);
    Arrive(state, state.arrived);
  }
}

}  // namespace dbsidecar::pool
