#include "pool/batch.h"

namespace dbsidecar::pool {
namespace {

// Of a statement that changes nothing, what it returned.
int64_t RowsOf(const StepResult& step) {
  return step.result.rows_affected >= 0 ? step.result.rows_affected
                                        : static_cast<int64_t>(step.rows_returned);
}

bool Compare(int64_t actual, StepCondition::Comparison comparison, int64_t rows) {
  switch (comparison) {
    case StepCondition::Comparison::kEqual:
      return actual == rows;
    case StepCondition::Comparison::kNotEqual:
      return actual != rows;
    case StepCondition::Comparison::kLess:
      return actual < rows;
    case StepCondition::Comparison::kLessOrEqual:
      return actual <= rows;
    case StepCondition::Comparison::kGreater:
      return actual > rows;
    case StepCondition::Comparison::kGreaterOrEqual:
      return actual >= rows;
  }
  return false;
}

}  // namespace

bool Holds(const StepCondition& condition, const StepResult& of_step) {
  if (condition.outcome) return of_step.outcome == *condition.outcome;
  return of_step.outcome == StepOutcome::kOk &&
         Compare(RowsOf(of_step), condition.comparison, condition.rows);
}

}  // namespace dbsidecar::pool
