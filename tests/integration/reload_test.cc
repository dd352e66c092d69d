// The configuration is read again while the sidecar runs: by SIGHUP and by Admin.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>

#include "tests/integration/admin_fixture.h"

namespace dbsidecar::integration {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A sidecar whose file says `yaml`, until it says something else.
class ReloadTest : public testing::Test {
 protected:
  void Serve(const std::string& yaml, std::string url = "", std::vector<std::string> flags = {}) {
    Write(yaml);
    flags.push_back("--config=" + file_);
    sidecar_ = std::make_unique<AdminSidecar>(std::move(flags), std::move(url));
  }
  void Write(const std::string& yaml) const { std::ofstream(file_) << yaml; }
  // The options that were applied, and those that were not.
  std::vector<std::string> Reload(const std::string& yaml, bool dry_run = false) {
    Write(yaml);
    v1::ReloadResponse response;
    const grpc::Status status = sidecar_->Reload(response, dry_run);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> changes;
    for (const v1::OptionChange& change : response.applied()) {
      changes.push_back(change.name() + ": " + change.old_value() + " -> " + change.new_value());
    }
    for (const v1::OptionChange& change : response.refused()) {
      changes.push_back("restart for " + change.name() + ": " + change.old_value() + " -> " +
                        change.new_value());
    }
    return changes;
  }
  QueryClient& client() { return sidecar_->client; }
  // How long it takes for that code to come.
  milliseconds TimeTo(StatusCode code, const v1::QueryRequest& request) {
    const auto start = Clock::now();
    const QueryOutcome outcome = client().Run(request, 20s);
    EXPECT_EQ(outcome.status.error_code(), code) << outcome;
    return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  }
  std::string Log() const { return sidecar_->sidecar.Log(); }

