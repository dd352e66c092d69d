// The same calls on SQLite, in a file and in memory.
#include <filesystem>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

class SqliteTest : public ::testing::TestWithParam<bool> {
 protected:
  SqliteTest()
      : folder_(test_support::MakeTemporaryFolder("sqlite")),
        sidecar_({.database_url = GetParam() ? "sqlite:" + folder_ + "/test.db"
                                             : std::string("sqlite::memory:"),
                  .flags = {},
                  .environment = {}}),
        client_(sidecar_.NewChannel()) {}
  ~SqliteTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  SidecarProcess sidecar_;
  QueryClient client_;
};

INSTANTIATE_TEST_SUITE_P(Places, SqliteTest, ::testing::Bool(),
                         [](const auto& place) { return place.param ? "File" : "Memory"; });

TEST_P(SqliteTest, WhatIsWrittenIsReadBack) {
  ASSERT_TRUE(client_.Query("create table t (id integer primary key, label text)").ok());
  const QueryOutcome written = client_.Query("insert into t (label) values ($1), ($2)", "one", "");
  ASSERT_TRUE(written.ok()) << written;
  EXPECT_EQ(written.result().rows_affected(), 2);
  EXPECT_EQ(written.result().command_tag(), "INSERT 0 2");
  EXPECT_EQ(written.result().last_insert_id(), 2);
  const QueryOutcome read = client_.Query("select id, label from t where id <= $1 order by id", 2);
  ASSERT_TRUE(read.ok()) << read;
  ASSERT_EQ(read.result().row_count(), 2u);
  EXPECT_EQ(read.Cell(0, 0), "1");
  EXPECT_EQ(read.Cell(0, 1), "one");
  EXPECT_EQ(read.Cell(1, 1), "");
  EXPECT_EQ(read.result().columns(1).declared_type(), "TEXT");
}

TEST_P(SqliteTest, EveryCellKeepsItsKind) {
  const QueryOutcome outcome = client_.Query(
      "select 1 as x union all select 2.5 union all select 'text' union all select x'00ff' "
      "union all select null");
  ASSERT_TRUE(outcome.ok()) << outcome;
  ASSERT_EQ(outcome.result().data(0).mixed_size(), 5) << outcome;
  const v1::Column& column = outcome.result().data(0);
  EXPECT_EQ(column.mixed(0).int_value(), 1);
  EXPECT_EQ(column.mixed(1).double_value(), 2.5);
  EXPECT_EQ(column.mixed(2).string_value(), "text");
  EXPECT_EQ(column.mixed(3).bytes_value(), std::string("\0\xff", 2));
  EXPECT_EQ(column.mixed(4).kind_case(), v1::Value::KIND_NOT_SET);
  ASSERT_EQ(column.nulls_size(), 1);
  EXPECT_EQ(column.nulls(0), 4u);
}

TEST_P(SqliteTest, EveryKindOfParameterArrivesAsItWasSent) {
  const QueryOutcome outcome =
      client_.Query("select $1, $2, $3, $4, $5, $6, typeof($7), $1", INT64_MIN, 0.1, "täxt",
                    Bytes{"\x01\xff"}, true, nullptr, 9007199254740993);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.Cell(0, 0), "-9223372036854775808");
  EXPECT_EQ(outcome.Cell(0, 1), "0.1");
  EXPECT_EQ(outcome.Cell(0, 2), "täxt");
  EXPECT_EQ(outcome.Cell(0, 3), "\x01\xff");
  EXPECT_EQ(outcome.Cell(0, 4), "1");
  EXPECT_EQ(outcome.Cell(0, 5), std::nullopt);
  EXPECT_EQ(outcome.Cell(0, 6), "integer");
  EXPECT_EQ(outcome.Cell(0, 7), "-9223372036854775808");
}

TEST_P(SqliteTest, FailuresHaveTheSqlstatesOfPostgresql) {
  ASSERT_TRUE(client_
                  .Query("create table t (id integer primary key, name text not null unique, "
                         "age int check (age > 0), parent int references t(id))")
                  .ok());
  ASSERT_TRUE(client_.Query("insert into t values (1, 'a', 1, null)").ok());
  const std::pair<const char*, const char*> failures[] = {
      {"insert into t values (1, 'b', 1, null)", "ALREADY_EXISTS 23505"},
      {"insert into t values (2, 'a', 1, null)", "ALREADY_EXISTS 23505"},
      {"insert into t values (2, null, 1, null)", "FAILED_PRECONDITION 23502"},
      {"insert into t values (2, 'b', -1, null)", "FAILED_PRECONDITION 23514"},
      {"insert into t values (2, 'b', 1, 99)", "FAILED_PRECONDITION 23503"},
      {"select * from nowhere", "NOT_FOUND 42P01"},
      {"select no_such_column from t", "NOT_FOUND 42703"},
      {"selec 1", "INVALID_ARGUMENT 42601"},
  };
  for (const auto& [sql, expected] : failures) {
    EXPECT_EQ(CodeAndSqlstate(client_.Query(sql)), expected) << sql;
  }
  EXPECT_EQ(client_.Query("select count(*) from t").Scalar(), "1");
}

