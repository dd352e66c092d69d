// What other people's tools rely on: grpc.health.v1, reflection, grpcurl, grpc_health_probe; and
// the sidecar's own reports.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(HealthServiceTest, EveryServiceNameIsServing) {
  PostgresSidecar fixture;
  for (const char* service : {"", "liveness", "readiness", "dbsidecar.v1.Sidecar"}) {
    bool serving = false;
    const grpc::Status status = fixture.health.Check(service, &serving);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(serving) << "\"" << service << "\"";
  }
  bool serving = false;
  EXPECT_EQ(fixture.health.Check("no.such.Service", &serving).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST(HealthServiceTest, WatchTellsTheStatusAndEveryChange) {
  PostgresSidecar fixture({"--drain-delay=1s"});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 10s);
  HealthCheckRequest request;
  request.set_service("readiness");
  const auto watch = fixture.health.stub().Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  fixture.sidecar.Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  // An open stream must not hold up the stop.
  EXPECT_EQ(fixture.sidecar.WaitExit(5s), 0);
}

TEST(HealthServiceTest, AFullPoolIsNotUnready) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1"});
  const auto holder = fixture.client.Start(MakeQuery("select pg_sleep(2)"));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  const auto waiter = fixture.client.Start(MakeQuery("select 1"), 1s);
  while (!holder->Finished()) {
    EXPECT_TRUE(fixture.health.Serving("readiness"));
    std::this_thread::sleep_for(50ms);
  }
}

// The bytes that grpc.reflection.v1alpha answers to those of a request.
std::string Reflect(PostgresSidecar& fixture, const std::string& request) {
  grpc::GenericStub generic(fixture.client.channel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 5s);
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto call = generic.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  EXPECT_TRUE(queue.Next(&tag, &ok) && ok);
  grpc::Slice slice(request);
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  EXPECT_TRUE(queue.Next(&tag, &ok) && ok);
  grpc::ByteBuffer reply;
  call->Read(&reply, nullptr);
  EXPECT_TRUE(queue.Next(&tag, &ok) && ok);
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(reply.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& part : slices) {
    text.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  call->WritesDone(nullptr);
  queue.Next(&tag, &ok);
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return text;
}

TEST(ReflectionTest, ListsTheServices) {
  PostgresSidecar fixture;
  const std::string services = Reflect(fixture, "\x3a\x01*");  // Field 7: list_services.
  for (const char* service : {"dbsidecar.v1.Sidecar", "grpc.health.v1.Health"}) {
    EXPECT_THAT(services, HasSubstr(service));
  }
}

TEST(ReflectionTest, DescribesEveryTypeThatAnErrorCarries) {
  PostgresSidecar fixture;
  for (const auto& [type, file] : std::map<std::string, std::string>{
           {"google.rpc.Status", "google/rpc/status.proto"},
           {"google.rpc.ErrorInfo", "google/rpc/error_details.proto"},
           {"google.rpc.RetryInfo", "google/rpc/error_details.proto"},
           {"dbsidecar.v1.SqlError", "dbsidecar/v1/error.proto"}}) {
    // Field 4: file_containing_symbol.
    const std::string request = "\x22" + std::string(1, static_cast<char>(type.size())) + type;
    EXPECT_THAT(Reflect(fixture, request), HasSubstr(file));
  }
}

TEST(ReportTest, HealthTellsStatusVersionAndDatabase) {
  PostgresSidecar fixture;
  v1::HealthResponse response;
  ASSERT_TRUE(Eventually(5s, [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 5s);
    const grpc::Status status = fixture.client.stub().Health(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.databases_size() == 1 && !response.databases(0).server_version().empty();
  })) << response.ShortDebugString();
  EXPECT_EQ(response.status(), v1::HEALTH_STATUS_HEALTHY) << response.ShortDebugString();
  EXPECT_EQ(response.databases(0).status(), v1::DATABASE_STATUS_UP);
  EXPECT_EQ(response.databases(0).driver(), "postgresql");
  EXPECT_EQ(response.databases(0).server_version(),
            fixture.Psql("select split_part(current_setting('server_version'), ' ', 1)"));
  EXPECT_EQ(response.phase(), v1::LIFECYCLE_PHASE_SERVING);
  EXPECT_TRUE(response.ready());
  EXPECT_GT(response.uptime().seconds() * 1'000'000'000 + response.uptime().nanos(), 0);
}

TEST(ReportTest, MetricsCountWhatHappened) {
  PostgresSidecar fixture({"--max-connections=3", "--min-connections=1", "--wait-timeout=5s"});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(fixture.client.Query("select 1").ok());
  ASSERT_FALSE(fixture.client.Query("selec").ok());
  const auto report = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 5s);
    v1::MetricsResponse response;
    const grpc::Status status = fixture.client.stub().Metrics(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.pools_size() == 1 ? response.pools(0) : v1::PoolMetrics();
  };
  const v1::PoolMetrics before = report();
  EXPECT_EQ(before.max(), 3u);
  EXPECT_EQ(before.statements_total(), 11u) << before.ShortDebugString();
  EXPECT_EQ(before.statements_failed_total(), 1u);
  const auto& outcomes = before.statements_by_outcome_total();
  EXPECT_EQ(outcomes.count("ok") == 0 ? 0u : outcomes.at("ok"), 10u) << before.ShortDebugString();
  EXPECT_EQ(before.active(), 0u);
  EXPECT_GE(before.connections_opened_total(), 1u);
  EXPECT_GE(before.execute().count(), 11u);

  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 5; ++i)
    calls.push_back(fixture.client.Start(MakeQuery("select pg_sleep(1)")));
  EXPECT_TRUE(Eventually(900ms, [&] {
    const v1::PoolMetrics now = report();
    return now.active() == 3 && now.waiting() == 2 && now.total() == 3;
  })) << report().ShortDebugString();
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->Wait();
}

