// A cache by text that forgets what was used longest ago. Not thread-safe.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dbsidecar::pool {

// Bounded by entries and by the bytes of their keys, so that a few giant texts cannot fill memory.
template <typename Value>
class LruCache {
 public:
  LruCache(size_t entries_max, size_t bytes_max)
      : entries_max_(entries_max), bytes_max_(bytes_max) {}

  // Null when not there. Valid until the next Insert, Erase or Clear.
  Value* Find(std::string_view key) {
    const auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, it->second);
    return &it->second->second;
  }

  // The same, but it does not count as a use.
  const Value* Peek(std::string_view key) const {
    const auto it = index_.find(key);
    return it == index_.end() ? nullptr : &it->second->second;
  }

  // REQUIRES: `key` is not there. What has to be forgotten for it, never the new one, is added to
  // `forgotten` unless that is null.
  Value& Insert(std::string_view key, Value value, std::vector<Value>* forgotten = nullptr) {
    entries_.emplace_front(std::string(key), std::move(value));
    index_.emplace(entries_.front().first, entries_.begin());
    bytes_ += key.size();
    while (entries_.size() > 1 && (entries_.size() > entries_max_ || bytes_ > bytes_max_)) {
      const auto oldest = std::prev(entries_.end());
      if (forgotten != nullptr) forgotten->push_back(std::move(oldest->second));
      EraseAt(oldest);
    }
    return entries_.front().second;
  }

  void Erase(std::string_view key) {
    const auto it = index_.find(key);
    if (it != index_.end()) EraseAt(it->second);
  }

  void Clear() {
    index_.clear();
    entries_.clear();
    bytes_ = 0;
  }

  size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<std::string, Value>>;

  void EraseAt(typename Entries::iterator it) {
    bytes_ -= it->first.size();
    index_.erase(it->first);
    entries_.erase(it);
  }

  const size_t entries_max_;
  const size_t bytes_max_;
  size_t bytes_ = 0;
  Entries entries_;  // Used last first.
  std::unordered_map<std::string_view, typename Entries::iterator> index_;
};

}  // namespace dbsidecar::pool
