#include "server/config/reload.h"

#include <algorithm>

#include "server/config/cross_checks.h"
#include "server/config/options.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

// In the order of the table, as `Config::values` is.
size_t IndexOf(const Option& option) { return static_cast<size_t>(&option - Options().data()); }

// Another password is taken for the connections that are opened from now on; another database is
// not what callers had begun with.
bool OnlyThePasswordDiffers(const DatabaseUrl& a, const DatabaseUrl& b) {
  return a.driver == DatabaseDriver::kPostgres && b.driver == DatabaseDriver::kPostgres &&
         RedactUrl(a.name) == RedactUrl(b.name);
}

bool CanApply(const Option& option, const Config& before, const Config& now) {
  if (option.type == OptionType::kUrl) {
    return OnlyThePasswordDiffers(before.database, now.database);
  }
  return option.reload;
}

OptionDifference DifferenceOf(const Option& option, const Config& before, const Config& now) {
  OptionDifference difference = {.name = OptionName(option.flag, now),
                                 .old_value = FormatValue(option, before),
                                 .new_value = FormatValue(option, now)};
  // They look the same.
  if (option.type == OptionType::kUrl && CanApply(option, before, now)) {
    difference.new_value += " (another password)";
  }
  return difference;
}

void Take(const Option& option, const Config& from, Config& to) {
  CopyValue(option, from, to);
  to.values[IndexOf(option)] = from.values[IndexOf(option)];
}

// Of the options that `wanted` wants, into what `plan` has of the same pool.
template <typename Wanted>
void PlanOptions(const Config& read_before, const Config& in_force, const Config& read_now,
                 Wanted wanted, ReloadPlan& plan, Config& config, Config& read) {
  for (const Option& option : Options()) {
    if (!wanted(option)) continue;
    if (SameValue(option, read_before, read_now)) {
      const bool by_hand = in_force.values[IndexOf(option)].source == ValueSource::kAdmin;
      if (!by_hand) Take(option, read_now, config);
    } else if (!CanApply(option, in_force, read_now)) {
      plan.refused.push_back(DifferenceOf(option, in_force, read_now));
      Take(option, read_before, read);
    } else {
      if (!SameValue(option, in_force, read_now)) {
        plan.applied.push_back(DifferenceOf(option, in_force, read_now));
      }
      Take(option, read_now, config);
    }
  }
}

std::string NamesOf(const std::vector<Config>& pools) {
  std::vector<std::string> names;
  names.reserve(pools.size());
  for (const Config& pool : pools) names.push_back(pool.pool_name);
  return Join(names, ", ");
}

}  // namespace

ReloadPlan PlanReload(const Config& read_before, const Config& in_force, const Config& read_now) {
  ReloadPlan plan{.config = in_force, .read = read_now};
  PlanOptions(
      read_before, in_force, read_now, [](const Option&) { return true; }, plan, plan.config,
      plan.read);
  plan.problems = CheckTogether(plan.config, {});
  // Which pools there are is what callers have begun with.
  const std::string before = NamesOf(in_force.pools);
  const std::string now = NamesOf(read_now.pools);
  const bool same_pools = before == now;
  if (!same_pools) {
    plan.refused.push_back({.name = "pools", .old_value = before, .new_value = now});
    plan.read.pools = read_before.pools;
  }
  for (size_t i = 0; i < plan.config.pools.size(); ++i) {
    Config& config = plan.config.pools[i];
    if (same_pools) {
      PlanOptions(
          read_before.pools[i], in_force.pools[i], read_now.pools[i],
          [](const Option& option) { return option.per_pool; }, plan, config, plan.read.pools[i]);
    }
    for (const Option& option : Options()) {
      if (!option.per_pool) CopyValue(option, plan.config, config);
    }
    for (Problem& problem : CheckTogether(config, {})) plan.problems.push_back(std::move(problem));
  }
  return plan;
}

Change PlanChange(const Config& in_force, const std::vector<WantedValue>& wanted,
                  const std::string& origin, std::string_view pool) {
  Change change{.config = in_force};
  const auto named = std::ranges::find(change.config.pools, pool, &Config::pool_name);
  Config& config = named == change.config.pools.end() ? change.config : *named;
  OptionNames invalid;
  for (const auto& [name, text] : wanted) {
    const Option& option = OptionOf(name);
    const absl::Status status = Assign(option, text, ValueSource::kAdmin, config);
    if (!status.ok()) {
      invalid.insert(option.flag);
      change.problems.push_back(
          {OptionName(name, config), origin, text, std::string(status.message())});
    }
    config.values[IndexOf(option)] = {&option, FormatValue(option, config), ValueSource::kAdmin,
                                      origin};
  }
  for (Problem& problem : CheckTogether(config, invalid)) {
    change.problems.push_back(std::move(problem));
  }
  return change;
}

}  // namespace dbsidecar::server
