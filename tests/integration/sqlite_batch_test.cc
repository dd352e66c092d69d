// Batch, ExecuteMany, Script and Describe on SQLite, over the wire and on the command line.
#include <fmt/format.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/integration/many_rows.h"

namespace dbsidecar::integration {
namespace {

using testing::HasSubstr;

class SqliteManyTest : public ::testing::TestWithParam<bool> {
 protected:
  SqliteManyTest()
      : folder_(test_support::MakeTemporaryFolder("sqlite_batch")),
        sidecar_({.database_url =
                      GetParam() ? "sqlite:" + File("test.db") : std::string("sqlite::memory:"),
                  .flags = {},
                  .environment = {}}),
        client_(sidecar_.NewChannel()) {
    EXPECT_TRUE(client_.Query("create table t (id integer primary key, v text, n real)").ok());
  }
  ~SqliteManyTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  std::string Count() { return client_.Query("select count(*) from t").Scalar(); }

  // "OK", or the code, the SQLSTATE, and which part has failed.
  template <typename Request, typename Response>
  std::string Run(grpc::Status (v1::Sidecar::Stub::*rpc)(grpc::ClientContext*, const Request&,
                                                         Response*),
                  const Request& request, Response& response, milliseconds timeout = 60s) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    QueryOutcome outcome;
    outcome.status = (client_.stub().*rpc)(&context, request, &response);
    test_support::UnpackDetails(outcome);
    if (outcome.ok()) return "OK";
    position_ = outcome.sql.position();
    std::string text = CodeAndSqlstate(outcome);
    google::rpc::Status details;
    details.ParseFromString(outcome.status.error_details());
    for (const auto& detail : details.details()) {
      google::rpc::ErrorInfo info;
      if (!detail.UnpackTo(&info)) continue;
      for (const char* part : {"step", "row", "statement"}) {
        const auto found = info.metadata().find(part);
        if (found != info.metadata().end()) text += fmt::format(" {}={}", part, found->second);
      }
    }
    return text;
  }
  std::string Batch(const v1::BatchRequest& request, v1::BatchResponse& response,
                    milliseconds timeout = 60s) {
    return Run(&v1::Sidecar::Stub::Batch, request, response, timeout);
  }
  std::string Many(const v1::ExecuteManyRequest& request, v1::ExecuteManyResponse& response,
                   milliseconds timeout = 60s) {
    return Run(&v1::Sidecar::Stub::ExecuteMany, request, response, timeout);
  }
  std::string Script(const v1::ScriptRequest& request, v1::ScriptResponse& response,
                     milliseconds timeout = 60s) {
    return Run(&v1::Sidecar::Stub::Script, request, response, timeout);
  }
  std::string Describe(const v1::DescribeRequest& request, v1::DescribeResponse& response) {
    return Run(&v1::Sidecar::Stub::Describe, request, response);
  }
  // What the command line prints; its exit code must be `expected`.
  std::string CommandLine(std::vector<std::string> arguments, int expected = 0) {
    arguments.insert(arguments.begin() + 1, {"--addr", sidecar_.address()});
    const std::string out = File("out");
    const int code =
        test_support::RunToExit(SidecarProcess::CommandLine(std::move(arguments), out), 20s);
    const std::string text = test_support::ReadFile(out);
    EXPECT_EQ(code, expected) << text;
    return text;
  }

