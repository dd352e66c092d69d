#include "server/batch_request.h"

#include <fmt/format.h>

#include <utility>

namespace dbsidecar::server {
namespace {

// So that the memory of a call is bounded where the size of its message does not: rows without
// values, and the count for each row.
constexpr uint32_t kRowsMax = 10'000'000;
constexpr uint32_t kByteaOid = 17;

pool::Error Invalid(std::string why) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why));
}

pool::Error InvalidStep(int step, std::string why) {
  pool::Error error = Invalid(std::move(why));
  error.place = {.part = "step", .index = static_cast<uint64_t>(step)};
  return error;
}

// --- Batch. ---

std::optional<std::string> TroubleWith(const v1::StepCondition& condition, int own_step) {
  if (condition.step() >= static_cast<uint32_t>(own_step)) {
    return fmt::format("a condition of step {} is on step {}; it must be on an earlier one",
                       own_step, condition.step());
  }
  switch (condition.test_case()) {
    case v1::StepCondition::kOutcome:
      if (condition.outcome() == v1::STEP_OUTCOME_UNSPECIFIED ||
          !v1::StepOutcome_IsValid(condition.outcome())) {
        return "a condition's `outcome` must be STEP_OUTCOME_OK, STEP_OUTCOME_FAILED or "
               "STEP_OUTCOME_SKIPPED";
      }
      return std::nullopt;
    case v1::StepCondition::kRows:
      if (condition.rows().comparison() == v1::COMPARISON_UNSPECIFIED ||
          !v1::Comparison_IsValid(condition.rows().comparison())) {
        return "a condition's `rows` needs a comparison";
      }
      return std::nullopt;
    case v1::StepCondition::TEST_NOT_SET:
      break;
  }
  return "a condition needs `outcome` or `rows`";
}

