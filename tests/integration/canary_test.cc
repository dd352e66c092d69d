// The canary reply test: an answer goes only to the call that sent the statement, and what is said
// of a write's effect is true, whatever happens meanwhile.
//
// DBSIDECAR_TEST_SECONDS_CANARY says how long it takes, or DBSIDECAR_TEST_CALLS_CANARY how many
// calls it makes (`./dev soak`): the figures are for both variants together, and each goes on until
// PostgreSQL has been restarted once.
#include <signal.h>

#include <atomic>
#include <iomanip>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "tests/integration/canary_callers.h"
#include "tests/integration/canary_ledger.h"
#include "tests/support/tcp_gate.h"

namespace dbsidecar::integration {
namespace {

using test_support::TcpGate;

constexpr int kUnaryCallers = 16;
constexpr int kStreams = 3;
constexpr int kClientCallers = 2;
constexpr milliseconds kKillEvery{200};
constexpr long kStepsToCut = 5;
constexpr milliseconds kRestartMin{3000};
constexpr milliseconds kRestartSpread{5000};
constexpr milliseconds kAwayMax{600};
constexpr seconds kProgressEvery{10};
// The connection for asking the database about itself comes and goes.
constexpr int kDescriptorsMore = 1;
constexpr long kResidentMore = 8L * 1024 * 1024;
// Nothing is learned from more of them.
constexpr long kFaultsMax = 20;

long NumberFrom(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atol(text);
}

// How far a run goes: whichever comes first.
struct Extent {
  Clock::duration length = Clock::duration::max();
  long calls = std::numeric_limits<long>::max();
};

// A quarter without sharing, the rest with it.
Extent ExtentFor(int shared_max) {
  const long quarters = shared_max == 0 ? 1 : 3;
  const long calls = NumberFrom("DBSIDECAR_TEST_CALLS_CANARY", 0);
  if (calls > 0) return {.calls = calls * quarters / 4};
  return {.length = milliseconds(TestSeconds("CANARY", 60)) * quarters / 4};
}

uint64_t Seed() {
  const char* text = std::getenv("DBSIDECAR_TEST_SEED");
  return text == nullptr ? std::random_device{}() : std::strtoull(text, nullptr, 10);
}

struct Usage {
  long resident = 0;
  int descriptors = 0;
};

Usage UsageOf(const SidecarProcess& sidecar) {
  return {.resident = sidecar.ResidentBytes(), .descriptors = sidecar.OpenDescriptors()};
}

// Kills back ends, which say so; cuts connections, so that what was done is not said; and now and
// then stops the whole server, and starts it again.
class Trouble {
 public:
  Trouble(PostgresServer& server, TcpGate& gate, std::string database, uint64_t seed)
      : server_(server), gate_(gate), database_(std::move(database)), random_(seed) {
    PlanRestart();
  }

  void Step() {
    if (Clock::now() >= restart_at_) Restart();
    if (++steps_ % kStepsToCut == 0) Cut();
    killed_ += std::stoi(server_.Psql(
        "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where "
        "datname = '" +
        database_ + "' and backend_type = 'client backend' order by random() limit 1) victim"));
  }

  long killed() const { return killed_; }
  long cuts() const { return cuts_; }
  long restarts() const { return restarts_; }

 private:
  void PlanRestart() {
    restart_at_ = Clock::now() + kRestartMin + milliseconds(random_() % kRestartSpread.count());
  }

  void Cut() {
    if (cuts_++ % 2 == 0) {
      gate_.Reset();
    } else {
      gate_.Cut();
    }
  }

  void Restart() {
    server_.Stop(restarts_ % 2 == 0 ? test_support::StopMode::kImmediate
                                    : test_support::StopMode::kFast);
    std::this_thread::sleep_for(milliseconds(random_() % kAwayMax.count()));
    server_.Start();
    ++restarts_;
    PlanRestart();
  }

