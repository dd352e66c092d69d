// A health report for people.
#pragma once

#include <string>

#include "dbsidecar/v1/health.pb.h"

namespace dbsidecar::server::cli {

std::string TextOfHealth(const v1::HealthResponse& health);

// The part after the prefix: "UP" for DATABASE_STATUS_UP. Unknown numbers are "unknown".
std::string ShortName(std::string_view name, std::string_view prefix);

// `2d 3h 4min 5s`, without what is zero in front.
std::string TextOfUptime(const google::protobuf::Duration& uptime);

}  // namespace dbsidecar::server::cli
