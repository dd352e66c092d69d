// docs/monitoring/ against a real Prometheus that scrapes a real sidecar: every query of the
// dashboard has data, and every rule can be evaluated.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "server/text.h"
#include "tests/integration/fixture.h"
#include "tests/support/prometheus.h"

namespace dbsidecar::integration {
namespace {

using test_support::Prometheus;
using Json = nlohmann::json;

// The series that an expression has now; what went wrong otherwise.
Json Query(Prometheus& prometheus, const std::string& expression) {
  const Json answer = Json::parse(prometheus.Get("/api/v1/query", {{"query", expression}}), nullptr,
                                  /*allow_exceptions=*/false);
  if (!answer.is_object() || answer.value("status", "") != "success") return answer;
  return answer["data"]["result"];
}

TEST(DashboardTest, EveryQueryHasDataAndEveryRuleIsEvaluated) {
  if (!Prometheus::IsInstalled()) GTEST_SKIP() << "prometheus is not installed";
  const int port = test_support::FreePort();
  PostgresSidecar fixture({"--http-listen=127.0.0.1:" + std::to_string(port)});
  Prometheus prometheus(port);
  const auto scrapes = [&] {
    fixture.client.Query("select 1");
    fixture.client.Query("selec");
    const Json result = Query(prometheus, "sum(sum_over_time(up[1m]))");
    return result.is_array() && !result.empty()
               ? std::stod(result[0]["value"][1].get<std::string>())
               : 0.0;
  };
  ASSERT_TRUE(Eventually(60s, [&] { return scrapes() >= 8; })) << prometheus.Log();

  std::ifstream file(Prometheus::MonitoringFolder() + "dashboard.json");
  const Json dashboard = Json::parse(file);
  std::set<std::string> titles;
  size_t queries = 0;
  for (const Json& panel : dashboard["panels"]) {
    if (panel["type"] == "row") continue;
    EXPECT_TRUE(titles.insert(panel["title"].get<std::string>()).second) << panel["title"];
    for (const Json& target : panel["targets"]) {
      const std::string expression =
          server::ReplaceAll(target["expr"].get<std::string>(),
                             {{"$instance", ".*"}, {"$pool", ".*"}, {"$__rate_interval", "10s"}});
      const Json result = Query(prometheus, expression);
      EXPECT_TRUE(result.is_array() && !result.empty())
          << panel["title"] << ": " << expression << "\n"
          << result.dump();
      ++queries;
    }
  }
  EXPECT_GT(queries, 30u);

  const Json rules = Json::parse(prometheus.Get("/api/v1/rules", {}));
  for (const Json& rule : rules["data"]["groups"][0]["rules"]) {
    EXPECT_EQ(rule["health"], "ok") << rule["name"] << ": " << rule.value("lastError", "");
    EXPECT_EQ(rule["state"], "inactive") << rule["name"];
  }
  EXPECT_GE(rules["data"]["groups"][0]["rules"].size(), 9u);
}

}  // namespace
}  // namespace dbsidecar::integration
