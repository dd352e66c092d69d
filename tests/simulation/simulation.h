// One seeded run: a PoolCore, a world that does to it whatever a real world may do, and a
// PoolModel that judges. The same seed gives the same run, event by event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pool/pool_core.h"
#include "tests/simulation/event.h"
#include "tests/simulation/pool_model.h"

namespace dbsidecar::simulation {

// Stands between PoolCore and the rest and plants a fault, to prove that the model finds it.
class Saboteur {
 public:
  virtual ~Saboteur() = default;
  // What the core is told instead.
  virtual void DistortEvent(Event& /*event*/) {}
  // What the world and the model are told instead.
  virtual void DistortActions(const Event& /*event*/, const pool::PoolCore& /*core*/,
                              pool::Actions& /*actions*/) {}
  virtual void DistortReadings(const Event& /*event*/, Readings& /*readings*/) {}
};

struct RunOptions {
  bool trace = false;            // Fill RunReport::trace.
  Saboteur* saboteur = nullptr;  // Borrowed.
};

struct RunReport {
  std::optional<Violation> violation;
  uint64_t events = 0;
  uint64_t grants = 0;
  std::vector<std::string> trace;  // A line per event and action.
};

RunReport RunSimulation(uint64_t seed, const RunOptions& options = {});

}  // namespace dbsidecar::simulation
