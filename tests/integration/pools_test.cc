// Several pools in one sidecar, each with a database and limits of its own.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/integration/admin_fixture.h"

namespace dbsidecar::integration {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

v1::QueryRequest In(const std::string& pool, v1::QueryRequest request) {
  request.set_pool(pool);
  return request;
}

v1::QueryRequest InSession(const std::string& token, const std::string& sql) {
  v1::QueryRequest request = MakeQuery(sql);
  request.mutable_session()->set_session(token);
  return request;
}

// The default pool and "reports" on PostgreSQL, on databases of their own; "cache" on SQLite.
class PoolsTest : public testing::Test {
 protected:
  void Serve(const std::string& reports_more = "", PostgresServer* reports_on = nullptr) {
    PostgresServer& other = reports_on == nullptr ? server_ : *reports_on;
    orders_ = server_.CreateDatabase("orders");
    reports_ = other.CreateDatabase("reports");
    reports_url_ = other.Url(reports_);
    Write(reports_more);
    sidecar_.emplace(
        std::vector<std::string>{"--config=" + file_, "--database-url=" + server_.Url(orders_)},
        AdminSidecar::kNoUrl);
  }
  void Write(const std::string& reports_more, const std::string& more = "") const {
    std::ofstream(file_) << "pool: {min: 1, max: 4, wait_timeout: 2s}\n"
                         << "pools:\n  reports:\n    database: {url: \"" << reports_url_ << "\"}\n"
                         << reports_more << "  cache:\n    database: {url: \"sqlite:" << folder_
                         << "/cache.db\"}\n    pool: {max: 2}\n"
                         << more;
  }
  QueryClient& client() { return sidecar_->client; }
  std::string CurrentDatabase(const std::string& pool) {
    return client().Run(In(pool, MakeQuery("select current_database()"))).Scalar();
  }
  // Opens a transaction in the pool. Its token.
  std::string Begin(const std::string& pool, const std::string& client_id = "") {
    v1::QueryRequest request = In(pool, MakeQuery("select 1"));
    request.mutable_session()->mutable_begin();
    request.mutable_session()->set_client_id(client_id);
    const QueryOutcome outcome = client().Run(request);
    EXPECT_TRUE(outcome.ok()) << outcome;
    return outcome.response.session();
  }
  v1::MetricsResponse Metrics(const v1::MetricsRequest& request = {}) {
    grpc::ClientContext context;
    AdminSidecar::SetDeadline(context);
    v1::MetricsResponse metrics;
    const grpc::Status status = client().stub().Metrics(&context, request, &metrics);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return metrics;
  }
  v1::PoolMetrics Metrics(const std::string& pool) {
    v1::MetricsRequest request;
    request.add_pools(pool);
    const v1::MetricsResponse metrics = Metrics(request);
    EXPECT_EQ(metrics.pools_size(), 1);
    return metrics.pools(0);
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string folder_ = test_support::MakeTemporaryFolder("pools");
  const std::string file_ = folder_ + "/a.yaml";
  std::string orders_;
  std::string reports_;
  std::string reports_url_;
  std::optional<AdminSidecar> sidecar_;
};

TEST_F(PoolsTest, EachCallRunsInThePoolThatItNames) {
  Serve();
  EXPECT_EQ(CurrentDatabase(""), orders_);
  EXPECT_EQ(CurrentDatabase("default"), orders_);
  EXPECT_EQ(CurrentDatabase("reports"), reports_);
  EXPECT_THAT(client().Run(In("cache", MakeQuery("select sqlite_version()"))).Scalar(),
              HasSubstr("3."));
  const QueryOutcome unknown = client().Run(In("other", MakeQuery("select 1")));
  EXPECT_EQ(unknown.status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(unknown.reason, "POOL_NOT_FOUND");
  EXPECT_THAT(unknown.status.error_message(),
              HasSubstr("no pool \"other\"; there is \"default\", \"reports\", \"cache\""));
}

TEST_F(PoolsTest, OneFrameMayHoldCallsForSeveral) {
  Serve();
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  const auto stream = client().stub().Pipeline(&context);
  v1::PipelineRequest frame;
  const std::vector<std::string> pools = {"default", "reports", "cache", "other"};
  constexpr uint64_t kCalls = 400;
  for (uint64_t id = 1; id <= kCalls; ++id) {
    v1::Call& call = *frame.add_calls();
    call.set_id(id);
    *call.mutable_query() =
        In(pools[id % pools.size()], MakeQuery("select $1", "call " + std::to_string(id)));
  }
  ASSERT_TRUE(stream->Write(frame));
  stream->WritesDone();
  uint64_t served = 0;
  uint64_t refused = 0;
  v1::PipelineResponse replies;
  while (stream->Read(&replies)) {
    for (const v1::Reply& reply : replies.replies()) {
      if (pools[reply.id() % pools.size()] == "other") {
        EXPECT_EQ(reply.error().code(), StatusCode::NOT_FOUND) << reply.ShortDebugString();
        ++refused;
        continue;
      }
      const v1::Column& column = reply.response().result().data(0);
      EXPECT_EQ(column.strings(0), "call " + std::to_string(reply.id()));
      ++served;
    }
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(served, kCalls / 4 * 3);
  EXPECT_EQ(refused, kCalls / 4);
}

TEST_F(PoolsTest, ASessionIsFoundByItsTokenWhateverItsPool) {
  Serve();
  const std::string token = Begin("reports");
  EXPECT_EQ(client().Run(InSession(token, "select current_database()")).Scalar(), reports_);
  EXPECT_EQ(client().Run(In("reports", InSession(token, "select 2"))).Scalar(), "2");
  const QueryOutcome elsewhere = client().Run(In("cache", InSession(token, "select 3")));
  EXPECT_EQ(elsewhere.reason, "SESSION_NOT_FOUND") << elsewhere;
  grpc::ClientContext context;
  v1::EndSessionRequest end;
  end.set_session(token);
  end.set_end(v1::SESSION_END_COMMIT);
  v1::EndSessionResponse ended;
  const grpc::Status status = client().stub().EndSession(&context, end, &ended);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(client().Run(InSession(token, "select 4")).reason, "SESSION_NOT_FOUND");
}

TEST_F(PoolsTest, AFullPoolHoldsUpNoOther) {
  Serve("    pool: {min: 1, max: 1, wait_timeout: 300ms}\n");
  const auto holder = client().Start(In("reports", MakeQuery("select pg_sleep(1)")));
  ASSERT_TRUE(Eventually(5s, [&] { return server_.RunningStatements(reports_, "pg_sleep") == 1; }));
  const QueryOutcome waited = client().Run(In("reports", MakeQuery("select 1 from pg_sleep(0)")));
  EXPECT_EQ(waited.reason, "WAIT_TIMEOUT") << waited;
  EXPECT_THAT(waited.status.error_message(), HasSubstr("pool \"reports\": 1 of 1 leased"));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(CurrentDatabase(""), orders_);
  EXPECT_TRUE(holder->Wait().ok());
  EXPECT_LE(server_.Connections(reports_), 2) << "the pool's one, and the test's own";
}

TEST_F(PoolsTest, EachHasItsFiguresAndItsHistory) {
  Serve();
  for (int i = 0; i < 3; ++i) CurrentDatabase("reports");
  const v1::MetricsResponse all = Metrics();
  ASSERT_EQ(all.pools_size(), 3);
  EXPECT_EQ(all.pools(0).pool(), "default");
  EXPECT_EQ(all.pools(1).pool(), "reports");
  EXPECT_EQ(all.pools(1).statements_total(), 3u);
  EXPECT_EQ(all.pools(2).driver(), "sqlite");
  EXPECT_EQ(all.pools(2).max(), 2u);
  EXPECT_TRUE(Eventually(10s, [&] {
    grpc::ClientContext context;
    v1::MetricsHistoryRequest request;
    request.add_pools("reports");
    request.add_series("total");
    v1::MetricsHistoryResponse history;
    const grpc::Status status = client().stub().MetricsHistory(&context, request, &history);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return history.series_size() == 1 && history.series(0).pool() == "reports" &&
           history.series(0).means_size() > 0;
  }));
  grpc::ClientContext context;
  v1::ResetStatisticsRequest request;
  request.set_pool("reports");
  v1::ResetStatisticsResponse response;
  ASSERT_TRUE(sidecar_->admin().ResetStatistics(&context, request, &response).ok());
  EXPECT_EQ(Metrics("reports").statements_total(), 0u);
  EXPECT_EQ(Metrics("default").statements_total(), all.pools(0).statements_total());
}

TEST_F(PoolsTest, ADatabaseThatIsDownIsToldOfItsPoolAlone) {
  PostgresServer other;
  Serve("", &other);
  EXPECT_TRUE(sidecar_->health.Serving("pool/default"));
  EXPECT_TRUE(sidecar_->health.Serving("pool/reports"));
  EXPECT_TRUE(sidecar_->health.Serving("pool/cache"));
  other.Stop(test_support::StopMode::kFast);
  EXPECT_TRUE(sidecar_->health.WaitFor("pool/reports", false, 5s));
  EXPECT_TRUE(sidecar_->health.Serving("pool/default"));
  EXPECT_FALSE(sidecar_->health.Serving("readiness")) << "each pool counts";
  EXPECT_TRUE(sidecar_->health.Serving("liveness"));
  EXPECT_THAT(sidecar_->sidecar.Log(), HasSubstr("pool=reports"));
  EXPECT_EQ(CurrentDatabase(""), orders_);
  v1::HealthResponse health;
  EXPECT_TRUE(Eventually(5s, [&] {
    health = sidecar_->Health();
    return health.databases(1).status() == v1::DATABASE_STATUS_DOWN;
  }));
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_UNHEALTHY);
  EXPECT_THAT(health.causes(0), HasSubstr("of the pool \"reports\" is not reachable"));
  ASSERT_EQ(health.database().pools_size(), 3);
  EXPECT_EQ(health.database().pools(0).check().status(), v1::DATABASE_STATUS_UP);
  EXPECT_EQ(health.database().pools(1).check().status(), v1::DATABASE_STATUS_DOWN);
  EXPECT_THAT(health.database().pools(2).url(), HasSubstr("sqlite:"));
  other.Start();
  EXPECT_TRUE(sidecar_->health.WaitFor("readiness", true, 10s));
}

TEST_F(PoolsTest, OperatorsSteerEachAlone) {
  Serve();
  grpc::ClientContext context;
  v1::PauseRequest pause;
  pause.set_pool("reports");
  v1::PauseResponse paused;
  ASSERT_TRUE(sidecar_->admin().Pause(&context, pause, &paused).ok());
  EXPECT_EQ(Metrics("reports").state(), v1::POOL_STATE_PAUSED);
  EXPECT_EQ(Metrics("default").state(), v1::POOL_STATE_ACTIVE);
  EXPECT_EQ(CurrentDatabase(""), orders_);
  grpc::ClientContext resume_context;
  v1::ResumeRequest resume;
  resume.set_pool("reports");
  v1::ResumeResponse resumed;
  ASSERT_TRUE(sidecar_->admin().Resume(&resume_context, resume, &resumed).ok());
  EXPECT_EQ(CurrentDatabase("reports"), reports_);

  grpc::ClientContext resize_context;
  v1::ResizePoolRequest resize;
  resize.set_pool("reports");
  resize.set_max(9);
  v1::ResizePoolResponse resized;
  ASSERT_TRUE(sidecar_->admin().ResizePool(&resize_context, resize, &resized).ok());
  EXPECT_EQ(resized.max(), 9u);
  EXPECT_EQ(Metrics("reports").max(), 9u);
  EXPECT_EQ(Metrics("default").max(), 4u);
  EXPECT_EQ(sidecar_->Option("pools.reports.max-connections"), "9 CONFIGURATION_SOURCE_ADMIN");
  EXPECT_EQ(sidecar_->Option("max-connections"), "4 CONFIGURATION_SOURCE_FILE");

  grpc::ClientContext unknown_context;
  resize.set_pool("other");
  const grpc::Status unknown = sidecar_->admin().ResizePool(&unknown_context, resize, &resized);
  EXPECT_EQ(unknown.error_code(), StatusCode::NOT_FOUND);
}

TEST_F(PoolsTest, WhatRunsIsListedAndCancelledInAll) {
  Serve();
  const auto here = client().Start(MakeQuery("select pg_sleep(60)"));
  const auto there = client().Start(In("reports", MakeQuery("select pg_sleep(61)")));
  const auto running = sidecar_->AwaitStatements(2, v1::STATEMENT_STATE_RUNNING);
  std::vector<std::string> pools;
  for (const auto& statement : running) pools.push_back(statement.pool());
  EXPECT_THAT(pools, UnorderedElementsAre("default", "reports"));
  for (const auto& statement : running) {
    v1::CancelStatementResponse cancelled;
    EXPECT_TRUE(sidecar_->Cancel(statement.id(), cancelled).ok());
  }
  EXPECT_EQ(here->Wait().status.error_code(), StatusCode::CANCELLED);
  EXPECT_EQ(there->Wait().status.error_code(), StatusCode::CANCELLED);

  Begin("");
  const std::string token = Begin("reports");
  const auto sessions = sidecar_->Sessions();
  ASSERT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions[0].pool(), "default") << "the oldest first";
  EXPECT_EQ(sessions[1].pool(), "reports");
  EXPECT_NE(sessions[0].id(), sessions[1].id());
  v1::CancelSessionResponse ended;
  EXPECT_TRUE(sidecar_->CancelSession(sessions[1].id(), ended).ok());
  EXPECT_THAT(client().Run(InSession(token, "select 1")).status.error_message(),
              HasSubstr("operator"));
  EXPECT_EQ(sidecar_->Sessions().size(), 1u);
}

TEST_F(PoolsTest, AClientThatGoesTakesItsSessionsInAllPoolsWithIt) {
  Serve();
  grpc::ClientContext context;
  const auto attached = client().stub().Attach(&context, v1::AttachRequest());
  v1::AttachResponse event;
  ASSERT_TRUE(attached->Read(&event));
  const std::string& id = event.attached().client_id();
  Begin("", id);
  Begin("reports", id);
  EXPECT_EQ(sidecar_->Sessions().size(), 2u);
  context.TryCancel();
  EXPECT_TRUE(Eventually(5s, [&] { return sidecar_->Sessions().empty(); }));
  attached->Finish();
}

TEST_F(PoolsTest, NotificationsAreHeardInThePoolThatIsNamed) {
  Serve();
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::ListenRequest request;
  request.set_pool("reports");
  request.add_channels("news");
  const auto stream = client().stub().Listen(&context, request);
  v1::ListenResponse event;
  ASSERT_TRUE(stream->Read(&event));
  grpc::ClientContext other_context;
  AdminSidecar::SetDeadline(other_context);
  request.set_pool("");
  const auto other = client().stub().Listen(&other_context, request);
  ASSERT_TRUE(other->Read(&event));
  for (int i = 0; i < 5; ++i) {
    const std::string number = std::to_string(i);
    server_.Psql("notify news, 'of orders " + number + "'", orders_);
    server_.Psql("notify news, 'of reports " + number + "'", reports_);
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.notification().payload(), "of reports " + number);
    ASSERT_TRUE(other->Read(&event));
    EXPECT_EQ(event.notification().payload(), "of orders " + number);
  }
  context.TryCancel();
  stream->Finish();
  other_context.TryCancel();
  other->Finish();

