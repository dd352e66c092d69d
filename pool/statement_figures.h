// Figures by statement shape: which statements the database's time goes into.
//
// A shape is what texts have in common that differ only in constants and spacing; its fingerprint
// names it. To find a text's shape takes a parse, so a driver keeps a place for it in its cache of
// texts (Classification::figures), and a text that is known costs neither a parse nor a hash here.
//
// Not thread-safe: it lives on the loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/histogram.h"
#include "pool/time.h"

namespace dbsidecar::pool {

class Driver;

// What is counted. `calls` may be more than `execute` holds: steps of a batch run together, so
// their times are not known apart.
struct StatementCounts {
  uint64_t calls = 0;
  uint64_t failed = 0;
  uint64_t rows = 0;  // Returned or affected.
  Histogram execute;  // From the grant to the last byte of the reply.

  StatementCounts& operator+=(const StatementCounts& more);
  // REQUIRES: none of it is more than is there.
  StatementCounts& operator-=(const StatementCounts& less);
};

struct StatementFigures {
  uint64_t id = 0;  // Of this entry; rises, and is not used again when its place is another's.
  std::string fingerprint;
  std::string text;  // Without its constants; "" unless texts are kept.
  StatementCounts counts;
  Instant used;           // Last.
  bool replaced = false;  // Its place in the table is another's now.
};

// What a driver keeps with a text for the table.
using StatementFiguresPlace = std::shared_ptr<StatementFigures>;

struct StatementsReport {
  std::vector<StatementFigures> statements;  // In no order.
  StatementCounts other;                     // Of all that are not listed.
};

// Bounded: when it is full, a new shape takes the place of the one unused for longest, whose counts
// go to "other". So do those of texts whose shape cannot be told.
class StatementTable {
 public:
  // 0 entries = nothing is counted. The driver is borrowed.
  StatementTable(const Driver& driver, size_t entries_max, bool keeps_texts);

  // Of the shapes that are new from now on; or of none, not even of those that are there.
  void KeepTexts(bool keeps_texts);

  // Where calls of this text are counted, null = nowhere. `place` is what the driver keeps with it,
  // null = nothing.
  std::shared_ptr<StatementFigures> Of(std::string_view sql, StatementFiguresPlace* place,
                                       Instant now);

  StatementsReport Report() const;

 private:
  std::shared_ptr<StatementFigures> Find(std::string_view sql);
  void MakeRoom();

  const Driver& driver_;
  const size_t entries_max_;
  bool keeps_texts_;
  uint64_t next_id_ = 1;
  absl::flat_hash_map<std::string, std::shared_ptr<StatementFigures>> entries_;  // By fingerprint.
  std::shared_ptr<StatementFigures> other_ = std::make_shared<StatementFigures>();
};

}  // namespace dbsidecar::pool