// The tools that people use, built from source by grpc_tools.sh.
class ToolsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    built_ = test_support::RunToExit({.arguments = {DBSIDECAR_GRPC_TOOLS_SCRIPT},
                                      .environment = {},
                                      .dropped_prefixes = {},
                                      .output_file = ""},
                                     std::chrono::minutes(9));
  }

  void SetUp() override {
    if (built_ == 0) return;
    const char* ci = std::getenv("CI");
    if (built_ != 3 || (ci != nullptr && std::string(ci) == "true")) {
      FAIL() << "tests/integration/grpc_tools.sh failed with exit code " << built_;
    }
    GTEST_SKIP() << "there is no Go toolchain in PATH to build grpcurl and grpc_health_probe with";
  }

  struct Run {
    int exit_code;
    std::string output;
  };
  static Run Tool(const std::string& tool, std::vector<std::string> arguments) {
    const std::string folder = test_support::MakeTemporaryFolder("tool");
    arguments.insert(arguments.begin(), std::string(DBSIDECAR_TOOLS) + "/" + tool);
    const int exit_code = test_support::RunToExit({.arguments = std::move(arguments),
                                                   .environment = {},
                                                   .dropped_prefixes = {},
                                                   .output_file = folder + "/out"},
                                                  30s);
    const std::string output = test_support::ReadFile(folder + "/out");
    std::filesystem::remove_all(folder);
    return {exit_code, output};
  }
  Run Grpcurl(std::vector<std::string> arguments) { return Tool("grpcurl", std::move(arguments)); }
  const std::string& address() { return fixture_.sidecar.address(); }

  static int built_;
  PostgresSidecar fixture_;
};

int ToolsTest::built_ = -1;

