// The trace of a call in the text of its statement.
#include <string>

#include "gmock/gmock.h"
#include "tests/contract/database.h"

namespace dbsidecar::contract {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr std::string_view kSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view kNotSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
constexpr const char* kOwnText = "select query from pg_stat_activity where pid = pg_backend_pid()";
constexpr const char* kComment =
    " /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";

class PostgresTraceTest : public PostgresTest {
 protected:
  static std::string Run(RunningPool& pool, const std::string& sql, std::string_view traceparent) {
    TestCall call(sql);
    call.trace = pool::TraceContext::Parse(traceparent);
    pool.Submit(call);
    return call.AwaitText();
  }
  static std::string Prepared(RunningPool& pool) {
    return pool.Text(
        "select count(*) from pg_prepared_statements where statement like 'select query from%'");
  }
};

TEST_F(PostgresTraceTest, ASampledCallIsInItsStatementWhereThatIsAskedFor) {
  config_.trace_comments = true;
  const auto pool = NewPool(1);
  EXPECT_EQ(Run(*pool, kOwnText, kSampled), std::string(kOwnText) + kComment);
  EXPECT_EQ(Run(*pool, kOwnText, kNotSampled), kOwnText);
  EXPECT_EQ(Run(*pool, kOwnText, "rubbish"), kOwnText);
  EXPECT_EQ(Run(*pool, std::string(kOwnText) + ";", kSampled),
            std::string(kOwnText) + ";" + kComment);
}

TEST_F(PostgresTraceTest, OtherwiseNot) {
  const auto pool = NewPool(1);
  EXPECT_EQ(Run(*pool, kOwnText, kSampled), kOwnText);
}

TEST_F(PostgresTraceTest, AStatementWithACommentOfItsOwnGetsNone) {
  config_.trace_comments = true;
  const auto pool = NewPool(1);
  for (const char* comment : {" -- by hand", " /* by hand */"}) {
    EXPECT_THAT(Run(*pool, std::string(kOwnText) + comment, kSampled), EndsWith(comment));
  }
}

TEST_F(PostgresTraceTest, OneWithACommentIsNotPreparedAndTheOthersAre) {
  config_.trace_comments = true;
  const auto pool = NewPool(1);
  for (int i = 0; i < 3; ++i) Run(*pool, kOwnText, kSampled);
  EXPECT_EQ(Prepared(*pool), "0");
  for (int i = 0; i < 3; ++i) Run(*pool, kOwnText, kNotSampled);
  EXPECT_EQ(Prepared(*pool), "1");
  EXPECT_THAT(Run(*pool, kOwnText, kSampled), HasSubstr("traceparent")) << "nor is it used";
}

TEST_F(PostgresTraceTest, AnUnfinishedTextIsNotFinishedByIt) {
  config_.trace_comments = true;
  const auto pool = NewPool(1);
  for (const char* text :
       {"select 'open", "select \"open", "select $$open", "select 1 where 'a' = 'b"}) {
    EXPECT_THAT(Run(*pool, text, kSampled), HasSubstr("42601")) << text;
  }
}

}  // namespace
}  // namespace dbsidecar::contract
