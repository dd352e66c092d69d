// Many callers at once, for as long as DBSIDECAR_TEST_SECONDS_LOAD says, and what goes wrong in
// production: a full pool, a database that goes away, a stop signal.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <pqxx/pqxx>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tests/integration/fixture.h"
#include "tests/integration/probe_watch.h"

namespace dbsidecar::integration {
namespace {

// Runs `body(caller)` on so many threads until the object goes.
class Callers {
 public:
  template <typename Body>
  Callers(int count, Body body) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, body, i] {
        while (!stop_) body(i);
      });
    }
  }
  ~Callers() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

std::vector<std::unique_ptr<QueryClient>> NewClients(const SidecarProcess& sidecar, int count) {
  std::vector<std::unique_ptr<QueryClient>> clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<QueryClient>(sidecar.NewChannel()));
    const bool connected =
        clients.back()->channel()->WaitForConnected(std::chrono::system_clock::now() + 10s);
    EXPECT_TRUE(connected);
  }
  return clients;
}

struct Peak {
  long resident = 0;
  int descriptors = 0;  // Other than those of connections to the database.

  void Sample(const SidecarProcess& sidecar, int connections) {
    resident = std::max(resident, sidecar.ResidentBytes());
    descriptors = std::max(descriptors, sidecar.OpenDescriptors() - connections);
  }
};

// How long a caller waits for an answer beside 64 calls of another that want the two connections.
std::vector<Clock::duration> LatenciesBesideAFlood(PostgresSidecar& fixture,
                                                   const std::string& caller) {
  v1::QueryRequest flood = MakeQuery("select pg_sleep(0.01)");
  (*flood.mutable_tags())["caller"] = "flood";
  v1::QueryRequest quiet = MakeQuery("select pg_sleep(0.001)");
  (*quiet.mutable_tags())["caller"] = caller;
  constexpr int kFlooding = 64;
  const auto clients = NewClients(fixture.sidecar, kFlooding);
  Callers callers(kFlooding,
                  [&](int i) { EXPECT_TRUE(clients[static_cast<size_t>(i)]->Run(flood).ok()); });
  EXPECT_TRUE(Eventually(5s, [&] {
    return fixture.server.RunningStatements(fixture.database, "pg_sleep(0.01)") == 2;
  }));
  std::vector<Clock::duration> latencies;
  for (int i = 0; i < 100; ++i) {
    const QueryOutcome outcome = fixture.client.Run(quiet);
    EXPECT_TRUE(outcome.ok()) << outcome;
    latencies.push_back(outcome.took);
  }
  std::ranges::sort(latencies);
  return latencies;
}

TEST(LoadTest, AFloodOfOneCallerDoesNotStarveAnother) {
  PostgresSidecar fixture({"--max-connections=2", "--min-connections=2", "--shared-max=0",
                           "--wait-timeout=10s", "--query-timeout=30s"});
  const auto part_of_it = LatenciesBesideAFlood(fixture, "flood");
  const auto on_its_own = LatenciesBesideAFlood(fixture, "quiet");
  std::cout << "[ figures  ] beside 64 calls of 10 ms on 2 connections, p50 and p99 of a call: "
            << Milliseconds(part_of_it[50]) << " and " << Milliseconds(part_of_it[98])
            << " ms for the same caller, " << Milliseconds(on_its_own[50]) << " and "
            << Milliseconds(on_its_own[98]) << " ms for another\n";
  EXPECT_LT(on_its_own[50] * 5, part_of_it[50]);
  EXPECT_LT(on_its_own[98] * 2, part_of_it[50]);
}

