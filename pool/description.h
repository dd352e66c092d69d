// What a statement takes and returns, told without running it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pool/result.h"

namespace dbsidecar::pool {

// A type that is not one of the database's own.
struct TypeInfo {
  enum class Kind : uint8_t {
    kUnknown,
    kBase,
    kArray,
    kEnum,
    kDomain,
    kComposite,
    kRange,
    kMultirange,
    kPseudo
  };

  uint32_t oid = 0;
  std::string schema;
  std::string name;
  Kind kind = Kind::kUnknown;
  uint32_t base_oid = 0;  // An array's element, what a domain is over, a range's bound; or 0.
  std::vector<std::string> labels;     // Of an enum, in order.
  std::vector<ColumnInfo> attributes;  // Of a composite, in order.
};

struct Description {
  std::vector<uint32_t> parameter_types;
  std::vector<ColumnInfo> columns;
  std::vector<TypeInfo> types;  // Those of the above, and what they are made of.

  // From the text alone.
  bool only_reads = false;  // Provably.
  std::string verdict_reason;
  bool needs_session = false;
  bool needs_own_connection = false;  // Alone, outside any transaction.
  std::string fingerprint;            // Empty = cannot be told.
};

}  // namespace dbsidecar::pool
