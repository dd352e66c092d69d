#include "server/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;

// 2026-01-02T03:04:05.678Z
constexpr std::chrono::system_clock::time_point kTime{milliseconds(1'767'323'045'678)};

std::string Line(LogFormat format, const std::vector<LogField>& fields) {
  return FormatLogLine(format, kTime, LogLevel::kInfo, "pool.opened", fields);
}

std::string Json(const std::vector<LogField>& fields) { return Line(LogFormat::kJson, fields); }
std::string Text(const std::vector<LogField>& fields) { return Line(LogFormat::kText, fields); }

// Sends what is logged to a string for the duration of a test.
class LogTest : public testing::Test {
 protected:
  void Start(LogLevel level, LogFormat format) {
    InitLog(level, format, std::make_shared<spdlog::sinks::ostream_sink_mt>(stream_));
  }
  void TearDown() override { InitLog(LogLevel::kInfo, LogFormat::kText); }

  std::vector<std::string> Lines() const {
    std::istringstream input(stream_.str());
    std::vector<std::string> lines;
    for (std::string line; std::getline(input, line);) lines.push_back(line);
    return lines;
  }

  std::ostringstream stream_;
};

TEST(LogLineTest, AJsonLineHoldsTimeLevelEventAndFieldsInOrder) {
  EXPECT_EQ(Json({{"pool", "main"},
                  {"connections", 5},
                  {"big", std::uint64_t{18'446'744'073'709'551'615U}},
                  {"negative", -7},
                  {"ratio", 0.5},
                  {"warm", true}}),
            R"({"ts":"2026-01-02T03:04:05.678Z","level":"info","event":"pool.opened",)"
            R"("pool":"main","connections":5,"big":18446744073709551615,"negative":-7,)"
            R"("ratio":0.5,"warm":true})");
}

TEST(LogLineTest, ATextLineHoldsTheSameForPeople) {
  EXPECT_EQ(Text({{"pool", "main"}, {"connections", 5}, {"ratio", 0.5}, {"warm", false}}),
            "2026-01-02T03:04:05.678Z info pool.opened pool=main connections=5 ratio=0.5 "
            "warm=false");
}

TEST(LogLineTest, ATextValueIsQuotedWhenItWouldNotReadAsOneWord) {
  EXPECT_EQ(Text({{"a", "two words"}, {"b", ""}, {"c", "x=y"}, {"d", "say \"no\""}}),
            R"(2026-01-02T03:04:05.678Z info pool.opened a="two words" b="" c="x=y" )"
            R"(d="say \"no\"")");
}

TEST(LogLineTest, ATimeBeforeTheEpochKeepsItsMilliseconds) {
  const std::chrono::system_clock::time_point time{milliseconds(-1)};
  EXPECT_EQ(FormatLogLine(LogFormat::kText, time, LogLevel::kWarn, "x", {}),
            "1969-12-31T23:59:59.999Z warn x");
}

TEST(LogLineTest, ControlCharactersAreEscapedInBothFormats) {
  const std::string value(
      "a\nb\t\x1b[31m\x7f\xc2\x9b"
      "1\0z",
      15);
  const std::string escaped = R"("a\nb\t\u001b[31m\u007f\u009b1\u0000z")";
  EXPECT_EQ(Json({{"v", value}}),
            R"({"ts":"2026-01-02T03:04:05.678Z","level":"info","event":"pool.opened","v":)" +
                escaped + "}");
  EXPECT_EQ(Text({{"v", value}}), "2026-01-02T03:04:05.678Z info pool.opened v=" + escaped);
}

TEST(LogLineTest, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  const std::string line = Json({{"v",
                                  "a\xff\xfe"
                                  "b\xc3"}});
  EXPECT_EQ(nlohmann::json::parse(line).at("v"),
            "a\xef\xbf\xbd\xef\xbf\xbd"
            "b\xef\xbf\xbd");
}

TEST(LogLineTest, ValidUtf8IsKept) {
  EXPECT_EQ(nlohmann::json::parse(Json({{"v", "größe 数"}})).at("v"), "größe 数");
}

TEST(LogLineTest, ANumberThatJsonDoesNotKnowIsNull) {
  EXPECT_TRUE(nlohmann::json::parse(Json({{"v", std::nan("")}})).at("v").is_null());
  EXPECT_TRUE(nlohmann::json::parse(Json({{"v", std::numeric_limits<double>::infinity()}}))
                  .at("v")
                  .is_null());
}

TEST(LogLineTest, AnyBytesGiveOneLineOfValidJson) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; second += 5) {
      const std::string value = {static_cast<char>(first), static_cast<char>(second)};
      const std::string line = Json({{"v", value}});
      ASSERT_TRUE(nlohmann::json::accept(line)) << line;
      ASSERT_EQ(line.find('\n'), std::string::npos) << line;
    }
  }
}

