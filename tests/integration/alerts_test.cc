// Alerts and recommendations as operators meet them: an incident from its beginning to its end.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <vector>

#include "tests/integration/admin_fixture.h"
#include "tests/integration/fixture.h"
#include "tests/support/http_client.h"
#include "tests/support/webhook_receiver.h"

namespace dbsidecar::integration {
namespace {

using test_support::HttpGet;
using test_support::WebhookReceiver;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using Json = nlohmann::json;

// Callers that each run one statement after the other until they are told to stop.
class Callers {
 public:
  Callers(const SidecarProcess& sidecar, int count, const std::string& sql) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, channel = sidecar.NewChannel(), sql] {
        QueryClient client(channel);
        while (!stopped_) client.Query(sql);
      });
    }
  }
  ~Callers() {
    stopped_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stopped_ = false;
  std::vector<std::thread> threads_;
};

v1::HealthResponse HealthOf(QueryClient& client, v1::HealthLevel level) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20s);
  v1::HealthRequest request;
  request.set_level(level);
  v1::HealthResponse health;
  const grpc::Status status = client.stub().Health(&context, request, &health);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return health;
}

std::set<std::string> AlertsIn(const v1::HealthResponse& health) {
  std::set<std::string> names;
  for (const v1::Alert& alert : health.alerts()) names.insert(alert.name());
  return names;
}

