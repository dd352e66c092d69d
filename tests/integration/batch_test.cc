// Batch and ExecuteMany over the wire, against PostgreSQL, and beside libpq used directly.
#include <fmt/format.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <libpq-fe.h>

#include "tests/integration/fixture.h"
#include "tests/integration/many_rows.h"

namespace dbsidecar::integration {
namespace {

// The fields of a failure, as "CODE SQLSTATE step=1".
std::string Told(const grpc::Status& status) {
  if (status.ok()) return "OK";
  QueryOutcome outcome;
  outcome.status = status;
  test_support::UnpackDetails(outcome);
  std::string text = CodeAndSqlstate(outcome);
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (!detail.UnpackTo(&info)) continue;
    for (const char* part : {"step", "row"}) {
      const auto found = info.metadata().find(part);
      if (found != info.metadata().end()) text += fmt::format(" {}={}", part, found->second);
    }
  }
  return text;
}

template <typename... Params>
v1::BatchStep& AddStep(v1::BatchRequest& request, const std::string& sql, const Params&... params) {
  v1::BatchStep& step = *request.add_steps();
  step.set_sql(sql);
  (test_support::SetValue(*step.add_params(), params), ...);
  return step;
}

class BatchTest : public testing::Test {
 protected:
  BatchTest() { fixture_.Psql("create table t (id int primary key, v text, n numeric)"); }

  grpc::Status Run(const v1::BatchRequest& request, v1::BatchResponse& response,
                   milliseconds timeout = 20s) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return fixture_.client.stub().Batch(&context, request, &response);
  }
  grpc::Status Run(const v1::ExecuteManyRequest& request, v1::ExecuteManyResponse& response,
                   milliseconds timeout = 60s) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return fixture_.client.stub().ExecuteMany(&context, request, &response);
  }

  PostgresSidecar fixture_{{"--max-connections=2", "--min-connections=1"}, true};
};