TEST(LoadTest, AHundredCallersShareTwentyConnectionsWithoutErrorOrGrowth) {
  const seconds length = TestSeconds("LOAD", 30);
  PostgresSidecar fixture({"--max-connections=20", "--min-connections=5", "--waiters-max=1000",
                           "--wait-timeout=10s", "--query-timeout=30s", "--pool-logging=false"});
  fixture.Psql(
      "create table account (id int primary key, balance int not null);"
      "insert into account select n, 0 from generate_series(1, 1000) n");
  constexpr int kCallers = 100;
  const auto clients = NewClients(fixture.sidecar, kCallers);
  std::atomic<long> answered{0};
  std::atomic<long> failed{0};
  std::mutex mutex;
  std::string first_failure;

  pqxx::connection observer(fixture.server.Url());
  const std::string count =
      "select count(*) from pg_stat_activity where backend_type = 'client backend' and datname = "
      "'" +
      fixture.database + "'";
  int connections_peak = 0;
  Peak early;
  Peak middle;
  Peak late;
  ProbeWatch readiness(fixture.sidecar.address(), "readiness");
  const auto start = Clock::now();
  {
    Callers callers(kCallers, [&](int i) {
      thread_local std::mt19937 random(static_cast<unsigned>(i));
      const int id = static_cast<int>(random() % 1000) + 1;
      const unsigned kind = random() % 20;
      const QueryOutcome outcome =
          kind == 0 ? clients[static_cast<size_t>(i)]->Query(
                          "update account set balance = balance + 1 where id = $1", id)
          : kind == 1
              ? clients[static_cast<size_t>(i)]->Query("select pg_sleep(0.005)")
              : clients[static_cast<size_t>(i)]->Query("select * from account where id = $1", id);
      ++answered;
      if (!outcome.ok()) {
        ++failed;
        const std::lock_guard lock(mutex);
        if (first_failure.empty()) first_failure = outcome.status.error_message();
      }
    });
    const auto settled = start + std::min<Clock::duration>(5s, length / 3);
    const auto middle_end = settled + (start + length - settled) / 2;
    while (Clock::now() < start + length) {
      pqxx::nontransaction work(observer);
      const int connections = work.exec(count)[0][0].as<int>();
      connections_peak = std::max(connections_peak, connections);
      const auto now = Clock::now();
      (now < settled      ? early
       : now < middle_end ? middle
                          : late)
          .Sample(fixture.sidecar, connections);
      std::this_thread::sleep_for(50ms);
    }
  }
  readiness.Stop();
  const double took = Milliseconds(Clock::now() - start) / 1000;
  std::cout << "[ figures  ] " << answered << " calls in " << took << " s ("
            << static_cast<long>(static_cast<double>(answered) / took) << "/s), " << failed
            << " failed; connections at most " << connections_peak << "; resident MiB "
            << early.resident / 1048576.0 << " -> " << middle.resident / 1048576.0 << " -> "
            << late.resident / 1048576.0 << "; descriptors " << early.descriptors << " -> "
            << middle.descriptors << " -> " << late.descriptors << "; readiness "
            << readiness.answers() << " answers, slowest " << Milliseconds(readiness.slowest())
            << " ms\n";
  EXPECT_EQ(failed, 0) << first_failure;
  EXPECT_GT(answered, kCallers);
  EXPECT_LE(connections_peak, 20);
  EXPECT_GE(connections_peak, 2);
  EXPECT_LE(late.descriptors, std::max(early.descriptors, middle.descriptors) + 2);
  // A sanitizer keeps freed memory for a while.
  const long allowed = (kSanitized ? 256L : 4L) * 1024 * 1024;
  EXPECT_LE(late.resident, middle.resident + allowed);
  EXPECT_LE(middle.resident, early.resident + allowed);
  EXPECT_EQ(readiness.failed(), 0);
  EXPECT_EQ(readiness.not_serving(), 0);
  EXPECT_LT(readiness.slowest(), kSanitized ? 1000ms : 50ms);
}

