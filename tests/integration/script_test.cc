// The Script RPC.
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

struct ScriptOutcome : QueryOutcome {
  v1::ScriptResponse script;
};

ScriptOutcome RunScript(PostgresSidecar& fixture, const v1::ScriptRequest& request,
                        grpc::ClientContext& context) {
  ScriptOutcome outcome;
  outcome.status = fixture.client.stub().Script(&context, request, &outcome.script);
  UnpackDetails(outcome);
  return outcome;
}

ScriptOutcome RunScript(PostgresSidecar& fixture, const v1::ScriptRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  return RunScript(fixture, request, context);
}

v1::ScriptRequest MakeScript(const std::string& sql) {
  v1::ScriptRequest request;
  request.set_sql(sql);
  return request;
}

TEST(ScriptTest, EveryStatementIsAnswered) {
  PostgresSidecar fixture;
  v1::ScriptRequest request = MakeScript(
      "create table t (i int, s text); insert into t values (1, 'one'); select * from t");
  request.set_want_timing(true);
  const ScriptOutcome outcome = RunScript(fixture, request);
  ASSERT_TRUE(outcome.ok()) << outcome;
  ASSERT_EQ(outcome.script.results_size(), 3);
  EXPECT_EQ(outcome.script.results(0).command_tag(), "CREATE TABLE");
  EXPECT_EQ(outcome.script.results(0).rows_affected(), -1);
  EXPECT_EQ(outcome.script.results(1).rows_affected(), 1);
  EXPECT_EQ(outcome.script.results(2).data(0).ints(0), 1);
  EXPECT_EQ(outcome.script.results(2).data(1).strings(0), "one");
  EXPECT_EQ(outcome.script.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
  EXPECT_GT(outcome.script.timing().execute_nanos(), 0u);
  EXPECT_EQ(fixture.client.Query("select count(*) from t").Scalar(), "1");
}

TEST(ScriptTest, AnErrorSaysWhichStatement) {
  PostgresSidecar fixture;
  const ScriptOutcome outcome =
      RunScript(fixture, MakeScript("create table t (); select 1; select * from no_table"));
  EXPECT_EQ(CodeAndSqlstate(outcome), "NOT_FOUND 42P01");
  EXPECT_EQ(outcome.sql.position(), 44);
  EXPECT_NE(outcome.status.error_details().find("statement"), std::string::npos);
  EXPECT_EQ(fixture.Psql("select count(*) from pg_class where relname = 't'"), "0");
}

TEST(ScriptTest, WhatCannotBeServedIsRefused) {
  PostgresSidecar fixture;
  v1::ScriptRequest request = MakeScript("select 1");
  request.set_separate_transactions(true);
  request.mutable_session()->mutable_begin();
  EXPECT_EQ(RunScript(fixture, request).reason, "INVALID_REQUEST");
  request = MakeScript("select 1");
  request.set_pool("none");
  EXPECT_EQ(RunScript(fixture, request).reason, "POOL_NOT_FOUND");
  EXPECT_EQ(RunScript(fixture, MakeScript("begin; select 1")).reason, "SESSION_REQUIRED");
}

TEST(ScriptTest, AClientThatGoesLeavesTheConnectionFreeWithinASecond) {
  PostgresSidecar fixture({"--max-connections", "1", "--min-connections", "0"});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  std::thread caller([&] {
    EXPECT_EQ(RunScript(fixture, MakeScript("select pg_sleep(30)"), context).status.error_code(),
              grpc::StatusCode::CANCELLED);
  });
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep(30)") > 0; }));
  const auto gone = Clock::now();
  context.TryCancel();
  caller.join();
  EXPECT_EQ(fixture.client.Query("select 7").Scalar(), "7");
  EXPECT_LT(Clock::now() - gone, 1s);
}

}  // namespace
}  // namespace dbsidecar::integration
