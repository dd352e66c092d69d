// The Admin service of the real binary: pause, resize, lists, cancels, statistics, log level, stop.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>

#include "tests/integration/admin_fixture.h"
#include "tests/support/http_client.h"

namespace dbsidecar::integration {
namespace {

using google::protobuf::util::TimeUtil;
using grpc::StatusCode;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr v1::StatementState kRunning = v1::STATEMENT_STATE_RUNNING;
constexpr v1::StatementState kWaiting = v1::STATEMENT_STATE_WAITING;

v1::QueryRequest InNewTransaction(const std::string& sql) {
  v1::QueryRequest request = MakeQuery(sql);
  request.mutable_session()->mutable_begin();
  return request;
}

v1::QueryRequest InSession(const std::string& token, const std::string& sql) {
  v1::QueryRequest request = MakeQuery(sql);
  request.mutable_session()->set_session(token);
  return request;
}

// Two databases, and what takes long on each.
struct Kind {
  std::string name;
  std::string url;  // Empty = PostgreSQL.
  std::string long_statement;
};

class OnBothTest : public testing::TestWithParam<Kind> {
 protected:
  std::string Url() const {
    if (GetParam().url.empty()) return "";
    return "sqlite:" + test_support::MakeTemporaryFolder("admin") + "/a.db";
  }
};

INSTANTIATE_TEST_SUITE_P(
    AdminTest, OnBothTest,
    testing::Values(Kind{"PostgreSQL", "", "select pg_sleep(60)"},
                    Kind{"SQLite", "file",
                         "with recursive n(i) as (select 1 union all select i + 1 from n) "
                         "select (select count(*) from n)"}),
    [](const auto& test) { return test.param.name; });

TEST_P(OnBothTest, APauseLetsCallsWaitAndResumeServesThem) {
  AdminSidecar fixture({"--wait-timeout=20s", "--query-timeout=30s"}, Url());
  ASSERT_EQ(fixture.client.Query("select 1").Scalar(), "1");
  ASSERT_TRUE(fixture.Pause(10s).ok());
  EXPECT_EQ(fixture.Metrics().state(), v1::POOL_STATE_PAUSED);
  EXPECT_EQ(fixture.Metrics().total(), 0u) << "the database is left alone";
  const v1::HealthResponse health = fixture.Health();
  EXPECT_EQ(health.database().pools(0).state(), v1::POOL_STATE_PAUSED);
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_DEGRADED);
  EXPECT_THAT(health.causes(0), HasSubstr("an operator has paused the pool \"default\""));
  EXPECT_TRUE(health.ready()) << "a pause is not for the orchestrator";
  EXPECT_TRUE(fixture.health.Serving("readiness"));

  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(fixture.client.Start(MakeQuery("select 2")));
  EXPECT_THAT(fixture.AwaitStatements(5, kWaiting), SizeIs(5));
  for (const auto& call : calls) EXPECT_FALSE(call->Finished());
  EXPECT_EQ(fixture.Resume(), v1::POOL_STATE_ACTIVE);
  for (const auto& call : calls) EXPECT_EQ(call->Wait().Scalar(), "2");
}

TEST_P(OnBothTest, WhoeverWaitsInAPauseForTooLongIsToldOfIt) {
  AdminSidecar fixture({"--wait-timeout=300ms"}, Url());
  ASSERT_TRUE(fixture.Pause(10s).ok());
  const QueryOutcome outcome = fixture.client.Query("select 1");
  EXPECT_EQ(outcome.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(outcome.reason, "PAUSED");
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("an operator has paused"));
  const QueryOutcome hurried = fixture.client.Run(MakeQuery("select 1"), 100ms);
  EXPECT_EQ(hurried.status.error_code(), StatusCode::DEADLINE_EXCEEDED);
}

TEST_P(OnBothTest, AStatementIsCancelledAndNoOther) {
  AdminSidecar fixture({"--show-sql", "--query-timeout=50s"}, Url());
  const std::string& slow = GetParam().long_statement;
  const auto victim = fixture.client.Start(MakeQuery(slow + " as victim"), 60s);
  const auto bystander = fixture.client.Start(MakeQuery(slow + " as bystander"), 60s);
  const auto running = fixture.AwaitStatements(2, kRunning);
  const v1::RunningStatement shown = TheOneThat(running, "victim");
  EXPECT_EQ(shown.pool(), "default");
  EXPECT_EQ(shown.rpc(), "Query");
  EXPECT_FALSE(shown.fingerprint().empty());
  if (GetParam().url.empty()) {
    EXPECT_EQ(shown.sql(), "select pg_sleep($1) as victim") << "constants are not shown";
  }
  EXPECT_EQ(shown.session_id(), 0u);
  EXPECT_EQ(shown.server_pid() != 0, GetParam().url.empty());
  v1::CancelStatementResponse response;
  ASSERT_TRUE(fixture.Cancel(shown.id(), response).ok());
  EXPECT_FALSE(response.finished_first());
  EXPECT_FALSE(response.terminated());
  const QueryOutcome& outcome = victim->Wait();
  EXPECT_EQ(outcome.status.error_code(), StatusCode::CANCELLED);
  EXPECT_EQ(outcome.reason, "CANCELLED");
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("by an operator"));
  EXPECT_EQ(fixture.client.Query("select 3").Scalar(), "3");
  EXPECT_FALSE(bystander->Finished());
  EXPECT_EQ(fixture.Cancel(shown.id(), response).error_code(), StatusCode::NOT_FOUND);
  ASSERT_TRUE(fixture.Cancel(TheOneThat(running, "bystander").id(), response).ok());
  EXPECT_EQ(bystander->Wait().status.error_code(), StatusCode::CANCELLED);
}

