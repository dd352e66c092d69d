// docs/isolation.md lists the functions of pool/postgres/session_functions.h: no more, no less.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "pool/postgres/session_functions.h"
#include "pool/postgres/statement_classifier.h"

namespace dbsidecar::pool {
namespace {

// What becomes of a statement that calls a function, by its name, as the document says.
std::map<std::string, std::string> DocumentedFunctions() {
  std::ifstream file(DBSIDECAR_SOURCE_DIR "/docs/isolation.md");
  EXPECT_TRUE(file.is_open());
  std::map<std::string, std::string> documented;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| functions |")) inside = true;
    if (!line.starts_with("|")) inside = false;
    if (!inside) continue;
    std::istringstream cells(line.substr(1));
    std::string names;
    std::string outcome;
    std::getline(cells, names, '|');
    std::getline(cells, outcome, '|');
    std::istringstream words(names);
    for (std::string word; words >> word;) {
      if (word.front() != '`') continue;
      const std::string name = word.substr(1, word.size() - 2);
      EXPECT_TRUE(documented.emplace(name, outcome).second) << name << " is there twice";
    }
  }
  return documented;
}

TEST(IsolationDocsTest, TheSessionFunctionsAreExactlyTheDocumentedOnes) {
  std::set<std::string> documented;
  for (const auto& [name, outcome] : DocumentedFunctions()) documented.insert(name);
  std::set<std::string> judged;
  for (const auto& [name, instead] : kSessionFunctions) judged.emplace(name);
  for (const std::string_view name : kTraceFunctions) judged.emplace(name);
  for (const std::string_view name : kSlotFunctions) judged.emplace(name);
  EXPECT_EQ(documented, judged);
}

TEST(IsolationDocsTest, WhatBecomesOfACallIsAsTheDocumentSays) {
  const std::map<std::string, std::string> documented = DocumentedFunctions();
  ASSERT_FALSE(documented.empty());
  Catalog harmless;
  for (const auto& [name, outcome] : documented) harmless.functions[name] = NamedCode::kHarmless;
  StatementClassifier classifier;
  classifier.SetCatalog(harmless);
  for (const auto& [name, outcome] : documented) {
    const auto found = classifier.Classify(fmt::format("select {}(1, 2, 3)", name));
    const StatementTraits& traits = *found;
    EXPECT_EQ(traits.refusal.has_value(), outcome.starts_with(" refused")) << name;
    // What is refused may run in a session, which is reset afterwards.
    EXPECT_EQ(traits.leaves_traces,
              outcome.starts_with(" refused") || outcome.starts_with(" runs; reset afterwards"))
        << name;
  }
}

}  // namespace
}  // namespace dbsidecar::pool
