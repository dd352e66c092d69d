#include "pool/statement_figures.h"

#include <algorithm>
#include <utility>

#include "pool/driver.h"

namespace dbsidecar::pool {
namespace {

// Longer texts are not read for it: that would hold up the loop.
constexpr size_t kReadMax = 128 * 1024;
// Of a text that is shown.
constexpr size_t kTextMax = 2000;

// Not in the middle of a character.
std::string Shortened(std::string text) {
  if (text.size() <= kTextMax) return text;
  size_t end = kTextMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text + "...";
}

}  // namespace

StatementCounts& StatementCounts::operator+=(const StatementCounts& more) {
  calls += more.calls;
  failed += more.failed;
  rows += more.rows;
  execute += more.execute;
  return *this;
}

StatementCounts& StatementCounts::operator-=(const StatementCounts& less) {
  calls -= less.calls;
  failed -= less.failed;
  rows -= less.rows;
  execute -= less.execute;
  return *this;
}

StatementTable::StatementTable(const Driver& driver, size_t entries_max, bool keeps_texts)
    : driver_(driver), entries_max_(entries_max), keeps_texts_(keeps_texts) {}

std::shared_ptr<StatementFigures> StatementTable::Of(std::string_view sql,
                                                     StatementFiguresPlace* place, Instant now) {
  if (entries_max_ == 0) return nullptr;
  const bool known = place != nullptr && *place != nullptr && !(*place)->replaced;
  std::shared_ptr<StatementFigures> figures = known ? *place : Find(sql);
  if (!known && place != nullptr) *place = figures;
  figures->used = now;
  return figures;
}

std::shared_ptr<StatementFigures> StatementTable::Find(std::string_view sql) {
  std::string fingerprint = sql.size() > kReadMax ? "" : driver_.Fingerprint(sql);
  if (fingerprint.empty()) return other_;
  const auto it = entries_.find(fingerprint);
  if (it != entries_.end()) return it->second;
  if (entries_.size() >= entries_max_) MakeRoom();
  auto figures = std::make_shared<StatementFigures>();
  figures->id = next_id_++;
  figures->fingerprint = std::move(fingerprint);
  if (keeps_texts_) figures->text = Shortened(driver_.WithoutConstants(sql));
  entries_.emplace(figures->fingerprint, figures);
  return figures;
}

void StatementTable::KeepTexts(bool keeps_texts) {
  keeps_texts_ = keeps_texts;
  if (keeps_texts) return;
  for (auto& [fingerprint, figures] : entries_) figures->text.clear();
}

void StatementTable::MakeRoom() {
  const auto oldest = std::min_element(
      entries_.begin(), entries_.end(),
      [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
  StatementFigures& figures = *oldest->second;
  other_->counts += figures.counts;
  figures.replaced = true;
  entries_.erase(oldest);
}

StatementsReport StatementTable::Report() const {
  StatementsReport report;
  report.statements.reserve(entries_.size());
  for (const auto& [fingerprint, figures] : entries_) report.statements.push_back(*figures);
  report.other = other_->counts;
  return report;
}

}  // namespace dbsidecar::pool
