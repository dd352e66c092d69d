// `dbsidecar admin` and `dbsidecar top`: arguments, and what they say. Calls are in
// tests/integration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/cli/admin_options.h"
#include "server/cli/admin_text.h"
#include "server/cli/display_text.h"
#include "server/cli/text_table.h"
#include "server/cli/top_frame.h"

namespace dbsidecar::server::cli {
namespace {

using std::chrono::milliseconds;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

std::string Complaint(const Words& words) {
  const auto options = ReadAdminOptions(words, {});
  return options.ok() ? "" : std::string(options.status().message());
}

TEST(AdminOptionsTest, AnActionItsWordAndFlagsAreRead) {
  const auto options = ReadAdminOptions({"cancel", "17", "--terminate-after", "2s"},
                                        {{"DBSIDECAR_ADMIN_ADDR", "unix:/run/a"}});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->action, "cancel");
  EXPECT_EQ(options->id, 17u);
  EXPECT_EQ(options->terminate_after, milliseconds(2000));
  EXPECT_EQ(options->client.address, "unix:/run/a");
  const auto resize = ReadAdminOptions({"resize", "--min", "2", "--admin-addr", "[::1]:7"}, {});
  ASSERT_TRUE(resize.ok());
  EXPECT_EQ(resize->min, 2u);
  EXPECT_FALSE(resize->max.has_value());
  EXPECT_EQ(resize->client.address, "[::1]:7");
}

TEST(AdminOptionsTest, WhatIsMissingOrWrongIsSaid) {
  EXPECT_THAT(Complaint({}), HasSubstr("say what to do"));
  EXPECT_THAT(Complaint({"stop"}), HasSubstr("there is no action \"stop\""));
  EXPECT_THAT(Complaint({"cancel"}), HasSubstr("write the statement's id"));
  EXPECT_THAT(Complaint({"cancel", "x"}), HasSubstr("is not an id"));
  EXPECT_THAT(Complaint({"log-level"}), HasSubstr("debug, info, warn or error"));
  EXPECT_THAT(Complaint({"resize"}), HasSubstr("--min N, --max N"));
  EXPECT_THAT(Complaint({"resize", "--max", "many"}), HasSubstr("is not a whole number"));
  EXPECT_THAT(Complaint({"pause", "now"}), HasSubstr("belongs to no flag"));
  EXPECT_THAT(Complaint({"drain", "--delay", "5"}), HasSubstr("--delay \"5\""));
}

TEST(AdminOptionsTest, EveryActionIsInTheHelp) {
  for (const char* action :
       {"pause", "resume", "reload", "drain", "quit", "statements", "cancel ID", "sessions",
        "cancel-session ID", "resize", "reset-statistics", "log-level LEVEL"}) {
    EXPECT_THAT(std::string(kAdminHelp), HasSubstr(std::string("\n  ") + action));
  }
}

TEST(TopOptionsTest, BothAddressesHaveTheirFlagAndVariable) {
  const auto options = ReadTopOptions({"--once", "--interval", "5s", "--admin-addr", "unix:/a"},
                                      {{"DBSIDECAR_ADDR", "unix:/s"}});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->once);
  EXPECT_EQ(options->interval, milliseconds(5000));
  EXPECT_EQ(options->client.address, "unix:/s");
  EXPECT_EQ(options->admin_address, "unix:/a");
  EXPECT_FALSE(ReadTopOptions({"fast"}, {}).ok());
  EXPECT_EQ(ReadTopOptions({"--interval", "1ms"}, {})->interval, milliseconds(100));
}

TEST(TextTableTest, ColumnsAreAlignedAndNoLineEndsWithSpaces) {
  EXPECT_EQ(TextOfTable({{">n", "name", "x"}, {"1", "a", ""}, {"100", "b\n", "y"}}),
            "  n  name  x\n"
            "  1  a\n"
            "100  b\\n   y\n");
}

v1::RunningStatement Statement(uint64_t id, v1::StatementState state, const std::string& caller) {
  v1::RunningStatement statement;
  statement.set_id(id);
  statement.set_state(state);
  statement.set_rpc("Query");
  statement.set_lane("leased");
  statement.set_fingerprint("abc");
  statement.mutable_waited()->set_nanos(1'500'000);
  if (state == v1::STATEMENT_STATE_RUNNING) statement.mutable_ran()->set_seconds(75);
  if (!caller.empty()) (*statement.mutable_tags())["caller"] = caller;
  return statement;
}

