// The same calls on SQLite, in a file and in memory.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <thread>

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

TEST_P(SqliteTest, ATransactionOverUnaryCallsEndsByItsCommitOrByEndSession) {
  ASSERT_TRUE(client_.Query("create table t (id int primary key)").ok());
  v1::QueryRequest begin = MakeQuery("insert into t values (1)");
  begin.mutable_session()->mutable_begin()->set_isolation(v1::ISOLATION_LEVEL_READ_COMMITTED);
  const QueryOutcome begun = client_.Run(begin);
  ASSERT_EQ(begun.response.session().size(), 32u) << begun;
  EXPECT_EQ(begun.response.transaction_status(), v1::TRANSACTION_STATUS_IN_TRANSACTION);
  v1::QueryRequest next = MakeQuery("insert into t values (1)");
  next.mutable_session()->set_session(begun.response.session());
  EXPECT_EQ(CodeAndSqlstate(client_.Run(next)), "ALREADY_EXISTS 23505");
  EXPECT_EQ(CodeAndSqlstate(client_.Run(next)), "FAILED_PRECONDITION 25P02");
  const auto end = [&](const std::string& token, v1::SessionEnd how) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    v1::EndSessionRequest request;
    request.set_session(token);
    request.set_end(how);
    v1::EndSessionResponse response;
    const grpc::Status status = client_.stub().EndSession(&context, request, &response);
    return status.ok() ? response.command_tag() : std::to_string(status.error_code());
  };
  // FAILED_PRECONDITION: it was rolled back.
  EXPECT_EQ(end(begun.response.session(), v1::SESSION_END_COMMIT), "9");
  const std::string second = client_.Run(begin).response.session();
  next.set_sql("insert into t values (2)");
  next.mutable_session()->set_session(second);
  EXPECT_TRUE(client_.Run(next).ok());
  EXPECT_EQ(end(second, v1::SESSION_END_COMMIT), "COMMIT");
  EXPECT_EQ(client_.Query("select count(*) from t").Scalar(), "2");
}