TEST_P(OnBothTest, ASessionIsListedAndEnded) {
  AdminSidecar fixture({}, Url());
  ASSERT_TRUE(fixture.client.Query("create table t (i int)").ok());
  v1::QueryRequest begin = InNewTransaction("insert into t values (1)");
  (*begin.mutable_tags())["caller"] = "reports";
  const QueryOutcome begun = fixture.client.Run(begin);
  ASSERT_TRUE(begun.ok()) << begun;
  const std::string token = begun.response.session();
  const auto sessions = fixture.Sessions();
  ASSERT_THAT(sessions, SizeIs(1));
  EXPECT_EQ(sessions[0].kind(), v1::SESSION_KIND_TRANSACTION);
  EXPECT_EQ(sessions[0].statements(), 1u);
  EXPECT_EQ(sessions[0].tags().at("caller"), "reports");
  EXPECT_FALSE(sessions[0].last_fingerprint().empty());
  EXPECT_TRUE(sessions[0].has_idle());
  EXPECT_THAT(sessions[0].ShortDebugString(), Not(HasSubstr(token)));
  v1::CancelSessionResponse response;
  ASSERT_TRUE(fixture.CancelSession(sessions[0].id(), response).ok());
  EXPECT_FALSE(response.statement_cancelled());
  const QueryOutcome late = fixture.client.Run(InSession(token, "select 1"));
  EXPECT_EQ(late.status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(late.status.error_message(), HasSubstr("an operator ended it"));
  EXPECT_EQ(fixture.client.Query("select count(*) from t").Scalar(), "0") << "rolled back";
  EXPECT_EQ(fixture.CancelSession(sessions[0].id(), response).error_code(), StatusCode::NOT_FOUND);
}

TEST(AdminTest, ASessionsStatementIsCancelledWithIt) {
  AdminSidecar fixture({"--query-timeout=50s"});
  const QueryOutcome begun = fixture.client.Run(InNewTransaction("select 1"));
  const std::string token = begun.response.session();
  const auto call = fixture.client.Start(InSession(token, "select pg_sleep(60)"), 60s);
  const auto running = fixture.AwaitStatements(1, kRunning);
  ASSERT_THAT(running, SizeIs(1));
  const auto sessions = fixture.Sessions();
  ASSERT_THAT(sessions, SizeIs(1));
  EXPECT_EQ(running[0].session_id(), sessions[0].id());
  EXPECT_FALSE(sessions[0].has_idle());
  v1::CancelSessionResponse response;
  ASSERT_TRUE(fixture.CancelSession(sessions[0].id(), response).ok());
  EXPECT_TRUE(response.statement_cancelled());
  EXPECT_EQ(call->Wait().status.error_code(), StatusCode::CANCELLED);
  EXPECT_THAT(fixture.Sessions(), SizeIs(0));
}

TEST(AdminTest, APauseWaitsForSessionsAndSaysWhatItWaitsFor) {
  AdminSidecar fixture;
  const QueryOutcome begun = fixture.client.Run(InNewTransaction("select 1"));
  const std::string token = begun.response.session();
  const grpc::Status status = fixture.Pause(200ms);
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(),
              HasSubstr("connections still in use: 1 (by open sessions: 1); the pool stays "
                        "paused"));
  EXPECT_EQ(fixture.Metrics().state(), v1::POOL_STATE_PAUSED);
  v1::QueryRequest end = InSession(token, "select 2");
  end.mutable_session()->set_commit(true);
  EXPECT_EQ(fixture.client.Run(end).Scalar(), "2") << "open sessions go on";
  EXPECT_TRUE(fixture.Pause(10s).ok());
  EXPECT_EQ(fixture.Resume(), v1::POOL_STATE_ACTIVE);
  EXPECT_EQ(fixture.client.Query("select 3").Scalar(), "3");
}

