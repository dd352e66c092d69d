// From the pool's result to the wire: typed columns, rows for people, or text columns.
#pragma once

#include <cstdint>

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/describe.pb.h"
#include "dbsidecar/v1/query.pb.h"
#include "dbsidecar/v1/session.pb.h"
#include "dbsidecar/v1/value.pb.h"
#include "pool/call.h"

namespace dbsidecar::server {

// Fills `response` from a call that went well.
void EncodeOutcome(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                   v1::QueryResponse& response);

// The same for several statements.
void EncodeBatch(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                 v1::BatchResponse& response);
void EncodeMany(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                v1::ExecuteManyResponse& response);

void EncodeDescription(const pool::Description& description, v1::DescribeResponse& response);

// The same for the end of a session.
void EncodeEnd(const pool::Outcome& outcome, bool want_timing, v1::EndSessionResponse& response);

// Which of Column's arrays a PostgreSQL type travels in.
enum class WireKind { kInteger, kDouble, kBool, kText, kBytes };
WireKind WireKindOf(uint32_t type_oid);

}  // namespace dbsidecar::server