TEST_P(SqliteTest, CopyAndListenAreUnimplemented) {
  grpc::ClientContext out_context, in_context, listen_context;
  for (grpc::ClientContext* context : {&out_context, &in_context, &listen_context}) {
    context->set_deadline(std::chrono::system_clock::now() + 10s);
  }
  v1::CopyOutRequest out;
  out.mutable_start()->set_sql("copy t to stdout");
  v1::CopyOutResponse copied;
  const auto copy_out = client_.stub().CopyOut(&out_context, out);
  EXPECT_FALSE(copy_out->Read(&copied));
  EXPECT_EQ(copy_out->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  v1::CopyInRequest in;
  in.mutable_start()->set_sql("copy t from stdin");
  v1::CopyInResponse accepted;
  const auto copy_in = client_.stub().CopyIn(&in_context, &accepted);
  copy_in->Write(in);
  copy_in->WritesDone();
  EXPECT_EQ(copy_in->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  v1::ListenRequest listen;
  listen.add_channels("news");
  v1::ListenResponse heard;
  const auto listening = client_.stub().Listen(&listen_context, listen);
  EXPECT_FALSE(listening->Read(&heard));
  EXPECT_EQ(listening->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
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

TEST(SqliteFileTest, ADoubleAsTextIsWrittenAsByPostgresql) {
  SidecarProcess sqlite({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  QueryClient on_sqlite(sqlite.NewChannel());
  PostgresSidecar on_postgres;
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<double> values = {0.0,  -0.0, 0.1, 100000.0, 1e14, 1e15, 9007199254740993.0,
                                1e-4, 1e-5};
  for (int exponent = -20; exponent < 20; ++exponent) {
    for (int i = 0; i < 5; ++i) {
      // With few digits and with many.
      const double digits = static_cast<double>(random() % (i < 3 ? 1000 : UINT64_MAX));
      values.push_back(digits * std::pow(10.0, exponent));
    }
  }
  for (const double value : values) {
    v1::QueryRequest request = MakeQuery("select cast($1 as double precision)", value);
    request.set_format(v1::RESULT_FORMAT_TEXT_COLUMNS);
    const QueryOutcome expected = on_postgres.client.Run(request);
    const QueryOutcome actual = on_sqlite.Run(request);
    ASSERT_TRUE(expected.ok() && actual.ok()) << expected << actual;
    const std::string& ours = actual.result().data(0).strings(0);
    const std::string& theirs = expected.result().data(0).strings(0);
    if (ours == theirs) continue;
    // PostgreSQL takes no digits that lie exactly half-way between two numbers; with these fewer
    // do. From 2^54 on there are such.
    EXPECT_GE(value, 0x1p54);
    EXPECT_EQ(std::strtod(ours.c_str(), nullptr), value) << ours;
    EXPECT_LT(ours.size(), theirs.size()) << ours << " " << theirs;
  }
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

// Writers that keep many inserts in flight, each with an id of its own, until the sidecar goes.
class Writers {
 public:
  explicit Writers(const SidecarProcess& sidecar) {
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, i, channel = sidecar.NewChannel()] { Run(channel, i); });
    }
  }
  ~Writers() { Join(); }

  void Join() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  size_t acknowledged_so_far() {
    const std::lock_guard lock(mutex_);
    return acknowledged.size();
  }

  std::set<int64_t> acknowledged;  // After Join.
  std::set<int64_t> refused;

 private:
  static constexpr int kThreads = 4;
  static constexpr int kInFlight = 32;

  static std::string Text(int64_t id) {
    switch (id % 8) {
      case 1:
        return "insert into t(id, same) values ($1, 1)";
      case 2:
        return "insert into t(id, positive) values ($1, -1)";
      case 3:
        return "insert into t(id, parent) values ($1, 99)";
      case 4:
        return "insert into t(id, same) select $1, 1 union all select 0, 0";
      case 5:
        return "insert or rollback into t(id, same) values ($1, 1)";
      default:
        return "insert into t(id) values ($1)";
    }
  }

  void Run(const std::shared_ptr<grpc::Channel>& channel, int thread) {
    QueryClient client(channel);
    for (int64_t next = 1000; !stop_; next += kInFlight) {
      std::vector<std::pair<int64_t, std::unique_ptr<PendingQuery>>> calls;
      for (int64_t id = next; id < next + kInFlight; ++id) {
        const int64_t own = id * kThreads + thread;
        calls.emplace_back(own, client.Start(MakeQuery(Text(id), own)));
      }
      for (const auto& [id, call] : calls) Note(id, call->Wait());
    }
  }
  void Note(int64_t id, const QueryOutcome& outcome) {
    const std::lock_guard lock(mutex_);
    if (outcome.ok()) {
      EXPECT_EQ(outcome.result().last_insert_id(), id);
      EXPECT_EQ(outcome.result().rows_affected(), 1);
      EXPECT_TRUE(acknowledged.insert(id).second);
    } else if (!outcome.sql.sqlstate().empty()) {
      refused.insert(id);
    } else {
      EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::UNAVAILABLE) << outcome;
      stop_ = true;  // The sidecar has gone.
    }
  }

  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
};

TEST(SqliteFileTest, WhatWasAcknowledgedIsThereAndWhatWasRefusedIsNotAfterAKill) {
  const std::string folder = test_support::MakeTemporaryFolder("kill");
  // More calls are in flight than the profile's queue takes.
  const SidecarOptions options{.database_url = "sqlite:" + folder + "/x.db",
                               .flags = {"--waiters-max=1000"},
                               .environment = {}};
  std::set<int64_t> acknowledged;
  std::set<int64_t> refused;
  {
    SidecarProcess sidecar(options);
    QueryClient client(sidecar.NewChannel());
    ASSERT_TRUE(client
                    .Query("create table t (id integer primary key, same int unique, positive int "
                           "check (positive > 0), parent int references t(id) deferrable initially "
                           "deferred)")
                    .ok());
    ASSERT_TRUE(client.Query("insert into t(id, same) values (0, 1)").ok());
    Writers writers(sidecar);
    EXPECT_TRUE(Eventually(20s, [&] { return writers.acknowledged_so_far() > 2000; }));
    sidecar.Signal(SIGKILL);
    EXPECT_EQ(sidecar.WaitExit(5s), 128 + SIGKILL);
    writers.Join();
    acknowledged = writers.acknowledged;
    refused = writers.refused;
  }
  SidecarProcess sidecar(options);
  const QueryOutcome rows =
      QueryClient(sidecar.NewChannel()).Query("select group_concat(id, ' ') from t where id > 0");
  std::istringstream words(rows.Scalar());
  const std::set<int64_t> found{std::istream_iterator<int64_t>(words), {}};
  std::vector<int64_t> lost;
  std::set_difference(acknowledged.begin(), acknowledged.end(), found.begin(), found.end(),
                      std::back_inserter(lost));
  EXPECT_TRUE(lost.empty()) << lost.size() << " of " << acknowledged.size() << ", such as "
                            << lost.front();
  std::vector<int64_t> undead;
  std::set_intersection(refused.begin(), refused.end(), found.begin(), found.end(),
                        std::back_inserter(undead));
  EXPECT_TRUE(undead.empty()) << undead.size() << " of " << refused.size() << ", such as "
                              << undead.front();
  EXPECT_GT(refused.size(), acknowledged.size() / 2);
  std::filesystem::remove_all(folder);
}

TEST(SqliteFileTest, ReadsGoOnWhileALongWriteRunsAndOtherWritesWaitForIt) {
  const std::string folder = test_support::MakeTemporaryFolder("long");
  SidecarProcess sidecar(
      {.database_url = "sqlite:" + folder + "/x.db", .flags = {}, .environment = {}});
  QueryClient client(sidecar.NewChannel());
  ASSERT_TRUE(client.Query("create table t (id integer primary key)").ok());
  ASSERT_TRUE(client.Query("insert into t values (1)").ok());
  const auto endless = client.Start(
      MakeQuery("with recursive n(i) as (select 2 union all select i + 1 from n) insert into t "
                "select i from n"));
  // The calls may overtake each other on their way; once a write is not served the endless one is.
  ASSERT_TRUE(Eventually(10s, [&] {
    return client.Run(MakeQuery("delete from t where id = -99"), 100ms).status.error_code() ==
           grpc::StatusCode::DEADLINE_EXCEEDED;
  }));
  const auto waiting = client.Start(MakeQuery("insert into t values (-1)"));
  const auto impatient = client.Start(MakeQuery("insert into t values (-2)"), 300ms);
  std::this_thread::sleep_for(100ms);
  const auto start = Clock::now();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(client.Query("select count(*) from t").Scalar(), "1");
  EXPECT_LT(Clock::now() - start, 2s);
  EXPECT_EQ(impatient->Wait().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(endless->Finished());
  EXPECT_FALSE(waiting->Finished());
  endless->Cancel();
  EXPECT_EQ(endless->Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(waiting->Wait().ok()) << waiting->Wait();
  EXPECT_EQ(client.Query("select group_concat(id) from t").Scalar(), "-1,1");
  std::filesystem::remove_all(folder);
}

TEST(SqliteFileTest, AReadThatTurnsOutToBeSlowHoldsUpNobodyOnItsSharedConnection) {
  const std::string folder = test_support::MakeTemporaryFolder("slow");
  SidecarProcess sidecar(
      {.database_url = "sqlite:" + folder + "/x.db", .flags = {}, .environment = {}});
  QueryClient client(sidecar.NewChannel());
  const std::string counts =
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) "
      "select max(i) from n";
  for (int i = 1; i <= 50; ++i) ASSERT_EQ(client.Query(counts, i).Scalar(), std::to_string(i));
  const auto slow = client.Start(MakeQuery(counts, int64_t{1} << 60));
  const auto start = Clock::now();
  std::vector<std::unique_ptr<PendingQuery>> calls;
  for (int i = 1; i <= 100; ++i) calls.push_back(client.Start(MakeQuery(counts, i), 2s));
  for (int i = 1; i <= 100; ++i) {
    EXPECT_EQ(calls[static_cast<size_t>(i - 1)]->Wait().Scalar(), std::to_string(i));
  }
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_FALSE(slow->Finished());
  slow->Cancel();
  EXPECT_EQ(slow->Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  std::filesystem::remove_all(folder);
}

// Reads and writes of many callers on few connections, while some are cancelled and some run out of
// time: each gets its own answer.
TEST_P(SqliteTest, EveryCallGetsItsOwnAnswerWhateverIsCancelled) {
  ASSERT_TRUE(client_.Query("create table t (id integer primary key)").ok());
  const seconds duration = TestSeconds("CANARY", 3);
  std::atomic<int64_t> next{1};
  std::atomic<int> answered{0};
  std::atomic<int> cancelled{0};
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      QueryClient client(sidecar_.NewChannel());
      std::mt19937 random(thread);
      const auto end = Clock::now() + duration;
      while (Clock::now() < end) {
        std::vector<std::pair<int64_t, std::unique_ptr<PendingQuery>>> calls;
        for (int i = 0; i < 16; ++i) {
          const int64_t id = next++;
          const char* sql = id % 2 == 0 ? "select $1" : "insert into t values ($1) returning id";
          const auto limit =
              random() % 8 == 0 ? milliseconds(1 + random() % 3) : milliseconds(20000);
          calls.emplace_back(id, client.Start(MakeQuery(sql, id), limit));
        }
        for (int i = 0; i < 3; ++i) calls[random() % calls.size()].second->Cancel();
        for (const auto& [id, call] : calls) {
          const QueryOutcome& outcome = call->Wait();
          if (outcome.ok()) {
            ++answered;
            EXPECT_EQ(outcome.Scalar(), std::to_string(id));
          } else {
            ++cancelled;
            const grpc::StatusCode code = outcome.status.error_code();
            EXPECT_TRUE(code == grpc::StatusCode::CANCELLED ||
                        code == grpc::StatusCode::DEADLINE_EXCEEDED)
                << outcome;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(answered, 100);
  EXPECT_GT(cancelled, 10);
  EXPECT_EQ(client_.Query("select 'the end'").Scalar(), "the end");
}

}  // namespace
}  // namespace dbsidecar::integration