TEST_F(BatchTest, StepsConditionsAndResultsTravel) {
  v1::BatchRequest request;
  request.set_want_timing(true);
  AddStep(request, "insert into t values ($1, $2)", 1, "one");
  AddStep(request, "insert into t values ($1, $2)", 1, "again").set_may_fail(true);
  v1::StepCondition& failed =
      *AddStep(request, "update t set v = $1 where id = $2 returning v", "two", 1).add_conditions();
  failed.set_step(1);
  failed.set_outcome(v1::STEP_OUTCOME_FAILED);
  v1::StepCondition& rows = *AddStep(request, "delete from t").add_conditions();
  rows.set_step(2);
  rows.mutable_rows()->set_comparison(v1::COMPARISON_EQUAL);
  rows.mutable_rows()->set_rows(5);
  v1::BatchResponse response;
  const grpc::Status status = Run(request, response);
  ASSERT_EQ(Told(status), "OK") << status.error_message();
  ASSERT_EQ(response.results_size(), 4);
  EXPECT_EQ(response.results(0).outcome(), v1::STEP_OUTCOME_OK);
  EXPECT_EQ(response.results(0).result().rows_affected(), 1);
  EXPECT_EQ(response.results(1).outcome(), v1::STEP_OUTCOME_FAILED);
  EXPECT_EQ(response.results(1).error().sql().sqlstate(), "23505");
  EXPECT_EQ(response.results(1).error().code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(response.results(2).result().data(0).strings(0), "two");
  EXPECT_EQ(response.results(3).outcome(), v1::STEP_OUTCOME_SKIPPED);
  EXPECT_FALSE(response.results(3).has_result());
  EXPECT_GT(response.timing().execute_nanos(), 0u);
  EXPECT_EQ(response.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
  EXPECT_EQ(fixture_.Psql("select v from t"), "two");
}

TEST_F(BatchTest, TheStepThatFailedIsInTheMetadata) {
  v1::BatchRequest request;
  AddStep(request, "insert into t values (1)");
  AddStep(request, "select 1 / 0");
  v1::BatchResponse response;
  EXPECT_EQ(Told(Run(request, response)), "INVALID_ARGUMENT 22012 step=1");
  EXPECT_EQ(fixture_.Psql("select count(*) from t"), "0");
}

TEST_F(BatchTest, WhatMakesNoSenseIsInvalid) {
  v1::BatchResponse response;
  EXPECT_EQ(Told(Run(v1::BatchRequest(), response)), "INVALID_ARGUMENT ");
  const auto told = [&](const std::function<void(v1::BatchRequest&)>& change) {
    v1::BatchRequest request;
    AddStep(request, "insert into t values (1)");
    AddStep(request, "select 1");
    change(request);
    return Told(Run(request, response));
  };
  using R = v1::BatchRequest;
  EXPECT_EQ(told([](R& r) { r.set_mode(static_cast<v1::BatchMode>(7)); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.mutable_steps(1)->clear_sql(); }), "INVALID_ARGUMENT  step=1");
  EXPECT_EQ(told([](R& r) { r.mutable_steps(1)->add_conditions(); }), "INVALID_ARGUMENT  step=1");
  EXPECT_EQ(told([](R& r) {
              auto& condition = *r.mutable_steps(1)->add_conditions();
              condition.set_step(1);
              condition.set_outcome(v1::STEP_OUTCOME_OK);
            }),
            "INVALID_ARGUMENT  step=1");
  EXPECT_EQ(told([](R& r) {
              r.mutable_steps(1)->add_conditions()->set_outcome(v1::STEP_OUTCOME_UNSPECIFIED);
            }),
            "INVALID_ARGUMENT  step=1");
  EXPECT_EQ(told([](R& r) { r.mutable_steps(1)->add_conditions()->mutable_rows()->set_rows(1); }),
            "INVALID_ARGUMENT  step=1");
  EXPECT_EQ(told([](R& r) {
              r.set_mode(v1::BATCH_MODE_INDEPENDENT);
              r.mutable_session()->mutable_begin();
            }),
            "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.set_pool("other"); }), "NOT_FOUND ");
  EXPECT_EQ(told([](R& r) { r.mutable_session()->set_session("no such token"); }), "NOT_FOUND ");
  EXPECT_EQ(fixture_.Psql("select count(*) from t"), "0");
}

TEST_F(BatchTest, ACallerThatLeavesHasItsBatchUndone) {
  v1::BatchRequest request;
  AddStep(request, "insert into t values (1)");
  AddStep(request, "select pg_sleep(60)");
  v1::BatchResponse response;
  const auto before = Clock::now();
  EXPECT_EQ(Told(Run(request, response, 200ms)).substr(0, 17), "DEADLINE_EXCEEDED");
  EXPECT_LT(Clock::now() - before, 200ms + 100ms + kScheduling);
  EXPECT_TRUE(Eventually(
      2s, [&] { return fixture_.server.RunningStatements(fixture_.database, "pg_sleep") == 0; }));
  grpc::ClientContext context;
  std::thread canceller([&] {
    EXPECT_TRUE(Eventually(
        5s, [&] { return fixture_.server.RunningStatements(fixture_.database, "pg_sleep") == 1; }));
    context.TryCancel();
  });
  EXPECT_EQ(fixture_.client.stub().Batch(&context, request, &response).error_code(),
            grpc::StatusCode::CANCELLED);
  canceller.join();
  EXPECT_TRUE(Eventually(
      2s, [&] { return fixture_.server.RunningStatements(fixture_.database, "pg_sleep") == 0; }));
  EXPECT_EQ(fixture_.Psql("select count(*) from t"), "0");
}

// One round trip: however many steps, the time for them is not that of so many calls.
TEST_F(BatchTest, ABatchIsOneRoundTrip) {
  v1::BatchRequest request;
  for (int i = 0; i < 50; ++i) AddStep(request, "select $1::int", i);
  v1::BatchResponse response;
  ASSERT_EQ(Told(Run(request, response)), "OK");
  const auto before_batch = Clock::now();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Told(Run(request, response)), "OK");
  const double batch = Milliseconds(Clock::now() - before_batch) / 20;
  const auto before_calls = Clock::now();
  for (int i = 0; i < 50; ++i)
    ASSERT_EQ(fixture_.client.Query("select $1::int", i).Scalar(), std::to_string(i));
  const double calls = Milliseconds(Clock::now() - before_calls);
  fmt::print("50 statements: {:.2f} ms as one batch, {:.2f} ms one after another\n", batch, calls);
  EXPECT_LT(batch, calls / 2);
}

TEST_F(BatchTest, ManyRowsOfEveryKindTravel) {
  fixture_.Psql(
      "create table k (i int, d float8, b bool, s text, y bytea, m text, none int, at date)");
  v1::ExecuteManyRequest request;
  request.set_sql("insert into k values ($1, $2, $3, $4, $5, $6, $7, $8) returning i, y");
  request.set_row_count(3);
  request.set_want_rows_affected_by_row(true);
  for (int i = 0; i < 8; ++i) request.add_params();
  for (int row = 0; row < 3; ++row) {
    request.mutable_params(0)->add_ints(row);
    request.mutable_params(1)->add_doubles(row + 0.25);
    request.mutable_params(2)->add_bools(row == 1);
    request.mutable_params(3)->add_strings(fmt::format("s{}", row));
    request.mutable_params(4)->add_blobs(std::string("\0\xff", 2));
    request.mutable_params(7)->add_strings("2026-01-0" + std::to_string(row + 1));
  }
  request.mutable_params(4)->add_nulls(0);
  request.mutable_params(5)->add_mixed()->set_int_value(7);
  request.mutable_params(5)->add_mixed()->set_string_value("x");
  request.mutable_params(5)->add_mixed();
  v1::ExecuteManyResponse response;
  const grpc::Status status = Run(request, response);
  ASSERT_EQ(Told(status), "OK") << status.error_message();
  EXPECT_EQ(response.result().row_count(), 3u);
  EXPECT_EQ(response.result().rows_affected(), 3);
  EXPECT_EQ(response.result().data(0).ints(2), 2);
  EXPECT_EQ(response.result().data(1).blobs(1), std::string("\0\xff", 2));
  EXPECT_EQ(response.rows_affected_by_row_size(), 3);
  EXPECT_EQ(fixture_.Psql("select string_agg(concat_ws('|', i, d, b, s, coalesce(encode(y, 'hex'), "
                          "'null'), coalesce(m, 'null'), coalesce(none::text, 'null'), at), ' ' "
                          "order by i) from k"),
            "0|0.25|f|s0|null|7|null|2026-01-01 1|1.25|t|s1|00ff|x|null|2026-01-02 "
            "2|2.25|f|s2|00ff|null|null|2026-01-03");
}

TEST_F(BatchTest, ARowThatFailsIsInTheMetadataAndNothingStays) {
  v1::ExecuteManyRequest request = ManyRows(2000);
  request.mutable_params(0)->set_ints(1234, 0);
  v1::ExecuteManyResponse response;
  EXPECT_EQ(Told(Run(request, response)), "ALREADY_EXISTS 23505 row=1234");
  request = ManyRows(2000);
  request.mutable_params(1)->set_strings(77, std::string("a\0b", 3));
  EXPECT_EQ(Told(Run(request, response)), "INVALID_ARGUMENT  row=77");
  EXPECT_EQ(fixture_.Psql("select count(*) from t"), "0");
}

TEST_F(BatchTest, ColumnsThatDoNotFitAreInvalid) {
  v1::ExecuteManyResponse response;
  const auto told = [&](const std::function<void(v1::ExecuteManyRequest&)>& change) {
    v1::ExecuteManyRequest request = ManyRows(3);
    change(request);
    return Told(Run(request, response));
  };
  using R = v1::ExecuteManyRequest;
  EXPECT_EQ(told([](R& r) { r.mutable_params(0)->add_ints(9); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.mutable_params(0)->add_doubles(9); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.mutable_params(0)->add_nulls(3); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.mutable_params()->RemoveLast(); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.add_type_oids(23); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.set_row_count(4'000'000'000); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) { r.clear_sql(); }), "INVALID_ARGUMENT ");
  EXPECT_EQ(told([](R& r) {
              r.set_row_count(0);
              for (int i = 0; i < 3; ++i) *r.mutable_params(i) = {};
            }),
            "OK");
  EXPECT_EQ(fixture_.Psql("select count(*) from t"), "0");
}

// --- Beside libpq. ---

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;

// The same rows by a pipeline of libpq's own: prepared, one Sync, read while written.
double DirectPipeline(PGconn* conn, const v1::ExecuteManyRequest& request) {
  const auto before = Clock::now();
  PQsetnonblocking(conn, 1);
  EXPECT_EQ(PQenterPipelineMode(conn), 1);
  PQsendPrepare(conn, "", request.sql().c_str(), 0, nullptr);
  std::string id;
  std::string number;
  for (uint32_t i = 0; i < request.row_count(); ++i) {
    const int row = static_cast<int>(i);
    id = std::to_string(request.params(0).ints(row));
    number = fmt::format("{}", request.params(2).doubles(row));
    const char* values[] = {
        id.c_str(), i % 10 == 0 ? nullptr : request.params(1).strings(row).c_str(), number.c_str()};
    PQsendQueryPrepared(conn, "", 3, values, nullptr, nullptr, 0);
    if (i % 256 != 0) continue;
    PQsendFlushRequest(conn);
    while (PQflush(conn) == 1) PQconsumeInput(conn);
    PQconsumeInput(conn);
  }
  PQpipelineSync(conn);
  while (PQflush(conn) == 1) PQconsumeInput(conn);
  for (bool over = false; !over;) {
    PGresult* result = PQgetResult(conn);
    if (result == nullptr) continue;  // Between two statements.
    over = PQresultStatus(result) == PGRES_PIPELINE_SYNC || PQstatus(conn) == CONNECTION_BAD;
    EXPECT_NE(PQresultStatus(result), PGRES_FATAL_ERROR) << PQerrorMessage(conn);
    PQclear(result);
  }
  PQexitPipelineMode(conn);
  PQsetnonblocking(conn, 0);
  return std::chrono::duration<double>(Clock::now() - before).count();
}

double DirectCopy(PGconn* conn, const v1::ExecuteManyRequest& request) {
  const auto before = Clock::now();
  PQclear(PQexec(conn, "copy t from stdin"));
  for (uint32_t i = 0; i < request.row_count(); ++i) {
    const int row = static_cast<int>(i);
    const std::string line =
        fmt::format("{}\t{}\t{}\n", request.params(0).ints(row),
                    i % 10 == 0 ? std::string("\\N") : request.params(1).strings(row),
                    request.params(2).doubles(row));
    PQputCopyData(conn, line.data(), static_cast<int>(line.size()));
  }
  PQputCopyEnd(conn, nullptr);
  PGresult* result = PQgetResult(conn);
  EXPECT_EQ(PQresultStatus(result), PGRES_COMMAND_OK) << PQerrorMessage(conn);
  PQclear(result);
  EXPECT_EQ(PQgetResult(conn), nullptr);
  return std::chrono::duration<double>(Clock::now() - before).count();
}

TEST_F(BatchTest, AHundredThousandRowsGoInAtTheSpeedOfADirectPipeline) {
  constexpr uint32_t kRows = 100'000;
  const v1::ExecuteManyRequest request = ManyRows(kRows);
  const Connection conn(PQconnectdb(fixture_.Url().c_str()), &PQfinish);
  ASSERT_EQ(PQstatus(conn.get()), CONNECTION_OK);
  double sidecar = 1e9;
  double direct = 1e9;
  double copy = 1e9;
  std::string by_sidecar;
  std::string by_copy;
  const std::string sum = "select count(*)::text || ' ' || sum(hashtext(t::text))::text from t";
  for (int i = 0; i < 3; ++i) {
    fixture_.Psql("truncate t");
    v1::ExecuteManyResponse response;
    const auto before = Clock::now();
    const grpc::Status status = Run(request, response);
    sidecar = std::min(sidecar, std::chrono::duration<double>(Clock::now() - before).count());
    ASSERT_EQ(Told(status), "OK") << status.error_message();
    EXPECT_EQ(response.result().rows_affected(), kRows);
    by_sidecar = fixture_.Psql(sum);
    fixture_.Psql("truncate t");
    direct = std::min(direct, DirectPipeline(conn.get(), request));
    EXPECT_EQ(fixture_.Psql(sum), by_sidecar);
    fixture_.Psql("truncate t");
    copy = std::min(copy, DirectCopy(conn.get(), request));
    by_copy = fixture_.Psql(sum);
  }
  EXPECT_EQ(by_copy, by_sidecar);
  fmt::print(
      "100 000 rows: ExecuteMany {:.0f} rows/s, a direct libpq pipeline {:.0f}, COPY {:.0f}\n",
      kRows / sidecar, kRows / direct, kRows / copy);
  // Two cores are shared by client, sidecar and server here.
  EXPECT_GT(kRows / sidecar, 0.4 * kRows / direct);
}

}  // namespace
}  // namespace dbsidecar::integration
