// What a caller asks of a connection: one statement, its parameters, and how much it wants back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "pool/time.h"

namespace dbsidecar::pool {

// A parameter. Text and bytes are borrowed from whoever owns the call.
struct Value {
  enum class Kind : uint8_t { kNull, kBool, kInteger, kDouble, kText, kBytes };

  Kind kind = Kind::kNull;
  uint32_t type_oid = 0;  // 0 = the database infers it.
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
  };
  std::string_view text;  // kText (UTF-8) and kBytes.
};

struct ResultLimits {
  uint64_t rows_max = 0;   // 0 = no limit.
  bool truncate = false;   // Rows over `rows_max` are dropped, and the result says so; or it fails.
  uint64_t bytes_max = 0;  // Data bytes kept; a result over it fails. 0 = no limit.
};

// What a text is, and how it travels.
enum class StatementForm : uint8_t {
  kSingle,
  kScript,   // Any number of statements, without parameters.
  kCopyIn,   // COPY FROM STDIN; its data comes from Call::source.
  kCopyOut,  // COPY TO STDOUT; its data goes to Call::sink.
};

// Database settings with the reach of SET LOCAL, or of the pinned session that the call opens.
// Empty and 0 = the pool's own.
struct CallSettings {
  std::string_view role{};
  std::string_view search_path{};
  std::string_view time_zone{};
  std::string_view application_name{};
  Duration statement_timeout{};  // Can only lower the configured one.
  Duration lock_timeout{};

  // Every database can have a limit on time.
  bool only_statement_timeout() const {
    return role.empty() && search_path.empty() && time_zone.empty() && application_name.empty() &&
           lock_timeout == Duration::zero();
  }
  bool none() const { return only_statement_timeout() && statement_timeout == Duration::zero(); }
};

struct Statement {
  StatementForm form = StatementForm::kSingle;
  bool separate_transactions = false;  // kScript: each of its statements is one.
  std::string_view sql;                // One statement with $1, $2, ... for its parameters.
  std::vector<Value> parameters;
  ResultLimits limits;
  bool read_only = false;   // The caller's word. Enforced by the database, never trusted.
  bool idempotent = false;  // The caller's word: may be run again although it writes.
  CallSettings settings;
};

}  // namespace dbsidecar::pool
