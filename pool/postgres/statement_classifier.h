// What a statement does to the session it runs in, by its parse tree, cached by text.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "pool/error.h"
#include "pool/lru_cache.h"
#include "pool/postgres/catalog.h"
#include "pool/statement.h"
#include "pool/statement_figures.h"
#include "pool/statement_history.h"

namespace dbsidecar::pool {

struct StatementTraits {
  std::optional<Error> refusal;      // Why it cannot run in autocommit.
  int parameters = -1;               // The highest $n; -1 = not known.
  bool pure_read = false;            // A SELECT (or VALUES, SHOW) that itself writes nothing.
  bool transaction_control = false;  // BEGIN, COMMIT, SAVEPOINT...
  // A pure read that takes no lock and calls nothing volatile: in a transaction together with
  // others like it, and run again at will, nobody can tell the difference. It needs no transaction
  // that is made read-only.
  bool plain_read = false;
  bool commits_inside =
      true;  // It may commit before it ends, so an interrupted one may have effect.
  bool leaves_traces = true;    // The session may not be clean afterwards: reset it.
  bool changes_catalog = true;  // It defines, alters or drops something.
  // Of other texts that come after it in the same session: a setting such as DateStyle decides what
  // a literal is when the text is prepared.
  bool changes_meaning = true;
  bool runs_alone = false;  // Never in a transaction together with others.
  // For people: why it is a plain read, or is not.
  std::string verdict_reason = "the text was not understood";
  // What it names that the catalogue does not know, and a newer one may.
  std::vector<std::string> unknown_names;
  std::shared_ptr<StatementHistory> history = std::make_shared<StatementHistory>();
  bool kept = false;                        // With its text, for when that comes again.
  mutable StatementFiguresPlace figures{};  // Only of use when it is kept.
};

// The statement's shape, equal for texts that differ only in constants and spacing; "" = cannot be
// told.
std::string FingerprintOf(std::string_view sql);
// The text with $n for each constant; "" = it is not sure that none is left.
std::string WithoutConstants(std::string_view sql);

class StatementClassifier {
 public:
  StatementClassifier();

  std::shared_ptr<const StatementTraits> Classify(std::string_view sql);

  // Of a text with any number of statements. Not cached.
  StatementTraits ClassifyScript(std::string_view sql) const;
  // Of one COPY FROM STDIN (`in`) or TO STDOUT; anything else is refused. Not cached.
  StatementTraits ClassifyCopy(std::string_view sql, bool in) const;

  // Until a catalogue is set (again), every name is suspect.
  void SetCatalog(Catalog catalog);
  void ForgetCatalog();
  // A statement ran, so whatever it names is there. True = it names something unknown: the
  // catalogue is to be read again. Once only for each name.
  bool TakeUnknown(std::string_view sql);
  // Rises whenever verdicts may have changed.
  uint64_t version() const { return version_; }
  // A statement that changes the catalogue is under way: what the verdicts rest on may be out of
  // date already.
  bool changing() const { return changes_ > 0; }
  void ChangeBegins() { ++changes_; }
  void ChangeEnds() { --changes_; }

 private:
  Catalog catalog_;
  uint64_t version_ = 0;
  int changes_ = 0;
  // Names for which the catalogue was read again already.
  std::unordered_set<std::string> sought_;
  LruCache<std::shared_ptr<StatementTraits>> cache_;
};

// By the statement's form.
std::shared_ptr<const StatementTraits> TraitsOf(const Statement& statement,
                                                StatementClassifier& classifier);

}  // namespace dbsidecar::pool