  std::string folder_;
  SidecarProcess sidecar_;
  QueryClient client_;
  int position_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Places, SqliteManyTest, ::testing::Bool(),
                         [](const auto& place) { return place.param ? "File" : "Memory"; });

constexpr char kForever[] =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

template <typename... Params>
v1::BatchStep& AddStep(v1::BatchRequest& request, const std::string& sql, const Params&... params) {
  v1::BatchStep& step = *request.add_steps();
  step.set_sql(sql);
  (test_support::SetValue(*step.add_params(), params), ...);
  return step;
}

TEST_P(SqliteManyTest, StepsConditionsAndResultsTravel) {
  v1::BatchRequest request;
  request.set_want_timing(true);
  AddStep(request, "insert into t (id, v) values ($1, $2)", 1, "one");
  AddStep(request, "insert into t (id, v) values ($1, $2)", 1, "again").set_may_fail(true);
  v1::StepCondition& failed =
      *AddStep(request, "update t set v = $1 where id = $2 returning v", "two", 1).add_conditions();
  failed.set_step(1);
  failed.set_outcome(v1::STEP_OUTCOME_FAILED);
  v1::StepCondition& rows = *AddStep(request, "delete from t").add_conditions();
  rows.set_step(2);
  rows.mutable_rows()->set_comparison(v1::COMPARISON_EQUAL);
  rows.mutable_rows()->set_rows(5);
  v1::BatchResponse response;
  ASSERT_EQ(Batch(request, response), "OK");
  ASSERT_EQ(response.results_size(), 4);
  EXPECT_EQ(response.results(0).result().rows_affected(), 1);
  EXPECT_EQ(response.results(0).result().last_insert_id(), 1);
  EXPECT_EQ(response.results(1).outcome(), v1::STEP_OUTCOME_FAILED);
  EXPECT_EQ(response.results(1).error().sql().sqlstate(), "23505");
  EXPECT_EQ(response.results(2).result().data(0).strings(0), "two");
  EXPECT_EQ(response.results(3).outcome(), v1::STEP_OUTCOME_SKIPPED);
  EXPECT_GT(response.timing().execute_nanos(), 0u);
  EXPECT_EQ(response.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
  AddStep(request, "select * from no_table");
  EXPECT_EQ(Batch(request, response), "ALREADY_EXISTS 23505 step=0");
  EXPECT_EQ(Count(), "1");
}

TEST_P(SqliteManyTest, ACallerThatLeavesHasItsWorkUndone) {
  v1::BatchRequest batch;
  AddStep(batch, "insert into t (id) values (1)");
  AddStep(batch, kForever);
  v1::BatchResponse batched;
  const auto before = Clock::now();
  EXPECT_THAT(Batch(batch, batched, 200ms), HasSubstr("DEADLINE_EXCEEDED"));
  EXPECT_LT(Clock::now() - before, 200ms + 100ms + kScheduling);
  v1::ScriptRequest script;
  script.set_sql(std::string("insert into t (id) values (1); ") + kForever);
  v1::ScriptResponse scripted;
  EXPECT_THAT(Script(script, scripted, 200ms), HasSubstr("DEADLINE_EXCEEDED"));
  // The one connection that writes is free again.
  EXPECT_TRUE(Eventually(1s, [&] {
    return client_.Query("insert into t (id) values (2) on conflict do nothing").ok();
  }));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  std::thread canceller([&] {
    std::this_thread::sleep_for(100ms);
    context.TryCancel();
  });
  EXPECT_EQ(client_.stub().Batch(&context, batch, &batched).error_code(),
            grpc::StatusCode::CANCELLED);
  canceller.join();
  EXPECT_TRUE(Eventually(1s, [&] { return client_.Query("delete from t where id = 2").ok(); }));
  EXPECT_EQ(Count(), "0");
}

TEST_P(SqliteManyTest, SessionsGoThroughAllOfThem) {
  v1::BatchRequest batch;
  AddStep(batch, "insert into t (id) values (1)");
  batch.mutable_session()->mutable_begin();
  v1::BatchResponse batched;
  ASSERT_EQ(Batch(batch, batched), "OK");
  EXPECT_EQ(batched.transaction_status(), v1::TRANSACTION_STATUS_IN_TRANSACTION);
  v1::ExecuteManyRequest many;
  many.set_sql("insert into t (id) values ($1)");
  many.set_row_count(2);
  many.add_params()->add_ints(2);
  many.mutable_params(0)->add_ints(3);
  many.mutable_session()->set_session(batched.session());
  v1::ExecuteManyResponse inserted;
  ASSERT_EQ(Many(many, inserted), "OK");
  v1::DescribeRequest describe;
  describe.set_sql("select v from t where id = $1");
  describe.mutable_session()->set_session(inserted.session());
  v1::DescribeResponse described;
  ASSERT_EQ(Describe(describe, described), "OK");
  v1::ScriptRequest script;
  script.set_sql("insert into t (id) values (4); commit");
  script.mutable_session()->set_session(inserted.session());
  v1::ScriptResponse scripted;
  ASSERT_EQ(Script(script, scripted), "OK");
  EXPECT_EQ(scripted.session(), "");
  EXPECT_EQ(Count(), "4");
}

TEST_P(SqliteManyTest, AScriptIsAnsweredStatementByStatementAndSaysWhereItFails) {
  v1::ScriptRequest request;
  request.set_sql("create table s (i int); insert into s values (1); select * from s");
  v1::ScriptResponse response;
  ASSERT_EQ(Script(request, response), "OK");
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_EQ(response.results(0).command_tag(), "CREATE TABLE");
  EXPECT_EQ(response.results(2).data(0).ints(0), 1);
  request.set_sql("create table u (i int); select 1; select no_column from s");
  EXPECT_EQ(Script(request, response), "NOT_FOUND 42703 statement=2");
  EXPECT_EQ(position_, 42);
  EXPECT_FALSE(client_.Query("select * from u").ok());
}

TEST_P(SqliteManyTest, AStatementIsDescribedAndNotRun) {
  v1::DescribeRequest request;
  request.set_sql("insert into t (id, v) values ($1, $2) returning v, id + 1 as next");
  v1::DescribeResponse response;
  ASSERT_EQ(Describe(request, response), "OK");
  EXPECT_EQ(response.param_type_oids_size(), 2);
  EXPECT_EQ(response.param_type_oids(0), 0u);
  ASSERT_EQ(response.columns_size(), 2);
  EXPECT_EQ(response.columns(0).declared_type(), "TEXT");
  EXPECT_EQ(response.columns(1).name(), "next");
  EXPECT_EQ(response.read_only(), v1::READ_ONLY_VERDICT_MAY_WRITE);
  EXPECT_EQ(response.fingerprint().size(), 16u);
  request.set_sql("select v from t");
  ASSERT_EQ(Describe(request, response), "OK");
  EXPECT_EQ(response.read_only(), v1::READ_ONLY_VERDICT_READ_ONLY);
  request.set_sql("select * from no_table");
  EXPECT_EQ(Describe(request, response), "NOT_FOUND 42P01");
  EXPECT_EQ(Count(), "0");
}

TEST_P(SqliteManyTest, TheCommandLineRunsScriptsAndDescribes) {
  std::ofstream(File("script.sql")) << "insert into t (id) values (1);\nvacuum;\n";
  EXPECT_THAT(CommandLine({"query", "--file", File("script.sql")}, 1), HasSubstr("25001"));
  EXPECT_EQ(Count(), "0");
  EXPECT_THAT(CommandLine({"query", "--separate-transactions", "--file", File("script.sql")}),
              HasSubstr("VACUUM"));
  EXPECT_EQ(Count(), "1");
  const std::string text = CommandLine({"describe", "select v, id + $1 from t where id = $2"});
  EXPECT_THAT(text, HasSubstr("parameter  $2 any type"));
  EXPECT_THAT(text, HasSubstr("column     v TEXT"));
  EXPECT_THAT(text, HasSubstr("only reads yes"));
}

TEST_P(SqliteManyTest, ARowThatFailsIsInTheMetadataAndNothingStays) {
  v1::ExecuteManyRequest request = ManyRows(2000);
  request.mutable_params(0)->set_ints(1234, 0);
  v1::ExecuteManyResponse response;
  EXPECT_EQ(Many(request, response), "ALREADY_EXISTS 23505 row=1234");
  request = ManyRows(2000);
  request.mutable_params(1)->set_strings(77, std::string("a\0b", 3));
  EXPECT_EQ(Many(request, response), "INVALID_ARGUMENT  row=77");
  EXPECT_EQ(Count(), "0");
  request = ManyRows(20);
  request.set_sql("insert into t values ($1, $2, $3) returning id");
  request.set_want_rows_affected_by_row(true);
  ASSERT_EQ(Many(request, response), "OK");
  EXPECT_EQ(response.result().row_count(), 20u);
  EXPECT_EQ(response.rows_affected_by_row_size(), 20);
  EXPECT_EQ(Count(), "20");
}

// A program's own handle: one statement, prepared once, in one transaction.
double InProcess(const std::string& path, const v1::ExecuteManyRequest& request) {
  sqlite3* database = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  for (const char* sql :
       {"pragma journal_mode=wal", "pragma synchronous=normal", "pragma cache_size=1000",
        "create table t (id integer primary key, v text, n real)"}) {
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sql;
  }
  const auto before = Clock::now();
  sqlite3_exec(database, "begin immediate", nullptr, nullptr, nullptr);
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, request.sql().c_str(), -1, &statement, nullptr);
  for (uint32_t i = 0; i < request.row_count(); ++i) {
    const int row = static_cast<int>(i);
    const std::string& text = request.params(1).strings(row);
    sqlite3_bind_int64(statement, 1, request.params(0).ints(row));
    if (i % 10 == 0) {
      sqlite3_bind_null(statement, 2);
    } else {
      sqlite3_bind_text(statement, 2, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    }
    sqlite3_bind_double(statement, 3, request.params(2).doubles(row));
    EXPECT_EQ(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  EXPECT_EQ(sqlite3_exec(database, "commit", nullptr, nullptr, nullptr), SQLITE_OK);
  const double took = std::chrono::duration<double>(Clock::now() - before).count();
  sqlite3_close(database);
  return took;
}

TEST_P(SqliteManyTest, AHundredThousandRowsGoInAtBulkSpeed) {
  constexpr uint32_t kRows = 100'000;
  const v1::ExecuteManyRequest request = ManyRows(kRows);
  double sidecar = 1e9;
  double direct = 1e9;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client_.Query("delete from t").ok());
    v1::ExecuteManyResponse response;
    const auto before = Clock::now();
    const std::string told = Many(request, response);
    sidecar = std::min(sidecar, std::chrono::duration<double>(Clock::now() - before).count());
    ASSERT_EQ(told, "OK");
    EXPECT_EQ(response.result().rows_affected(), kRows);
    direct = std::min(direct, InProcess(File("direct" + std::to_string(i)), request));
  }
  EXPECT_EQ(client_.Query("select count(*) || ' ' || sum(id) || ' ' || count(v) from t").Scalar(),
            "100000 4999950000 90000");
  fmt::print("100 000 rows: ExecuteMany {:.0f} rows/s, a loop in the process {:.0f}: {:.2f}\n",
             kRows / sidecar, kRows / direct, direct / sidecar);
  // The request is encoded, sent and decoded as well.
  EXPECT_GT(direct / sidecar, kSanitized ? 0.0 : 0.2);
}

}  // namespace
}  // namespace dbsidecar::integration