TEST_P(SqliteTest, AStatementThatOpensATransactionIsRefused) {
  for (const char* sql : {"begin", "BEGIN IMMEDIATE", "commit", "savepoint s", "rollback",
                          "create temp table t (id int)", "attach ':memory:' as other"}) {
    const QueryOutcome outcome = client_.Query(sql);
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION)
        << sql << ": " << outcome;
  }
}

TEST_P(SqliteTest, ADeadlineInterruptsTheStatement) {
  const std::string endless =
      "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n";
  const QueryOutcome outcome = client_.Run(MakeQuery(endless), milliseconds(300));
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << outcome;
  EXPECT_LT(outcome.took, 400ms + kScheduling);
  const auto call = client_.Start(MakeQuery(endless));
  std::this_thread::sleep_for(100ms);
  call->Cancel();
  EXPECT_EQ(call->Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  const auto start = Clock::now();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client_.Query("select $1", i).Scalar(), std::to_string(i));
  EXPECT_LT(Clock::now() - start, 2s);
}

TEST_P(SqliteTest, WritersAtTheSameTimeAllSucceed) {
  ASSERT_TRUE(client_.Query("create table counter (n int)").ok());
  ASSERT_TRUE(client_.Query("insert into counter values (0)").ok());
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 0; i < 50; ++i) {
    calls.push_back(client_.Start(MakeQuery("update counter set n = n + 1")));
    calls.push_back(client_.Start(MakeQuery("select n from counter")));
  }
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->Wait();
  EXPECT_EQ(client_.Query("select n from counter").Scalar(), "50");
}

TEST_P(SqliteTest, BadRequestsAreErrorsAndTheSidecarGoesOn) {
  for (const QueryOutcome& outcome :
       {client_.Query(""), client_.Query("select 1; select 2"), client_.Query("select $1"),
        client_.Query("select 1", 1), client_.Query(std::string("select 'a\0b'", 12))}) {
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << outcome;
  }
  const QueryOutcome large = client_.Query("select randomblob(10000000)");
  EXPECT_EQ(large.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << large;
  EXPECT_EQ(client_.Query("select 1").Scalar(), "1");
}

TEST(SqliteFileTest, ItHasThePragmasOfTheDesign) {
  const std::string folder = test_support::MakeTemporaryFolder("pragma");
  {
    SidecarProcess sidecar(
        {.database_url = "sqlite:" + folder + "/x.db", .flags = {}, .environment = {}});
    QueryClient client(sidecar.NewChannel());
    EXPECT_EQ(client.Query("pragma journal_mode").Scalar(), "wal");
    EXPECT_EQ(client.Query("pragma foreign_keys").Scalar(), "1");
    EXPECT_EQ(client.Query("pragma synchronous").Scalar(), "1");
    EXPECT_EQ(client.Query("pragma cache_size").Scalar(), "1000");
    EXPECT_EQ(client.Query("pragma temp_store").Scalar(), "2");
  }
  std::filesystem::remove_all(folder);
}

TEST(SqliteFileTest, WhatWasAcknowledgedIsThereAfterARestart) {
  const std::string folder = test_support::MakeTemporaryFolder("restart");
  const SidecarOptions options{
      .database_url = "sqlite:" + folder + "/x.db", .flags = {}, .environment = {}};
  {
    SidecarProcess sidecar(options);
    QueryClient client(sidecar.NewChannel());
    ASSERT_TRUE(client.Query("create table t (id int)").ok());
    ASSERT_TRUE(client.Query("insert into t values (7)").ok());
    sidecar.Signal(SIGKILL);
    EXPECT_EQ(sidecar.WaitExit(5s), 128 + SIGKILL);
  }
  {
    SidecarProcess sidecar(options);
    EXPECT_EQ(QueryClient(sidecar.NewChannel()).Query("select id from t").Scalar(), "7");
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace dbsidecar::integration
