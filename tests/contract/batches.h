// Calls with several statements, short to write in tests.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/contract/running_pool.h"

namespace dbsidecar::contract {

// Literals only, or what outlives the batch.
inline pool::BatchStep Step(std::string_view sql, std::vector<pool::Value> parameters = {}) {
  pool::BatchStep step;
  step.statement.sql = sql;
  step.statement.parameters = std::move(parameters);
  return step;
}

inline pool::BatchStep MayFail(pool::BatchStep step) {
  step.may_fail = true;
  return step;
}

inline pool::BatchStep If(size_t earlier, pool::StepOutcome outcome, pool::BatchStep step) {
  step.conditions.push_back({.step = earlier, .outcome = outcome});
  return step;
}

inline pool::BatchStep IfRows(size_t earlier, pool::StepCondition::Comparison comparison,
                              int64_t rows, pool::BatchStep step) {
  step.conditions.push_back({.step = earlier, .comparison = comparison, .rows = rows});
  return step;
}

// "ok <rows or tag>", "failed <SQLSTATE>", "skipped", parted by ';'; or the error and its part.
inline std::string Told(const pool::Outcome& outcome) {
  if (outcome.error) {
    return fmt::format("error {} {}{}{}", static_cast<int>(outcome.error->kind),
                       outcome.error->sql.sqlstate,
                       outcome.error->place ? outcome.error->place->part : "",
                       outcome.error->place ? fmt::format(" {}", outcome.error->place->index) : "");
  }
  std::string text;
  for (const pool::StepResult& step : outcome.steps) {
    if (!text.empty()) text += "; ";
    switch (step.outcome) {
      case pool::StepOutcome::kOk:
        text += step.result.columns.empty()
                    ? "ok " + step.result.command_tag
                    : "ok " + (step.result.rows.row_count() == 0 ? std::string("no row")
                                                                 : CellText(step.result, 0, 0));
        break;
      case pool::StepOutcome::kFailed:
        text += "failed " + step.error->sql.sqlstate;
        break;
      case pool::StepOutcome::kSkipped:
        text += "skipped";
        break;
    }
  }
  return text;
}

class BatchCall {
 public:
  explicit BatchCall(std::vector<pool::BatchStep> steps, bool atomic = true)
      : batch_{.atomic = atomic, .steps = std::move(steps)}, call("batch") {
    call.batch = &batch_;
  }

  // Puts what counts for all into the steps, as the server does.
  void Settle() {
    for (pool::BatchStep& step : batch_.steps) {
      step.statement.read_only = call.statement.read_only;
      step.statement.idempotent = call.statement.idempotent;
      step.statement.settings = call.statement.settings;
      if (step.statement.limits.rows_max == 0) step.statement.limits = call.statement.limits;
    }
  }

 private:
  pool::Batch batch_;

 public:
  TestCall call;
};

inline pool::Outcome RunBatch(RunningPool& pool, BatchCall& batch) {
  batch.Settle();
  pool.Submit(batch.call);
  batch.call.AwaitDone();
  return batch.call.Await();
}

inline pool::Outcome RunBatch(RunningPool& pool, std::vector<pool::BatchStep> steps,
                              const pool::SessionUse& use = {}, bool atomic = true) {
  BatchCall batch(std::move(steps), atomic);
  batch.call.session = use;
  return RunBatch(pool, batch);
}

inline pool::Outcome RunIndependent(RunningPool& pool, std::vector<pool::BatchStep> steps,
                                    const pool::SessionUse& use = {}) {
  return RunBatch(pool, std::move(steps), use, false);
}

class IntegerRows final : public pool::ParameterRows {
 public:
  explicit IntegerRows(std::vector<int64_t> values) : values_(std::move(values)) {}
  size_t size() const override { return values_.size(); }
  void Get(size_t row, std::vector<pool::Value>& values) const override {
    values.assign({Integer(values_[row])});
  }

 private:
  const std::vector<int64_t> values_;
};

inline pool::Outcome RunMany(RunningPool& pool, const std::string& sql, std::vector<int64_t> values,
                             const pool::SessionUse& use = {}, pool::ResultLimits limits = {}) {
  const IntegerRows rows(std::move(values));
  TestCall call(sql);
  call.rows = &rows;
  call.session = use;
  call.statement.limits = limits;
  call.wants_rows_affected = true;
  pool.Submit(call);
  call.AwaitDone();
  return call.Await();
}

}  // namespace dbsidecar::contract
