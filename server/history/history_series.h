// The figures whose past is kept: their names and units, and how they follow from two looks in a
// row.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "server/figures_sampler.h"

namespace dbsidecar::server {

// Names are stable: clients ask for them, and they are columns of the history file.
struct Series {
  std::string_view name;
  std::string_view unit;  // In UCUM notation.
};

// Those of each pool.
std::span<const Series> PoolSeries();
// Those of the process as a whole.
std::span<const Series> ProcessSeries();

// The values over the stretch between two looks, `seconds` long, in the order of the series: a
// gauge as it was at the end, a counter by the second, a quantile of what ended in between. NaN
// where nothing was to be measured: the quantile of a time that no call took.
std::vector<float> PoolValues(const pool::PoolStats& from, const pool::PoolStats& to,
                              double seconds);
std::vector<float> ProcessValues(const FiguresSample& from, const FiguresSample& to);

}  // namespace dbsidecar::server
