// What the operating system says of this process.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <chrono>

#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server {

void FillProcessMetrics(v1::ProcessMetrics& metrics);
// The part of it that costs nothing: processor time used, user and system together.
double ProcessorSeconds();
double ResidentBytes();

void SetTimestamp(std::chrono::system_clock::time_point time, google::protobuf::Timestamp& into);

void SetDuration(std::chrono::nanoseconds duration, google::protobuf::Duration& into);

}  // namespace dbsidecar::server
