// The client against the real binary, on SQLite and on PostgreSQL.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/support/child_process.h"
#include "tests/support/postgres_server.h"
#include "tests/support/sidecar_process.h"

namespace dbsidecar::client_test {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)
using test_support::PostgresServer;
using test_support::SidecarOptions;
using test_support::SidecarProcess;
using Clock = std::chrono::steady_clock;

std::unique_ptr<SidecarProcess> OnPostgres(std::vector<std::string> flags = {}) {
  PostgresServer& server = PostgresServer::Shared();
  SidecarOptions options;
  options.database_url = server.Url(server.CreateDatabase("client"));
  options.flags = std::move(flags);
  options.unix_socket = true;
  return std::make_unique<SidecarProcess>(std::move(options));
}

std::unique_ptr<SidecarProcess> OnSqlite(std::vector<std::string> flags = {}) {
  SidecarOptions options;
  options.database_url = "sqlite:" + test_support::MakeTemporaryFolder("client") + "/test.db";
  options.flags = std::move(flags);
  return std::make_unique<SidecarProcess>(std::move(options));
}

std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

TEST(PostgresTest, ValuesOfEveryKindComeBackAsTheyWere) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  const std::vector<std::byte> bytes = Bytes(std::string_view("\0\xff\n", 3));
  const Result result = client.Query(
      "select $1::bool as truth, $2::int2 as small, $3::int8 as large, $4::float8 as number, "
      "$5::text as text, $6::bytea as bytes, $7::numeric as exact, $8::timestamptz as instant, "
      "$9::int[] as list, $10::text as nothing, $11 as typed, $12::uuid as id, $13::jsonb as json, "
      "$14::float4 as single, $15::text as empty",
      true, int16_t{-32768}, std::numeric_limits<int64_t>::min(), 0.1, "grün, 😀", bytes,
      "12345678901234567890.123", "2024-02-29 12:00:00+00", "{1,NULL,3}", std::nullopt,
      Typed{20, 42}, "6f1c2b1e-8f5e-4a3b-9c57-0d6a3f0c9b11", "{\"a\": 1}", 0.25F, "");
  const Row row = result.One();
  EXPECT_EQ(row.Get<bool>("truth"), true);
  EXPECT_EQ(row.Get<int16_t>("small"), -32768);
  EXPECT_EQ(row.Get<int64_t>("large"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(row.Get<double>("number"), 0.1);
  EXPECT_EQ(row.Get<std::string>("text"), "grün, 😀");
  EXPECT_EQ(row.Get<std::vector<std::byte>>("bytes"), bytes);
  EXPECT_EQ(row.Get<std::string>("exact"), "12345678901234567890.123");
  EXPECT_EQ(row.Get<std::string_view>("instant").substr(0, 10), "2024-02-29");
  EXPECT_EQ(row.Get<std::string>("list"), "{1,NULL,3}");
  EXPECT_EQ(row.Get<std::optional<std::string>>("nothing"), std::nullopt);
  EXPECT_EQ(row.Get<int>("typed"), 42);
  EXPECT_EQ(row.Get<std::string>("id"), "6f1c2b1e-8f5e-4a3b-9c57-0d6a3f0c9b11");
  EXPECT_EQ(row.Get<std::string>("json"), "{\"a\": 1}");
  EXPECT_EQ(row.Get<float>("single"), 0.25F);
  EXPECT_EQ(row.Get<std::string>("empty"), "");
  EXPECT_FALSE(row.IsNull("empty"));
  EXPECT_EQ(result.column(1).type_oid, 21u);
  EXPECT_THROW(row.Get<int>("exact"), ConversionError);
  const Result odd = client.Query("select 'NaN'::float8, '-infinity'::float8");
  EXPECT_TRUE(std::isnan(odd.One().Get<double>(0)));
  EXPECT_EQ(odd.One().Get<double>(1), -std::numeric_limits<double>::infinity());
}

TEST(PostgresTest, NullsAmongManyRows) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  const Result result = client.Query(
      "select i, case when i % 3 = 0 then null else i end as gaps, "
      "case when i % 2 = 0 then 'v' || i end as texts from generate_series(1, 999) i order by i");
  ASSERT_EQ(result.size(), 999u);
  int expected = 0;
  for (auto& row : result) {
    ++expected;
    const auto [i, gaps, texts] =
        row.As<int, std::optional<int64_t>, std::optional<std::string_view>>();
    ASSERT_EQ(i, expected);
    ASSERT_EQ(gaps.has_value(), i % 3 != 0);
    ASSERT_EQ(texts.has_value(), i % 2 == 0);
    if (texts.has_value()) {
      ASSERT_EQ(*texts, "v" + std::to_string(i));
    }
  }
  EXPECT_EQ(result.command_tag(), "SELECT 999");
}