  PostgresServer& server_;
  TcpGate& gate_;
  const std::string database_;
  std::mt19937_64 random_;
  Clock::time_point restart_at_;
  long steps_ = 0;
  long killed_ = 0;
  long cuts_ = 0;
  long restarts_ = 0;
};

class Callers {
 public:
  Callers(const CanaryScene& scene, uint64_t seed) : client_(scene.sidecar.address()) {
    for (int i = 0; i < kUnaryCallers; ++i) {
      threads_.emplace_back([scene, seed = ++seed] { CallUnary(scene, seed); });
    }
    for (int i = 0; i < kStreams; ++i) {
      threads_.emplace_back([scene, seed = ++seed] { CallOverPipeline(scene, seed); });
    }
    for (int i = 0; i < kClientCallers; ++i) {
      threads_.emplace_back(
          [this, scene, seed = ++seed] { CallThroughClient(scene, client_, seed); });
    }
  }
  // REQUIRES: the scene is over.
  ~Callers() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  dbsidecar::Client client_;
  std::vector<std::thread> threads_;
};

void PrintProgress(const CanaryLedger& ledger, const Trouble& trouble, Usage usage,
                   Clock::duration since_start) {
  std::cout << "[ progress ] " << std::fixed << std::setprecision(0)
            << Milliseconds(since_start) / 1000 << " s, " << ledger.Figures() << "; "
            << trouble.killed() << " back ends killed, " << trouble.cuts() << " cuts, "
            << trouble.restarts() << " restarts; resident MiB " << std::setprecision(1)
            << usage.resident / 1048576.0 << ", descriptors " << usage.descriptors << std::endl;
}

class CanaryTest : public ::testing::TestWithParam<int> {};

TEST_P(CanaryTest, EveryCallGetsItsOwnAnswerOnceAndTheTruthAboutItsEffect) {
  const Extent extent = ExtentFor(GetParam());
  const uint64_t seed = Seed();
  std::cout << "[ seed     ] DBSIDECAR_TEST_SEED=" << seed << std::endl;
  PostgresServer server;
  const std::string database = server.CreateDatabase("canary");
  server.Psql(CanarySchema(), database);
  // Or a crash would take back commits that were acknowledged.
  server.Psql("alter database " + database + " set synchronous_commit = on");
  TcpGate gate(server.port());
  SidecarProcess sidecar(
      {.database_url = server.TcpUrl(database, PostgresServer::kPassword, gate.port()),
       .flags = {"--max-connections=8", "--min-connections=4", "--pool-logging=false",
                 "--query-timeout=" + std::to_string(kCanaryQueryTimeout.count()) + "ms",
                 "--wait-timeout=" + std::to_string(kCanaryWaitTimeout.count()) + "ms",
                 "--waiters-max=1000", "--shared-max=" + std::to_string(GetParam())},
       .environment = {}});
  QueryClient client(sidecar.NewChannel());

  CanaryLedger ledger;
  Trouble trouble(server, gate, database, seed);
  const bool soaking = extent.length > std::chrono::minutes(2);
  // Whatever this test itself holds open is open.
  EXPECT_EQ(client.Query("select 1").Scalar(), "1");
  const Usage before = UsageOf(sidecar);
  // Allocators go on growing for a while under a load this uneven.
  const seconds settled = soaking ? 60s : kProgressEvery;
  Usage early;
  Usage late;
  {
    std::atomic<bool> over{false};
    const CanaryScene scene{.sidecar = sidecar, .ledger = ledger, .over = over};
    Callers callers(scene, seed);
    const auto start = Clock::now();
    auto next_progress = start + kProgressEvery;
    const auto enough = [&] {
      return (ledger.answered() >= extent.calls || Clock::now() - start >= extent.length) &&
             trouble.restarts() > 0;
    };
    while (!enough() && ledger.faults() < kFaultsMax && sidecar.Running()) {
      trouble.Step();
      std::this_thread::sleep_for(kKillEvery);
      late = UsageOf(sidecar);
      if (Clock::now() < next_progress) continue;
      next_progress += kProgressEvery;
      if (Clock::now() - start < settled || early.resident == 0) early = late;
      if (soaking) PrintProgress(ledger, trouble, late, Clock::now() - start);
    }
    over = true;
  }
  EXPECT_TRUE(sidecar.Running()) << sidecar.Log();
  EXPECT_TRUE(Eventually(5s, [&] { return client.Query("select 1").Scalar() == "1"; }));
  // Connections to the database that nobody needs any more are closed after a while.
  EXPECT_TRUE(Eventually(
      10s, [&] { return UsageOf(sidecar).descriptors <= before.descriptors + kDescriptorsMore; }));
  const Usage after = UsageOf(sidecar);
  // What still ran for callers that had left is over when the sidecar is.
  sidecar.Signal(SIGTERM);
  EXPECT_EQ(sidecar.WaitExit(15s), 0);
  EXPECT_TRUE(Eventually(5s, [&] { return server.Connections(database) == 0; }));

  std::cout << "[ figures  ] " << ledger.Figures() << "\n[ figures  ] " << trouble.killed()
            << " back ends killed, " << trouble.cuts() << " cuts, " << trouble.restarts()
            << " restarts; resident MiB " << before.resident / 1048576.0 << " -> "
            << early.resident / 1048576.0 << " -> " << late.resident / 1048576.0 << " -> "
            << after.resident / 1048576.0 << "; descriptors " << before.descriptors << " -> "
            << after.descriptors << "\n";
  const std::vector<std::string> wrong_writes = ledger.CompareWithTable(server.Url(database));
  EXPECT_TRUE(wrong_writes.empty()) << wrong_writes.front();
  EXPECT_EQ(ledger.faults(), 0) << ledger.fault_texts().front();
  // Otherwise the test has not tested what it says.
  EXPECT_GT(ledger.count(CanaryVerdict::kMatched), 1000);
  EXPECT_GT(ledger.count(CanaryVerdict::kCancelled), 10);
  EXPECT_GT(ledger.count(CanaryVerdict::kExpired), 10);
  EXPECT_GT(trouble.killed(), 5);
  EXPECT_GE(trouble.restarts(), 1);
  // A sanitizer keeps freed memory.
  if (early.resident != 0 && !kSanitized) {
    EXPECT_LE(late.resident, early.resident + kResidentMore);
  }
}

INSTANTIATE_TEST_SUITE_P(Shared, CanaryTest, ::testing::Values(0, 2));

}  // namespace
}  // namespace dbsidecar::integration
