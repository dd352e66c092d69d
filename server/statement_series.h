// Which statements /metrics lists, and what it says of them.
//
// A series must not go back: Prometheus would take that for a restart and count all of it again. So
// a statement that gets on the list counts from zero there, and what it had counted before stays in
// "other"; and one that gets off the list does not add to "other" what it had counted on it.
//
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/statement_figures.h"
#include "pool/time.h"

namespace dbsidecar::server {

class StatementSeries {
 public:
  explicit StatementSeries(size_t listed_max) : listed_max_(listed_max) {}

  // The list for a scrape at `now`: those with the most time of late, by fingerprint, and "other"
  // at the end.
  std::vector<pool::StatementFigures> List(const pool::StatementsReport& report, pool::Instant now);

 private:
  struct Series {
    pool::StatementCounts before;  // It got on the list.
    pool::StatementCounts latest;  // In all, when last seen.
  };
  // How much time it took of late: half of what this was a minute ago, and what came since.
  struct Recent {
    double seconds_in_all = 0;  // When last looked at.
    double score = 0;
  };
  // By StatementFigures::id, as the other maps.
  using ById = absl::flat_hash_map<uint64_t, const pool::StatementFigures*>;

  void Score(const ById& there);
  void DropGone(const ById& there);
  void Choose(const ById& there);
  double ScoreOf(uint64_t id) const;
  uint64_t LeastListed() const;
  void Add(const pool::StatementFigures& statement);
  void Drop(uint64_t id, const pool::StatementCounts& counted);

  const size_t listed_max_;
  absl::flat_hash_map<uint64_t, Series> listed_;
  absl::flat_hash_map<uint64_t, Recent> recent_;
  pool::Instant next_score_ = pool::Instant::min();
  uint64_t newest_ = 0;  // The highest id at the last scrape.
  // "other" as it is told is what is not listed, and what those listed counted before, without what
  // those no longer listed have told by name.
  pool::StatementCounts counted_before_;
  pool::StatementCounts told_by_name_;
};

}  // namespace dbsidecar::server
