// What a caller hears when the network between the sidecar and PostgreSQL fails in the middle of a
// statement.
#include <atomic>

#include "tests/integration/fixture.h"
#include "tests/support/tcp_gate.h"

namespace dbsidecar::integration {
namespace {

using test_support::TcpGate;

class BrokenNetworkTest : public ::testing::Test {
 protected:
  BrokenNetworkTest() {
    server_.Psql("create table written (id int)", database_);
    server_.Psql("grant all on written to app", database_);
  }

  // Cuts the connection as soon as the server runs the statement.
  QueryOutcome RunAndCut(const v1::QueryRequest& request) {
    const auto call = client_.Start(request);
    EXPECT_TRUE(
        Eventually(5s, [&] { return server_.RunningStatements(database_, request.sql()) == 1; }));
    gate_.Cut();
    return call->Wait();
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string database_ = server_.CreateDatabase("test");
  TcpGate gate_{server_.port()};
  SidecarProcess sidecar_{
      {.database_url = server_.TcpUrl(database_, PostgresServer::kPassword, gate_.port()),
       .flags = {"--max-connections=1"},
       .environment = {}}};
  QueryClient client_{sidecar_.NewChannel()};
};

TEST_F(BrokenNetworkTest, AReadIsRunAgainUnseen) {
  v1::QueryRequest request = MakeQuery("select 1 from pg_sleep(0.5)");
  request.set_read_only(true);
  const QueryOutcome outcome = RunAndCut(request);
  EXPECT_EQ(outcome.Scalar(), "1") << outcome;
  EXPECT_EQ(client_.Query("select 2").Scalar(), "2");
}

TEST_F(BrokenNetworkTest, AReadThatLosesEveryConnectionIsUnavailableAndMayBeTriedAgain) {
  v1::QueryRequest request = MakeQuery("select 1 from pg_sleep(1)");
  request.set_read_only(true);
  std::atomic<bool> over{false};
  std::thread cutter([&] {
    // What is cut goes on at the server for a while, so running statements tell nothing.
    while (!over) {
      std::this_thread::sleep_for(300ms);
      gate_.Cut();
    }
  });
  const QueryOutcome outcome = client_.Run(request, 10s);
  over = true;
  cutter.join();
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::UNAVAILABLE) << outcome;
  EXPECT_EQ(outcome.reason, "CONNECTION_LOST");
  EXPECT_FALSE(outcome.sql.outcome_unknown());
  EXPECT_TRUE(outcome.retry_delay.has_value());
  EXPECT_TRUE(Eventually(5s, [&] { return client_.Query("select 2").Scalar() == "2"; }));
}

TEST_F(BrokenNetworkTest, AWriteIsOfUnknownOutcomeAndIsNotToBeTriedAgain) {
  const QueryOutcome outcome =
      RunAndCut(MakeQuery("insert into written select 1 from pg_sleep(1)"));
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::UNKNOWN) << outcome;
  EXPECT_EQ(outcome.reason, "OUTCOME_UNKNOWN");
  EXPECT_TRUE(outcome.sql.outcome_unknown());
  EXPECT_FALSE(outcome.retry_delay.has_value());
  EXPECT_EQ(client_.Query("select 2").Scalar(), "2");
  // Unknown is the word: this one does take effect.
  EXPECT_TRUE(Eventually(
      10s, [&] { return client_.Query("select count(*) from written").Scalar() == "1"; }));
}

TEST_F(BrokenNetworkTest, GrpcItselfIsToldNotToTryAWriteAgain) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 10s);
  v1::QueryResponse response;
  const v1::QueryRequest request = MakeQuery("insert into written select 1 from pg_sleep(1)");
  std::thread cutter([&] {
    EXPECT_TRUE(
        Eventually(5s, [&] { return server_.RunningStatements(database_, request.sql()) == 1; }));
    gate_.Cut();
  });
  const grpc::Status status = client_.stub().Query(&context, request, &response);
  cutter.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN) << status.error_message();
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto pushback = trailers.find("grpc-retry-pushback-ms");
  ASSERT_NE(pushback, trailers.end());
  EXPECT_EQ(pushback->second, "-1");
}

}  // namespace
}  // namespace dbsidecar::integration
