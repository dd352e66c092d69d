#include "pool/call_limits.h"

#include <utility>

namespace dbsidecar::pool {
namespace {

constexpr std::array kKinds = {LimitKind::kCaller, LimitKind::kRoute, LimitKind::kStatement};

const std::string& KeyOf(const LimitKeys& keys, LimitKind kind) {
  return keys[static_cast<size_t>(kind)];
}

}  // namespace

std::string_view LimitName(LimitKind kind) {
  switch (kind) {
    case LimitKind::kCaller:
      return "caller";
    case LimitKind::kRoute:
      return "route";
    case LimitKind::kStatement:
      return "statement";
  }
  return "";
}

CallLimits::Verdict CallLimits::Enter(uint64_t id, const LimitKeys& keys, bool bounded) {
  const std::optional<LimitKind> reached = FirstReached(keys);
  if (reached) ++reached_total_[static_cast<size_t>(*reached)];
  if (!reached || !options_.enforce) {
    TakePlaces(keys);
    return {.entry = Entry::kGoesOn, .reached = reached};
  }
  const size_t waiting = GatesOf(*reached).at(KeyOf(keys, *reached)).waiting.size();
  if (bounded && options_.waiting_max != 0 && waiting >= options_.waiting_max) {
    return {.entry = Entry::kRefused, .reached = reached};
  }
  const uint64_t came = next_++;
  waiting_.emplace(came, Waiting{.id = id, .keys = keys});
  came_.emplace(id, came);
  StandBefore(*reached, came, keys);
  return {.entry = Entry::kWaits, .reached = reached};
}

std::vector<uint64_t> CallLimits::Leave(const LimitKeys& keys) {
  for (const LimitKind kind : kKinds) {
    const auto gate = GatesOf(kind).find(KeyOf(keys, kind));
    // One that entered before there was this limit has no place.
    if (gate != GatesOf(kind).end() && gate->second.at_work > 0) --gate->second.at_work;
  }
  std::vector<uint64_t> on;
  for (const LimitKind kind : kKinds) LetOn(kind, KeyOf(keys, kind), on);
  for (const LimitKind kind : kKinds) DropIfUnused(kind, KeyOf(keys, kind));
  return on;
}

void CallLimits::Withdraw(uint64_t id) {
  const auto came = came_.find(id);
  if (came == came_.end()) return;
  const auto call = waiting_.find(came->second);
  StepAside(call->first, call->second);
  DropIfUnused(call->second.at, KeyOf(call->second.keys, call->second.at));
  waiting_.erase(call);
  came_.erase(came);
}

std::vector<uint64_t> CallLimits::Reconfigure(const CallLimitOptions& options) {
  options_ = options;
  std::vector<uint64_t> on;
  for (auto call = waiting_.begin(); call != waiting_.end();) {
    const uint64_t came = call->first;
    StepAside(came, call->second);
    DropIfUnused(call->second.at, KeyOf(call->second.keys, call->second.at));
    const std::optional<LimitKind> reached = FirstReached(call->second.keys);
    if (reached && options_.enforce) {
      StandBefore(*reached, came, call->second.keys);
      ++call;
      continue;
    }
    TakePlaces(call->second.keys);
    on.push_back(call->second.id);
    came_.erase(call->second.id);
    call = waiting_.erase(call);
  }
  return on;
}

size_t CallLimits::at_work(LimitKind kind, const std::string& key) const {
  const Gates& gates = gates_[static_cast<size_t>(kind)];
  const auto gate = gates.find(key);
  return gate == gates.end() ? 0 : gate->second.at_work;
}

std::optional<LimitKind> CallLimits::FirstReached(const LimitKeys& keys) const {
  for (const LimitKind kind : kKinds) {
    const size_t max = options_.max[static_cast<size_t>(kind)];
    if (max == 0 || KeyOf(keys, kind).empty()) continue;
    if (at_work(kind, KeyOf(keys, kind)) >= max) return kind;
  }
  return std::nullopt;
}

void CallLimits::TakePlaces(const LimitKeys& keys) {
  for (const LimitKind kind : kKinds) {
    if (!KeyOf(keys, kind).empty()) ++GatesOf(kind)[KeyOf(keys, kind)].at_work;
  }
}

void CallLimits::StandBefore(LimitKind kind, uint64_t came, const LimitKeys& keys) {
  GatesOf(kind)[KeyOf(keys, kind)].waiting.insert(came);
  waiting_.at(came).at = kind;
}

void CallLimits::StepAside(uint64_t came, const Waiting& call) {
  GatesOf(call.at).at(KeyOf(call.keys, call.at)).waiting.erase(came);
}

void CallLimits::LetOn(LimitKind kind, const std::string& key, std::vector<uint64_t>& on) {
  const size_t max = options_.max[static_cast<size_t>(kind)];
  const auto gate = [&]() -> Gate* {
    const auto found = GatesOf(kind).find(key);
    return found == GatesOf(kind).end() ? nullptr : &found->second;
  };
  while (Gate* here = gate()) {
    if (here->waiting.empty() || (max != 0 && here->at_work >= max)) return;
    const uint64_t came = *here->waiting.begin();
    const auto call = waiting_.find(came);
    StepAside(came, call->second);
    // It may have to wait before another gate now.
    if (const std::optional<LimitKind> reached = FirstReached(call->second.keys)) {
      StandBefore(*reached, came, call->second.keys);
      continue;
    }
    TakePlaces(call->second.keys);
    on.push_back(call->second.id);
    came_.erase(call->second.id);
    waiting_.erase(call);
  }
}

void CallLimits::DropIfUnused(LimitKind kind, const std::string& key) {
  const auto gate = GatesOf(kind).find(key);
  if (gate == GatesOf(kind).end()) return;
  if (gate->second.at_work == 0 && gate->second.waiting.empty()) GatesOf(kind).erase(gate);
}

}  // namespace dbsidecar::pool