TEST(PostgresTest, ErrorsHaveTheirSqlstateAndClass) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  client.Query(
      "create table fruit (id int primary key, name text not null, price int check (price > 0))");
  EXPECT_EQ(client.Query("insert into fruit values (1, 'pear', 5)").rows_affected(), 1);
  try {
    client.Query("insert into fruit values ($1, $2, 1)", 1, "apple");
    FAIL() << "was inserted";
  } catch (const UniqueViolation& error) {
    EXPECT_EQ(error.sqlstate(), "23505");
    EXPECT_EQ(error.sql()->constraint, "fruit_pkey");
    EXPECT_EQ(error.sql()->table, "fruit");
    EXPECT_EQ(error.sql()->detail, "Key (id)=(1) already exists.");
    EXPECT_EQ(error.code(), StatusCode::kAlreadyExists);
  }
  EXPECT_THROW(client.Query("insert into fruit values (2, null, 1)"), NotNullViolation);
  EXPECT_THROW(client.Query("insert into fruit values (2, 'x', -1)"), CheckViolation);
  EXPECT_THROW(client.Query("selec"), SyntaxError);
  EXPECT_THROW(client.Query("select * from missing"), UndefinedTable);
  EXPECT_THROW(client.Query("select nothing from fruit"), UndefinedColumn);
  EXPECT_THROW(client.Query({.read_only = true}, "delete from fruit"), ReadOnlyViolation);
  EXPECT_THROW(client.Query("begin"), Error);
  try {
    client.Query("select 1 / $1::int", 0);
    ADD_FAILURE() << "was divided";
  } catch (const SqlError& error) {
    EXPECT_EQ(error.sqlstate(), "22012");
  }
}

TEST(PostgresTest, NoticesAndTimingArrive) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  const Result result = client.Query({.want_timing = true}, "drop table if exists not_there");
  ASSERT_EQ(result.notices().size(), 1u);
  EXPECT_EQ(result.notices()[0].severity, "NOTICE");
  EXPECT_EQ(result.command_tag(), "DROP TABLE");
  ASSERT_TRUE(result.timing().has_value());
  EXPECT_GT(result.timing()->execute.count(), 0);
  EXPECT_TRUE(client.Query({.max_rows = 2}, "select generate_series(1, 5)").truncated());
}

TEST(PostgresTest, ADeadlineIsAnsweredByTheSidecarWhichKnowsTheOutcome) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  client.Query("select 1");
  const auto start = Clock::now();
  try {
    client.Query({.timeout = 1000ms}, "select pg_sleep(20)");
    ADD_FAILURE() << "slept";
  } catch (const DeadlineExceeded& error) {
    EXPECT_FALSE(error.outcome_unknown());
  }
  EXPECT_LT(Clock::now() - start, 1100ms);
}

TEST(PostgresTest, AStopReachesTheDatabase) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  std::stop_source stop;
  std::future<Result> slow = client.QueryAsync({.stop = stop.get_token()}, "select pg_sleep(21)");
  const auto running = [] {
    return PostgresServer::Shared().Psql(
        "select count(*) from pg_stat_activity where query = 'select pg_sleep(21)' and "
        "state = 'active'");
  };
  const auto within_5_s = [&](const std::string& wanted) {
    const auto end = Clock::now() + 5s;
    while (running() != wanted && Clock::now() < end) std::this_thread::sleep_for(20ms);
    return running() == wanted;
  };
  ASSERT_TRUE(within_5_s("1"));
  const auto start = Clock::now();
  stop.request_stop();
  try {
    slow.get();
    ADD_FAILURE() << "was not cancelled";
  } catch (const Error& error) {
    // Of unknown outcome, if the database takes its time to confirm.
    EXPECT_EQ(error.code(), StatusCode::kCancelled) << error.what();
  }
  EXPECT_LT(Clock::now() - start, 2s);
  EXPECT_TRUE(within_5_s("0"));
}

// Every answer belongs to its call.
void HammerFromManyThreads(Client& client, const std::string& sql) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 12; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 200; ++i) {
        const int64_t mine = t * 1'000'000 + i;
        std::future<Result> later = client.QueryAsync({.read_only = true}, sql, -mine);
        if (client.Query({.read_only = true}, sql, mine).One().Get<int64_t>(0) != mine) ++wrong;
        if (later.get().One().Get<int64_t>(0) != -mine) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(PostgresTest, ManyThreadsEachGetTheirOwnAnswers) {
  const auto sidecar = OnPostgres({"--shared-max=2"});
  Client client(sidecar->address());
  HammerFromManyThreads(client, "select $1::int8");
}

TEST(PostgresTest, LargeValuesTravelBothWays) {
  const auto sidecar = OnPostgres({"--result-bytes-max=16MiB"});
  Client client(sidecar->address());
  const std::string large(3'000'000, 'x');
  EXPECT_EQ(client.Query("select $1::text || 'y'", large).One().Get<std::string_view>(0).size(),
            3'000'001u);
  std::vector<std::future<Result>> mixed;
  for (int i = 0; i < 20; ++i) {
    mixed.push_back(client.QueryAsync("select repeat('x', $1)", i % 2 == 0 ? 1'000'000 : 10));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(mixed[static_cast<size_t>(i)].get().One().Get<std::string_view>(0).size(),
              i % 2 == 0 ? 1'000'000u : 10u);
  }
}

TEST(PostgresTest, AFrozenSidecarHoldsNoCallBeyondItsDeadlineAndIsUsedAgainWhenItThaws) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address());
  EXPECT_EQ(client.Query("select 1").One().Get<int>(0), 1);
  sidecar->Signal(SIGSTOP);
  const auto start = Clock::now();
  EXPECT_THROW(client.Query({.timeout = 300ms}, "select 1"), OutcomeUnknown);
  EXPECT_LT(Clock::now() - start, 700ms);
  sidecar->Signal(SIGCONT);
  EXPECT_EQ(client.Query("select 2").One().Get<int>(0), 2);
}

