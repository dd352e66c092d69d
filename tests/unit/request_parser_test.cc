#include "server/request_parser.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace dbsidecar::server {
namespace {

using google::protobuf::TextFormat;
using pool::ErrorKind;
using pool::Statement;
using pool::Value;
using testing::HasSubstr;

v1::QueryRequest Request(const std::string& text) {
  v1::QueryRequest request;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// What is wrong with the request; fails the test if nothing is.
pool::Error RefusalOf(const v1::QueryRequest& request, const RequestLimits& limits = {}) {
  const std::optional<pool::Error> refusal = CheckRequest(request, limits);
  EXPECT_TRUE(refusal.has_value()) << request.ShortDebugString();
  return refusal.value_or(pool::Error{});
}

TEST(RequestParserTest, EveryKindOfParameterKeepsItsValueAndPlace) {
  const v1::QueryRequest request = Request(
      "sql: 'select $1' "
      "params { bool_value: true } "
      "params { bool_value: false } "
      "params { int_value: -9223372036854775808 } "
      "params { double_value: 0.1 } "
      "params { string_value: 'caf\\303\\251' } "
      "params { bytes_value: '\\000\\377' } "
      "params { }");
  const Statement statement = ToStatement(request, {});
  ASSERT_EQ(statement.parameters.size(), 7u);
  EXPECT_EQ(statement.parameters[0].kind, Value::Kind::kBool);
  EXPECT_TRUE(statement.parameters[0].boolean);
  EXPECT_EQ(statement.parameters[1].kind, Value::Kind::kBool);
  EXPECT_FALSE(statement.parameters[1].boolean);
  EXPECT_EQ(statement.parameters[2].kind, Value::Kind::kInteger);
  EXPECT_EQ(statement.parameters[2].integer, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(statement.parameters[3].kind, Value::Kind::kDouble);
  EXPECT_EQ(statement.parameters[3].real, 0.1);
  EXPECT_EQ(statement.parameters[4].kind, Value::Kind::kText);
  EXPECT_EQ(statement.parameters[4].text, "caf\xc3\xa9");
  EXPECT_EQ(statement.parameters[5].kind, Value::Kind::kBytes);
  EXPECT_EQ(statement.parameters[5].text, std::string_view("\0\xff", 2));
  EXPECT_EQ(statement.parameters[6].kind, Value::Kind::kNull);
}

TEST(RequestParserTest, ADefaultValueIsNotNull) {
  const v1::QueryRequest request = Request(
      "sql: 'x' params { int_value: 0 } params { double_value: 0 } params { string_value: '' } "
      "params { bytes_value: '' }");
  const Statement statement = ToStatement(request, {});
  ASSERT_EQ(statement.parameters.size(), 4u);
  EXPECT_EQ(statement.parameters[0].kind, Value::Kind::kInteger);
  EXPECT_EQ(statement.parameters[1].kind, Value::Kind::kDouble);
  EXPECT_EQ(statement.parameters[2].kind, Value::Kind::kText);
  EXPECT_EQ(statement.parameters[3].kind, Value::Kind::kBytes);
}

TEST(RequestParserTest, SpecialDoublesArePassedOn) {
  const v1::QueryRequest request = Request(
      "sql: 'x' params { double_value: nan } params { double_value: -inf } "
      "params { double_value: -0.0 }");
  const Statement statement = ToStatement(request, {});
  ASSERT_EQ(statement.parameters.size(), 3u);
  EXPECT_TRUE(std::isnan(statement.parameters[0].real));
  EXPECT_EQ(statement.parameters[1].real, -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::signbit(statement.parameters[2].real));
}

TEST(RequestParserTest, ANamedTypeIsPassedOnAlsoForNull) {
  const v1::QueryRequest request = Request(
      "sql: 'x' params { int_value: 1 type_oid: 20 } params { type_oid: 2950 } "
      "params { string_value: '1' }");
  const Statement statement = ToStatement(request, {});
  ASSERT_EQ(statement.parameters.size(), 3u);
  EXPECT_EQ(statement.parameters[0].type_oid, 20u);
  EXPECT_EQ(statement.parameters[1].type_oid, 2950u);
  EXPECT_EQ(statement.parameters[1].kind, Value::Kind::kNull);
  EXPECT_EQ(statement.parameters[2].type_oid, 0u);
}

TEST(RequestParserTest, TextAndBytesAreBorrowedNotCopied) {
  const v1::QueryRequest request =
      Request("sql: 'select $1' params { string_value: 'text' } params { bytes_value: 'bytes' }");
  const Statement statement = ToStatement(request, {});
  EXPECT_EQ(statement.sql.data(), request.sql().data());
  EXPECT_EQ(statement.parameters[0].text.data(), request.params(0).string_value().data());
  EXPECT_EQ(statement.parameters[1].text.data(), request.params(1).bytes_value().data());
}

TEST(RequestParserTest, TheCallersWordsArePassedOn) {
  const v1::QueryRequest plain_request = Request("sql: 'select 1'");
  const Statement plain = ToStatement(plain_request, {});
  EXPECT_EQ(plain.sql, "select 1");
  EXPECT_FALSE(plain.read_only);
  EXPECT_FALSE(plain.idempotent);
  EXPECT_TRUE(ToStatement(Request("sql: 'x' read_only: true"), {}).read_only);
  EXPECT_FALSE(ToStatement(Request("sql: 'x' read_only: true"), {}).idempotent);
  EXPECT_TRUE(ToStatement(Request("sql: 'x' idempotent: true"), {}).idempotent);
  EXPECT_FALSE(ToStatement(Request("sql: 'x' idempotent: true"), {}).read_only);
}

TEST(RequestParserTest, RowsOverTheCallersLimitAreCutAndOverTheConfiguredOneAnError) {
  const RequestLimits limits{.result_rows_max = 1000, .result_bytes_max = 64};
  const Statement asked = ToStatement(Request("sql: 'x' max_rows: 5"), limits);
  EXPECT_EQ(asked.limits.rows_max, 5u);
  EXPECT_TRUE(asked.limits.truncate);
  EXPECT_EQ(asked.limits.bytes_max, 64u);
  const Statement configured = ToStatement(Request("sql: 'x'"), limits);
  EXPECT_EQ(configured.limits.rows_max, 1000u);
  EXPECT_FALSE(configured.limits.truncate);
  EXPECT_EQ(configured.limits.bytes_max, 64u);
}

TEST(RequestParserTest, WithoutConfiguredLimitsThereAreNone) {
  const Statement statement = ToStatement(Request("sql: 'x'"), {});
  EXPECT_EQ(statement.limits.rows_max, 0u);
  EXPECT_EQ(statement.limits.bytes_max, 0u);
  EXPECT_FALSE(statement.limits.truncate);
}

TEST(RequestParserTest, WhatCanBeServedIsNotRefused) {
  for (const char* text :
       {"sql: 'select 1'", "sql: ' '", "sql: 'x' pool: 'default'", "sql: 'x' session { }",
        "sql: 'x' session { begin { } }", "sql: 'x' session { begin { } commit: true }",
        "sql: 'x' session { pin { } }", "sql: 'x' session { session: 'token' commit: true }",
        "sql: 'x' session { commit: true }", "sql: 'x' session { auto_pin: true }",
        "sql: 'x' session { begin { idle_timeout { seconds: 5 nanos: 1 } isolation: "
        "ISOLATION_LEVEL_SERIALIZABLE } }",
        "sql: 'x' format: RESULT_FORMAT_TEXT_COLUMNS",
        "sql: 'x' max_rows: 4294967295 read_only: true idempotent: true want_timing: true"}) {
    EXPECT_FALSE(CheckRequest(Request(text), {}).has_value()) << text;
  }
  v1::QueryRequest tagged = Request("sql: 'x'");
  (*tagged.mutable_tags())["caller"] = "reports";
  EXPECT_FALSE(CheckRequest(tagged, {}).has_value());
}

TEST(RequestParserTest, AnEmptyStatementIsInvalid) {
  EXPECT_EQ(RefusalOf(Request("params { int_value: 1 }")).kind, ErrorKind::kInvalidArgument);
}

TEST(RequestParserTest, SettingsComeWithTheStatement) {
  const v1::QueryRequest request = Request(
      "sql: 'x' settings { role: 'r' search_path: 's, p' time_zone: 'z' application_name: 'a' "
      "statement_timeout { nanos: 1 } lock_timeout { seconds: 2 } }");
  const pool::CallSettings settings = ToStatement(request, {}).settings;
  EXPECT_EQ(settings.role, "r");
  EXPECT_EQ(settings.search_path, "s, p");
  EXPECT_EQ(settings.time_zone, "z");
  EXPECT_EQ(settings.application_name, "a");
  EXPECT_EQ(settings.statement_timeout, std::chrono::nanoseconds(1));
  EXPECT_EQ(settings.lock_timeout, std::chrono::seconds(2));
  EXPECT_TRUE(ToStatement(Request("sql: 'x' settings { }"), {}).settings.none());
}

TEST(RequestParserTest, TimeLimitsThatMakeNoSenseAreInvalid) {
  for (const char* text : {"sql: 'x' settings { statement_timeout { seconds: -1 } }",
                           "sql: 'x' settings { lock_timeout { nanos: -1 } }",
                           "sql: 'x' settings { lock_timeout { seconds: 999999999999 } }"}) {
    EXPECT_EQ(RefusalOf(Request(text)).kind, ErrorKind::kInvalidArgument) << text;
  }
}

TEST(RequestParserTest, ASessionThatMakesNoSenseIsInvalid) {
  for (const char* text :
       {"sql: 'x' session { session: '' }", "sql: 'x' session { pin { } commit: true }",
        "sql: 'x' session { begin { idle_timeout { seconds: -1 } } }",
        "sql: 'x' session { begin { transaction_timeout { nanos: -1 } } }",
        "sql: 'x' session { pin { idle_timeout { seconds: 999999999999 } } }"}) {
    EXPECT_EQ(RefusalOf(Request(text)).kind, ErrorKind::kInvalidArgument) << text;
  }
  v1::QueryRequest request = Request("sql: 'x' session { begin { } }");
  request.mutable_session()->mutable_begin()->set_isolation(static_cast<v1::IsolationLevel>(9));
  EXPECT_EQ(RefusalOf(request).kind, ErrorKind::kInvalidArgument);
}

TEST(RequestParserTest, SessionsAreUsedAsTheRequestSays) {
  using pool::SessionUse;
  const auto use = [](const char* text) { return ToSessionUse(Request(text).session(), 7); };
  EXPECT_TRUE(use("sql: 'x'").none());
  // In autocommit there is nothing more to commit.
  EXPECT_FALSE(use("sql: 'x' session { commit: true }").commit);
  EXPECT_FALSE(use("sql: 'x' session { auto_pin: true }").none());
  EXPECT_EQ(use("sql: 'x' session { pin { } }").kind, SessionUse::Kind::kPin);
  const SessionUse begin = use(
      "sql: 'x' session { commit: true begin { isolation: ISOLATION_LEVEL_REPEATABLE_READ "
      "read_only: true deferrable: true idle_timeout { seconds: 2 } transaction_timeout { nanos: 5 "
      "} } }");
  EXPECT_EQ(begin.kind, SessionUse::Kind::kBegin);
  EXPECT_TRUE(begin.commit);
  EXPECT_EQ(begin.begin.isolation, pool::BeginOptions::Isolation::kRepeatableRead);
  EXPECT_TRUE(begin.begin.read_only);
  EXPECT_TRUE(begin.begin.deferrable);
  EXPECT_EQ(begin.idle_timeout, std::chrono::seconds(2));
  EXPECT_EQ(begin.transaction_timeout, std::chrono::nanoseconds(5));
  EXPECT_EQ(begin.owner, 7u);
  EXPECT_EQ(begin.client_id, "");
  const v1::QueryRequest attached = Request("sql: 'x' session { begin { } client_id: 'c' }");
  EXPECT_EQ(ToSessionUse(attached.session(), 7).client_id, "c");
  v1::QueryRequest request = Request("sql: 'x' session { session: 'token' }");
  EXPECT_EQ(ToSessionUse(request.session(), 7).kind, SessionUse::Kind::kContinue);
  EXPECT_EQ(ToSessionUse(request.session(), 7).token, "token");
}

TEST(RequestParserTest, TheEndOfASessionSaysHow) {
  v1::EndSessionRequest request;
  EXPECT_TRUE(CheckEndSession(request).has_value());
  request.set_session("token");
  EXPECT_TRUE(CheckEndSession(request).has_value());
  request.set_end(static_cast<v1::SessionEnd>(17));
  EXPECT_TRUE(CheckEndSession(request).has_value());
  const std::pair<v1::SessionEnd, pool::SessionUse::End> ends[] = {
      {v1::SESSION_END_COMMIT, pool::SessionUse::End::kCommit},
      {v1::SESSION_END_ROLLBACK, pool::SessionUse::End::kRollback},
      {v1::SESSION_END_RELEASE, pool::SessionUse::End::kRelease}};
  for (const auto& [wire, end] : ends) {
    request.set_end(wire);
    EXPECT_FALSE(CheckEndSession(request).has_value());
    EXPECT_EQ(ToSessionUse(request).end, end);
    EXPECT_EQ(ToSessionUse(request).kind, pool::SessionUse::Kind::kEnd);
    EXPECT_EQ(ToSessionUse(request).token, "token");
  }
}

TEST(RequestParserTest, AsManyParametersAsTheLimitAreServedAndOneMoreIsNot) {
  v1::QueryRequest request = Request("sql: 'x'");
  for (int i = 0; i < 3; ++i) request.add_params();
  EXPECT_FALSE(CheckRequest(request, {.parameters_max = 3}).has_value());
  const pool::Error refusal = RefusalOf(request, {.parameters_max = 2});
  EXPECT_EQ(refusal.kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(refusal.message, HasSubstr("3"));
  EXPECT_THAT(refusal.message, HasSubstr("2"));
}

TEST(RequestParserTest, ByDefaultAsManyParametersAreServedAsTheProtocolOfPostgresCounts) {
  v1::QueryRequest request = Request("sql: 'x'");
  for (int i = 0; i < 65535; ++i) request.add_params();
  EXPECT_FALSE(CheckRequest(request, {}).has_value());
  request.add_params();
  EXPECT_EQ(RefusalOf(request).kind, ErrorKind::kInvalidArgument);
}

TEST(RequestParserTest, AFormatThatDoesNotExistIsInvalid) {
  v1::QueryRequest request = Request("sql: 'x'");
  for (const int format : {-1, 4, 1000}) {
    request.set_format(static_cast<v1::ResultFormat>(format));
    EXPECT_EQ(RefusalOf(request).kind, ErrorKind::kInvalidArgument) << format;
  }
}

TEST(RequestParserTest, ARefusalNeverShowsStatementParametersOrToken) {
  for (const char* text : {"sql: 'hidden' session { pin { } commit: true }",
                           "sql: 'hidden' session { session: '' client_id: 'hidden' }",
                           "sql: 'hidden' settings { role: 'hidden' lock_timeout { nanos: -1 } }",
                           "sql: 'hidden' params { string_value: 'hidden' } format: 9"}) {
    const pool::Error refusal = RefusalOf(Request(text));
    EXPECT_EQ(refusal.message.find("hidden"), std::string::npos) << refusal.message;
    EXPECT_FALSE(refusal.outcome_unknown);
    EXPECT_EQ(refusal.sql.sqlstate, "");
  }
}

}  // namespace
}  // namespace dbsidecar::server
