// What a statement does to the session it runs in, by its parse tree, cached by text.
#pragma once

#include <optional>
#include <string_view>

#include "pool/error.h"
#include "pool/lru_cache.h"
#include "pool/postgres/control_connection.h"

namespace dbsidecar::pool {

struct StatementTraits {
  std::optional<Error> refusal;  // Why it cannot run in autocommit.
  int parameters = -1;           // The highest $n; -1 = not known.
  bool pure_read = false;        // A SELECT (or VALUES, SHOW) that itself writes nothing.
  bool commits_inside =
      true;  // It may commit before it ends, so an interrupted one may have effect.
  bool leaves_traces = true;  // The session may not be clean afterwards: reset it.
};

class StatementClassifier {
 public:
  StatementClassifier();

  // Valid until the next call.
  const StatementTraits& Classify(std::string_view sql);
  // Until there is a catalogue, every function is suspect.
  void SetFunctions(FunctionCatalog functions);

 private:
  FunctionCatalog functions_;
  LruCache<StatementTraits> cache_;
  StatementTraits uncached_;
};

}  // namespace dbsidecar::pool