  grpc::ClientContext unknown_context;
  request.set_pool("other");
  const auto unknown = client().stub().Listen(&unknown_context, request);
  EXPECT_FALSE(unknown->Read(&event));
  EXPECT_EQ(unknown->Finish().error_code(), StatusCode::NOT_FOUND);
}

TEST_F(PoolsTest, AReloadChangesWhatIsAPoolsOwnAndWhatItInherits) {
  Serve("    pool: {max: 3}\n");
  const auto reload = [&] {
    v1::ReloadResponse response;
    const grpc::Status status = sidecar_->Reload(response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> changes;
    for (const auto& change : response.applied()) {
      changes.push_back(change.name() + " -> " + change.new_value());
    }
    for (const auto& change : response.refused()) {
      changes.push_back("restart for " + change.name() + " -> " + change.new_value());
    }
    return changes;
  };
  Write("    pool: {max: 7}\n");
  EXPECT_THAT(reload(), ElementsAre("pools.reports.max-connections -> 7"));
  EXPECT_EQ(Metrics("reports").max(), 7u);
  EXPECT_EQ(Metrics("default").max(), 4u);
  Write("    pool: {max: 7}\n", "query: {timeout: 300ms, statement_timeout: 0}\n");
  EXPECT_THAT(reload(), testing::IsSupersetOf(
                            {"query-timeout -> 300ms", "pools.reports.query-timeout -> 300ms"}));
  const QueryOutcome late = client().Run(In("reports", MakeQuery("select pg_sleep(5)")));
  EXPECT_EQ(late.status.error_code(), StatusCode::DEADLINE_EXCEEDED) << late;
  Write("    pool: {max: 7}\n", "  more: {}\nquery: {timeout: 300ms, statement_timeout: 0}\n");
  EXPECT_THAT(reload(), ElementsAre("restart for pools -> reports, cache, more"));
}

TEST_F(PoolsTest, AStopWaitsForTheCallsOfAll) {
  Serve();
  const auto call = client().Start(In("reports", MakeQuery("select 'done' from pg_sleep(1)")));
  ASSERT_TRUE(Eventually(5s, [&] { return server_.RunningStatements(reports_, "pg_sleep") == 1; }));
  sidecar_->sidecar.Signal(SIGTERM);
  EXPECT_EQ(sidecar_->sidecar.WaitExit(10s), 0);
  EXPECT_EQ(call->Wait().Scalar(), "done") << call->Wait();
}

TEST_F(PoolsTest, AStartThatFailsNamesThePool) {
  reports_url_ = server_.Url("no_such_database");
  Write("");
  const std::string log = folder_ + "/log";
  ChildProcess failed(SidecarProcess::CommandLine(
      {"serve", "--config=" + file_, "--listen=unix:" + folder_ + "/socket", "--http-listen=off",
       "--database-url=" + server_.Url(server_.CreateDatabase("orders"))},
      log));
  EXPECT_EQ(failed.WaitExit(20s), 1);
  std::ifstream lines(log);
  const std::string text(std::istreambuf_iterator<char>(lines), {});
  EXPECT_THAT(text, AllOf(HasSubstr("server.start_failed"), HasSubstr("pool \\\"reports\\\""),
                          HasSubstr("no_such_database")));
}

}  // namespace
}  // namespace dbsidecar::integration
