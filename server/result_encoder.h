// From the pool's result to the wire: typed columns, rows for people, or text columns.
#pragma once

#include <cstdint>
#include <vector>

#include "dbsidecar/v1/query.pb.h"
#include "dbsidecar/v1/session.pb.h"
#include "dbsidecar/v1/value.pb.h"
#include "pool/call.h"

namespace dbsidecar::server {

// Fills `response` from a call that went well.
void EncodeOutcome(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                   v1::QueryResponse& response);

// The same for a result that comes in parts, one message for each.
class StreamEncoder {
 public:
  StreamEncoder(v1::ResultFormat format, bool want_timing)
      : format_(format), want_timing_(want_timing) {}

  void EncodePart(const pool::Part& part, v1::QueryResponse& response);
  // With the answer comes the last one.
  void EncodeLast(const pool::Outcome& outcome, v1::QueryResponse& response);

 private:
  void Learn(const std::vector<pool::ColumnInfo>& columns);

  const v1::ResultFormat format_;
  const bool want_timing_;
  std::vector<pool::ColumnInfo> columns_;  // They come with the first part, and are shown there.
};

// The same for the end of a session.
void EncodeEnd(const pool::Outcome& outcome, bool want_timing, v1::EndSessionResponse& response);

// Which of Column's arrays a PostgreSQL type travels in.
enum class WireKind { kInteger, kDouble, kBool, kText, kBytes };
WireKind WireKindOf(uint32_t type_oid);

}  // namespace dbsidecar::server
