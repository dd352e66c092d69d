// What must hold between options, and what follows from one option for others.
#pragma once

#include <set>
#include <string_view>
#include <vector>

#include "server/config/config.h"

namespace dbsidecar::server {

using OptionNames = std::set<std::string_view>;

// Checks that involve an option in `invalid` are left out: its value is not the one that was meant.
std::vector<Problem> CheckTogether(const Config& config, const OptionNames& invalid);

// What must hold between the pools of `config`.
std::vector<Problem> CheckPools(const Config& config);

// A minimum that nobody chose is lowered to the maximum.
void ApplyMaximumRule(Config& config);

// A SQLite database in memory lives in one connection: the pool holds exactly one, for ever.
void ApplyInMemoryRule(Config& config);

}  // namespace dbsidecar::server