const v1::Recommendation* AdviceIn(const v1::HealthResponse& health, const std::string& id) {
  const auto& all = health.database().recommendations();
  const auto found = std::ranges::find(all, id, &v1::Recommendation::id);
  return found == all.end() ? nullptr : &*found;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The value of an alert's gauge.
std::string GaugeOf(const SidecarProcess& sidecar, const std::string& labels) {
  const std::string text = HttpGet(sidecar.http_socket(), "/metrics").body;
  const size_t at = text.find("\ndbsidecar_alert{" + labels + "} ");
  if (at == std::string::npos) return "not there";
  const size_t begin = text.find("} ", at) + 2;
  return text.substr(begin, text.find('\n', begin) - begin);
}

// The means of a series of the pool, second by second.
std::vector<double> HistoryOf(QueryClient& client, const std::string& series) {
  grpc::ClientContext context;
  v1::MetricsHistoryRequest request;
  request.add_series(series);
  request.mutable_step()->set_seconds(1);
  v1::MetricsHistoryResponse response;
  const grpc::Status status = client.stub().MetricsHistory(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::vector<double> values;
  for (const double mean : response.series(0).means()) {
    if (!std::isnan(mean)) values.push_back(mean);
  }
  return values;
}

TEST(IncidentTest, ASaturatedPoolRaisesAlertsWithAdviceAndTheyClearWhenItIsRaised) {
  AdminSidecar fixture({"--max-connections=4", "--min-connections=1", "--shared-max=0",
                        "--alert-hold=2s", "--wait-timeout=10s", "--query-timeout=20s"});
  EXPECT_THAT(AlertsIn(HealthOf(fixture.client, v1::HEALTH_LEVEL_BASIC)), IsEmpty());
  const std::string labels = R"(name="PoolWaitingHigh",severity="warning",pool="default")";
  EXPECT_EQ(GaugeOf(fixture.sidecar, labels), "0");
  {
    const Callers callers(fixture.sidecar, 20, "select pg_sleep(0.2)");
    // The pool saturates and alerts fire; it takes ten looks until the advice is sure.
    v1::HealthResponse health;
    ASSERT_TRUE(Eventually(60s, [&] {
      health = HealthOf(fixture.client, v1::HEALTH_LEVEL_DATABASE);
      return AlertsIn(health).size() >= 2 && AdviceIn(health, "pool-too-small") != nullptr;
    })) << health.ShortDebugString();
    EXPECT_THAT(AlertsIn(health), IsSupersetOf({"PoolUtilizationHigh", "PoolWaitingHigh"}));
    EXPECT_EQ(health.status(), v1::HEALTH_STATUS_DEGRADED);
    EXPECT_TRUE(health.ready()) << "a full pool is not unready";
    EXPECT_EQ(HttpGet(fixture.sidecar.http_socket(), "/readyz").status, 200);
    EXPECT_THAT(health.causes(), Contains(HasSubstr("alert PoolWaitingHigh (pool \"default\")")));
    const v1::Recommendation& advice = *AdviceIn(health, "pool-too-small");
    EXPECT_EQ(advice.option(), "max-connections");
    EXPECT_EQ(advice.suggested_value(), "8") << advice.evidence();
    EXPECT_GT(advice.figures().at("connections_needed"), 10.0);
    EXPECT_EQ(GaugeOf(fixture.sidecar, labels), "1");
    const auto verb =
        SidecarProcess::Run({"health", "--level", "database", "--addr", fixture.sidecar.address()});
    EXPECT_EQ(verb.exit_code, 0) << "degraded is not unhealthy";
    EXPECT_THAT(verb.output, AllOf(HasSubstr("alert     WARNING PoolWaitingHigh (pool default)"),
                                   HasSubstr("advice    WARNING pool-too-small (pool default)"),
                                   HasSubstr("--max-connections=8; see docs/")));
    // The load goes on; the operator raises the limit to twice what it needs.
    ASSERT_TRUE(fixture.Resize(std::nullopt, 40).ok());
    ASSERT_TRUE(Eventually(60s, [&] {
      health = HealthOf(fixture.client, v1::HEALTH_LEVEL_BASIC);
      return !AlertsIn(health).contains("PoolWaitingHigh") &&
             !AlertsIn(health).contains("PoolUtilizationHigh");
    })) << health.ShortDebugString();
  }
  const std::vector<double> waiting = HistoryOf(fixture.client, "waiting");
  EXPECT_GE(*std::ranges::max_element(waiting), 10) << "the history shows the incident";
  EXPECT_LT(waiting.back(), 5) << "and its end";
  EXPECT_EQ(GaugeOf(fixture.sidecar, labels), "0");
  const std::string log = fixture.sidecar.Log();
  EXPECT_EQ(Count(log, "alert.firing name=PoolWaitingHigh"), 1u) << log;
  EXPECT_EQ(Count(log, "alert.resolved name=PoolWaitingHigh"), 1u) << log;
}

TEST(IncidentTest, ALostDatabaseIsToldCriticallyAndReadinessFollowsTheDatabaseAlone) {
  test_support::PostgresServer server;
  PostgresSidecar fixture({"--alert-hold=3s"}, false, server);
  server.Stop(test_support::StopMode::kFast);
  v1::HealthResponse health;
  ASSERT_TRUE(Eventually(30s, [&] {
    health = HealthOf(fixture.client, v1::HEALTH_LEVEL_BASIC);
    return AlertsIn(health).contains("DatabaseDown") && AlertsIn(health).contains("ConnectBackOff");
  })) << health.ShortDebugString();
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_UNHEALTHY);
  EXPECT_EQ(health.alerts(0).severity(), v1::SEVERITY_CRITICAL);
  EXPECT_EQ(health.alerts(0).runbook_url(), "docs/runbooks.md#databasedown");
  EXPECT_EQ(HttpGet(fixture.sidecar.http_socket(), "/livez").status, 200);
  server.Start();
  ASSERT_TRUE(Eventually(
      30s, [&] { return AlertsIn(HealthOf(fixture.client, v1::HEALTH_LEVEL_BASIC)).empty(); }));
  EXPECT_EQ(Count(fixture.sidecar.Log(), "alert.firing name=DatabaseDown"), 1u);
}

TEST(RestartTest, ASidecarThatStartsAgainAndAgainSaysSoByItsHistory) {
  const std::string file = test_support::MakeTemporaryFolder("restarts") + "/history.db";
  for (int start = 0;; ++start) {
    SidecarProcess sidecar({.database_url = "sqlite::memory:",
                            .flags = {"--history-file=" + file},
                            .environment = {}});
    QueryClient client(sidecar.NewChannel());
    const auto fires = [&] {
      return AlertsIn(HealthOf(client, v1::HEALTH_LEVEL_BASIC)).contains("RestartsFrequent");
    };
    if (start == 3) {
      EXPECT_TRUE(Eventually(30s, fires)) << "the third restart";
      break;
    }
    EXPECT_FALSE(fires());
    // It lives for some looks, and writes what it saw when it ends.
    ASSERT_TRUE(Eventually(
        10s, [&] { return HealthOf(client, v1::HEALTH_LEVEL_BASIC).uptime().seconds() >= 3; }));
    sidecar.Signal(SIGTERM);
    ASSERT_EQ(sidecar.WaitExit(10s), 0);
  }
}

TEST(SessionFiguresTest, AnIdleTransactionIsToldWithItsAge) {
  PostgresSidecar fixture;
  const auto figures = [&] {
    return HealthOf(fixture.client, v1::HEALTH_LEVEL_DETAILED).detailed().pools(0);
  };
  EXPECT_FALSE(figures().has_oldest_transaction());
  v1::QueryRequest request = MakeQuery("select 1");
  request.mutable_session()->mutable_begin();
  const QueryOutcome begun = fixture.client.Run(request);
  ASSERT_TRUE(begun.ok()) << begun;
  EXPECT_EQ(figures().sessions_idle(), 1u);
  ASSERT_TRUE(Eventually(10s, [&] { return figures().oldest_transaction().seconds() >= 1; }));
  v1::QueryRequest last = MakeQuery("select 2");
  last.mutable_session()->set_session(begun.response.session());
  last.mutable_session()->set_commit(true);
  ASSERT_TRUE(fixture.client.Run(last).ok());
  EXPECT_EQ(figures().sessions_idle(), 0u);
  EXPECT_FALSE(figures().has_oldest_transaction());
}

TEST(WebhookTest, AlertsArePostedUntilTheReceiverTakesThemAndNothingOfItsUrlIsShown) {
  const WebhookReceiver receiver(2);
  const std::string url = "http://me:hidden-word@127.0.0.1:" + std::to_string(receiver.port()) +
                          "/services/secret-path?token=abc";
  PostgresSidecar fixture({"--max-connections=2", "--shared-max=0", "--alert-hold=1s",
                           "--log-level=debug", "--alert-webhook", url});
  const auto told = [&](const std::string& name, const std::string& status) {
    for (const WebhookReceiver::Post& post : receiver.posts()) {
      if (post.answered != 200) continue;
      const Json body = Json::parse(post.body);
      for (const Json& alert : body["alerts"]) {
        if (alert["labels"]["alertname"] == name && alert["status"] == status) return true;
      }
    }
    return false;
  };
  {
    const Callers callers(fixture.sidecar, 12, "select pg_sleep(0.2)");
    ASSERT_TRUE(Eventually(60s, [&] { return told("PoolWaitingHigh", "firing"); }))
        << fixture.sidecar.Log();
  }
  ASSERT_TRUE(Eventually(60s, [&] { return told("PoolWaitingHigh", "resolved"); }))
      << fixture.sidecar.Log();
  const std::vector<WebhookReceiver::Post> posts = receiver.posts();
  ASSERT_GE(posts.size(), 4u);
  EXPECT_EQ(posts[1].answered, 503);
  EXPECT_LE(posts.size(), 10u) << "no storm";
  EXPECT_EQ(posts[0].target, "/services/secret-path?token=abc");
  EXPECT_EQ(posts[0].authorization, "Basic bWU6aGlkZGVuLXdvcmQ=");
  EXPECT_EQ(posts[0].content_type, "application/json");
  EXPECT_EQ(Json::parse(posts[0].body)["version"], "4");
  const std::string log = fixture.sidecar.Log();
  EXPECT_THAT(log, AllOf(HasSubstr("alert.post_failed"), HasSubstr("alert.posted")));
  const std::string shown =
      log + HttpGet(fixture.sidecar.http_socket(), "/api/health/database").body;
  EXPECT_THAT(shown, HasSubstr("/***"));
  for (const char* secret : {"hidden-word", "secret-path", "token=abc"}) {
    EXPECT_THAT(shown, Not(HasSubstr(secret)));
  }
}

// A certificate for 127.0.0.1 that no authority has signed, with its key; "" without openssl.
std::string NewCertificate() {
  const std::string file = test_support::MakeTemporaryFolder("tls") + "/certificate.pem";
  const int code = test_support::RunToExit(
      {.arguments = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj",
                     "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file,
                     "-out", file + ".cert"},
       .environment = {},
       .dropped_prefixes = {},
       .output_file = file + ".log"},
      20s);
  if (code != 0) return "";
  const std::string certificate = test_support::ReadFile(file + ".cert");
  std::ofstream(file, std::ios::app) << certificate;
  return file;
}

