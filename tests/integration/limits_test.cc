// Limits by caller, route and statement: how many calls of one kind are at work at once.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/integration/admin_fixture.h"

namespace dbsidecar::integration {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

v1::QueryRequest Tagged(const std::string& key, const std::string& value,
                        v1::QueryRequest request) {
  (*request.mutable_tags())[key] = value;
  return request;
}

class LimitsTest : public testing::Test {
 protected:
  void Serve(std::vector<std::string> flags, const std::string& wait_timeout = "5s") {
    database_ = server_.CreateDatabase("limits");
    flags.push_back("--max-connections=8");
    flags.push_back("--wait-timeout=" + wait_timeout);
    sidecar_.emplace(std::move(flags), server_.Url(database_));
  }
  QueryClient& client() { return sidecar_->client; }
  std::unique_ptr<PendingQuery> Sleep(const std::string& key, const std::string& value,
                                      double how_long) {
    return client().Start(Tagged(key, value, MakeQuery("select pg_sleep($1::float8)", how_long)));
  }
  bool Running(int count) {
    return Eventually(5s,
                      [&] { return server_.RunningStatements(database_, "pg_sleep") == count; });
  }
  uint64_t Limited(const std::string& limit) {
    return sidecar_->Metrics().limited_total().at(limit);
  }

  PostgresServer& server_ = PostgresServer::Shared();
  std::string database_;
  std::optional<AdminSidecar> sidecar_;
};

TEST_F(LimitsTest, ACallerOverItsLimitWaitsAndOthersDoNot) {
  Serve({"--limit-caller=2"});
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(Sleep("caller", "flood", 0.3));
  ASSERT_TRUE(Running(2));
  EXPECT_EQ(sidecar_->Metrics().waiting(), 4u);
  const QueryOutcome quiet = client().Run(Tagged("caller", "quiet", MakeQuery("select 1")));
  EXPECT_EQ(quiet.Scalar(), "1");
  EXPECT_LT(quiet.took, 250ms) << "it waited for the other's calls";
  EXPECT_EQ(client().Query("select 2").Scalar(), "2") << "without the tag there is no limit";
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Wait().ok()) << call->Wait();
    EXPECT_LE(server_.RunningStatements(database_, "pg_sleep"), 2);
  }
  EXPECT_EQ(Limited("caller"), 4u);
  EXPECT_EQ(Limited("route"), 0u);
}

TEST_F(LimitsTest, WhoeverWaitsForTooLongOrAmongTooManyIsToldWhy) {
  Serve({"--limit-route=1", "--limit-waiting=1"}, "300ms");
  const auto holder = Sleep("route", "/report", 2);
  ASSERT_TRUE(Running(1));
  const auto waits = Sleep("route", "/report", 0);
  EXPECT_TRUE(Eventually(5s, [&] { return sidecar_->Metrics().waiting() == 1; }));
  const QueryOutcome refused = client().Run(Tagged("route", "/report", MakeQuery("select 1")));
  EXPECT_EQ(refused.reason, "QUEUE_FULL") << refused;
  EXPECT_THAT(refused.status.error_message(),
              HasSubstr("1 calls of the route \"/report\" are at work already, which is the limit "
                        "(limit-route; pool \"default\")"));
  const QueryOutcome& late = waits->Wait();
  EXPECT_EQ(late.reason, "WAIT_TIMEOUT") << late;
  EXPECT_THAT(late.status.error_message(), HasSubstr("no turn within 0.3 s"));
  const QueryOutcome in_time =
      client().Run(Tagged("route", "/report", MakeQuery("select 1")), 100ms);
  EXPECT_EQ(in_time.status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(holder->Wait().ok()) << holder->Wait();
  EXPECT_EQ(client().Run(Tagged("route", "/report", MakeQuery("select 3"))).Scalar(), "3");
}

TEST_F(LimitsTest, ACallThatLeavesGivesItsPlaceInTheQueueUp) {
  Serve({"--limit-caller=1"});
  const auto holder = Sleep("caller", "a", 0.5);
  ASSERT_TRUE(Running(1));
  const auto leaves = Sleep("caller", "a", 60);
  const auto stays = client().Start(Tagged("caller", "a", MakeQuery("select 'stays'")));
  EXPECT_TRUE(Eventually(5s, [&] { return sidecar_->Metrics().waiting() == 2; }));
  leaves->Cancel();
  EXPECT_EQ(leaves->Wait().status.error_code(), StatusCode::CANCELLED);
  EXPECT_EQ(stays->Wait().Scalar(), "stays") << stays->Wait();
  // A statement that is cancelled while it runs keeps its place until the database has let go.
  const auto cancelled = Sleep("caller", "a", 60);
  ASSERT_TRUE(Running(1));
  cancelled->Cancel();
  EXPECT_EQ(client().Run(Tagged("caller", "a", MakeQuery("select 'next'"))).Scalar(), "next");
}

TEST_F(LimitsTest, ASessionKeepsThePlaceUntilItEnds) {
  Serve({"--limit-caller=1"});
  v1::QueryRequest begin = Tagged("caller", "a", MakeQuery("select 1"));
  begin.mutable_session()->mutable_begin();
  const QueryOutcome begun = client().Run(begin);
  ASSERT_TRUE(begun.ok()) << begun;
  const auto waits = client().Start(Tagged("caller", "a", MakeQuery("select 'in time'")));
  v1::QueryRequest inside = Tagged("caller", "a", MakeQuery("select 2"));
  inside.mutable_session()->set_session(begun.response.session());
  EXPECT_EQ(client().Run(inside).Scalar(), "2") << "its own calls need no place";
  EXPECT_FALSE(waits->Finished());
  inside.mutable_session()->set_commit(true);
  EXPECT_EQ(client().Run(inside).Scalar(), "2");
  EXPECT_EQ(waits->Wait().Scalar(), "in time") << waits->Wait();
}

TEST_F(LimitsTest, AStatementIsLimitedWhateverItsConstants) {
  Serve({"--limit-statement=1", "--metrics-statements=20"});
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(
        client().Start(MakeQuery("select " + std::to_string(i) + " from pg_sleep(0.2)")));
  }
  ASSERT_TRUE(Running(1));
  EXPECT_EQ(client().Query("select 1").Scalar(), "1") << "another statement";
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i]->Wait().Scalar(), std::to_string(i)) << calls[i]->Wait();
  }
  EXPECT_EQ(Limited("statement"), 3u);
}

