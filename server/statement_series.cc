#include "server/statement_series.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace dbsidecar::server {
namespace {

constexpr pool::Duration kScoreEvery = std::chrono::minutes(1);
// By how much another must have taken more time than one on the list, to get its place: a list that
// changes all the time makes no series.
constexpr double kMuchMore = 2;

}  // namespace

std::vector<pool::StatementFigures> StatementSeries::List(const pool::StatementsReport& report,
                                                          pool::Instant now) {
  ById there;
  for (const pool::StatementFigures& statement : report.statements) {
    there[statement.id] = &statement;
  }
  DropGone(there);
  if (now >= next_score_) {
    next_score_ = now + kScoreEvery;
    Score(there);
    Choose(there);
  } else if (listed_.size() < listed_max_) {
    Choose(there);
  }
  pool::StatementFigures other{
      .id = 0, .fingerprint = "other", .text = "", .counts = report.other, .used = {}};
  std::vector<pool::StatementFigures> list;
  for (const pool::StatementFigures& statement : report.statements) {
    newest_ = std::max(newest_, statement.id);
    const auto series = listed_.find(statement.id);
    if (series == listed_.end()) {
      other.counts += statement.counts;
      continue;
    }
    series->second.latest = statement.counts;
    list.push_back(statement);
    list.back().counts -= series->second.before;
  }
  std::sort(list.begin(), list.end(),
            [](const auto& a, const auto& b) { return a.fingerprint < b.fingerprint; });
  other.counts += counted_before_;
  other.counts -= told_by_name_;
  list.push_back(std::move(other));
  return list;
}

void StatementSeries::Score(const ById& there) {
  absl::erase_if(recent_, [&](const auto& entry) { return !there.contains(entry.first); });
  for (const auto& [id, statement] : there) {
    Recent& recent = recent_[id];
    const double seconds = statement->counts.execute.sum_seconds();
    recent.score = recent.score / 2 + (seconds - recent.seconds_in_all);
    recent.seconds_in_all = seconds;
  }
}

void StatementSeries::DropGone(const ById& there) {
  std::vector<uint64_t> gone;
  for (const auto& [id, series] : listed_) {
    if (!there.contains(id)) gone.push_back(id);
  }
  for (const uint64_t id : gone) Drop(id, listed_.at(id).latest);
}

void StatementSeries::Choose(const ById& there) {
  std::vector<const pool::StatementFigures*> candidates;
  for (const auto& [id, statement] : there) {
    if (!listed_.contains(id)) candidates.push_back(statement);
  }
  std::sort(candidates.begin(), candidates.end(), [&](const auto* a, const auto* b) {
    return std::pair(ScoreOf(b->id), a->id) < std::pair(ScoreOf(a->id), b->id);
  });
  for (const pool::StatementFigures* candidate : candidates) {
    if (listed_.size() >= listed_max_) {
      if (listed_.empty()) break;
      const uint64_t least = LeastListed();
      if (ScoreOf(candidate->id) <= kMuchMore * ScoreOf(least)) break;
      Drop(least, there.at(least)->counts);
    }
    Add(*candidate);
  }
}

double StatementSeries::ScoreOf(uint64_t id) const {
  const auto it = recent_.find(id);
  return it == recent_.end() ? 0 : it->second.score;
}

// REQUIRES: there is one.
uint64_t StatementSeries::LeastListed() const {
  return std::min_element(listed_.begin(), listed_.end(),
                          [&](const auto& a, const auto& b) {
                            return std::pair(ScoreOf(a.first), b.first) <
                                   std::pair(ScoreOf(b.first), a.first);
                          })
      ->first;
}

void StatementSeries::Add(const pool::StatementFigures& statement) {
  Series& series = listed_[statement.id];
  // One that was not there at the last scrape has told nothing yet.
  if (statement.id > newest_) return;
  series.before = statement.counts;
  counted_before_ += statement.counts;
}

// `counted` is all that it has, by name or before.
void StatementSeries::Drop(uint64_t id, const pool::StatementCounts& counted) {
  told_by_name_ += counted;
  listed_.erase(id);  // Last: `counted` may be its own.
}

}  // namespace dbsidecar::server
