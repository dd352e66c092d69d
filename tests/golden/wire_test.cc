// The bytes of representative replies and error details. Clients of every language read them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/error_mapping.h"
#include "server/result_encoder.h"
#include "tests/golden/wire_text.h"
#include "tests/support/golden_file.h"

namespace dbsidecar::golden {
namespace {

using pool::ColumnInfo;
using pool::Error;
using pool::ErrorKind;
using pool::Outcome;

void ExpectBytes(const google::protobuf::Message& message, const std::string& name) {
  test_support::ExpectSameAsFile(WireText(message, message.SerializeAsString()),
                                 "tests/golden/wire/" + name + ".txt");
}

void ExpectReply(const Outcome& outcome, v1::ResultFormat format, const std::string& name) {
  server::WireWriter out;
  server::EncodeOutcome(outcome, format, false, out);
  const std::string bytes(out.bytes());
  v1::QueryResponse response;
  ASSERT_TRUE(response.ParseFromString(bytes));
  // What Protobuf itself would have sent.
  EXPECT_EQ(response.SerializeAsString(), bytes);
  ExpectBytes(response, name);
}

// An array of every kind, a type without one of its own, and NULLs.
Outcome Orders() {
  Outcome outcome;
  outcome.result.columns = {
      {.name = "id", .type_oid = 20, .table_oid = 16'384, .column_number = 1, .declared_type = ""},
      {.name = "weight", .type_oid = 701, .declared_type = ""},
      {.name = "paid", .type_oid = 16, .declared_type = ""},
      {.name = "city", .type_oid = 25, .declared_type = ""},
      {.name = "seal", .type_oid = 17, .declared_type = ""},
      {.name = "price", .type_oid = 1700, .type_modifier = 655'366, .declared_type = ""}};
  pool::RowBuffer& rows = outcome.result.rows;
  rows.SetColumnCount(6);
  for (const char* cell : {"-1", "0.5", "t", "K\xc3\xb6ln", "\\x00ff", "12.50"}) rows.AddText(cell);
  rows.AddText("9223372036854775807");
  rows.AddText("-Infinity");
  rows.AddText("f");
  rows.AddText("");
  rows.AddNull();
  rows.AddText("NaN");
  outcome.result.command_tag = "SELECT 2";
  return outcome;
}

TEST(WireTest, ColumnsOfPostgresql) {
  ExpectReply(Orders(), v1::RESULT_FORMAT_COLUMNS, "columns_of_postgresql");
}

TEST(WireTest, RowsOfPostgresql) {
  ExpectReply(Orders(), v1::RESULT_FORMAT_ROWS, "rows_of_postgresql");
}

TEST(WireTest, TextColumnsOfPostgresql) {
  ExpectReply(Orders(), v1::RESULT_FORMAT_TEXT_COLUMNS, "text_columns_of_postgresql");
}

TEST(WireTest, AMixedColumnOfSqlite) {
  Outcome outcome;
  outcome.result.columns = {{.name = "any", .type_oid = 20, .declared_type = "INTEGER"}};
  outcome.result.typed_cells = true;
  pool::RowBuffer& rows = outcome.result.rows;
  rows.SetColumnCount(1);
  rows.AddInteger(-2);
  rows.AddDouble(0.25);
  rows.AddText("text");
  rows.AddBlob(std::string_view("\0\x01", 2));
  rows.AddNull();
  outcome.result.command_tag = "SELECT 5";
  outcome.result.truncated = true;
  ExpectReply(outcome, v1::RESULT_FORMAT_COLUMNS, "mixed_column_of_sqlite");
}

TEST(WireTest, AnInsertWithANotice) {
  Outcome outcome;
  outcome.result.rows_affected = 1;
  outcome.result.command_tag = "INSERT 0 1";
  outcome.result.last_insert_id = 300;
  outcome.notices = {{.severity = "WARNING", .sqlstate = "01000", .message = "look out"}};
  ExpectReply(outcome, v1::RESULT_FORMAT_COLUMNS, "insert_with_notice");
}

TEST(WireTest, AnErrorOfTheDatabase) {
  Error error{.kind = ErrorKind::kDatabase,
              .message = "duplicate key value violates unique constraint \"fruit_pkey\"",
              .sql = {.sqlstate = "23505",
                      .severity = "ERROR",
                      .message = "duplicate key value violates unique constraint \"fruit_pkey\"",
                      .detail = "Key (name)=(pear) already exists.",
                      .hint = "",
                      .position = 0,
                      .schema = "public",
                      .table = "fruit",
                      .column = "",
                      .datatype = "",
                      .constraint = "fruit_pkey",
                      .where = "",
                      .sqlite_extended_code = 0}};
  ExpectBytes(server::ToRpcStatus(error), "error_of_the_database");
}

TEST(WireTest, AnErrorThatARetryHelps) {
  const Error error{.kind = ErrorKind::kQueueFull, .message = "the queue is full", .sql = {}};
  ExpectBytes(server::ToRpcStatus(error), "error_that_a_retry_helps");
}

TEST(WireTest, AnErrorThatLeavesTheOutcomeUnknown) {
  const Error error{.kind = ErrorKind::kConnectionLost,
                    .message = "the connection was lost",
                    .sql = {},
                    .outcome_unknown = true};
  ExpectBytes(server::ToRpcStatus(error), "error_that_leaves_the_outcome_unknown");
}

}  // namespace
}  // namespace dbsidecar::golden
