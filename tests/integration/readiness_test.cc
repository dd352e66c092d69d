// Who is told that the sidecar is ready, when, and where.
#include "tests/integration/fixture.h"
#include "tests/support/tcp_gate.h"
#include "tests/support/temporary_folder.h"

namespace dbsidecar::integration {
namespace {

using test_support::TcpGate;

TEST(HealthListenTest, ServesTheHealthServiceAndNothingElse) {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder / "health");
  PostgresSidecar fixture({"--health-listen=" + address, "--drain-delay=1s"});
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  HealthClient health(channel);
  for (const char* service :
       {"", "liveness", "readiness", "dbsidecar.v1.Sidecar", "pool/default"}) {
    EXPECT_TRUE(health.Serving(service)) << "\"" << service << "\"";
  }
  QueryClient client(channel);
  EXPECT_EQ(client.Query("select 1").status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_TRUE(health.WaitFor("readiness", false, 500ms));
  EXPECT_TRUE(health.Serving("liveness"));
  EXPECT_EQ(fixture.sidecar.WaitExit(5s), 0);
}

// A sidecar whose way to its database can be frozen, which is noticed by pings.
class FrozenDatabaseTest : public ::testing::Test {
 protected:
  void Start(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--keep-alive-after=5s", "--connect-timeout=1s"});
    sidecar_.emplace(SidecarOptions{.database_url = PostgresServer::Shared().TcpUrl(
                                        PostgresServer::Shared().CreateDatabase("test"),
                                        PostgresServer::kPassword, gate_.port()),
                                    .flags = std::move(flags),
                                    .environment = {}});
    health_.emplace(sidecar_->NewChannel());
  }

  TcpGate gate_{PostgresServer::Shared().port()};
  std::optional<SidecarProcess> sidecar_;
  std::optional<HealthClient> health_;
};

TEST_F(FrozenDatabaseTest, ASecondLossWithinAMinuteHoldsReadinessBackAfterwards) {
  Start({"--min-connections=1", "--health-check-interval=200ms", "--readiness-hold=3s"});
  gate_.Freeze();
  ASSERT_TRUE(health_->WaitFor("readiness", false, 10s));
  gate_.Thaw();
  ASSERT_TRUE(health_->WaitFor("readiness", true, 5s));
  gate_.Freeze();
  ASSERT_TRUE(health_->WaitFor("readiness", false, 10s));
  gate_.Thaw();
  const auto thawed = Clock::now();
  ASSERT_TRUE(health_->WaitFor("readiness", true, 15s));
  EXPECT_GE(Clock::now() - thawed, 3s);
}

TEST_F(FrozenDatabaseTest, ThePolicyProcessStaysReadyAndTheNameOfThePoolTellsTheTruth) {
  Start({"--min-connections=1", "--health-check-interval=200ms", "--readiness-policy=process"});
  gate_.Freeze();
  EXPECT_TRUE(health_->WaitFor("pool/default", false, 10s));
  EXPECT_TRUE(health_->Serving("readiness"));
  EXPECT_TRUE(health_->Serving("liveness"));
}

TEST_F(FrozenDatabaseTest, OneCallThatIsNotAnsweredHasTheIdleConnectionsAsked) {
  Start({"--min-connections=3", "--max-connections=3", "--health-check-interval=1h",
         "--cancel-grace=200ms"});
  QueryClient client(sidecar_->NewChannel());
  gate_.Freeze();
  EXPECT_EQ(client.Run(MakeQuery("select 1"), 200ms).status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(health_->WaitFor("readiness", false, 10s));
}

}  // namespace
}  // namespace dbsidecar::integration
