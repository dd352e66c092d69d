#include "server/batch_request.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dbsidecar::server {
namespace {

using pool::StepCondition;
using pool::StepOutcome;
using pool::Value;

template <typename Request>
Request Parse(const std::string& text) {
  Request request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

TEST(BatchRequestTest, WhatCountsForTheBatchCountsForItsSteps) {
  const auto request = Parse<v1::BatchRequest>(
      "steps { sql: 'a' params { int_value: 7 } may_fail: true }"
      "steps { sql: 'b' max_rows: 5 conditions { step: 0 outcome: STEP_OUTCOME_SKIPPED }"
      "  conditions { step: 0 rows { comparison: COMPARISON_LESS_OR_EQUAL rows: -3 } } }"
      "mode: BATCH_MODE_INDEPENDENT max_rows: 9 read_only: true idempotent: true "
      "settings { role: 'r' }");
  const RequestLimits limits{.result_rows_max = 100, .result_bytes_max = 1000};
  EXPECT_FALSE(CheckBatch(request, limits));
  const pool::Batch batch = ToBatch(request, limits);
  EXPECT_FALSE(batch.atomic);
  ASSERT_EQ(batch.steps.size(), 2u);
  for (const pool::BatchStep& step : batch.steps) {
    EXPECT_TRUE(step.statement.read_only);
    EXPECT_TRUE(step.statement.idempotent);
    EXPECT_EQ(step.statement.settings.role, "r");
    EXPECT_EQ(step.statement.limits.bytes_max, 1000u);
    EXPECT_TRUE(step.statement.limits.truncate);
  }
  EXPECT_EQ(batch.steps[0].statement.sql, "a");
  EXPECT_EQ(batch.steps[0].statement.parameters[0].integer, 7);
  EXPECT_EQ(batch.steps[0].statement.limits.rows_max, 9u);
  EXPECT_TRUE(batch.steps[0].may_fail);
  EXPECT_EQ(batch.steps[1].statement.limits.rows_max, 5u);
  ASSERT_EQ(batch.steps[1].conditions.size(), 2u);
  EXPECT_EQ(batch.steps[1].conditions[0].outcome, StepOutcome::kSkipped);
  EXPECT_FALSE(batch.steps[1].conditions[1].outcome);
  EXPECT_EQ(batch.steps[1].conditions[1].comparison, StepCondition::Comparison::kLessOrEqual);
  EXPECT_EQ(batch.steps[1].conditions[1].rows, -3);
  EXPECT_TRUE(ToBatch(Parse<v1::BatchRequest>("steps { sql: 'a' }"), limits).atomic);
}

TEST(BatchRequestTest, ARowIsReadFromItsColumns) {
  const auto request = Parse<v1::ExecuteManyRequest>(
      "sql: 'x' row_count: 2 type_oids: [0, 25, 0, 0, 0]"
      "params { ints: [1, 0] nulls: 1 } params { strings: ['a', 'b'] } params { }"
      "params { blobs: ['', 'y'] nulls: 0 }"
      "params { mixed { double_value: 0.5 } mixed { bool_value: true type_oid: 3 } }");
  EXPECT_FALSE(CheckExecuteMany(request, {}));
  const ColumnRows rows(request);
  EXPECT_EQ(rows.size(), 2u);
  std::vector<Value> first;
  std::vector<Value> second;
  rows.Get(0, first);
  rows.Get(1, second);
  ASSERT_EQ(first.size(), 5u);
  EXPECT_EQ(first[0].integer, 1);
  EXPECT_EQ(second[0].kind, Value::Kind::kNull);
  EXPECT_EQ(second[1].text, "b");
  EXPECT_EQ(second[1].type_oid, 25u);
  EXPECT_EQ(first[2].kind, Value::Kind::kNull);
  // Every row has the types of the first, with which the statement is parsed.
  EXPECT_EQ(first[3].kind, Value::Kind::kNull);
  EXPECT_EQ(first[3].type_oid, 17u);
  EXPECT_EQ(second[3].kind, Value::Kind::kBytes);
  EXPECT_EQ(second[3].type_oid, 17u);
  EXPECT_EQ(first[4].real, 0.5);
  EXPECT_TRUE(second[4].boolean);
  EXPECT_EQ(second[4].type_oid, 0u);
}

TEST(BatchRequestTest, ARefusalNeverShowsStatementsOrParameters) {
  for (const char* text :
       {"steps { sql: 'hidden' } mode: 9", "steps { sql: 'hidden' } steps { }",
        "steps { sql: 'hidden' params { string_value: 'hidden' } conditions { step: 0 } }"}) {
    const auto refusal = CheckBatch(Parse<v1::BatchRequest>(text), {});
    ASSERT_TRUE(refusal) << text;
    EXPECT_EQ(refusal->kind, pool::ErrorKind::kInvalidArgument);
    EXPECT_EQ(refusal->message.find("hidden"), std::string::npos) << refusal->message;
  }
}

TEST(BatchTest, AConditionOnRowsHoldsOnlyAfterASuccess) {
  pool::StepResult step;
  StepCondition condition{.step = 0, .comparison = StepCondition::Comparison::kEqual, .rows = 0};
  EXPECT_FALSE(pool::Holds(condition, step));
  step.outcome = StepOutcome::kOk;
  EXPECT_TRUE(pool::Holds(condition, step));
  step.rows_returned = 4;
  condition.rows = 4;
  EXPECT_TRUE(pool::Holds(condition, step));
  // What a statement changed counts before what it returned.
  step.result.rows_affected = 2;
  EXPECT_FALSE(pool::Holds(condition, step));
  condition.rows = 2;
  EXPECT_TRUE(pool::Holds(condition, step));
}

}  // namespace
}  // namespace dbsidecar::server