TEST(WebhookTest, OverTlsOnlyAReceiverWhoseCertificateIsTrustedHearsAnything) {
  const std::string certificate = NewCertificate();
  if (certificate.empty()) GTEST_SKIP() << "openssl is not installed";
  const WebhookReceiver receiver(0, certificate);
  const std::vector<std::string> flags = {
      "--max-connections=2", "--shared-max=0", "--alert-hold=500ms", "--alert-webhook",
      "https://127.0.0.1:" + std::to_string(receiver.port()) + "/x"};
  const std::string url = test_support::PostgresServer::Shared().Url(
      test_support::PostgresServer::Shared().CreateDatabase("tls"));
  {
    const SidecarProcess distrustful({.database_url = url, .flags = flags, .environment = {}});
    const Callers callers(distrustful, 12, "select pg_sleep(0.2)");
    EXPECT_TRUE(Eventually(30s, [&] {
      return distrustful.Log().find("its certificate is not trusted") != std::string::npos;
    })) << distrustful.Log();
  }
  EXPECT_EQ(receiver.posts().size(), 0u);
  const SidecarProcess trusting(
      {.database_url = url, .flags = flags, .environment = {{"SSL_CERT_FILE", certificate}}});
  const Callers callers(trusting, 12, "select pg_sleep(0.2)");
  EXPECT_TRUE(Eventually(30s, [&] { return !receiver.posts().empty(); })) << trusting.Log();
}

