#include "server/config/reload.h"

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
  OptionDifference difference = {.name = std::string(option.flag),
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

}  // namespace

ReloadPlan PlanReload(const Config& read_before, const Config& in_force, const Config& read_now) {
  ReloadPlan plan{.config = in_force, .read = read_now};
  for (const Option& option : Options()) {
    if (SameValue(option, read_before, read_now)) {
      const bool by_hand = in_force.values[IndexOf(option)].source == ValueSource::kAdmin;
      if (!by_hand) Take(option, read_now, plan.config);
    } else if (!CanApply(option, in_force, read_now)) {
      plan.refused.push_back(DifferenceOf(option, in_force, read_now));
      Take(option, read_before, plan.read);
    } else {
      if (!SameValue(option, in_force, read_now)) {
        plan.applied.push_back(DifferenceOf(option, in_force, read_now));
      }
      Take(option, read_now, plan.config);
    }
  }
  plan.problems = CheckTogether(plan.config, {});
  return plan;
}

Change PlanChange(const Config& in_force, const std::vector<WantedValue>& wanted,
                  const std::string& origin) {
  Change change{.config = in_force};
  OptionNames invalid;
  for (const auto& [name, text] : wanted) {
    const Option& option = OptionOf(name);
    const absl::Status status = Assign(option, text, ValueSource::kAdmin, change.config);
    if (!status.ok()) {
      invalid.insert(option.flag);
      change.problems.push_back({std::string(name), origin, text, std::string(status.message())});
    }
    change.config.values[IndexOf(option)] = {&option, FormatValue(option, change.config),
                                             ValueSource::kAdmin, origin};
  }
  for (Problem& problem : CheckTogether(change.config, invalid)) {
    change.problems.push_back(std::move(problem));
  }
  return change;
}

}  // namespace dbsidecar::server
