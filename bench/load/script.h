// What each caller does again and again: one statement, or the statements of a transaction.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace dbsidecar::bench {

struct Statement {
  std::string_view sql;
  std::array<int64_t, 4> parameters{};
  size_t parameter_count = 0;
  bool read_only = false;
  bool begins = false;   // A transaction begins with it,
  bool inside = false;   // or it belongs to the one that the slot has open,
  bool commits = false;  // which ends with it.
};

// Rounds of statements, a round at a time in each slot. Not thread-safe.
class Script {
 public:
  virtual ~Script() = default;

  // The first statement of a round.
  virtual Statement Begin(size_t slot) = 0;

  // The next one once that is answered; nothing at the end of the round.
  virtual std::optional<Statement> Next(size_t /*slot*/) { return std::nullopt; }
};

// On pgbench's tables at this scale:
//
//   select   a point select by primary key, as `pgbench -S`
//   update   of one row by primary key
//   tpcb     pgbench's transaction; BEGIN rides with its first statement, COMMIT with its last
//   nothing  an empty request
//
// Null for any other name.
std::unique_ptr<Script> MakeScript(const std::string& name, size_t slots, int scale);

}  // namespace dbsidecar::bench
