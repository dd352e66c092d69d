#include "pool/postgres/conninfo.h"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <map>
#include <memory>
#include <string>

namespace dbsidecar::pool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// As libpq reads it: the independent judge of what we built.
std::map<std::string, std::string> Read(const PostgresConfig& config) {
  const std::string conninfo = BuildConninfo(config);
  char* complaint = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(conninfo.c_str(), &complaint), &PQconninfoFree);
  EXPECT_NE(options, nullptr) << conninfo << ": " << complaint;
  std::map<std::string, std::string> settings;
  for (const PQconninfoOption* option = options.get(); option && option->keyword; ++option) {
    if (option->val != nullptr) settings[option->keyword] = option->val;
  }
  return settings;
}

TEST(ConninfoTest, PassesOnWhatTheUrlSays) {
  auto settings = Read({.url = "postgresql://u%40x:p%27w%5C@h1:1,h2:2/d%20b?sslmode=verify-full"
                               "&target_session_attrs=read-write&application_name=a"});
  EXPECT_EQ(settings["user"], "u@x");
  EXPECT_EQ(settings["password"], "p'w\\");
  EXPECT_EQ(settings["host"], "h1,h2");
  EXPECT_EQ(settings["port"], "1,2");
  EXPECT_EQ(settings["dbname"], "d b");
  EXPECT_EQ(settings["sslmode"], "verify-full");
  EXPECT_EQ(settings["target_session_attrs"], "read-write");
  EXPECT_EQ(settings["application_name"], "a");
  EXPECT_EQ(settings["fallback_application_name"], "dbsidecar");
}

TEST(ConninfoTest, TakesKeywordsAsWellAsUrls) {
  auto settings = Read({.url = "host=/run/pg dbname='a b' user=u"});
  EXPECT_EQ(settings["host"], "/run/pg");
  EXPECT_EQ(settings["dbname"], "a b");
}

TEST(ConninfoTest, ConnectTimeoutIsWholeSecondsRoundedUpAndNeverUnderTwo) {
  EXPECT_EQ(Read({.url = "", .connect_timeout = milliseconds(2500)})["connect_timeout"], "3");
  EXPECT_EQ(Read({.url = "", .connect_timeout = milliseconds(1)})["connect_timeout"], "2");
  EXPECT_EQ(Read({.url = "", .connect_timeout = seconds(0)}).count("connect_timeout"), 0u);
}

TEST(ConninfoTest, TheUrlWinsOverOurSettings) {
  auto settings = Read({.url = "connect_timeout=7 keepalives_idle=8 "
                               "options='-c statement_timeout=9'"});
  EXPECT_EQ(settings["connect_timeout"], "7");
  EXPECT_EQ(settings["keepalives_idle"], "8");
  EXPECT_EQ(settings["options"], "-c statement_timeout=9");
}

TEST(ConninfoTest, TheEncodingIsAlwaysUtf8) {
  EXPECT_EQ(Read({.url = "client_encoding=LATIN1"})["client_encoding"], "UTF8");
}

TEST(ConninfoTest, TheStatementTimeoutIsAStartUpOptionBesideTheUrls) {
  auto settings = Read({.url = "options='-c geqo=off'", .statement_timeout = milliseconds(1500)});
  EXPECT_EQ(settings["options"], "-c geqo=off -c statement_timeout=1500");
  EXPECT_EQ(Read({.url = "", .statement_timeout = seconds(0)}).count("options"), 0u);
}

TEST(ConninfoTest, KeepaliveCanBeSwitchedOff) {
  auto off = Read({.url = "", .keepalive_after = seconds(0)});
  EXPECT_EQ(off["keepalives"], "0");
  EXPECT_EQ(off.count("keepalives_idle"), 0u);
  EXPECT_EQ(Read({.url = "", .keepalive_after = seconds(10)})["keepalives_idle"], "10");
}

TEST(ConninfoTest, SaysWhatIsWrongWithAUrl) {
  EXPECT_EQ(ValidateConninfo("postgresql://u@h/d"), "");
  EXPECT_EQ(ValidateConninfo("host=h"), "");
  EXPECT_NE(ValidateConninfo("postgresql://[::1/d"), "");
  const std::string complaint = ValidateConninfo("no_such_option=1");
  EXPECT_NE(complaint.find("no_such_option"), std::string::npos) << complaint;
  EXPECT_NE(complaint.back(), '\n');
}

}  // namespace
}  // namespace dbsidecar::pool