TEST(FullPoolTest, TheCallThatFindsEveryConnectionBusyIsRefusedOnTimeWithTheDiagnosis) {
  PostgresSidecar fixture({"--max-connections=2", "--min-connections=2", "--wait-timeout=1s"});
  std::vector<std::unique_ptr<PendingQuery>> holders;
  for (int i = 0; i < 2; ++i) {
    v1::QueryRequest request = MakeQuery("select pg_sleep(3)");
    (*request.mutable_tags())["caller"] = "reports";
    holders.push_back(fixture.client.Start(request));
  }
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 2; }));
  const QueryOutcome refused = fixture.client.Query("select 1");
  std::cout << "[ figures  ] refused after " << Milliseconds(refused.took)
            << " ms: " << refused.status.error_message() << "\n";
  EXPECT_TRUE(refused.status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
              refused.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
      << refused;
  EXPECT_EQ(refused.reason, "WAIT_TIMEOUT");
  EXPECT_GE(refused.took, 1000ms);
  EXPECT_LT(refused.took, 1100ms + kScheduling);
  for (const char* part : {"no connection within 1 s", "2 of 2", "waiting", "oldest", "reports"}) {
    EXPECT_NE(refused.status.error_message().find(part), std::string::npos) << part;
  }
  for (const auto& holder : holders) EXPECT_TRUE(holder->Wait().ok()) << holder->Wait();
}

TEST(FullPoolTest, TheCallThatWaitsGetsTheFirstConnectionThatBecomesFree) {
  PostgresSidecar fixture({"--max-connections=2", "--min-connections=2", "--wait-timeout=5s"});
  std::vector<std::unique_ptr<PendingQuery>> holders;
  holders.reserve(2);
  for (int i = 0; i < 2; ++i)
    holders.push_back(fixture.client.Start(MakeQuery("select pg_sleep(1)")));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 2; }));
  const QueryOutcome waited = fixture.client.Query("select 1");
  EXPECT_EQ(waited.Scalar(), "1");
  EXPECT_LT(waited.took, 1100ms + kScheduling);
}

TEST(FullPoolTest, AFullQueueRefusesAtOnce) {
  PostgresSidecar fixture(
      {"--max-connections=1", "--min-connections=1", "--wait-timeout=5s", "--waiters-max=2"});
  const auto holder = fixture.client.Start(MakeQuery("select pg_sleep(1)"));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  std::vector<std::unique_ptr<PendingQuery>> calls;
  calls.reserve(10);
  for (int i = 0; i < 10; ++i) calls.push_back(fixture.client.Start(MakeQuery("select 1")));
  int served = 0;
  int refused = 0;
  for (const auto& call : calls) {
    const QueryOutcome& outcome = call->Wait();
    if (outcome.ok()) {
      ++served;
    } else if (outcome.reason == "QUEUE_FULL" &&
               outcome.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      ++refused;
      EXPECT_LT(outcome.took, 100ms + kScheduling);
    } else {
      ADD_FAILURE() << outcome;
    }
  }
  EXPECT_EQ(served, 2);
  EXPECT_EQ(refused, 8);
}

struct Outage {
  Clock::time_point stopped;
  Clock::time_point started;
  std::atomic<long> ok_before{0};
  std::atomic<long> failed{0};
  std::atomic<Clock::rep> first_success_after{0};
  std::atomic<Clock::rep> last_failure{0};
  Clock::duration slowest{};
};

void Raise(std::atomic<Clock::rep>& peak, Clock::rep value) {
  Clock::rep seen = peak;
  while (seen < value && !peak.compare_exchange_weak(seen, value)) {
  }
}

bool AllowedInOutage(grpc::StatusCode code) {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::UNKNOWN ||
         code == grpc::StatusCode::DEADLINE_EXCEEDED ||
         code == grpc::StatusCode::RESOURCE_EXHAUSTED;
}

