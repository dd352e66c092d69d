#include "server/metrics_baseline.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <string>

namespace dbsidecar::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Whether a reset sets it to zero, by the words of the contract.
bool CountsFromReset(const FieldDescriptor& field) {
  const bool histogram =
      field.message_type() != nullptr && field.message_type()->name() == "Histogram";
  return histogram || (field.name().size() > 6 && field.name().ends_with("_total"));
}

v1::Histogram Observed() {
  v1::Histogram histogram;
  histogram.add_upper_bounds_seconds(1);
  histogram.add_counts(3);
  histogram.add_counts(4);
  histogram.set_sum_seconds(9);
  histogram.set_count(7);
  return histogram;
}

// Puts something into each field that is not a list, but for maps.
void Fill(Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) continue;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
      reflection.SetUInt64(&message, &field, 5);
    } else if (CountsFromReset(field)) {
      reflection.MutableMessage(&message, &field)->CopyFrom(Observed());
    }
  }
}

// Every one that is told to count from the reset does, those that are added later, too.
template <typename Figures>
void ExpectZeroAfterwards(Figures figures) {
  Fill(figures);
  const Figures earlier = figures;
  SubtractTotals(earlier, figures);
  const Descriptor& type = *figures.GetDescriptor();
  const Reflection& reflection = *figures.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) continue;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
      EXPECT_EQ(reflection.GetUInt64(figures, &field), CountsFromReset(field) ? 0u : 5u)
          << field.full_name();
    } else if (CountsFromReset(field)) {
      const auto& histogram =
          static_cast<const v1::Histogram&>(reflection.GetMessage(figures, &field));
      EXPECT_EQ(histogram.count(), 0u) << field.full_name();
      EXPECT_EQ(histogram.counts(1), 0u) << field.full_name();
      EXPECT_EQ(histogram.sum_seconds(), 0) << field.full_name();
      EXPECT_EQ(histogram.upper_bounds_seconds(0), 1) << field.full_name();
    }
  }
}

TEST(MetricsBaselineTest, EveryTotalAndHistogramCountsFromTheReset) {
  ExpectZeroAfterwards(v1::PoolMetrics());
  ExpectZeroAfterwards(v1::RpcMetrics());
}

TEST(MetricsBaselineTest, CountsByNameAreTakenOffByName) {
  v1::PoolMetrics earlier;
  (*earlier.mutable_refused_total())["deadline"] = 2;
  (*earlier.mutable_connections_closed_total())["lost"] = 1;
  (*earlier.mutable_statements_by_outcome_total())["ok"] = 10;
  (*earlier.mutable_sessions_revoked_total())["drain"] = 1;
  v1::PoolMetrics now = earlier;
  (*now.mutable_refused_total())["deadline"] = 5;
  (*now.mutable_refused_total())["queue_full"] = 1;
  SubtractTotals(earlier, now);
  EXPECT_EQ(now.refused_total().at("deadline"), 3u);
  EXPECT_EQ(now.refused_total().at("queue_full"), 1u);
  EXPECT_EQ(now.connections_closed_total().at("lost"), 0u);
  EXPECT_EQ(now.statements_by_outcome_total().at("ok"), 0u);
  EXPECT_EQ(now.sessions_revoked_total().at("drain"), 0u);
}

TEST(MetricsBaselineTest, EntriesOfListsAreTakenOffThoseOfTheirName) {
  v1::PoolMetrics earlier;
  earlier.add_lanes()->set_lane("reader");
  earlier.mutable_lanes(0)->set_statements_total(7);
  v1::PoolMetrics now;
  now.add_lanes()->set_lane("writer");
  now.mutable_lanes(0)->set_statements_total(1);
  *now.add_lanes() = earlier.lanes(0);
  now.mutable_lanes(1)->set_statements_total(9);
  SubtractTotals(earlier, now);
  EXPECT_EQ(now.lanes(0).statements_total(), 1u);
  EXPECT_EQ(now.lanes(1).statements_total(), 2u);
}

v1::MetricsResponse Totals(uint64_t statements, double cpu) {
  v1::MetricsResponse metrics;
  metrics.mutable_time()->set_seconds(static_cast<int64_t>(statements));
  metrics.add_pools()->set_pool("default");
  metrics.mutable_pools(0)->set_statements_total(statements);
  metrics.mutable_process()->set_cpu_seconds_total(cpu);
  return metrics;
}

TEST(MetricsBaselineTest, WithoutAResetNothingIsTakenOff) {
  const MetricsBaseline baseline;
  v1::MetricsResponse metrics = Totals(5, 1);
  metrics.mutable_counting_since_time()->set_seconds(3);
  baseline.Apply(metrics);
  EXPECT_EQ(metrics.pools(0).statements_total(), 5u);
  EXPECT_EQ(metrics.counting_since_time().seconds(), 3);
}

TEST(MetricsBaselineTest, OfOnePoolTheProcessGoesOn) {
  MetricsBaseline baseline;
  baseline.Set("default", Totals(5, 1));
  v1::MetricsResponse metrics = Totals(8, 2);
  baseline.Apply(metrics);
  EXPECT_EQ(metrics.pools(0).statements_total(), 3u);
  EXPECT_EQ(metrics.process().cpu_seconds_total(), 2);
  EXPECT_EQ(metrics.counting_since_time().seconds(), 5);
  baseline.Set("", Totals(8, 2));
  metrics = Totals(9, 2.5);
  baseline.Apply(metrics);
  EXPECT_EQ(metrics.pools(0).statements_total(), 1u);
  EXPECT_EQ(metrics.process().cpu_seconds_total(), 0.5);
}

}  // namespace
}  // namespace dbsidecar::server
