// Statements of any text, nested as deeply as they like: what the classifier says of one does not
// depend on comments around it, and its verdicts do not contradict each other.
#include <string>
#include <string_view>

#include "pool/postgres/statement_classifier.h"
#include "server/deep_thread.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::pool;

Catalog SmallCatalog() {
  Catalog catalog;
  catalog.functions = {{"now", NamedCode::kHarmless},
                       {"random", NamedCode::kVolatile},
                       {"mine", NamedCode::kSuspect},
                       {"set_config", NamedCode::kVolatile}};
  catalog.relations = {{"t", NamedCode::kHarmless}, {"v", NamedCode::kVolatile}};
  catalog.operators = {{"+", NamedCode::kHarmless}, {"=", NamedCode::kHarmless}};
  return catalog;
}

void RequireConsistent(const StatementTraits& traits, std::string_view sql) {
  if (traits.refusal) {
    FUZZ_REQUIRE(traits.refusal->message.size() > 10, sql);
    FUZZ_REQUIRE(!traits.plain_read || traits.refusal->kind != ErrorKind::kInvalidArgument, sql);
  }
  // What changes nothing leaves nothing, ends nothing, and may stand beside others.
  FUZZ_REQUIRE(!traits.plain_read || traits.pure_read, sql);
  if (traits.pure_read && !traits.refusal) {
    FUZZ_REQUIRE(!traits.leaves_traces && !traits.changes_catalog, sql);
    FUZZ_REQUIRE(!traits.commits_inside && !traits.runs_alone, sql);
    FUZZ_REQUIRE(!traits.transaction_control, sql);
  }
  FUZZ_REQUIRE(!traits.verdict_reason.empty(), sql);
  FUZZ_REQUIRE(traits.parameters >= -1, sql);
}

void RequireSame(const StatementTraits& a, const StatementTraits& b, std::string_view sql) {
  FUZZ_REQUIRE(a.refusal.has_value() == b.refusal.has_value(), sql);
  if (a.refusal) FUZZ_REQUIRE(a.refusal->message == b.refusal->message, sql);
  FUZZ_REQUIRE(a.parameters == b.parameters, sql);
  FUZZ_REQUIRE(a.pure_read == b.pure_read && a.plain_read == b.plain_read, sql);
  FUZZ_REQUIRE(a.transaction_control == b.transaction_control, sql);
  FUZZ_REQUIRE(a.commits_inside == b.commits_inside, sql);
  FUZZ_REQUIRE(a.leaves_traces == b.leaves_traces, sql);
  FUZZ_REQUIRE(a.changes_catalog == b.changes_catalog, sql);
  FUZZ_REQUIRE(a.runs_alone == b.runs_alone, sql);
}

// A script has everything that its statement has.
void CompareAsScript(const StatementTraits& one, StatementClassifier& classifier,
                     const std::string& sql) {
  const StatementTraits script = classifier.ClassifyScript(sql + "\n;select 1");
  if (one.parameters < 0) return;  // Not understood.
  if (one.refusal && one.refusal->kind == ErrorKind::kInvalidArgument) return;
  FUZZ_REQUIRE(script.leaves_traces || !one.leaves_traces, sql);
  FUZZ_REQUIRE(script.changes_catalog == one.changes_catalog, sql);
  FUZZ_REQUIRE(script.transaction_control == one.transaction_control, sql);
  FUZZ_REQUIRE(script.commits_inside == (one.commits_inside || one.transaction_control), sql);
}

void Run(const std::string& sql) {
  StatementClassifier classifier;
  classifier.SetCatalog(SmallCatalog());
  const StatementTraits traits = *classifier.Classify(sql);
  RequireConsistent(traits, sql);
  RequireSame(traits, *classifier.Classify(sql), sql);
  StatementClassifier strict;  // Without a catalogue it trusts nothing more.
  FUZZ_REQUIRE(!strict.Classify(sql)->plain_read || traits.plain_read, sql);

  const std::string with_comments = "/* a /* nested */ one */ -- and another\n" + sql + "\n--";
  const std::string fingerprint = FingerprintOf(sql);
  // An unfinished quote or comment swallows what follows it; then neither text is understood.
  if (traits.parameters >= 0) {
    RequireSame(traits, *classifier.Classify(with_comments), sql);
    FUZZ_REQUIRE(FingerprintOf(with_comments) == fingerprint, sql);
    CompareAsScript(traits, classifier, sql);
  }
  for (const bool in : {false, true}) {
    const StatementTraits copy = classifier.ClassifyCopy(sql, in);
    FUZZ_REQUIRE(copy.refusal || traits.refusal, sql);  // Query refuses what a copy takes.
  }
}

// A text that is nested for as long as the classifier looks at: "((((...1...))))".
std::string Nested(fuzz::Input& input) {
  const uint16_t depth = input.Take<uint16_t>();
  const std::string opening = input.TakeText().substr(0, 16);
  const std::string inner = input.TakeText();
  const std::string closing = input.TakeText().substr(0, 16);
  std::string text = input.TakeText();
  for (size_t i = 0; i < depth && text.size() < 130 * 1024; ++i) text += opening;
  text += inner;
  for (size_t i = 0; i < depth && text.size() < 200 * 1024; ++i) text += closing;
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  if (input.TakeUpTo(15) != 0) {
    Run(std::string(input.rest().substr(0, input.rest().find('\0'))));
    return 0;
  }
#ifdef __SANITIZE_THREAD__
  return 0;  // What it keeps of each such stack it never gives back.
#endif
  // On a thread as the loop's, whose stack is made for it.
  const std::string text = Nested(input);
  server::DeepThread thread("fuzz", [&] {
    StatementClassifier classifier;
    RequireConsistent(*classifier.Classify(text), "nested");
    FingerprintOf(text);
  });
  return 0;
}