void RestartUnderLoad(test_support::StopMode mode) {
  PostgresServer server;
  PostgresSidecar fixture({"--max-connections=8", "--min-connections=2", "--wait-timeout=1s"},
                          false, server);
  constexpr int kCallers = 16;
  const auto clients = NewClients(fixture.sidecar, kCallers);
  ProbeWatch liveness(fixture.sidecar.address(), "liveness");
  Outage outage;
  std::atomic<bool> up_again{false};
  std::mutex mutex;
  std::set<std::string> unexpected;
  std::string slowest;
  Callers callers(kCallers, [&](int i) {
    const bool after = up_again;
    const QueryOutcome outcome =
        clients[static_cast<size_t>(i)]->Run(MakeQuery("select 1, pg_sleep(0.002)"), 2s);
    const Clock::rep now = Clock::now().time_since_epoch().count();
    {
      const std::lock_guard lock(mutex);
      if (outcome.took > outage.slowest) {
        std::ostringstream text;
        text << outcome;
        slowest = text.str();
        outage.slowest = outcome.took;
      }
    }
    if (outcome.ok()) {
      ++outage.ok_before;
      Clock::rep none = 0;
      if (after) outage.first_success_after.compare_exchange_strong(none, now);
      return;
    }
    ++outage.failed;
    Raise(outage.last_failure, now);
    if (!AllowedInOutage(outcome.status.error_code())) {
      const std::lock_guard lock(mutex);
      unexpected.insert(CodeAndSqlstate(outcome) + " " + outcome.status.error_message());
    }
    std::this_thread::sleep_for(5ms);
  });
  std::this_thread::sleep_for(2s);
  const long ok_before = outage.ok_before;
  server.Stop(mode);
  const bool went_unready = fixture.health.WaitFor("readiness", false, 5s);
  std::this_thread::sleep_for(2s);
  server.Start();
  outage.started = Clock::now();
  up_again = true;
  const bool ready_again = fixture.health.WaitFor("readiness", true, 5s);
  const auto ready_after = Clock::now() - outage.started;
  std::this_thread::sleep_for(5s - std::min<Clock::duration>(5s, Clock::now() - outage.started));
  const auto recovered = Clock::now().time_since_epoch().count();
  std::this_thread::sleep_for(2s);
  callers.Stop();
  liveness.Stop();
  const auto since_start = [&](Clock::rep moment) {
    return Milliseconds(Clock::time_point(Clock::duration(moment)) - outage.started);
  };
  std::cout << "[ figures  ] before " << ok_before << " calls, failed during the outage "
            << outage.failed << "; after the database was up: first success after "
            << since_start(outage.first_success_after) << " ms, last failure after "
            << since_start(outage.last_failure) << " ms, ready after " << Milliseconds(ready_after)
            << " ms; slowest answer " << Milliseconds(outage.slowest) << " ms; liveness "
            << liveness.answers() << " answers, slowest " << Milliseconds(liveness.slowest())
            << " ms\n";
  EXPECT_TRUE(fixture.sidecar.Running());
  EXPECT_GT(ok_before, 100);
  EXPECT_GT(outage.failed, 0);
  EXPECT_TRUE(unexpected.empty()) << *unexpected.begin();
  EXPECT_TRUE(went_unready);
  EXPECT_TRUE(ready_again);
  EXPECT_NE(outage.first_success_after, 0);
  EXPECT_LT(outage.last_failure, recovered) << "calls still fail 5 s after the database is up";
  EXPECT_LT(outage.slowest, 1100ms + kScheduling) << slowest;
  EXPECT_EQ(liveness.failed(), 0);
  EXPECT_EQ(liveness.not_serving(), 0);
  EXPECT_EQ(fixture.client.Query("select 1").Scalar(), "1");
}

TEST(OutageTest, AFastRestartOfPostgresqlIsSurvivedUnderLoad) {
  RestartUnderLoad(test_support::StopMode::kFast);
}

TEST(OutageTest, ACrashOfPostgresqlIsSurvivedUnderLoad) {
  RestartUnderLoad(test_support::StopMode::kImmediate);
}

TEST(OutageTest, AWriteWhoseConnectionIsLostSaysThatItsOutcomeIsUnknown) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (id int)");
  const auto call = fixture.client.Start(MakeQuery("insert into t select 1 from pg_sleep(5)"));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  fixture.Psql(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'insert into t%' "
      "and pid <> pg_backend_pid()");
  const QueryOutcome& outcome = call->Wait();
  // The database has said that it ends the session, so nothing took effect; a lost socket would be
  // UNKNOWN.
  EXPECT_TRUE(outcome.status.error_code() == grpc::StatusCode::UNAVAILABLE ||
              (outcome.status.error_code() == grpc::StatusCode::UNKNOWN &&
               outcome.reason == "OUTCOME_UNKNOWN" && outcome.sql.outcome_unknown()))
      << outcome;
  EXPECT_EQ(fixture.client.Query("select count(*) from t").Scalar(), "0");
}