// A switch-over: the database goes away and comes back, and callers only notice that it takes time.
TEST(AdminTest, ADatabaseIsRestartedInAPauseAndNoCallFails) {
  test_support::PostgresServer server;
  AdminSidecar fixture({"--wait-timeout=20s", "--query-timeout=30s"},
                       server.Url(server.CreateDatabase("switch")));
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      QueryClient client(fixture.sidecar.NewChannel());
      while (!stop) {
        const QueryOutcome outcome = client.Query("select 1");
        EXPECT_TRUE(outcome.ok()) << outcome;
        ++served;
      }
    });
  }
  EXPECT_TRUE(Eventually(10s, [&] { return served > 100; }));
  EXPECT_TRUE(fixture.Pause(10s).ok());
  server.Stop(test_support::StopMode::kFast);
  server.Start();
  fixture.Resume();
  const int before = served;
  EXPECT_TRUE(Eventually(20s, [&] { return served > before + 100; })) << fixture.sidecar.Log();
  stop = true;
  for (std::thread& caller : callers) caller.join();
}

TEST(AdminTest, AStatementThatWaitsIsTakenOutOfTheQueue) {
  AdminSidecar fixture({"--max-connections=1", "--shared-max=0", "--query-timeout=50s",
                        "--wait-timeout=40s", "--show-sql"});
  const auto holder = fixture.client.Start(MakeQuery("select pg_sleep(60) -- holder"), 60s);
  fixture.AwaitStatements(1, kRunning);
  const auto waiter = fixture.client.Start(MakeQuery("select 2"), 60s);
  const auto waiting = fixture.AwaitStatements(1, kWaiting);
  ASSERT_THAT(waiting, SizeIs(1));
  EXPECT_FALSE(waiting[0].has_ran());
  EXPECT_EQ(waiting[0].server_pid(), 0);
  v1::CancelStatementResponse response;
  ASSERT_TRUE(fixture.Cancel(waiting[0].id(), response).ok());
  EXPECT_EQ(waiter->Wait().status.error_code(), StatusCode::CANCELLED);
  EXPECT_THAT(waiter->Wait().status.error_message(), HasSubstr("nothing was sent"));
  ASSERT_TRUE(fixture.Cancel(fixture.Statements()[0].id(), response).ok());
  holder->Wait();
}

// Those who share a connection share the cancel's target, but not its effect.
TEST(AdminTest, ACancelOnASharedConnectionHitsItsStatementAlone) {
  AdminSidecar fixture(
      {"--max-connections=1", "--query-timeout=50s", "--wait-timeout=40s", "--show-sql"});
  // Short by experience, so that they share.
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(fixture.client.Query("select pg_sleep($1::float8)", 0.0).ok());
  }
  for (int round = 0; round < 10; ++round) {
    const auto slow = fixture.client.Start(MakeQuery("select pg_sleep($1::float8)", 30.0), 60s);
    fixture.AwaitStatements(1, kRunning);
    std::vector<std::unique_ptr<PendingQuery>> others;
    for (int i = 0; i < 4; ++i) {
      others.push_back(fixture.client.Start(MakeQuery("select $1::int", i), 60s));
    }
    const auto statements = fixture.Statements();
    v1::CancelStatementResponse response;
    ASSERT_TRUE(fixture.Cancel(TheOneThat(statements, "pg_sleep").id(), response).ok());
    EXPECT_EQ(slow->Wait().status.error_code(), StatusCode::CANCELLED);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(others[static_cast<size_t>(i)]->Wait().Scalar(), std::to_string(i));
    }
  }
}

