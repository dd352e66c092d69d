// Canaries: faults planted on purpose between PoolCore and its judge, at least one per invariant.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/simulation.h"

namespace dbsidecar::simulation {

struct Canary {
  std::string name;
  int invariant;  // The one that the model must name.
  std::function<std::unique_ptr<Saboteur>()> make;
};

const std::vector<Canary>& Canaries();

}  // namespace dbsidecar::simulation
