// The settings of one call as a command that applies them.
#pragma once

#include <string>
#include <vector>

#include "pool/statement.h"

namespace dbsidecar::pool {

struct SettingsCommand {
  std::string sql;  // A SELECT, because SET LOCAL warns outside a transaction block.
  std::vector<std::string> values;
};

// How long what is set lasts.
enum class SettingsReach { kTransaction, kSession };

// REQUIRES: !settings.none(). The role comes last: it may be allowed less than the sidecar's user.
SettingsCommand CommandFor(const CallSettings& settings, SettingsReach reach);

// Equal for settings under which a text means the same; empty for the pool's own.
std::string MeaningKey(const CallSettings& settings);

}  // namespace dbsidecar::pool
