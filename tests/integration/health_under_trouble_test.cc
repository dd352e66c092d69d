// Health under full load while the database is in trouble: right, and in time.
#include <atomic>
#include <thread>

#include "tests/integration/fixture.h"
#include "tests/integration/probe_watch.h"
#include "tests/support/tcp_gate.h"

namespace dbsidecar::integration {
namespace {

using test_support::StopMode;
using test_support::TcpGate;

enum class Trouble { kSlow, kRefusing, kHung, kCrashed };

struct Case {
  std::string name;
  Trouble trouble;
  bool is_down;  // The database is of no use, and health says so.
};

class HealthUnderTroubleTest : public testing::TestWithParam<Case> {
 protected:
  // A closed loop of 32 callers, each with a deadline of its own.
  void StartLoad() {
    for (int i = 0; i < 32; ++i) {
      callers_.emplace_back([this] {
        QueryClient client(sidecar_.NewChannel());
        while (!stop_) {
          client.Run(MakeQuery(slow_ ? "select pg_sleep(1)" : "select 1"), 500ms);
          ++calls_;
        }
      });
    }
  }
  void Begin(Trouble trouble) {
    switch (trouble) {
      case Trouble::kSlow:
        slow_ = true;
        break;
      case Trouble::kRefusing:
        server_.Stop(StopMode::kFast);
        break;
      case Trouble::kHung:
        gate_.Freeze();
        break;
      case Trouble::kCrashed:
        server_.Stop(StopMode::kImmediate);
        break;
    }
  }
  void TearDown() override {
    stop_ = true;
    for (std::thread& caller : callers_) caller.join();
  }

  PostgresServer server_;
  TcpGate gate_{server_.port()};
  SidecarProcess sidecar_{
      {.database_url = server_.TcpUrl("postgres", PostgresServer::kPassword, gate_.port()),
       .flags = {"--max-connections=8", "--wait-timeout=1s", "--connect-timeout=1s",
                 "--readiness-policy=database", "--health-check-interval=1s"},
       .environment = {}}};
  HealthClient health_{sidecar_.NewChannel()};
  std::atomic<bool> slow_ = false;
  std::atomic<bool> stop_ = false;
  std::atomic<long> calls_ = 0;
  std::vector<std::thread> callers_;
};

INSTANTIATE_TEST_SUITE_P(HealthUnderTroubleTest, HealthUnderTroubleTest,
                         testing::Values(Case{"Slow", Trouble::kSlow, false},
                                         Case{"Refusing", Trouble::kRefusing, true},
                                         Case{"Hung", Trouble::kHung, true},
                                         Case{"Crashed", Trouble::kCrashed, true}),
                         [](const auto& test) { return test.param.name; });

TEST_P(HealthUnderTroubleTest, ItIsRightAndInTime) {
  StartLoad();
  ASSERT_TRUE(Eventually(5s, [&] { return calls_ > 500; }));
  ASSERT_TRUE(health_.Serving("readiness"));
  ProbeWatch liveness(sidecar_.address(), "liveness");
  ProbeWatch readiness(sidecar_.address(), "readiness");
  ProbeWatch report(sidecar_.address(), "Health");
  ProbeWatch http(sidecar_.http_socket(), "/api/health/detailed");
  Begin(GetParam().trouble);
  if (GetParam().is_down) {
    EXPECT_TRUE(health_.WaitFor("readiness", false, 15s)) << "nobody noticed";
  }
  std::this_thread::sleep_for(3s);
  const bool ready = health_.Serving("readiness");
  for (ProbeWatch* watch : {&liveness, &readiness, &report, &http}) watch->Stop();
  const auto figures = [](const std::string& name, const ProbeWatch& watch) {
    std::cout << "[ figures  ] " << name << ": " << watch.answers() << " answers, "
              << watch.not_serving() << " of them no; slowest " << Milliseconds(watch.slowest())
              << " ms\n";
    EXPECT_GT(watch.answers(), 100) << name;
    EXPECT_EQ(watch.failed(), 0) << name;
    EXPECT_LT(watch.slowest(), kSanitized ? 1000ms : 50ms) << name;
  };
  figures("liveness", liveness);
  figures("readiness", readiness);
  figures("Health", report);
  figures("/api/health/detailed", http);
  EXPECT_EQ(ready, !GetParam().is_down);
  EXPECT_EQ(liveness.not_serving(), 0) << "liveness never fails for the database's sake";
  for (const ProbeWatch* watch : {&readiness, &report, &http}) {
    EXPECT_EQ(watch->not_serving() > 0, GetParam().is_down);
  }
}

}  // namespace
}  // namespace dbsidecar::integration