class StopTest : public ::testing::TestWithParam<int> {};

TEST_P(StopTest, ASignalUnderLoadCutsNoAcceptedCall) {
  PostgresSidecar fixture({"--max-connections=10", "--min-connections=10", "--drain-delay=100ms",
                           "--drain-timeout=10s", "--wait-timeout=10s"});
  fixture.Psql("create table t (id int8 primary key)");
  // Twice as many as there are connections: the waiting ones have been accepted, too.
  std::vector<std::unique_ptr<PendingQuery>> accepted;
  accepted.reserve(40);
  for (int i = 0; i < 20; ++i) {
    accepted.push_back(fixture.client.Start(MakeQuery("select $1::int, pg_sleep(0.3)", i)));
  }
  constexpr int kCallers = 16;
  const auto clients = NewClients(fixture.sidecar, kCallers);
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::set<int64_t> acknowledged;
  std::set<std::string> unexpected;
  std::atomic<long> refused{0};
  std::vector<Clock::time_point> reset;
  std::optional<int> exit_code;
  {
    Callers callers(kCallers, [&](int i) {
      const int64_t id = ++next;
      const QueryOutcome outcome =
          clients[static_cast<size_t>(i)]->Query("insert into t values ($1)", id);
      const std::lock_guard lock(mutex);
      if (outcome.ok()) {
        acknowledged.insert(id);
      } else if (outcome.status.error_code() == grpc::StatusCode::UNAVAILABLE) {
        ++refused;
      } else if (outcome.status.error_code() == grpc::StatusCode::CANCELLED) {
        reset.push_back(Clock::now());
      } else {
        unexpected.insert(CodeAndSqlstate(outcome) + " " + outcome.status.error_message());
      }
    });
    ASSERT_TRUE(Eventually(10s, [&] {
      const std::lock_guard lock(mutex);
      return acknowledged.size() > 50;
    }));
    for (int i = 0; i < 20; ++i) {
      accepted.push_back(fixture.client.Start(MakeQuery("select $1::int, pg_sleep(0.3)", 20 + i)));
    }
    ASSERT_TRUE(Eventually(
        5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 10; }));
    fixture.sidecar.Signal(GetParam());
    exit_code = fixture.sidecar.WaitExit(15s);
    ASSERT_TRUE(Eventually(5s, [&] { return refused > kCallers; }));
  }
  EXPECT_EQ(exit_code, 0);
  for (size_t i = 0; i < accepted.size(); ++i) {
    EXPECT_EQ(accepted[i]->Wait().Scalar(), std::to_string(i)) << accepted[i]->Wait();
  }
  EXPECT_TRUE(unexpected.empty()) << *unexpected.begin();
  // UNAVAILABLE means that nothing was sent: what is in the table is exactly what was acknowledged.
  pqxx::connection connection(fixture.Url());
  pqxx::nontransaction work(connection);
  std::set<int64_t> stored;
  for (const auto& row : work.exec("select id from t")) stored.insert(row[0].as<int64_t>());
  std::cout << "[ figures  ] " << accepted.size() << " calls in flight all answered; "
            << acknowledged.size() << " writes acknowledged, " << stored.size() << " stored, "
            << refused << " refused, " << reset.size() << " reset\n";
  EXPECT_EQ(stored, acknowledged);
  // gRPC's server resets, with CANCELLED, the streams that arrive between the start of its shutdown
  // and the client's learning of it. The sidecar never sees them, so they are not in the table. How
  // many calls fit in that moment is the machine's affair; that it is a moment is ours.
  if (!reset.empty()) {
    EXPECT_LT(reset.back() - reset.front(), 250ms + kScheduling);
  }
  EXPECT_EQ(fixture.server.Connections(fixture.database), 1) << "only the test's own";
}

INSTANTIATE_TEST_SUITE_P(Signals, StopTest, ::testing::Values(SIGTERM, SIGINT, SIGUSR2));

