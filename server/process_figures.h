// What the operating system says of this process.
#pragma once

#include <chrono>

#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server {

void FillProcessMetrics(v1::ProcessMetrics& metrics);

// When this process started, as far as this program knows.
void SetTimestamp(std::chrono::system_clock::time_point time, google::protobuf::Timestamp& into);

}  // namespace dbsidecar::server
