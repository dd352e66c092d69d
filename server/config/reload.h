// What a reload makes of a configuration that was read again: which options it applies, and which
// have to wait for a restart.
#pragma once

#include <string>
#include <vector>

#include "server/config/config.h"

namespace dbsidecar::server {

// An option whose value has changed; secrets as `***`.
struct OptionDifference {
  std::string name;
  std::string old_value;  // In force before.
  std::string new_value;
};

struct ReloadPlan {
  Config config;  // To be in force: what was, with `applied`.
  Config read;    // To be compared with the next time: an option that was refused is told of again.
  std::vector<OptionDifference> applied{};
  std::vector<OptionDifference> refused{};
  std::vector<Problem> problems{};  // Not empty: nothing is to be applied.
};

// `read_before` came from the sources the last time, `in_force` is that with what operators have
// changed since by hand. An option that they changed keeps its value unless the sources have a new
// one.
ReloadPlan PlanReload(const Config& read_before, const Config& in_force, const Config& read_now);

// What an operator wants changed by hand.
struct WantedValue {
  std::string_view option;  // Its flag without dashes.
  std::string text;
};

struct Change {
  Config config;
  std::vector<Problem> problems{};
};

// `origin` is told wherever a value's origin is. REQUIRES: there is such a pool.
Change PlanChange(const Config& in_force, const std::vector<WantedValue>& wanted,
                  const std::string& origin, std::string_view pool = kDefaultPool);

}  // namespace dbsidecar::server