TEST(AdminTextTest, StatementsAreATable) {
  v1::ListStatementsResponse response;
  EXPECT_EQ(TextOfStatements(response), "nothing runs or waits\n");
  *response.add_statements() = Statement(7, v1::STATEMENT_STATE_RUNNING, "reports");
  *response.add_statements() = Statement(12, v1::STATEMENT_STATE_WAITING, "");
  response.set_truncated(true);
  EXPECT_EQ(TextOfStatements(response),
            "id  state    waited       ran  rpc    lane    caller   session  pid  fingerprint\n"
            " 7  running  1.5 ms  1min 15s  Query  leased  reports        -    -  abc\n"
            "12  waiting  1.5 ms         -  Query  leased  -              -    -  abc\n"
            "and more; --limit N shows more\n");
}

TEST(AdminTextTest, AReloadSaysWhatNeedsARestart) {
  v1::ReloadResponse response;
  EXPECT_EQ(TextOfReload(response, false), "nothing has changed\n");
  v1::OptionChange& change = *response.add_refused();
  change.set_name("listen");
  change.set_old_value("a");
  change.set_new_value("b");
  EXPECT_EQ(TextOfReload(response, false),
            "option  old  new\n"
            "listen  a    b    NEEDS A RESTART\n");
}

TopLook Look() {
  TopLook look;
  look.address = "127.0.0.1:50051";
  look.health.set_version("0.1.0");
  look.health.set_status(v1::HEALTH_STATUS_HEALTHY);
  look.health.set_ready(true);
  look.health.mutable_uptime()->set_seconds(75);
  look.metrics.mutable_time()->set_seconds(1000);
  v1::PoolMetrics& pool = *look.metrics.add_pools();
  pool.set_pool("default");
  pool.set_driver("postgresql");
  pool.set_state(v1::POOL_STATE_ACTIVE);
  pool.set_max(20);
  pool.set_active(10);
  pool.set_idle(2);
  pool.set_utilization_percent(50);
  pool.set_waiting(3);
  pool.set_waiting_max(1000);
  pool.set_statements_total(1500);
  pool.set_statements_failed_total(20);
  pool.mutable_execute()->add_upper_bounds_seconds(0.001);
  pool.mutable_execute()->add_upper_bounds_seconds(0.01);
  for (const uint64_t count : {90, 10, 0}) pool.mutable_execute()->add_counts(count);
  pool.mutable_execute()->set_count(100);
  look.before = look.metrics;
  look.before->mutable_time()->set_seconds(998);
  look.before->mutable_pools(0)->set_statements_total(500);
  look.before->mutable_pools(0)->mutable_execute()->set_counts(0, 88);
  look.before->mutable_pools(0)->mutable_execute()->set_counts(1, 2);
  look.before->mutable_pools(0)->mutable_execute()->set_count(90);
  look.statements.emplace();
  *look.statements->add_statements() = Statement(7, v1::STATEMENT_STATE_RUNNING, "reports");
  *look.statements->add_statements() = Statement(12, v1::STATEMENT_STATE_WAITING, "");
  look.sessions.emplace();
  return look;
}

std::vector<std::string> Texts(const std::vector<TopLine>& lines) {
  std::vector<std::string> texts;
  for (const TopLine& line : lines) texts.push_back(line.text);
  return texts;
}

TEST(TopFrameTest, RatesAndTimesAreOfTheStretchBetweenTwoLooks) {
  EXPECT_THAT(
      Texts(FrameOf(Look(), {})),
      ElementsAre("dbsidecar 0.1.0  127.0.0.1:50051  up 1min 15s  HEALTHY",
                  "pool default (postgresql)  ACTIVE  10 of 20 in use [##########..........]",
                  "  connections 10 active, 2 idle, 0 connecting, 0 pinging, 0 resetting, "
                  "0 closing",
                  "  waiting     3 of 1000                               sessions 0",
                  "  statements  500.0/s, 0.0 failed/s, 0.0 refused/s",
                  "  queue wait  p50 -          p95 -          p99 -",
                  "  execute     p50 10.0 ms    p95 10.0 ms    p99 10.0 ms",
                  "  total time  p50 -          p95 -          p99 -", "statements: 2, by age",
                  "  id  state    waited       ran  rpc    caller   fingerprint",
                  "   7  running  1.5 ms  1min 15s  Query  reports  abc",
                  "  12  waiting  1.5 ms         -  Query  -        abc", "sessions: 0"));
}

