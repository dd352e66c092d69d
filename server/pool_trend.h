// What a pool did over the last hour, kept as a look a minute: what slow alerts and recommendations
// judge by.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "server/figures_sampler.h"

namespace dbsidecar::server {

// By how much a counter grew. One that an operator has set to zero meanwhile counts from there.
constexpr uint64_t GrowthOf(uint64_t earlier, uint64_t later) {
  return later >= earlier ? later - earlier : later;
}

class PoolTrend {
 public:
  // REQUIRES: looks come in the order of time.
  void Note(const FiguresSample& look);

  bool empty() const { return minutes_.empty(); }
  // How far it reaches back: an hour at most.
  std::chrono::nanoseconds length() const;
  // The first and the last look. REQUIRES: Note was called.
  const FiguresSample& first() const { return minutes_.front().look; }
  const FiguresSample& last() const { return last_; }
  // The most that any look saw at once.
  size_t in_use_max() const { return Max(&Minute::in_use_max); }
  size_t waiting_max() const { return Max(&Minute::waiting_max); }

  // The growth of a counter of the pool's.
  template <typename Counter>
  double Growth(Counter counter) const {
    return static_cast<double>(GrowthOf(counter(first().stats), counter(last_.stats)));
  }

 private:
  struct Minute {
    FiguresSample look;  // At its start.
    size_t in_use_max = 0;
    size_t waiting_max = 0;
  };

  size_t Max(size_t Minute::*figure) const;

  std::deque<Minute> minutes_;
  FiguresSample last_;
};

}  // namespace dbsidecar::server