TEST_F(ToolsTest, GrpcurlListsAndDescribesTheServices) {
  const Run services = Grpcurl({"-plaintext", address(), "list"});
  EXPECT_EQ(services.exit_code, 0);
  EXPECT_THAT(services.output, HasSubstr("dbsidecar.v1.Sidecar"));
  EXPECT_THAT(services.output, HasSubstr("grpc.health.v1.Health"));
  const Run methods = Grpcurl({"-plaintext", address(), "list", "dbsidecar.v1.Sidecar"});
  EXPECT_THAT(methods.output, HasSubstr("dbsidecar.v1.Sidecar.Query\n"));
  const Run message = Grpcurl({"-plaintext", address(), "describe", "dbsidecar.v1.QueryRequest"});
  EXPECT_EQ(message.exit_code, 0);
  EXPECT_THAT(message.output, HasSubstr("string sql = 1"));
}

TEST_F(ToolsTest, GrpcurlRunsAQueryWithParametersAndReadsTheRows) {
  const Run run =
      Grpcurl({"-plaintext", "-d",
               R"({"sql": "select $1::int8 + 1 as next, upper($2) as shout, $3::text as nothing",
           "params": [{"int_value": 41}, {"string_value": "hello"}, {}],
           "format": "RESULT_FORMAT_ROWS"})",
               address(), "dbsidecar.v1.Sidecar/Query"});
  EXPECT_EQ(run.exit_code, 0);
  for (const char* part : {"\"next\"", "\"int_value\": \"42\"", "\"string_value\": \"HELLO\"",
                           "\"command_tag\": \"SELECT 1\""}) {
    EXPECT_THAT(run.output, HasSubstr(part));
  }
}

TEST_F(ToolsTest, GrpcurlShowsAnErrorWithItsDetails) {
  const Run run = Grpcurl({"-plaintext", "-d", R"({"sql": "select * from nowhere"})", address(),
                           "dbsidecar.v1.Sidecar/Query"});
  EXPECT_EQ(run.exit_code, 64 + grpc::StatusCode::NOT_FOUND);
  for (const char* part : {"Code: NotFound", "google.rpc.ErrorInfo", R"("reason": "SQL_ERROR")",
                           R"("domain": "dbsidecar")", "dbsidecar.v1.SqlError",
                           R"("severity": "ERROR")", R"("sqlstate": "42P01")"}) {
    EXPECT_THAT(run.output, HasSubstr(part));
  }
  EXPECT_THAT(run.output, ContainsRegex(R"("metadata": \{[[:space:]]+"sqlstate": "42P01")"));
  EXPECT_THAT(run.output, Not(HasSubstr("@value"))) << "a detail is not readable";
}

TEST_F(ToolsTest, GrpcurlShowsWhenToTryAgain) {
  fixture_.Psql(
      "create function conflict() returns int language plpgsql as "
      "$$ begin raise exception using errcode = 'serialization_failure'; end $$");
  const Run run = Grpcurl({"-plaintext", "-d", R"json({"sql": "select conflict()"})json", address(),
                           "dbsidecar.v1.Sidecar/Query"});
  EXPECT_EQ(run.exit_code, 64 + grpc::StatusCode::ABORTED);
  EXPECT_THAT(run.output, HasSubstr("google.rpc.RetryInfo"));
  EXPECT_THAT(run.output, HasSubstr(R"("retry_delay": "0.050s")"));
  EXPECT_THAT(run.output, Not(HasSubstr("@value"))) << "a detail is not readable";
}

TEST_F(ToolsTest, GrpcHealthProbeSeesReadiness) {
  for (const char* service : {"", "liveness", "readiness", "dbsidecar.v1.Sidecar"}) {
    const Run run =
        Tool("grpc_health_probe", {"-addr=" + address(), std::string("-service=") + service});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    EXPECT_THAT(run.output, HasSubstr("SERVING"));
  }
  const Run unknown = Tool("grpc_health_probe", {"-addr=" + address(), "-service=nonsense"});
  EXPECT_NE(unknown.exit_code, 0);
}

}  // namespace
}  // namespace dbsidecar::integration
