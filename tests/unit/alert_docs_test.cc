// docs/monitoring/alerts.yaml and docs/runbooks.md say what server/alerts.cc does: the same alerts
// with the same limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "server/alerts.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using testing::HasSubstr;

std::string ReadFile(const std::string& name) {
  std::ifstream file(DBSIDECAR_SOURCE_DIR "/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<YAML::Node> PrometheusRules() {
  std::vector<YAML::Node> rules;
  const YAML::Node file = YAML::Load(ReadFile("docs/monitoring/alerts.yaml"));
  for (const YAML::Node& group : file["groups"]) {
    for (const YAML::Node& rule : group["rules"]) rules.push_back(rule);
  }
  return rules;
}

// What the expression compares with: "x > 5" is 5, and "x == 0" of a figure that is 1 when all is
// well is above 0.
std::string LimitOf(const std::string& expression) {
  if (expression.ends_with("== 0")) return "0";
  return expression.substr(expression.rfind("> ") + 2);
}

std::string HoldOf(const YAML::Node& rule) {
  return rule["for"] ? rule["for"].as<std::string>() : "";
}

std::string ExpectedHold(AlertHold hold) {
  const auto time = std::chrono::duration_cast<std::chrono::seconds>(
      HoldTime(hold, std::chrono::minutes(1)));  // The profile production's.
  if (time.count() == 0) return "";
  return time.count() == 60 ? "1m" : Concat(time.count(), "s");
}

std::string NumberText(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

TEST(AlertDocsTest, PrometheusHasTheSameRules) {
  const std::vector<YAML::Node> rules = PrometheusRules();
  ASSERT_EQ(rules.size(), AlertRules().size());
  for (size_t i = 0; i < rules.size(); ++i) {
    const AlertRule& ours = AlertRules()[i];
    const YAML::Node& theirs = rules[i];
    SCOPED_TRACE(ours.name);
    EXPECT_EQ(theirs["alert"].as<std::string>(), ours.name);
    EXPECT_EQ(theirs["labels"]["severity"].as<std::string>(), SeverityWord(ours.severity));
    EXPECT_EQ(LimitOf(theirs["expr"].as<std::string>()), NumberText(ours.fires_above));
    EXPECT_EQ(HoldOf(theirs), ExpectedHold(ours.hold));
    EXPECT_EQ(theirs["annotations"]["runbook_url"].as<std::string>(), RunbookOf(ours));
  }
}

TEST(AlertDocsTest, TheErrorsThatCountAreTheSame) {
  std::string outcomes;
  for (const std::string_view outcome : FaultOutcomes()) {
    outcomes += Concat(outcomes.empty() ? "" : "|", outcome);
  }
  EXPECT_THAT(ReadFile("docs/monitoring/alerts.yaml"), HasSubstr("\"" + outcomes + "\""));
}

TEST(AlertDocsTest, EveryAlertHasARunbookAndEveryRunbookAnAlert) {
  std::set<std::string> documented;
  std::istringstream page(ReadFile("docs/runbooks.md"));
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("## ")) documented.insert(line.substr(3));
  }
  std::set<std::string> known;
  for (const AlertRule& rule : AlertRules()) known.insert(std::string(rule.name));
  EXPECT_EQ(documented, known);
}

TEST(AlertDocsTest, TheTableOfLimitsIsRight) {
  const std::string page = ReadFile("docs/runbooks.md");
  const auto word = [](AlertHold hold) -> std::string_view {
    switch (hold) {
      case AlertHold::kNone:
        return "none";
      case AlertHold::kShort:
        return "short";
      case AlertHold::kFull:
        return "full";
    }
    return "";
  };
  for (const AlertRule& rule : AlertRules()) {
    EXPECT_THAT(page,
                HasSubstr(Concat("| ", rule.name, " | ", SeverityWord(rule.severity), " | ",
                                 NumberText(rule.fires_above), " | ", NumberText(rule.clears_at),
                                 " | ", word(rule.hold), " |\n")));
  }
}

}  // namespace
}  // namespace dbsidecar::server