  const std::string file_ = test_support::MakeTemporaryFolder("reload") + "/a.yaml";
  std::unique_ptr<AdminSidecar> sidecar_;
};

TEST_F(ReloadTest, AHangUpReloadsAndSaysWhatItDid) {
  Serve("{pool: {max: 4}, grpc: {threads: 1}}");
  Write("{pool: {max: 6}, grpc: {threads: 2}}");
  sidecar_->sidecar.Signal(SIGHUP);
  EXPECT_TRUE(Eventually(10s, [&] { return sidecar_->Metrics().max() == 6; }));
  EXPECT_TRUE(Eventually(10s, [&] { return Log().find("config.reloaded") != std::string::npos; }));
  EXPECT_THAT(Log(), HasSubstr("config.changed option=max-connections old=4 new=6"));
  EXPECT_THAT(Log(), HasSubstr("config.needs_restart option=grpc-threads in_force=1 new=2"));
  EXPECT_THAT(Log(), HasSubstr("config.reloaded applied=1 need_restart=1"));
  EXPECT_EQ(sidecar_->Option("max-connections"), "6 CONFIGURATION_SOURCE_FILE");
  EXPECT_EQ(sidecar_->Option("grpc-threads"), "1 CONFIGURATION_SOURCE_FILE");
}

TEST_F(ReloadTest, AConfigurationWithAnyProblemIsRefusedAsAWholeWithAllOfThem) {
  Serve("{pool: {max: 4}}");
  Write("{pool: {max: 6, min: many}, query: {timeout: 1}}");
  v1::ReloadResponse response;
  const grpc::Status status = sidecar_->Reload(response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("min-connections = \"many\""));
  EXPECT_THAT(status.error_message(), HasSubstr("query-timeout"));
  EXPECT_EQ(sidecar_->Metrics().max(), 4u);
  EXPECT_THAT(Log(), HasSubstr("config.reload_failed"));
  Write("{pool: [");
  EXPECT_EQ(sidecar_->Reload(response).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(Reload("{pool: {max: 5}}"), ElementsAre("max-connections: 4 -> 5"));
}

TEST_F(ReloadTest, ADryRunChangesNothing) {
  Serve("{pool: {max: 4}}");
  EXPECT_THAT(Reload("{pool: {max: 6}}", true), ElementsAre("max-connections: 4 -> 6"));
  EXPECT_EQ(sidecar_->Metrics().max(), 4u);
  EXPECT_THAT(Reload("{pool: {max: 6}}"), ElementsAre("max-connections: 4 -> 6"));
  EXPECT_THAT(Reload("{pool: {max: 6}}"), IsEmpty());
}

// Sizes and times of the pool, limits of requests, the log: again and again, while calls run.
TEST_F(ReloadTest, UnderLoadNoCallFails) {
  Serve("{pool: {max: 8}}");
  std::atomic<bool> stop{false};
  std::atomic<int> served{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      QueryClient caller(sidecar_->sidecar.NewChannel());
      while (!stop) {
        const QueryOutcome outcome =
            i % 2 == 0 ? caller.Query("select 1") : caller.Query("select pg_sleep(0.002)");
        EXPECT_TRUE(outcome.ok()) << outcome;
        ++served;
      }
    });
  }
  const std::string many =
      "{pool: {max: 3, min: 1, connecting_max: 1, shared_max: 0, waiters_max: 500, "
      "wait_timeout: 15s, connect_timeout: 3s, idle_timeout: 200ms, lifetime: 300ms, "
      "lifetime_jitter_percent: 50, keep_alive_after: 10ms, logging: false}, "
      "query: {timeout: 15s, statement_timeout: 15s, session_idle_timeout: 3s, "
      "session_warn_after: 1s, transaction_timeout: 9s, stream_stall_timeout: 9s, "
      "cancel_grace: 2s, params_max: 100, result_rows_max: 1000, result_bytes_max: 2MiB}, "
      "lifecycle: {health_check_interval: 200ms, drain_timeout: 3s}, "
      "log: {level: warn, calls: true, format: json}}";
  const auto end = Clock::now() + TestSeconds("RELOAD", 5);
  for (int round = 0; Clock::now() < end; ++round) {
    EXPECT_THAT(Reload(round % 2 == 0 ? many : "{pool: {max: 8}}"),
                testing::SizeIs(testing::Ge(20)));
    std::this_thread::sleep_for(100ms);
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(served, 100);
}

TEST_F(ReloadTest, ThePoolsSizesAreApplied) {
  Serve("{pool: {max: 2, min: 0}}");
  EXPECT_THAT(Reload("{pool: {max: 5, min: 4}}"),
              ElementsAre("max-connections: 2 -> 5", "min-connections: 0 -> 4"));
  EXPECT_TRUE(Eventually(10s, [&] { return sidecar_->Metrics().idle() >= 4; }));
  Reload("{pool: {max: 1, min: 0}}");
  EXPECT_TRUE(Eventually(10s, [&] { return sidecar_->Metrics().total() <= 1; }));
  EXPECT_EQ(sidecar_->Metrics().connections_closed_total().at("resize") > 0, true);
}

TEST_F(ReloadTest, TheTimesOfWaitingAreApplied) {
  Serve("{pool: {max: 1, min: 1, shared_max: 0, wait_timeout: 30s, waiters_max: 100}}", "",
        {"--query-timeout=50s"});
  const auto holder = client().Start(MakeQuery("select pg_sleep(60)"), 60s);
  sidecar_->AwaitStatements(1, v1::STATEMENT_STATE_RUNNING);
  Reload("{pool: {max: 1, min: 1, shared_max: 0, wait_timeout: 200ms, waiters_max: 100}}");
  EXPECT_LT(TimeTo(StatusCode::DEADLINE_EXCEEDED, MakeQuery("select 1")), 5s);
  Reload("{pool: {max: 1, min: 1, shared_max: 0, wait_timeout: 200ms, waiters_max: 0}}");
  EXPECT_EQ(client().Query("select 1").reason, "QUEUE_FULL");
  v1::CancelStatementResponse ignored;
  sidecar_->Cancel(sidecar_->Statements()[0].id(), ignored);
}

TEST_F(ReloadTest, TheLivesOfConnectionsAreApplied) {
  Serve("{pool: {min: 0, max: 4, idle_timeout: 0, lifetime: 0}}");
  ASSERT_TRUE(client().Query("select 1").ok());
  EXPECT_GE(sidecar_->Metrics().total(), 1u);
  Reload("{pool: {min: 0, max: 4, idle_timeout: 50ms, lifetime: 0}}");
  EXPECT_TRUE(Eventually(10s, [&] { return sidecar_->Metrics().idle() == 0; }));
  EXPECT_GT(sidecar_->Metrics().connections_closed_total().at("idle_timeout"), 0u);
  Reload("{pool: {min: 2, max: 4, idle_timeout: 0, lifetime: 100ms}}");
  EXPECT_TRUE(Eventually(
      10s, [&] { return sidecar_->Metrics().connections_closed_total().at("lifetime") > 2; }));
}

TEST_F(ReloadTest, TheTimesOfStatementsAreApplied) {
  Serve("{query: {timeout: 50s, statement_timeout: 40s}}");
  Reload("{query: {timeout: 300ms, statement_timeout: 300ms}}");
  EXPECT_LT(TimeTo(StatusCode::DEADLINE_EXCEEDED, MakeQuery("select pg_sleep(60)")), 10s);
  // Of connections that are opened from then on.
  ASSERT_TRUE(sidecar_->Pause(10s).ok());
  sidecar_->Resume();
  EXPECT_EQ(client().Query("show statement_timeout").Scalar(), "300ms");
}

TEST_F(ReloadTest, TheTimesOfSessionsAreApplied) {
  Serve("{query: {session_idle_timeout: 50s, transaction_timeout: 50s}}");
  Reload("{query: {session_idle_timeout: 100ms, transaction_timeout: 50s}}");
  v1::QueryRequest begin = MakeQuery("select 1");
  begin.mutable_session()->mutable_begin();
  ASSERT_TRUE(client().Run(begin).ok());
  EXPECT_TRUE(Eventually(10s, [&] { return sidecar_->Sessions().empty(); }));
  EXPECT_EQ(sidecar_->Metrics().sessions_revoked_total().at("idle_timeout"), 1u);
}

TEST_F(ReloadTest, TheLimitsOfRequestsAreApplied) {
  Serve("{}");
  ASSERT_TRUE(client().Query("select generate_series(1, 100)").ok());
  Reload("{query: {result_rows_max: 10}}");
  EXPECT_EQ(client().Query("select generate_series(1, 100)").reason, "RESULT_TOO_LARGE");
  Reload("{query: {result_bytes_max: 1KiB}}");
  EXPECT_EQ(client().Query("select repeat('x', 5000)").reason, "RESULT_TOO_LARGE");
  Reload("{query: {params_max: 1}}");
  EXPECT_EQ(client().Query("select $1::int, $2::int", 1, 2).status.error_code(),
            StatusCode::INVALID_ARGUMENT);
  Reload("{}");
  EXPECT_TRUE(client().Query("select $1::int, $2::int", 1, 2).ok());
}

TEST_F(ReloadTest, TheLogIsApplied) {
  Serve("{log: {level: warn, format: text, calls: false}, pool: {logging: false}}");
  client().Query("select 1");
  EXPECT_THAT(Log(), Not(HasSubstr(" call ")));
  Reload("{log: {level: debug, format: json, calls: true}, pool: {logging: true}}");
  client().Query("select 1");
  EXPECT_TRUE(Eventually(10s, [&] {
    const std::string log = Log();
    return log.find("\"event\":\"call\"") != std::string::npos &&
           log.find("\"event\":\"pool.lease\"") != std::string::npos;
  })) << Log();
}

TEST_F(ReloadTest, TheIntervalOfHealthChecksIsApplied) {
  Serve("{lifecycle: {health_check_interval: 1h}, pool: {min: 1, keep_alive_after: 0}}");
  const auto checked = [&] {
    return google::protobuf::util::TimeUtil::TimestampToMilliseconds(
        sidecar_->Health().databases(0).last_check_time());
  };
  const auto at_first = checked();
  Reload("{lifecycle: {health_check_interval: 100ms}, pool: {min: 1, keep_alive_after: 0}}");
  EXPECT_TRUE(Eventually(10s, [&] { return checked() > at_first + 300; }));
}

TEST_F(ReloadTest, TheTimesOfTheStopAreApplied) {
  Serve("{lifecycle: {drain_delay: 1h, drain_timeout: 1h}}");
  Reload("{lifecycle: {drain_delay: 0, drain_timeout: 100ms}}");
  const auto call = client().Start(MakeQuery("select pg_sleep(4)"));
  sidecar_->AwaitStatements(1, v1::STATEMENT_STATE_RUNNING);
  const auto start = Clock::now();
  sidecar_->sidecar.Signal(SIGTERM);
  EXPECT_EQ(sidecar_->sidecar.WaitExit(20s), 0);
  EXPECT_LT(Clock::now() - start, 10s);
}

TEST_F(ReloadTest, SqlIsShownOnceThatIsAllowed) {
  Serve("{}", "", {"--query-timeout=50s"});
  const auto call = client().Start(MakeQuery("select pg_sleep(60)"), 60s);
  EXPECT_EQ(sidecar_->AwaitStatements(1, v1::STATEMENT_STATE_RUNNING)[0].sql(), "");
  Reload("{log: {show_sql: true}}");
  const auto shown = sidecar_->Statements();
  EXPECT_EQ(shown[0].sql(), "select pg_sleep($1)");
  v1::CancelStatementResponse ignored;
  sidecar_->Cancel(shown[0].id(), ignored);
}

// The database is asked for a password over TCP.
TEST_F(ReloadTest, AnotherPasswordHoldsForNewConnections) {
  PostgresServer& server = PostgresServer::Shared();
  const std::string database = server.CreateDatabase("password");
  server.Psql("create role rotated login password 'first'", database);
  const auto yaml = [&](const std::string& password) {
    std::string url = server.TcpUrl(database, password);
    url.replace(url.find("//") + 2, url.find(':', url.find("//")) - url.find("//") - 2, "rotated");
    return "{database: {url: '" + url + "'}, pool: {min: 1, max: 3}}";
  };
  Write(yaml("first"));
  sidecar_ = std::make_unique<AdminSidecar>(std::vector<std::string>{"--config=" + file_},
                                            AdminSidecar::kNoUrl);
  ASSERT_TRUE(client().Query("select 1").ok());
  server.Psql("alter role rotated password 'second'", database);
  const auto changes = Reload(yaml("second"));
  ASSERT_THAT(changes, testing::SizeIs(1));
  EXPECT_THAT(changes[0], HasSubstr("another password"));
  EXPECT_THAT(changes[0], Not(HasSubstr("second")));
  ASSERT_TRUE(sidecar_->Pause(10s).ok());
  sidecar_->Resume();
  EXPECT_EQ(client().Query("select session_user").Scalar(), "rotated");
  EXPECT_THAT(Log(), Not(HasSubstr("second")));
  server.Psql("drop owned by rotated", database);
}

// libpq looks at the file for each connection that it opens.
TEST_F(ReloadTest, APasswordFileIsReadForEachConnection) {
  PostgresServer& server = PostgresServer::Shared();
  const std::string database = server.CreateDatabase("passfile");
  server.Psql("create role filed login password 'first'", database);
  std::string url = server.TcpUrl(database, "x");
  url.replace(url.find("app:x@"), 6, "filed@");
  const std::string passfile = file_ + ".pass";
  const auto keep = [&](const std::string& password) {
    std::ofstream(passfile) << "*:*:*:*:" << password << "\n";
    ASSERT_EQ(chmod(passfile.c_str(), S_IRUSR | S_IWUSR), 0);
  };
  keep("first");
  Serve("{pool: {min: 1, max: 3}}", url + "?passfile=" + passfile);
  ASSERT_TRUE(client().Query("select 1").ok());
  server.Psql("alter role filed password 'second'", database);
  keep("second");
  ASSERT_TRUE(sidecar_->Pause(10s).ok());
  sidecar_->Resume();
  EXPECT_EQ(client().Query("select session_user").Scalar(), "filed");
}

}  // namespace
}  // namespace dbsidecar::integration
