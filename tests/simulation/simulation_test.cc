// Runs PoolCore through thousands of seeded storms. See README.md beside this file.
#include "tests/simulation/simulation.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>

#include "tests/simulation/canary.h"

namespace dbsidecar::simulation {
namespace {

constexpr uint64_t kBaseSeed = 20'260'101;
constexpr uint64_t kRuns = 10'000;
constexpr uint64_t kCanaryRunsMax = 500;
constexpr size_t kTraceLines = 60;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

uint64_t BaseSeed() {
  const char* text = std::getenv("DBSIDECAR_SIM_BASE_SEED");
  if (text != nullptr && std::string_view(text) == "random") return std::random_device()();
  return FromEnvironment("DBSIDECAR_SIM_BASE_SEED", kBaseSeed);
}

std::string LastLines(const RunReport& report, size_t lines) {
  std::string text;
  const size_t size = report.trace.size();
  for (size_t i = size > lines ? size - lines : 0; i < size; ++i) text += report.trace[i] + "\n";
  return text;
}

// Runs the failed seed again, this time writing down what happens.
std::string Explain(uint64_t seed, const Violation& violation) {
  return "invariant " + std::to_string(violation.invariant) + ": " + violation.what + "\nseed " +
         std::to_string(seed) + " (replay: simulation_test --seed=" + std::to_string(seed) +
         ")\nlast events:\n" + LastLines(RunSimulation(seed, {.trace = true}), kTraceLines);
}

TEST(SimulationTest, EveryInvariantHoldsInEverySeededRun) {
  const uint64_t base = BaseSeed();
  const uint64_t runs = FromEnvironment("DBSIDECAR_SIM_RUNS", kRuns);
  std::printf("base seed %llu (DBSIDECAR_SIM_BASE_SEED=N or random)\n",
              static_cast<unsigned long long>(base));
  const auto started = std::chrono::steady_clock::now();
  uint64_t events = 0;
  uint64_t grants = 0;
  for (uint64_t seed = base; seed < base + runs; ++seed) {
    const RunReport report = RunSimulation(seed);
    events += report.events;
    grants += report.grants;
    if (report.violation) FAIL() << Explain(seed, *report.violation);
  }
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf("%llu runs, %llu events, %llu grants in %.1f s: %.0f runs/s\n",
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(events),
              static_cast<unsigned long long>(grants), took, static_cast<double>(runs) / took);
  // A world in which nobody gets anything would prove nothing.
  EXPECT_GT(grants, 10 * runs);
}

TEST(SimulationTest, TheSameSeedGivesTheSameRun) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const RunReport first = RunSimulation(seed, {.trace = true});
    const RunReport second = RunSimulation(seed, {.trace = true});
    ASSERT_EQ(first.trace, second.trace) << "seed " << seed;
  }
}

class CanaryTest : public testing::TestWithParam<Canary> {};

TEST_P(CanaryTest, IsFoundUnderItsInvariantsNumber) {
  for (uint64_t run = 0; run < kCanaryRunsMax; ++run) {
    const auto saboteur = GetParam().make();
    const RunReport report = RunSimulation(kBaseSeed + run, {.saboteur = saboteur.get()});
    if (!report.violation) continue;
    EXPECT_EQ(report.violation->invariant, GetParam().invariant) << report.violation->what;
    std::cout << "found in run " << run + 1 << ": " << report.violation->what << "\n";
    return;
  }
  FAIL() << "not found in " << kCanaryRunsMax << " runs";
}

INSTANTIATE_TEST_SUITE_P(Canaries, CanaryTest, testing::ValuesIn(Canaries()),
                         [](const auto& test) { return test.param.name; });

TEST(CanariesTest, CoverEveryInvariant) {
  for (int invariant = 1; invariant <= 18; ++invariant) {
    bool covered = false;
    for (const Canary& canary : Canaries()) covered = covered || canary.invariant == invariant;
    EXPECT_TRUE(covered) << "invariant " << invariant;
  }
}

}  // namespace

// Runs one seed alone and prints all that happens.
int Replay(uint64_t seed) {
  const RunReport report = RunSimulation(seed, {.trace = true});
  std::printf("%s", LastLines(report, report.trace.size()).c_str());
  if (!report.violation) {
    std::printf("seed %llu: every invariant holds\n", static_cast<unsigned long long>(seed));
    return 0;
  }
  std::printf("seed %llu: invariant %d: %s\n", static_cast<unsigned long long>(seed),
              report.violation->invariant, report.violation->what.c_str());
  return 1;
}

}  // namespace dbsidecar::simulation

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const char* seed = std::getenv("DBSIDECAR_SIM_SEED");
  constexpr std::string_view kFlag = "--seed=";
  for (int i = 1; i < argc; ++i) {
    if (!std::string_view(argv[i]).starts_with(kFlag)) {
      std::fprintf(stderr, "unknown argument %s\nusage: simulation_test [--seed=N]\n", argv[i]);
      return 2;
    }
    seed = argv[i] + kFlag.size();
  }
  if (seed != nullptr) return dbsidecar::simulation::Replay(std::strtoull(seed, nullptr, 10));
  return RUN_ALL_TESTS();
}
