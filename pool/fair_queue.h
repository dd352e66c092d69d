// A queue for several callers: each caller's items come out in the order in which they went in, and
// the callers take turns, so that nobody waits longer because another has much in the queue.
//
// Invariant: between two turns of a caller that has items, no other has two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace dbsidecar::pool {

template <typename Item>
class FairQueue {
  struct Caller {
    uint64_t key;
    size_t weight = 0;  // Of its items, together.
    std::list<Item> items;
  };
  using Callers = std::list<Caller>;

 public:
  // Where an item is, until it is removed.
  struct Place {
    typename Callers::iterator caller;
    typename std::list<Item>::iterator item;
  };

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // Whose turn it is. REQUIRES: not empty.
  Item& front() { return turns_.front().items.front(); }
  const Item& front() const { return turns_.front().items.front(); }

  Place Add(uint64_t key, Item item, size_t weight) {
    const auto caller = CallerOf(key);
    if (caller->items.empty()) turns_.splice(turns_.end(), resting_, caller);
    caller->items.push_back(std::move(item));
    caller->weight += weight;
    ++size_;
    return {.caller = caller, .item = std::prev(caller->items.end())};
  }

  // Its turn is not used up: for an item that leaves the queue unserved. `weight` as it was added.
  void Remove(Place place, size_t weight) {
    const auto caller = place.caller;
    caller->items.erase(place.item);
    caller->weight -= weight;
    --size_;
    if (caller->items.empty()) Rest(caller);
  }

  // The front item has been served. REQUIRES: not empty.
  void RemoveFront(size_t weight) {
    const auto caller = turns_.begin();
    if (caller->items.size() > 1) turns_.splice(turns_.end(), turns_, caller);
    Remove({.caller = caller, .item = caller->items.begin()}, weight);
  }

  size_t WeightOf(uint64_t key) const {
    const auto it = callers_.find(key);
    return it == callers_.end() ? 0 : it->second->weight;
  }

  // Of the caller whose items weigh most, the latest that is `wanted`; null without one, or if they
  // do not weigh more than `than`.
  template <typename Wanted>
  const Item* LatestOfHeaviest(size_t than, Wanted wanted) const {
    const Caller* heaviest = nullptr;
    for (const Caller& caller : turns_) {
      if (caller.weight <= than) continue;
      than = caller.weight;
      heaviest = &caller;
    }
    if (heaviest == nullptr) return nullptr;
    for (auto item = heaviest->items.rbegin(); item != heaviest->items.rend(); ++item) {
      if (wanted(*item)) return &*item;
    }
    return nullptr;
  }

 private:
  // Callers without items that are remembered, to spare those that come again and again the
  // memory's coming and going.
  static constexpr size_t kRestingMax = 64;

  typename Callers::iterator CallerOf(uint64_t key) {
    const auto [entry, is_new] = callers_.try_emplace(key);
    if (is_new) {
      resting_.push_back({.key = key, .items = {}});
      entry->second = std::prev(resting_.end());
    }
    return entry->second;
  }

  void Rest(typename Callers::iterator caller) {
    resting_.splice(resting_.end(), turns_, caller);
    if (resting_.size() <= kRestingMax) return;
    callers_.erase(resting_.front().key);
    resting_.pop_front();
  }

  Callers turns_;    // With items; whose turn it is comes first.
  Callers resting_;  // Without; the longest resting first.
  absl::flat_hash_map<uint64_t, typename Callers::iterator> callers_;  // All, by key.
  size_t size_ = 0;
};

}  // namespace dbsidecar::pool