TEST(TopFrameTest, WhatWasResetIsNotBelowZero) {
  TopLook look = Look();
  look.metrics.mutable_pools(0)->set_statements_total(10);
  EXPECT_THAT(Texts(FrameOf(look, {})), testing::Contains(HasSubstr("  5.0/s")));
}

TEST(TopFrameTest, ItFitsTheTerminalAndItsLastLineIsTheFooter) {
  TopLook look = Look();
  for (uint64_t id = 100; id < 200; ++id) {
    *look.statements->add_statements() =
        Statement(id, v1::STATEMENT_STATE_WAITING, std::string(100, 'x'));
  }
  for (const std::size_t height : {24u, 5u, 2u}) {
    const auto lines = FrameOf(look, {.width = 40, .height = height, .footer = "q quit"});
    EXPECT_EQ(lines.size(), height);
    EXPECT_EQ(lines.back().text, "q quit");
    for (const TopLine& line : lines) EXPECT_LE(DisplayWidth(line.text), 40u);
  }
  const auto tall = FrameOf(Look(), {.width = 80, .height = 50, .footer = "q quit"});
  EXPECT_EQ(tall.size(), 50u);
  EXPECT_EQ(tall.back().text, "q quit");
}

TEST(TopFrameTest, NothingThatComesFromOutsideSteersTheTerminal) {
  TopLook look = Look();
  (*look.statements->mutable_statements(0)->mutable_tags())["caller"] = "\x1b[2J\u6771\u4eac";
  look.health.add_causes("a\nb");
  look.metrics.mutable_pools(0)->set_last_error("\x07");
  for (const TopLine& line : FrameOf(look, {})) {
    for (const char c : line.text) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line.text;
  }
}

TEST(TopFrameTest, TheChosenOneIsMarkedWithoutColoursToo) {
  const auto lines = FrameOf(Look(), {.chosen = 12});
  for (const TopLine& line : lines) {
    EXPECT_EQ(line.ink == Ink::kChosen, line.text.starts_with("> 12")) << line.text;
  }
}

TEST(TopFrameTest, WithoutListsItIsSaidWhy) {
  TopLook look = Look();
  look.statements.reset();
  look.sessions.reset();
  look.no_lists = "no Admin service answers";
  EXPECT_EQ(FrameOf(look, {}).back().text, "no lists: no Admin service answers");
}

std::vector<uint64_t> Ids(const std::vector<v1::RunningStatement>& statements) {
  std::vector<uint64_t> ids;
  for (const auto& statement : statements) ids.push_back(statement.id());
  return ids;
}

TEST(TopOrderTest, WithinWhatIsEqualTheOldestIsFirst) {
  v1::ListStatementsResponse list;
  *list.add_statements() = Statement(1, v1::STATEMENT_STATE_WAITING, "b");
  *list.add_statements() = Statement(2, v1::STATEMENT_STATE_RUNNING, "a");
  *list.add_statements() = Statement(3, v1::STATEMENT_STATE_WAITING, "a");
  *list.add_statements() = Statement(4, v1::STATEMENT_STATE_RUNNING, "b");
  EXPECT_THAT(Ids(Ordered(list, TopOrder::kAge)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Ids(Ordered(list, TopOrder::kState)), ElementsAre(2, 4, 1, 3));
  EXPECT_THAT(Ids(Ordered(list, TopOrder::kCaller)), ElementsAre(2, 3, 1, 4));
}

TEST(TopOrderTest, ChoosingStaysWithinTheList) {
  v1::ListStatementsResponse list;
  EXPECT_EQ(Neighbour(Ordered(list, TopOrder::kAge), 7, 1), 0u);
  for (const uint64_t id : {5, 6, 7})
    *list.add_statements() = Statement(id, v1::STATEMENT_STATE_WAITING, "");
  const auto statements = Ordered(list, TopOrder::kAge);
  EXPECT_EQ(Neighbour(statements, 0, 1), 5u);
  EXPECT_EQ(Neighbour(statements, 5, 1), 6u);
  EXPECT_EQ(Neighbour(statements, 7, 1), 7u);
  EXPECT_EQ(Neighbour(statements, 5, -1), 5u);
  EXPECT_EQ(Neighbour(statements, 99, -1), 5u) << "it has ended";
}

}  // namespace
}  // namespace dbsidecar::server::cli