TEST(AdminTest, AListIsCutAtTheOldest) {
  AdminSidecar fixture({"--max-connections=4", "--query-timeout=50s"});
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(fixture.client.Start(MakeQuery("select pg_sleep(60)"), 60s));
    fixture.AwaitStatements(static_cast<size_t>(i) + 1, kRunning);
  }
  const auto all = fixture.Statements();
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_LT(all[0].id(), all[1].id());
  EXPECT_EQ(all[0].sql(), "") << "not without --show-sql";
  EXPECT_EQ(all[0].lane(), "leased");
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::ListStatementsRequest request;
  request.set_statements_max(2);
  v1::ListStatementsResponse response;
  ASSERT_TRUE(fixture.admin().ListStatements(&context, request, &response).ok());
  EXPECT_TRUE(response.truncated());
  ASSERT_EQ(response.statements_size(), 2);
  EXPECT_EQ(response.statements(0).id(), all[0].id());
  for (const auto& statement : all) {
    v1::CancelStatementResponse ignored;
    fixture.Cancel(statement.id(), ignored);
  }
}

TEST(AdminTest, AStatementThatIgnoresItsCancelLosesItsConnection) {
  AdminSidecar fixture({"--query-timeout=50s", "--cancel-grace=30s"});
  const auto call = fixture.client.Start(MakeQuery("select pg_sleep(60)"), 60s);
  const auto running = fixture.AwaitStatements(1, kRunning);
  ASSERT_THAT(running, SizeIs(1));
  // Stopped, its process hears no cancel.
  ASSERT_EQ(kill(running[0].server_pid(), SIGSTOP), 0);
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::CancelStatementRequest request;
  request.set_id(running[0].id());
  *request.mutable_terminate_after() = TimeUtil::MillisecondsToDuration(300);
  v1::CancelStatementResponse response;
  const grpc::Status status = fixture.admin().CancelStatement(&context, request, &response);
  kill(running[0].server_pid(), SIGCONT);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.terminated());
  EXPECT_EQ(call->Wait().status.error_code(), StatusCode::CANCELLED);
  EXPECT_EQ(call->Wait().reason, "OUTCOME_UNKNOWN");
}

