// Recommendations: what to do better, told with the numbers behind it. A pure function of figures;
// docs/recommendations.md has a section for each id, and a test compares the two.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dbsidecar/v1/health.pb.h"
#include "server/figures_sampler.h"
#include "server/pool_trend.h"

namespace dbsidecar::server {

// The options that recommendations are about, as they are set.
struct AdviceSettings {
  size_t waiters_max = 0;
  std::chrono::milliseconds wait_timeout{};
  std::chrono::milliseconds idle_timeout{};          // 0 = off.
  std::chrono::milliseconds lifetime{};              // 0 = off.
  std::chrono::milliseconds session_idle_timeout{};  // 0 = off.
  size_t replicas = 1;                               // Sidecars that share the database server.
};

// Both stretches of time end now. REQUIRES: there was a look.
struct AdviceFigures {
  FiguresSampler::Looks minute;
  PoolTrend hour;
};

// The most severe first, then in the order of RecommendationIds.
std::vector<v1::Recommendation> Recommend(const AdviceFigures& figures,
                                          const AdviceSettings& settings);

// All that there are.
std::span<const std::string_view> RecommendationIds();

}  // namespace dbsidecar::server
