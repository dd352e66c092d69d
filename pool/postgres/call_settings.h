// The settings of one call as a command that applies them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pool/call.h"
#include "pool/statement.h"
#include "pool/time.h"

namespace dbsidecar::pool {

struct SettingsCommand {
  std::string sql;  // A SELECT, because SET LOCAL warns outside a transaction block.
  std::vector<std::string> values;
};

// How long what is set lasts.
enum class SettingsReach { kTransaction, kSession };

// REQUIRES: !settings.none(). The role comes last: it may be allowed less than the sidecar's user.
SettingsCommand CommandFor(const CallSettings& settings, SettingsReach reach);

// The server's statement_timeout holds from a statement's start to its end, but how long a stream
// or a COPY takes is up to its caller. It is set aside for them; not one that was set by the
// caller's own SQL.
struct TimeoutLift {
  Duration configured;  // Only this value is set aside.
  Duration instead;     // 0 = no limit.
};
// None where it is to hold: nothing is configured, the call neither streams nor copies, or it has a
// lower limit of its own.
std::optional<TimeoutLift> TimeoutLiftFor(const Call& call, Duration configured);
SettingsCommand LiftCommand(const TimeoutLift& lift, SettingsReach reach);
// Puts back what LiftCommand found, in the same transaction.
SettingsCommand UnliftCommand();

// Equal for settings under which a text means the same; empty for the pool's own.
std::string MeaningKey(const CallSettings& settings);

}  // namespace dbsidecar::pool
