#include "pool/caller_figures.h"

#include <algorithm>

namespace dbsidecar::pool {
namespace {

// A listed caller that has not called for so long may lose its place.
constexpr Duration kKeptFor = std::chrono::hours(1);
// Longer names are not kept.
constexpr size_t kNameMax = 200;

}  // namespace

CallerFigures* CallerTable::Of(std::string_view caller, Instant now) {
  if (entries_max_ == 0) return nullptr;
  const bool same = latest_ != nullptr && latest_->caller == caller;
  if (!same) latest_ = &Find(caller, now);
  latest_->used = now;
  return latest_;
}

CallerFigures& CallerTable::Find(std::string_view caller, Instant now) {
  if (caller == other_.caller || caller.size() > kNameMax) return other_;
  const auto it = entries_.find(caller);
  if (it != entries_.end()) return it->second;
  if (entries_.size() >= entries_max_ && !MakeRoom(now)) return other_;
  CallerFigures& figures = entries_[std::string(caller)];
  figures.caller = caller;
  return figures;
}

bool CallerTable::MakeRoom(Instant now) {
  const auto oldest =
      std::min_element(entries_.begin(), entries_.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  const CallerFigures& figures = oldest->second;
  if (figures.in_progress > 0 || now - figures.used < kKeptFor) return false;
  if (latest_ == &figures) latest_ = nullptr;
  entries_.erase(oldest);
  return true;
}

std::vector<CallerFigures> CallerTable::Report() const {
  std::vector<CallerFigures> report;
  for (const auto& [caller, figures] : entries_) report.push_back(figures);
  if (entries_max_ > 0) report.push_back(other_);
  return report;
}

}  // namespace dbsidecar::pool