TEST(AdminTest, APoolWhoseNotificationsAreHeardKeepsAConnectionForStatements) {
  AdminSidecar fixture({"--max-connections=3", "--min-connections=0"});
  grpc::ClientContext context;
  v1::ListenRequest request;
  request.add_channels("news");
  const auto stream = fixture.client.stub().Listen(&context, request);
  v1::ListenResponse event;
  ASSERT_TRUE(stream->Read(&event));
  EXPECT_EQ(fixture.Resize(0, 1).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(fixture.client.Query("select 1").Scalar(), "1");
  EXPECT_TRUE(fixture.Resize(0, 2).ok());
  EXPECT_EQ(fixture.client.Query("select 2").Scalar(), "2");
  context.TryCancel();
}

TEST(AdminTest, APoolIsResizedUnderLoadAndNoCallFails) {
  AdminSidecar fixture(
      {"--max-connections=2", "--min-connections=1", "--shared-max=0", "--wait-timeout=20s"});
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&] {
      QueryClient client(fixture.sidecar.NewChannel());
      while (!stop) {
        const QueryOutcome outcome = client.Query("select pg_sleep(0.005)");
        EXPECT_TRUE(outcome.ok()) << outcome;
      }
    });
  }
  const auto in_use = [&](uint32_t count) {
    return Eventually(10s, [&] { return fixture.Metrics().active() == count; });
  };
  EXPECT_TRUE(in_use(2));
  ASSERT_TRUE(fixture.Resize({}, 8).ok());
  EXPECT_TRUE(in_use(8));
  EXPECT_EQ(fixture.Option("max-connections"), "8 CONFIGURATION_SOURCE_ADMIN");
  ASSERT_TRUE(fixture.Resize({}, 3).ok());
  EXPECT_TRUE(Eventually(10s, [&] { return fixture.Metrics().total() <= 3; }));
  for (int i = 0; i < 20; ++i) EXPECT_LE(fixture.Metrics().total(), 3u);
  stop = true;
  for (std::thread& caller : callers) caller.join();
  ASSERT_TRUE(fixture.Resize(3, {}).ok());
  EXPECT_TRUE(Eventually(10s, [&] { return fixture.Metrics().idle() == 3; }));
  const grpc::Status refused = fixture.Resize(4, {});
  EXPECT_EQ(refused.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("is more than max-connections = 3"));
  EXPECT_EQ(fixture.Resize(0, 0).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST(AdminTest, StatisticsAreResetAndPrometheusDoesNotNotice) {
  AdminSidecar fixture;
  for (int i = 0; i < 7; ++i) fixture.client.Query("select 1");
  EXPECT_EQ(fixture.Metrics().statements_total(), 7u);
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::ResetStatisticsResponse response;
  ASSERT_TRUE(fixture.admin().ResetStatistics(&context, {}, &response).ok());
  EXPECT_GT(response.counting_since_time().seconds(), 0);
  fixture.client.Query("select 1");
  EXPECT_EQ(fixture.Metrics().statements_total(), 1u);
  EXPECT_EQ(fixture.Metrics().total_time().count(), 1u);
  EXPECT_EQ(fixture.Metrics().statements_by_outcome_total().at("ok"), 1u);
  EXPECT_THAT(test_support::HttpGet(fixture.sidecar.http_socket(), "/metrics").body,
              HasSubstr("dbsidecar_statements_total{pool=\"default\",outcome=\"ok\"} 8\n"));
}

TEST(AdminTest, TheLogLevelIsSetForAWhile) {
  AdminSidecar fixture({"--log-level=warn", "--pool-logging"});
  const auto set = [&](v1::LogLevel level, milliseconds duration,
                       v1::SetLogLevelResponse& response) {
    grpc::ClientContext context;
    AdminSidecar::SetDeadline(context);
    v1::SetLogLevelRequest request;
    request.set_level(level);
    *request.mutable_duration() = TimeUtil::MillisecondsToDuration(duration.count());
    return fixture.admin().SetLogLevel(&context, request, &response);
  };
  v1::SetLogLevelResponse response;
  ASSERT_TRUE(set(v1::LOG_LEVEL_DEBUG, 1h, response).ok());
  EXPECT_EQ(response.previous_level(), v1::LOG_LEVEL_WARNING);
  fixture.client.Query("select 1");
  EXPECT_THAT(fixture.sidecar.Log(), HasSubstr("pool.lease"));
  EXPECT_EQ(fixture.Option("log-level"), "warn CONFIGURATION_SOURCE_FLAG");
  ASSERT_TRUE(set(v1::LOG_LEVEL_DEBUG, 1ms, response).ok());
  EXPECT_EQ(response.previous_level(), v1::LOG_LEVEL_DEBUG);
  EXPECT_TRUE(Eventually(10s, [&] {
    return set(v1::LOG_LEVEL_DEBUG, 1ms, response).ok() &&
           response.previous_level() == v1::LOG_LEVEL_WARNING;
  }));
  for (const v1::LogLevel level :
       {v1::LOG_LEVEL_UNSPECIFIED, v1::LOG_LEVEL_TRACE, v1::LOG_LEVEL_CRITICAL}) {
    EXPECT_EQ(set(level, 1ms, response).error_code(), StatusCode::INVALID_ARGUMENT);
  }
}

TEST(AdminTest, ALogLevelWithoutEndStays) {
  AdminSidecar fixture({"--log-level=warn"});
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::SetLogLevelRequest request;
  request.set_level(v1::LOG_LEVEL_ERROR);
  v1::SetLogLevelResponse response;
  ASSERT_TRUE(fixture.admin().SetLogLevel(&context, request, &response).ok());
  EXPECT_EQ(fixture.Option("log-level"), "error CONFIGURATION_SOURCE_ADMIN");
}

TEST(AdminTest, AnUnknownPoolIsNotFound) {
  AdminSidecar fixture({}, "sqlite::memory:");
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::PauseRequest request;
  request.set_pool("other");
  v1::PauseResponse response;
  EXPECT_EQ(fixture.admin().Pause(&context, request, &response).error_code(),
            StatusCode::NOT_FOUND);
}

TEST(AdminTest, ADrainIsOrderedAndTakesItsOwnTimes) {
  AdminSidecar fixture({"--drain-delay=1h", "--drain-timeout=1h"});
  const auto call = fixture.client.Start(MakeQuery("select pg_sleep(0.5)"));
  fixture.AwaitStatements(1, kRunning);
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::DrainRequest request;
  request.mutable_delay()->set_seconds(0);
  request.mutable_timeout()->set_seconds(20);
  v1::DrainResponse response;
  ASSERT_TRUE(fixture.admin().Drain(&context, request, &response).ok());
  EXPECT_EQ(response.calls_in_progress(), 1u);
  EXPECT_TRUE(call->Wait().ok()) << call->Wait();
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
}

TEST(AdminTest, QuitWaitsForNothing) {
  AdminSidecar fixture({"--drain-delay=1h", "--drain-timeout=1h", "--query-timeout=50s"});
  const auto call = fixture.client.Start(MakeQuery("select pg_sleep(60)"), 60s);
  fixture.AwaitStatements(1, kRunning);
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::QuitResponse response;
  ASSERT_TRUE(fixture.admin().Quit(&context, {}, &response).ok());
  EXPECT_EQ(response.calls_cancelled(), 1u);
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
  EXPECT_FALSE(call->Wait().ok());
}

TEST(AdminTest, QuitEndsADrainThatLasts) {
  AdminSidecar fixture({"--drain-delay=0", "--drain-timeout=1h", "--query-timeout=50s"});
  const auto call = fixture.client.Start(MakeQuery("select pg_sleep(60)"), 60s);
  fixture.AwaitStatements(1, kRunning);
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_TRUE(Eventually(10s, [&] { return !fixture.health.Serving("readiness"); }));
  v1::ReloadResponse ignored;
  EXPECT_EQ(fixture.Reload(ignored).error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(fixture.Pause(1s).error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(fixture.Resume(), v1::POOL_STATE_DRAINING);
  EXPECT_FALSE(fixture.sidecar.WaitExit(100ms).has_value());
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::QuitResponse response;
  ASSERT_TRUE(fixture.admin().Quit(&context, {}, &response).ok());
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
  call->Wait();
}

TEST(AdminTest, ItIsNotServedToApplications) {
  AdminSidecar fixture({}, "sqlite::memory:");
  const auto outsider = v1::Admin::NewStub(fixture.sidecar.NewChannel());
  grpc::ClientContext context;
  AdminSidecar::SetDeadline(context);
  v1::QuitResponse response;
  EXPECT_EQ(outsider->Quit(&context, {}, &response).error_code(), StatusCode::UNIMPLEMENTED);
  const auto insider = v1::Sidecar::NewStub(fixture.sidecar.NewAdminChannel());
  grpc::ClientContext other;
  AdminSidecar::SetDeadline(other);
  v1::HealthResponse health;
  EXPECT_EQ(insider->Health(&other, {}, &health).error_code(), StatusCode::UNIMPLEMENTED);
  struct stat status {};
  ASSERT_EQ(stat(fixture.sidecar.admin_socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u) << "for its own user alone";
}

TEST(AdminTest, AnAddressThatOthersReachIsRefused) {
  const auto start = SidecarProcess::Run({"serve", "--profile=test",
                                          "--database-url=sqlite::memory:", "--listen=127.0.0.1:0",
                                          "--admin-listen=0.0.0.0:0"});
  EXPECT_EQ(start.exit_code, 2);
  EXPECT_THAT(start.output, HasSubstr("which other hosts may reach"));
}

}  // namespace
}  // namespace dbsidecar::integration