TEST(LogSecretTest, ARegisteredSecretIsHiddenWhereverItOccursInAValue) {
  RegisterSecret("hunter2-secret");
  EXPECT_EQ(Text({{"v", "before:hunter2-secret:after:hunter2-secret"}}),
            "2026-01-02T03:04:05.678Z info pool.opened v=before:***:after:***");
  EXPECT_EQ(Json({{"v", "hunter2-secret"}}).find("hunter2"), std::string::npos);
}

TEST(LogSecretTest, ASecretThatNeedsEscapingIsHiddenBeforeItIsEscaped) {
  RegisterSecret("line\nbreak\"quote");
  EXPECT_EQ(Text({{"v", "x line\nbreak\"quote y"}}),
            "2026-01-02T03:04:05.678Z info pool.opened v=\"x *** y\"");
}

TEST(LogSecretTest, ASecretThatBeginsLikeAShorterOneIsHiddenWhole) {
  RegisterSecret("abcd");
  RegisterSecret("abcd-tail-of-it");
  EXPECT_EQ(Text({{"v", "abcd-tail-of-it"}, {"w", "abcd!"}}),
            "2026-01-02T03:04:05.678Z info pool.opened v=*** w=***!");
}

TEST(LogSecretTest, AnEmptySecretHidesNothing) {
  RegisterSecret("");
  EXPECT_EQ(Text({{"v", "xyz"}}), "2026-01-02T03:04:05.678Z info pool.opened v=xyz");
}

TEST_F(LogTest, EventsBelowTheLevelAreDropped) {
  Start(LogLevel::kWarn, LogFormat::kText);
  Log(LogLevel::kDebug, "debug.event");
  Log(LogLevel::kInfo, "info.event");
  Log(LogLevel::kWarn, "warn.event");
  Log(LogLevel::kError, "error.event");
  ASSERT_EQ(Lines().size(), 2U);
  EXPECT_NE(Lines()[0].find(" warn warn.event"), std::string::npos);
  EXPECT_NE(Lines()[1].find(" error error.event"), std::string::npos);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarn));
}

TEST_F(LogTest, TheLevelCanBeChangedWhileRunning) {
  Start(LogLevel::kError, LogFormat::kText);
  Log(LogLevel::kDebug, "before");
  SetLogLevel(LogLevel::kDebug);
  Log(LogLevel::kDebug, "after");
  ASSERT_EQ(Lines().size(), 1U);
  EXPECT_NE(Lines()[0].find(" debug after"), std::string::npos);
}

TEST_F(LogTest, ALineIsStampedWithTheTimeInUtc) {
  Start(LogLevel::kInfo, LogFormat::kJson);
  Log(LogLevel::kInfo, "server.ready", {{"port", 50051}});
  ASSERT_EQ(Lines().size(), 1U);
  const auto line = nlohmann::json::parse(Lines()[0]);
  std::string shape = line.at("ts");
  std::ranges::replace_if(
      shape, [](char c) { return c >= '0' && c <= '9'; }, '0');
  EXPECT_EQ(shape, "0000-00-00T00:00:00.000Z");
  EXPECT_EQ(line.at("event"), "server.ready");
  EXPECT_EQ(line.at("port"), 50051);
}

TEST_F(LogTest, BracesInAnEventAreNotAFormat) {
  Start(LogLevel::kInfo, LogFormat::kText);
  Log(LogLevel::kInfo, "x", {{"v", "{}{0}%s%n"}});
  ASSERT_EQ(Lines().size(), 1U);
  EXPECT_NE(Lines()[0].find("v={}{0}%s%n"), std::string::npos);
}

TEST_F(LogTest, LinesOfManyThreadsDoNotMix) {
  Start(LogLevel::kInfo, LogFormat::kJson);
  constexpr int kThreads = 4;
  constexpr int kEvents = 200;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([thread] {
        for (int i = 0; i < kEvents; ++i) Log(LogLevel::kInfo, "e", {{"thread", thread}, {"i", i}});
      });
    }
  }
  std::vector<int> next(kThreads, 0);
  for (const std::string& line : Lines()) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json.at("i"), next.at(json.at("thread"))++);
  }
  EXPECT_EQ(next, std::vector<int>(kThreads, kEvents));
}

}  // namespace
}  // namespace dbsidecar::server
