// The answers to Batch, ExecuteMany and Describe.
#pragma once

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/describe.pb.h"
#include "pool/call.h"

namespace dbsidecar::server {

// Fill `response` from a call that went well.
void FillBatch(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
               v1::BatchResponse& response);
void FillMany(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
              v1::ExecuteManyResponse& response);
void FillDescription(const pool::Description& description, v1::DescribeResponse& response);

}  // namespace dbsidecar::server
