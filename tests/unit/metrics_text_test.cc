#include "server/metrics_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/metrics_report.h"

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

constexpr std::chrono::system_clock::time_point kTime{milliseconds(1'767'323'045'678)};

pool::TraceContext Trace() {
  return pool::TraceContext::Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}

v1::MetricsResponse WithExemplar() {
  pool::PoolStats stats;
  stats.name = "default";
  stats.total_time.Record(milliseconds(3));
  stats.total_time.Record(milliseconds(40));
  stats.total_exemplars.Note(milliseconds(3), Trace(), kTime);
  v1::MetricsResponse metrics;
  FillPoolMetrics(stats, {}, *metrics.add_pools());
  return metrics;
}

std::string LineWith(const std::string& text, std::string_view part) {
  const size_t at = text.find(part);
  if (at == std::string::npos) return "";
  const size_t begin = text.rfind('\n', at) + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

TEST(MetricsTextTest, AnExemplarIsAtItsBucketInOpenMetrics) {
  const std::string text = MetricsText(WithExemplar(), MetricsFormat::kOpenMetrics);
  const std::string bucket =
      "db_client_operation_duration_seconds_bucket{"
      "db_client_connection_pool_name=\"default\",le=\"";
  EXPECT_EQ(LineWith(text, bucket + "0.005"),
            bucket +
                "0.005\"} 1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\","
                "span_id=\"00f067aa0ba902b7\"} 0.003 1767323045.678");
  for (const char* other : {"0.0025", "0.01", "0.05", "+Inf"}) {
    EXPECT_THAT(LineWith(text, bucket + other), Not(HasSubstr("#"))) << other;
  }
}

TEST(MetricsTextTest, PrometheusOwnFormatHasNoExemplars) {
  EXPECT_THAT(MetricsText(WithExemplar(), MetricsFormat::kPrometheus), Not(HasSubstr("trace_id")));
}

TEST(MetricsTextTest, TheLatestExemplarOfABucketIsKept) {
  pool::Exemplars exemplars;
  EXPECT_TRUE(exemplars.by_bucket().empty()) << "it costs nothing without";
  exemplars.Note(milliseconds(3), Trace(), kTime);
  exemplars.Note(milliseconds(4), Trace(), kTime + milliseconds(1));
  exemplars.Note(std::chrono::hours(1), Trace(), kTime);
  v1::Histogram histogram;
  FillExemplars(exemplars, histogram);
  ASSERT_EQ(histogram.exemplars_size(), 2);
  EXPECT_DOUBLE_EQ(histogram.exemplars(0).seconds(), 0.004);
  EXPECT_EQ(histogram.exemplars(0).span_id(), "00f067aa0ba902b7");
  EXPECT_DOUBLE_EQ(histogram.exemplars(1).seconds(), 3600);
}

TEST(MetricsTextTest, OfManyStatementsOnlyTheBucketsOfPowersOfTenAreTold) {
  pool::StatementsReport report;
  report.other.execute.Record(milliseconds(3));
  v1::MetricsResponse metrics;
  FillStatements(report, 10, *metrics.add_pools());
  const std::string text = MetricsText(metrics, MetricsFormat::kPrometheus);
  const std::string name =
      "dbsidecar_statement_duration_seconds_bucket{pool=\"\",fingerprint=\"other\",le=\"";
  EXPECT_THAT(text, HasSubstr(name + "0.001\"} 0\n" + name + "0.01\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr(name + "0.005")));
  EXPECT_THAT(text, HasSubstr(name + "+Inf\"} 1\n"));
}

TEST(MetricsTextTest, ACallerCannotBreakTheText) {
  pool::CallerTable callers(1);
  callers.Of("a\"} 1\nevil{b=\"\\", {});
  v1::MetricsResponse metrics;
  FillCallers(callers.Report(), *metrics.add_pools());
  EXPECT_THAT(MetricsText(metrics, MetricsFormat::kPrometheus),
              HasSubstr(R"(caller="a\"} 1\nevil{b=\"\\"} 0)"));
}

}  // namespace
}  // namespace dbsidecar::server