TEST_F(LimitsTest, ObservedTheyAreOnlyToldOf) {
  Serve({"--limit-statement=1", "--metrics-statements=20", "--limit-mode=observe"});
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(Sleep("caller", "a", 0.5));
  EXPECT_TRUE(Running(4)) << "nobody waits";
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(Limited("statement"), 3u);
  EXPECT_THAT(sidecar_->sidecar.Log(), HasSubstr("pool.limit_reached limit=statement of="));
  EXPECT_THAT(sidecar_->sidecar.Log(), HasSubstr("max=1 enforced=false"));
}

TEST_F(LimitsTest, AHigherLimitLetsThoseThatWaitGoOn) {
  const std::string file = test_support::MakeTemporaryFolder("limits") + "/a.yaml";
  const auto write = [&](int limit) {
    std::ofstream(file) << "pool: {limits: {caller: " << limit << "}}\n";
  };
  write(1);
  Serve({"--config=" + file});
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(Sleep("caller", "a", 2));
  ASSERT_TRUE(Running(1));
  write(3);
  v1::ReloadResponse response;
  ASSERT_TRUE(sidecar_->Reload(response).ok());
  EXPECT_TRUE(Running(3));
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->Wait();
}

TEST_F(LimitsTest, AStopServesThoseThatWait) {
  Serve({"--limit-caller=1", "--drain-timeout=10s"});
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(Sleep("caller", "a", 0.2));
  ASSERT_TRUE(Running(1));
  EXPECT_TRUE(Eventually(5s, [&] { return sidecar_->Metrics().waiting() >= 3; }));
  sidecar_->sidecar.Signal(SIGTERM);
  EXPECT_EQ(sidecar_->sidecar.WaitExit(15s), 0);
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->Wait();
}

// Many short calls of several kinds, with deadlines and cancels: nobody is over a limit, everybody
// is answered.
TEST_F(LimitsTest, UnderLoadEveryCallIsAnsweredAndNoneIsOverTheLimit) {
  Serve({"--limit-caller=2", "--limit-route=3", "--limit-statement=2", "--metrics-statements=20",
         "--limit-waiting=100"});
  std::atomic<bool> stop = false;
  std::atomic<long> answered = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&, i] {
      QueryClient own(sidecar_->sidecar.NewChannel());
      for (int n = 0; !stop; ++n) {
        v1::QueryRequest request = MakeQuery("select $1 from pg_sleep(0.001)", n);
        if (i % 2 == 0) request.set_sql("select $1 + 0 * 1 from pg_sleep(0.002)");
        request = Tagged("caller", "c" + std::to_string(i % 3), request);
        request = Tagged("route", "r" + std::to_string(i % 2), request);
        const QueryOutcome outcome = own.Run(request, n % 10 == 0 ? 3ms : 10000ms);
        const bool late = outcome.status.error_code() == StatusCode::DEADLINE_EXCEEDED;
        EXPECT_TRUE(outcome.ok() || (n % 10 == 0 && late)) << outcome;
        if (outcome.ok()) {
          EXPECT_EQ(outcome.Scalar(), std::to_string(n));
        }
        ++answered;
      }
    });
  }
  const auto end = Clock::now() + 3s;
  int most = 0;
  while (Clock::now() < end) {
    most = std::max(most, server_.RunningStatements(database_, "pg_sleep"));
    std::this_thread::sleep_for(5ms);
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  std::cout << "[ figures  ] " << answered << " calls, at most " << most << " at work\n";
  EXPECT_GT(answered, 300);
  EXPECT_LE(most, 4) << "two statements, two of each";
  EXPECT_TRUE(Eventually(5s, [&] { return sidecar_->Metrics().waiting() == 0; }));
  EXPECT_EQ(client().Run(Tagged("caller", "c0", MakeQuery("select 'free'"))).Scalar(), "free");
}

}  // namespace
}  // namespace dbsidecar::integration