TEST(PostgresTest, AfterTheSidecarIsKilledCallsFailHonestly) {
  const auto sidecar = OnPostgres();
  Client client(sidecar->address(), {.connect_timeout = 300ms});
  client.Query("create table marks (id int)");
  std::future<Result> running = client.QueryAsync("insert into marks select 1 from pg_sleep(5)");
  std::this_thread::sleep_for(300ms);
  sidecar->Signal(SIGKILL);
  EXPECT_THROW(running.get(), OutcomeUnknown);
  try {
    client.Query("select 1");
    ADD_FAILURE() << "answered by the dead";
  } catch (const Unavailable& error) {
    EXPECT_EQ(error.reason(), "NO_CONNECTION");
  }
}

TEST(SqliteTest, ValuesOfEveryKindComeBackAsTheyWere) {
  const auto sidecar = OnSqlite();
  Client client(sidecar->address());
  const std::vector<std::byte> bytes = Bytes(std::string_view("\0\xff", 2));
  client.Query(
      "create table t (id integer primary key, b boolean, i integer, d real, s text, x blob)");
  const Result inserted =
      client.Query("insert into t (b, i, d, s, x) values ($1, $2, $3, $4, $5)", true,
                   std::numeric_limits<int64_t>::max(), -0.5, "grün", bytes);
  EXPECT_EQ(inserted.rows_affected(), 1);
  EXPECT_EQ(inserted.last_insert_id(), 1);
  client.Query("insert into t (s) values ($1)", std::optional<std::string>());
  const Result result = client.Query("select b, i, d, s, x from t order by id");
  ASSERT_EQ(result.size(), 2u);
  EXPECT_EQ(result[0].Get<bool>("b"), true);
  EXPECT_EQ(result[0].Get<int64_t>("i"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(result[0].Get<double>("d"), -0.5);
  EXPECT_EQ(result[0].Get<std::string>("s"), "grün");
  EXPECT_EQ(result[0].Get<std::vector<std::byte>>("x"), bytes);
  for (size_t column = 0; column < result.columns(); ++column) {
    EXPECT_TRUE(result[1].IsNull(column)) << column;
  }
}

TEST(SqliteTest, CellsOfOneColumnMayDiffer) {
  const auto sidecar = OnSqlite();
  Client client(sidecar->address());
  const Result result =
      client.Query("select 1 as v union all select 2.5 union all select 'x' union all select null");
  std::vector<std::string> kinds;
  for (auto& row : result) {
    const Cell cell = row.Get<Cell>("v");
    kinds.push_back(std::holds_alternative<int64_t>(cell)            ? "integer"
                    : std::holds_alternative<double>(cell)           ? "double"
                    : std::holds_alternative<std::string_view>(cell) ? "text"
                                                                     : "null");
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"integer", "double", "text", "null"}));
  EXPECT_EQ(result[1].Get<double>(0), 2.5);
  EXPECT_THROW(result[2].Get<int>(0), ConversionError);
}

TEST(SqliteTest, ErrorsHaveTheClassesOfPostgres) {
  const auto sidecar = OnSqlite();
  Client client(sidecar->address());
  client.Query("create table fruit (id int primary key, name text not null)");
  client.Query("insert into fruit values (1, 'pear')");
  EXPECT_THROW(client.Query("insert into fruit values (1, 'apple')"), UniqueViolation);
  EXPECT_THROW(client.Query("insert into fruit values (2, null)"), NotNullViolation);
  EXPECT_THROW(client.Query("select * from missing"), UndefinedTable);
  EXPECT_THROW(client.Query("selec"), SyntaxError);
}

TEST(SqliteTest, ManyThreadsEachGetTheirOwnAnswers) {
  const auto sidecar = OnSqlite();
  Client client(sidecar->address(), {.connections = 2});
  HammerFromManyThreads(client, "select $1");
}

}  // namespace
}  // namespace dbsidecar::client_test
