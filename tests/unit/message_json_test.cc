#include "server/message_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "dbsidecar/v1/health.pb.h"

namespace dbsidecar::server {
namespace {

TEST(MessageJsonTest, WordsNumbersAndTimesAreForPeople) {
  v1::DatabaseCheck check;
  check.set_pool("a \"b\"\n\xff");
  check.set_status(v1::DATABASE_STATUS_DOWN);
  check.mutable_last_check_time()->set_seconds(1'767'323'045);
  check.mutable_last_check_time()->set_nanos(678'900'000);
  check.mutable_check_latency()->set_seconds(1);
  check.mutable_check_latency()->set_nanos(500'000'000);
  EXPECT_EQ(ToJson(check), R"({
  "pool": "a \"b\"\n�",
  "driver": "",
  "status": "down",
  "server_version": "",
  "last_check_time": "2026-01-02T03:04:05.678Z",
  "check_latency_seconds": 1.5,
  "last_error": "",
  "role": ""
}
)");
}

TEST(MessageJsonTest, RepeatedFieldsAndMapsAreThereEvenIfEmptyAndMapsAreSorted) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "reflection cannot read Protobuf's maps under ThreadSanitizer";
#endif
  v1::Recommendation recommendation;
  recommendation.set_severity(v1::SEVERITY_WARNING);
  (*recommendation.mutable_figures())["b"] = 2.5;
  (*recommendation.mutable_figures())["a"] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(ToJson(recommendation), R"({
  "id": "",
  "severity": "warning",
  "pool": "",
  "evidence": "",
  "remedy": "",
  "docs_url": "",
  "option": "",
  "suggested_value": "",
  "figures": {
    "a": null,
    "b": 2.5
  }
}
)");
  v1::DatabaseHealth health;
  EXPECT_EQ(ToJson(health),
            "{\n  \"pools\": [],\n  \"configuration\": [],\n"
            "  \"recommendations\": []\n}\n");
}

TEST(MessageJsonTest, LargeNumbersKeepEveryDigit) {
  v1::MemoryHealth memory;
  memory.set_limit_bytes(std::numeric_limits<uint64_t>::max());
  EXPECT_NE(ToJson(memory).find("\"limit_bytes\": 18446744073709551615,"), std::string::npos);
}

}  // namespace
}  // namespace dbsidecar::server
