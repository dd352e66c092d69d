// From the pool's result straight to the wire, without a message in between (docs/adr/0019): typed
// columns, rows for people, or text columns.
#pragma once

#include <cstdint>
#include <vector>

#include "dbsidecar/v1/query.pb.h"
#include "dbsidecar/v1/session.pb.h"
#include "dbsidecar/v1/value.pb.h"
#include "pool/call.h"
#include "server/wire_writer.h"

namespace dbsidecar::server {

// The fields of a ResultSet.
void EncodeResult(const pool::Result& result, v1::ResultFormat format, WireWriter& out);

// The fields of a QueryResponse, for a call that went well.
void EncodeOutcome(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                   WireWriter& out);

// The fields of the QueryResponses of a result that comes in parts.
class StreamEncoder {
 public:
  StreamEncoder(v1::ResultFormat format, bool want_timing)
      : format_(format), want_timing_(want_timing) {}

  void EncodePart(const pool::Part& part, WireWriter& out);
  // With the answer comes the last one.
  void EncodeLast(const pool::Outcome& outcome, WireWriter& out);

 private:
  void Learn(const std::vector<pool::ColumnInfo>& columns);

  const v1::ResultFormat format_;
  const bool want_timing_;
  std::vector<pool::ColumnInfo> columns_;  // They come with the first part, and are shown there.
};

// The fields of an EndSessionResponse, likewise.
void EncodeEnd(const pool::Outcome& outcome, bool want_timing, WireWriter& out);

// Which of Column's arrays a PostgreSQL type travels in.
enum class WireKind { kInteger, kDouble, kBool, kText, kBytes };
WireKind WireKindOf(uint32_t type_oid);

}  // namespace dbsidecar::server
