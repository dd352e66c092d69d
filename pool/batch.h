// Several statements of one call, on one connection: steps with conditions (Batch), or one
// statement with many rows of parameters (ParameterRows).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pool/error.h"
#include "pool/result.h"
#include "pool/statement.h"

namespace dbsidecar::pool {

enum class StepOutcome : uint8_t { kOk, kFailed, kSkipped };

// What must be true of an earlier step.
struct StepCondition {
  enum class Comparison : uint8_t {
    kEqual,
    kNotEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual
  };

  size_t step = 0;
  std::optional<StepOutcome> outcome{};  // Unset: it succeeded, with so many rows:
  Comparison comparison = Comparison::kEqual;
  int64_t rows = 0;
};

struct BatchStep {
  Statement statement;                      // Read-only and under settings as the call's own.
  std::vector<StepCondition> conditions{};  // All must hold, or the step is skipped.
  bool may_fail = false;                    // In an atomic batch: a failure undoes this step alone.
};

struct Batch {
  // One transaction: the first step that fails, and must not, undoes everything and is the call's
  // error. Otherwise each step is a transaction of its own and has its own error.
  bool atomic = true;
  std::vector<BatchStep> steps{};
};

struct StepResult {
  StepOutcome outcome = StepOutcome::kSkipped;
  Result result{};               // kOk.
  uint64_t rows_returned = 0;    // Those that its limit dropped included.
  std::optional<Error> error{};  // kFailed.
  std::vector<Notice> notices{};
};

// REQUIRES: the condition's step is over.
bool Holds(const StepCondition& condition, const StepResult& of_step);

// The parameters of one statement that runs once for each row, all in one transaction. What its
// values borrow lives as long as the rows.
class ParameterRows {
 public:
  virtual ~ParameterRows() = default;

  virtual size_t size() const = 0;
  // Puts the row's parameters into `values`: in every row as many, of the same types.
  virtual void Get(size_t row, std::vector<Value>& values) const = 0;
};

}  // namespace dbsidecar::pool
