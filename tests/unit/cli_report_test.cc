#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "server/cli/call_outcome.h"
#include "server/cli/error_report.h"
#include "server/cli/health_text.h"
#include "server/cli/metrics_text.h"
#include "server/cli/watch_text.h"

namespace dbsidecar::server::cli {
namespace {

v1::Error MissingTable(int position) {
  v1::Error error;
  error.set_code(5);
  error.set_message("relation \"x\" does not exist");
  error.set_reason("SQL_ERROR");
  error.mutable_sql()->set_sqlstate("42P01");
  error.mutable_sql()->set_severity("ERROR");
  error.mutable_sql()->set_position(position);
  return error;
}

TEST(ErrorReportTest, TheCaretPointsAtTheFaultInItsLine) {
  EXPECT_EQ(ReportOfError(MissingTable(17), "select *\nfrom   x\nwhere 1"),
            "ERROR: relation \"x\" does not exist (SQLSTATE 42P01)\n"
            "LINE 2: from   x\n"
            "               ^\n"
            "code NOT_FOUND, reason SQL_ERROR\n");
}

TEST(ErrorReportTest, ThePositionCountsCharactersAndTheCaretColumns) {
  EXPECT_EQ(ReportOfError(MissingTable(19), "select '\u6771\u4eac\u00eb' from x"),
            "ERROR: relation \"x\" does not exist (SQLSTATE 42P01)\n"
            "LINE 1: select '\u6771\u4eac\u00eb' from x\n"
            "                            ^\n"
            "code NOT_FOUND, reason SQL_ERROR\n");
}

TEST(ErrorReportTest, ALongLineIsCutAroundTheFault) {
  const std::string sql = "select " + std::string(100, 'a') + " x" + std::string(100, 'b');
  const std::string report = ReportOfError(MissingTable(109), sql);
  const std::string label = "LINE 1: ..." + std::string(49, 'a') + " ";
  EXPECT_NE(report.find(label + "x" + std::string(29, 'b') + "...\n" +
                        std::string(label.size(), ' ') + "^\n"),
            std::string::npos)
      << report;
}

TEST(ErrorReportTest, APositionOutsideTheStatementShowsNoLine) {
  for (const int position : {-1, 0, 10, 1000}) {
    const std::string report = ReportOfError(MissingTable(position), "select 1");
    EXPECT_EQ(report.find("LINE"), std::string::npos) << position;
  }
  EXPECT_NE(ReportOfError(MissingTable(9), "select 1").find("LINE 1: select 1\n"),
            std::string::npos)
      << "a fault at the end of the input";
}

TEST(ErrorReportTest, EverythingThatIsKnownIsShownAndNothingSteersTheTerminal) {
  v1::Error error = MissingTable(0);
  error.set_code(10);
  error.mutable_sql()->set_detail("Key (id)=(7)\x1b[2J");
  error.mutable_sql()->set_hint("Try again.");
  error.mutable_sql()->set_where("function f()\nline 3");
  error.mutable_sql()->set_constraint("t_pkey");
  error.mutable_sql()->set_outcome_unknown(true);
  error.mutable_retry_delay()->set_nanos(100'000'000);
  EXPECT_EQ(ReportOfError(error, "select 1"),
            "ERROR: relation \"x\" does not exist (SQLSTATE 42P01)\n"
            "DETAIL: Key (id)=(7)\\x1b[2J\n"
            "HINT: Try again.\n"
            "CONTEXT: function f()\nline 3\n"
            "CONSTRAINT: t_pkey\n"
            "The statement may have taken effect: look before you run it again.\n"
            "code ABORTED, reason SQL_ERROR, may succeed if tried again after 100.0 ms\n");
}

TEST(CallOutcomeTest, DetailsThatCannotBeReadAreLeftOut) {
  const v1::Error error = ErrorOf({.code = 13, .message = "m", .details = "\xff garbage"});
  EXPECT_EQ(ReportOfError(error, ""), "ERROR: m\ncode INTERNAL\n");
}

TEST(CallOutcomeTest, TheReasonOfAnAbsenceComesWithoutTheAddresses) {
  const std::string all = "failed to connect to all addresses; last error: ";
  EXPECT_EQ(ReasonOfUnreachable({.code = kUnavailable,
                                 .message = all + "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to "
                                                  "remote host: Connection refused"}),
            "Connection refused");
  EXPECT_EQ(ReasonOfUnreachable(
                {.code = kUnavailable,
                 .message = all + "UNAVAILABLE: ipv6:%5B::1%5D:1: Failed parsing HTTP/2"}),
            "Failed parsing HTTP/2");
  EXPECT_EQ(ReasonOfUnreachable({.code = kUnavailable, .message = "DNS failed"}), "DNS failed");
  EXPECT_EQ(ReasonOfUnreachable({.code = kUnavailable, .message = all + "?"}), all + "?");
}

TEST(CallOutcomeTest, OnlyAnUnavailableWithoutDetailsMeansThatNoSidecarAnswers) {
  EXPECT_TRUE((CallOutcome{.code = kUnavailable}).Unreachable());
  EXPECT_TRUE((CallOutcome{.code = kDeadlineExceeded}).Unreachable());
  EXPECT_FALSE((CallOutcome{.code = kUnavailable, .details = "x"}).Unreachable());
  EXPECT_FALSE((CallOutcome{.code = 5}).Unreachable());
  const CallOutcome lost{.code = kUnavailable, .connected = true};
  EXPECT_FALSE(lost.Unreachable());
  EXPECT_TRUE(lost.ConnectionLost());
  EXPECT_TRUE((CallOutcome{.code = kDeadlineExceeded, .connected = true}).TimedOut());
}

TEST(HealthReportTest, AReportNamesStatusCausesAndDatabases) {
  v1::HealthResponse health;
  health.set_status(v1::HEALTH_STATUS_UNHEALTHY);
  health.set_version("0.1.0");
  health.mutable_uptime()->set_seconds(3723);
  health.set_phase(v1::LIFECYCLE_PHASE_SERVING);
  health.add_causes("no database answers");
  v1::DatabaseCheck& check = *health.add_databases();
  check.set_pool("default");
  check.set_driver("postgresql");
  check.set_server_version("15.20");
  check.set_role("primary");
  check.set_status(v1::DATABASE_STATUS_DOWN);
  check.mutable_last_check_time()->set_seconds(0);
  check.mutable_check_latency()->set_nanos(400'000);
  check.set_last_error("connection refused");
  EXPECT_EQ(TextOfHealth(health),
            "status    UNHEALTHY\n"
            "cause     no database answers\n"
            "ready     no\n"
            "phase     SERVING\n"
            "version   0.1.0\n"
            "uptime    1h 2min 3s\n"
            "database  default: DOWN (postgresql 15.20, primary), checked 1970-01-01T00:00:00Z in "
            "400 us\n"
            "error     default: connection refused\n");
}

TEST(HealthReportTest, AdviceSaysWhatWasSeenAndWhatToDo) {
  v1::HealthResponse health;
  v1::Recommendation& advice = *health.mutable_database()->add_recommendations();
  advice.set_id("pool-too-small");
  advice.set_severity(v1::SEVERITY_WARNING);
  advice.set_pool("default");
  advice.set_evidence("all 4 are in use");
  advice.set_remedy("raise the maximum");
  advice.set_docs_url("docs/recommendations.md#pool-too-small");
  advice.set_option("max-connections");
  advice.set_suggested_value("8");
  EXPECT_THAT(
      TextOfHealth(health),
      testing::HasSubstr(
          "advice    WARNING pool-too-small (pool default): all 4 are in use\n"
          "          -> raise the maximum\n"
          "             --max-connections=8; see docs/recommendations.md#pool-too-small\n"));
}

TEST(MetricsReportTest, AQuantileIsTheBoundOfItsBucket) {
  v1::Histogram histogram;
  for (const double bound : {0.001, 0.01}) histogram.add_upper_bounds_seconds(bound);
  for (const int count : {90, 9, 1}) histogram.add_counts(static_cast<unsigned>(count));
  histogram.set_count(100);
  EXPECT_EQ(QuantileBound(histogram, 0.5), 0.001);
  EXPECT_EQ(QuantileBound(histogram, 0.9), 0.001);
  EXPECT_EQ(QuantileBound(histogram, 0.99), 0.01);
  EXPECT_TRUE(std::isinf(QuantileBound(histogram, 0.999)));
}

TEST(MetricsReportTest, AReportNamesThePoolsFigures) {
  v1::MetricsResponse metrics;
  v1::PoolMetrics& pool = *metrics.add_pools();
  pool.set_pool("default");
  pool.set_driver("sqlite");
  pool.set_state(v1::POOL_STATE_ACTIVE);
  pool.set_total(4);
  pool.set_max(20);
  pool.set_active(3);
  pool.set_waiting(2);
  pool.set_statements_total(10);
  (*pool.mutable_connections_closed_total())["lifetime"] = 1;
  (*pool.mutable_connections_closed_total())["idle_timeout"] = 2;
  (*pool.mutable_connections_closed_total())["broken"] = 0;
  pool.set_errors_total(1);
  pool.set_last_error("connection refused");
  const std::string report = TextOfMetrics(metrics);
  EXPECT_NE(report.find("pool default (sqlite): ACTIVE\n"), std::string::npos) << report;
  EXPECT_NE(report.find("4 of at most 20: 3 active"), std::string::npos) << report;
  EXPECT_NE(report.find("3 (idle_timeout 2, lifetime 1)\n"), std::string::npos) << report;
  EXPECT_NE(report.find("1; the latest: connection refused\n"), std::string::npos) << report;
  EXPECT_NE(report.find("none yet"), std::string::npos) << report;
}

v1::MetricsResponse ReportAt(int seconds, std::uint64_t statements, std::uint64_t quick) {
  v1::MetricsResponse metrics;
  metrics.mutable_time()->set_seconds(1'800'000'000 + seconds);
  metrics.mutable_process()->set_cpu_seconds_total(seconds * 0.25);
  metrics.mutable_process()->set_resident_bytes(30 << 20);
  v1::PoolMetrics& pool = *metrics.add_pools();
  pool.set_pool("orders");
  pool.set_active(3);
  pool.set_max(20);
  pool.set_waiting(7);
  pool.set_statements_total(statements);
  for (const double bound : {0.001, 0.01}) pool.mutable_execute()->add_upper_bounds_seconds(bound);
  for (const std::uint64_t count : {quick, std::uint64_t{5}, std::uint64_t{0}}) {
    pool.mutable_execute()->add_counts(count);
  }
  pool.mutable_execute()->set_count(quick + 5);
  return metrics;
}

TEST(WatchTextTest, RatesAndTimesAreOfTheStretchBetweenTwoReports) {
  WatchText text;
  const std::string first = text.Next(ReportAt(0, 1000, 0));
  EXPECT_NE(first.find("in use"), std::string::npos) << first;
  EXPECT_NE(first.find("3/20"), std::string::npos) << first;
  EXPECT_EQ(first.find("1000"), std::string::npos) << "no rate of one report: " << first;
  const std::string second = text.Next(ReportAt(2, 1500, 500));
  EXPECT_EQ(second.find("in use"), std::string::npos) << second;
  EXPECT_EQ(second.find("08:00:02 orders"), 0u) << second;
  EXPECT_NE(second.find(" 250.0 "), std::string::npos) << second;
  EXPECT_NE(second.find(" 1.0 ms "), std::string::npos) << "the slow ones were before: " << second;
  EXPECT_EQ(second.find("10.0 ms"), std::string::npos) << second;
  EXPECT_NE(second.find(" 0.25 "), std::string::npos) << "cores: " << second;
  const std::string third = text.Next(ReportAt(3, 40, 0));
  EXPECT_NE(third.find(" 40.0 "), std::string::npos) << "it has started anew: " << third;
}

TEST(WatchTextTest, TheNamesOfTheColumnsComeAgain) {
  WatchText text;
  int headers = 0;
  for (int i = 0; i < 41; ++i) {
    headers += text.Next(ReportAt(i, 0, 0)).find("waiting") == std::string::npos ? 0 : 1;
  }
  EXPECT_EQ(headers, 3);
}

}  // namespace
}  // namespace dbsidecar::server::cli
