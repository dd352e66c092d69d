#include "bench/load/client_statements.h"

namespace dbsidecar::bench {

Params ParamsOf(const Statement& statement) {
  Params params;
  for (size_t i = 0; i < statement.parameter_count; ++i) params.Add(statement.parameters[i]);
  return params;
}

Outcome OutcomeOf(const Failure& failure) {
  const bool unimplemented = failure.code == StatusCode::kUnimplemented;
  return {.verdict = unimplemented ? Verdict::kUnimplemented : Verdict::kFailed,
          .error = failure.message};
}

}  // namespace dbsidecar::bench