pool::StepOutcome ToOutcome(v1::StepOutcome outcome) {
  switch (outcome) {
    case v1::STEP_OUTCOME_FAILED:
      return pool::StepOutcome::kFailed;
    case v1::STEP_OUTCOME_SKIPPED:
      return pool::StepOutcome::kSkipped;
    case v1::STEP_OUTCOME_OK:
    case v1::STEP_OUTCOME_UNSPECIFIED:
    case v1::StepOutcome_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::StepOutcome_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return pool::StepOutcome::kOk;
}

pool::StepCondition::Comparison ToComparison(v1::Comparison comparison) {
  using Comparison = pool::StepCondition::Comparison;
  switch (comparison) {
    case v1::COMPARISON_NOT_EQUAL:
      return Comparison::kNotEqual;
    case v1::COMPARISON_LESS:
      return Comparison::kLess;
    case v1::COMPARISON_LESS_OR_EQUAL:
      return Comparison::kLessOrEqual;
    case v1::COMPARISON_GREATER:
      return Comparison::kGreater;
    case v1::COMPARISON_GREATER_OR_EQUAL:
      return Comparison::kGreaterOrEqual;
    case v1::COMPARISON_EQUAL:
    case v1::COMPARISON_UNSPECIFIED:
    case v1::Comparison_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::Comparison_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return Comparison::kEqual;
}

pool::StepCondition ToCondition(const v1::StepCondition& from) {
  pool::StepCondition condition{.step = from.step()};
  if (from.has_rows()) {
    condition.comparison = ToComparison(from.rows().comparison());
    condition.rows = from.rows().rows();
  } else {
    condition.outcome = ToOutcome(from.outcome());
  }
  return condition;
}

// What QueryRequest, BatchRequest and ExecuteManyRequest have in common.
template <typename Request>
pool::Statement FlagsOf(const Request& request, const RequestLimits& limits) {
  pool::Statement statement;
  statement.limits = ToLimits(request.max_rows(), limits);
  statement.read_only = request.read_only();
  statement.idempotent = request.idempotent();
  if (request.has_settings()) statement.settings = ToSettings(request.settings());
  return statement;
}

// --- ExecuteMany. ---

size_t ArraysIn(const v1::Column& column) {
  size_t arrays = 0;
  for (const int size : {column.ints_size(), column.doubles_size(), column.bools_size(),
                         column.strings_size(), column.blobs_size(), column.mixed_size()}) {
    arrays += size > 0 ? 1 : 0;
  }
  return arrays;
}

int SizeOf(const v1::Column& column) {
  return column.ints_size() + column.doubles_size() + column.bools_size() + column.strings_size() +
         column.blobs_size() + column.mixed_size();
}

std::optional<pool::Error> CheckColumn(const v1::Column& column, int number, uint32_t rows) {
  if (ArraysIn(column) > 1) {
    return Invalid(fmt::format("the column of ${} fills more than one array", number));
  }
  const auto size = static_cast<uint32_t>(SizeOf(column));
  if (size != 0 && size != rows) {
    return Invalid(
        fmt::format("the column of ${} has {} elements for {} rows", number, size, rows));
  }
  for (const uint32_t null : column.nulls()) {
    if (null >= rows) {
      return Invalid(
          fmt::format("the column of ${} has a NULL in row {} of {}", number, null, rows));
    }
  }
  return std::nullopt;
}

pool::Value CellOf(const v1::Column& column, int row) {
  pool::Value value;
  if (column.ints_size() > 0) {
    value.kind = pool::Value::Kind::kInteger;
    value.integer = column.ints(row);
  } else if (column.strings_size() > 0) {
    value.kind = pool::Value::Kind::kText;
    value.text = column.strings(row);
  } else if (column.doubles_size() > 0) {
    value.kind = pool::Value::Kind::kDouble;
    value.real = column.doubles(row);
  } else if (column.bools_size() > 0) {
    value.kind = pool::Value::Kind::kBool;
    value.boolean = column.bools(row);
  } else if (column.blobs_size() > 0) {
    value.kind = pool::Value::Kind::kBytes;
    value.text = column.blobs(row);
  } else if (column.mixed_size() > 0) {
    value = ToValue(column.mixed(row));
    value.type_oid = 0;  // It is the column's.
  }
  return value;
}

}  // namespace

std::optional<pool::Error> CheckBatch(const v1::BatchRequest& request,
                                      const RequestLimits& limits) {
  if (std::optional<pool::Error> trouble = CheckCommon(request)) return trouble;
  if (request.steps().empty()) return Invalid("a batch needs at least one step");
  if (!v1::BatchMode_IsValid(request.mode())) {
    return Invalid(fmt::format("unknown batch mode {}", static_cast<int>(request.mode())));
  }
  for (int i = 0; i < request.steps_size(); ++i) {
    const v1::BatchStep& step = request.steps(i);
    if (step.sql().empty()) return InvalidStep(i, fmt::format("step {} has no `sql`", i));
    if (static_cast<size_t>(step.params_size()) > limits.parameters_max) {
      return InvalidStep(i, fmt::format("{} parameters are over the limit of {} (params-max)",
                                        step.params_size(), limits.parameters_max));
    }
    for (const v1::StepCondition& condition : step.conditions()) {
      if (std::optional<std::string> trouble = TroubleWith(condition, i)) {
        return InvalidStep(i, std::move(*trouble));
      }
    }
  }
  return std::nullopt;
}

pool::Batch ToBatch(const v1::BatchRequest& request, const RequestLimits& limits) {
  pool::Batch batch{.atomic = request.mode() != v1::BATCH_MODE_INDEPENDENT};
  batch.steps.reserve(static_cast<size_t>(request.steps_size()));
  const pool::Statement flags = FlagsOf(request, limits);
  for (const v1::BatchStep& from : request.steps()) {
    pool::BatchStep& step = batch.steps.emplace_back();
    step.statement = flags;
    step.statement.sql = from.sql();
    for (const v1::Value& value : from.params()) {
      step.statement.parameters.push_back(ToValue(value));
    }
    if (from.max_rows() != 0) step.statement.limits = ToLimits(from.max_rows(), limits);
    for (const v1::StepCondition& condition : from.conditions()) {
      step.conditions.push_back(ToCondition(condition));
    }
    step.may_fail = from.may_fail();
  }
  return batch;
}

pool::Statement ToStatement(const v1::BatchRequest& request, const RequestLimits& limits) {
  return FlagsOf(request, limits);
}

std::optional<pool::Error> CheckExecuteMany(const v1::ExecuteManyRequest& request,
                                            const RequestLimits& limits) {
  if (request.sql().empty()) return Invalid("the statement is empty; set `sql`");
  if (std::optional<pool::Error> trouble = CheckCommon(request)) return trouble;
  if (static_cast<size_t>(request.params_size()) > limits.parameters_max) {
    return Invalid(fmt::format("{} parameters are over the limit of {} (params-max)",
                               request.params_size(), limits.parameters_max));
  }
  if (request.row_count() > kRowsMax) {
    return Invalid(fmt::format("{} rows are over the limit of {} for one call", request.row_count(),
                               kRowsMax));
  }
  if (request.type_oids_size() != 0 && request.type_oids_size() != request.params_size()) {
    return Invalid(fmt::format("{} type_oids for {} parameters", request.type_oids_size(),
                               request.params_size()));
  }
  for (int i = 0; i < request.params_size(); ++i) {
    if (auto trouble = CheckColumn(request.params(i), i + 1, request.row_count())) return trouble;
  }
  return std::nullopt;
}

pool::Statement ToStatement(const v1::ExecuteManyRequest& request, const RequestLimits& limits) {
  pool::Statement statement = FlagsOf(request, limits);
  statement.sql = request.sql();
  return statement;
}

std::optional<pool::Error> CheckDescribe(const v1::DescribeRequest& request,
                                         const RequestLimits& limits) {
  if (request.sql().empty()) return Invalid("the statement is empty; set `sql`");
  const v1::SessionControl& session = request.session();
  if (session.has_begin() || session.has_pin() || session.commit() || session.auto_pin()) {
    return Invalid("Describe takes a session's token, and no other session control");
  }
  if (auto trouble = CheckSession(session)) return trouble;
  if (auto trouble = CheckSettings(request.settings())) return trouble;
  if (static_cast<size_t>(request.param_type_oids_size()) > limits.parameters_max) {
    return Invalid(fmt::format("{} parameters are over the limit of {} (params-max)",
                               request.param_type_oids_size(), limits.parameters_max));
  }
  return std::nullopt;
}

pool::Statement ToStatement(const v1::DescribeRequest& request, const RequestLimits& /*limits*/) {
  pool::Statement statement;
  statement.sql = request.sql();
  statement.read_only = true;  // It runs nothing, so it may be asked again.
  if (request.has_settings()) statement.settings = ToSettings(request.settings());
  for (const uint32_t oid : request.param_type_oids()) {
    statement.parameters.emplace_back().type_oid = oid;
  }
  return statement;
}

ColumnRows::ColumnRows(const v1::ExecuteManyRequest& request)
    : request_(request), nulls_(static_cast<size_t>(request.params_size())) {
  for (size_t i = 0; i < nulls_.size(); ++i) {
    const v1::Column& column = request.params(static_cast<int>(i));
    if (column.nulls().empty()) continue;
    nulls_[i].resize(request.row_count());
    for (const uint32_t row : column.nulls()) nulls_[i][row] = true;
  }
}

void ColumnRows::Get(size_t row, std::vector<pool::Value>& values) const {
  values.resize(nulls_.size());
  for (size_t i = 0; i < nulls_.size(); ++i) {
    const v1::Column& column = request_.params(static_cast<int>(i));
    const bool null = !nulls_[i].empty() && nulls_[i][row];
    values[i] = null ? pool::Value() : CellOf(column, static_cast<int>(row));
    // In a row whose value is NULL, too: the statement is parsed with the types of the first.
    if (request_.type_oids_size() != 0) {
      values[i].type_oid = request_.type_oids(static_cast<int>(i));
    }
    if (values[i].type_oid == 0 && column.blobs_size() > 0) values[i].type_oid = kByteaOid;
  }
}

}  // namespace dbsidecar::server