TEST(WebhookTest, AReceiverThatSaysNothingHoldsNothingUp) {
  // The connection is taken by the kernel, and nobody answers.
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  socklen_t size = sizeof(address);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  PostgresSidecar fixture({"--max-connections=2", "--shared-max=0", "--alert-hold=500ms",
                           "--alert-webhook",
                           "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x"});
  {
    const Callers callers(fixture.sidecar, 12, "select pg_sleep(0.2)");
    ASSERT_TRUE(Eventually(30s, [&] {
      return AlertsIn(HealthOf(fixture.client, v1::HEALTH_LEVEL_BASIC)).contains("PoolWaitingHigh");
    }));
    // The post is under way: somebody waits in the queue of the listener.
    pollfd connected{.fd = listener, .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&connected, 1, 10'000), 1);
  }
  EXPECT_EQ(fixture.client.Query("select 7").Scalar(), "7");
  const auto start = Clock::now();
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
  EXPECT_LT(Clock::now() - start, 4s + kScheduling);
  close(listener);
}

TEST(RecommendationTest, WhatTheServersStatisticsTellIsRecommended) {
  test_support::PostgresServer server;
  server.Psql("alter system set shared_preload_libraries = 'pg_stat_statements'");
  server.Stop(test_support::StopMode::kFast);
  server.Start();
  PostgresSidecar fixture({}, false, server);
  fixture.Psql("create extension pg_stat_statements schema public");
  fixture.Psql(
      "create table orders as select i as id, i % 7 as kind, repeat('x', 500) as note "
      "from generate_series(1, 20000) i");
  fixture.Psql("analyze orders");
  for (int i = 0; i < 150; ++i)
    fixture.client.Query("select count(*) from orders where id = $1", i);
  // Somebody waits for a lock.
  std::thread holder(
      [&] { fixture.Psql("begin; lock table orders; select pg_sleep(12); commit"); });
  std::thread waiter([&] {
    std::this_thread::sleep_for(500ms);
    fixture.Psql("select 1 from orders limit 1");
  });
  std::set<std::string> found;
  v1::HealthResponse health;
  EXPECT_TRUE(Eventually(30s, [&] {
    health = HealthOf(fixture.client, v1::HEALTH_LEVEL_DATABASE);
    for (const v1::Recommendation& advice : health.database().recommendations()) {
      found.insert(advice.id());
    }
    return std::ranges::includes(
        found, std::set<std::string>{"costly-statements", "lock-waits", "sequential-scans"});
  })) << testing::PrintToString(found);
  const v1::Recommendation* scans = AdviceIn(health, "sequential-scans");
  ASSERT_NE(scans, nullptr);
  EXPECT_THAT(scans->evidence(), HasSubstr("public.orders with some 20000 rows"));
  holder.join();
  waiter.join();
  EXPECT_THAT(fixture.sidecar.Log(), Not(HasSubstr("select count(*)"))) << "no SQL in the log";
}

TEST(RecommendationTest, ARoleThatMaySeeNothingGetsAnAnswerAllTheSame) {
  PostgresSidecar fixture;
  const SidecarProcess sidecar({.database_url = fixture.server.TcpUrl(
                                    fixture.database, test_support::PostgresServer::kPassword),
                                .flags = {"--replicas=1000"},
                                .environment = {}});
  QueryClient client(sidecar.NewChannel());
  v1::HealthResponse health;
  ASSERT_TRUE(Eventually(10s, [&] {
    health = HealthOf(client, v1::HEALTH_LEVEL_DATABASE);
    return AdviceIn(health, "server-connections") != nullptr;
  })) << health.ShortDebugString();
  EXPECT_EQ(health.status(), v1::HEALTH_STATUS_HEALTHY);
  EXPECT_EQ(AdviceIn(health, "server-connections")->suggested_value(), "1");
}

}  // namespace
}  // namespace dbsidecar::integration