TEST(StopTest, ReadinessGoesFirstAndCallsAreServedDuringTheDelay) {
  PostgresSidecar fixture({"--drain-delay=1s"});
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_TRUE(fixture.health.WaitFor("readiness", false, 500ms));
  EXPECT_TRUE(fixture.health.Serving("liveness"));
  EXPECT_EQ(fixture.client.Query("select 1").Scalar(), "1");
  EXPECT_EQ(fixture.sidecar.WaitExit(5s), 0);
}

TEST(StopTest, AReplyThatIsReadSlowlyIsNotCut) {
  PostgresSidecar fixture({"--drain-timeout=20s", "--result-bytes-max=64MiB"});
  constexpr size_t kBytes = 20'000'000;
  const std::string output = test_support::MakeTemporaryFolder("reader") + "/output";
  ChildProcess reader(SidecarProcess::CommandLine(
      {"query", "--addr=" + fixture.sidecar.address(), "--csv",
       "select pg_sleep(0.5), repeat('x', " + std::to_string(kBytes) + ")"},
      output));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  reader.Signal(SIGSTOP);
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  fixture.sidecar.Signal(SIGTERM);
  // Longer than gRPC's own shutdown waits.
  std::this_thread::sleep_for(1s);
  EXPECT_TRUE(fixture.sidecar.Running());
  reader.Signal(SIGCONT);
  EXPECT_EQ(reader.WaitExit(kSanitized ? 60s : 10s), 0)
      << test_support::ReadFile(output).substr(0, 500);
  EXPECT_GT(test_support::ReadFile(output).size(), kBytes);
  EXPECT_EQ(fixture.sidecar.WaitExit(5s), 0);
}

TEST(StopTest, ADatabaseThatHangsHoldsUpNeitherTheCallersNorTheStop) {
  PostgresServer server;
  SidecarOptions options;
  options.database_url = server.Url();
  options.flags = {"--max-connections=2", "--min-connections=1", "--connect-timeout=2s",
                   "--drain-timeout=500ms"};
  SidecarProcess sidecar(options);
  QueryClient client(sidecar.NewChannel());
  const auto running = client.Start(MakeQuery("select pg_sleep(60)"));
  ASSERT_TRUE(
      Eventually(5s, [&] { return server.RunningStatements("postgres", "pg_sleep") == 1; }));
  server.Freeze();
  const auto connecting = client.Start(MakeQuery("select 1"));
  std::this_thread::sleep_for(100ms);
  const auto start = Clock::now();
  sidecar.Signal(SIGTERM);
  EXPECT_FALSE(running->Wait().ok());
  EXPECT_FALSE(connecting->Wait().ok());
  EXPECT_LT(Clock::now() - start, 1s + kScheduling);
  EXPECT_EQ(sidecar.WaitExit(15s), 0);
  const auto took = Clock::now() - start;
  std::cout << "[ figures  ] stopped in " << Milliseconds(took) << " ms\n";
  EXPECT_LT(took, 6s + kScheduling);
  server.Thaw();
}

TEST(StopTest, TheDrainTimeoutAndASecondSignalEndWhatStillRuns) {
  for (const bool second_signal : {false, true}) {
    SCOPED_TRACE(second_signal);
    PostgresSidecar fixture({second_signal ? "--drain-timeout=1min" : "--drain-timeout=500ms"});
    const auto call = fixture.client.Start(MakeQuery("select pg_sleep(4)"));
    ASSERT_TRUE(Eventually(
        5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
    const auto start = Clock::now();
    fixture.sidecar.Signal(SIGTERM);
    if (second_signal) {
      ASSERT_TRUE(fixture.health.WaitFor("readiness", false, 500ms));
      std::this_thread::sleep_for(100ms);
      fixture.sidecar.Signal(SIGTERM);
    }
    EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
    EXPECT_LT(Clock::now() - start, 2s + kScheduling);
    EXPECT_FALSE(call->Wait().ok());
    EXPECT_TRUE(Eventually(
        1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  }
}

}  // namespace
}  // namespace dbsidecar::integration
