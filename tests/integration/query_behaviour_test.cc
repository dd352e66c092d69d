// What a call may rely on: commits, deadlines, cancels, no leak of session state, schema changes.
#include <atomic>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

TEST(CommitTest, AForeignKeyThatFailsAtCommitIsNeverASuccess) {
  PostgresSidecar fixture;
  fixture.Psql(
      "create table parent (id int primary key);"
      "create table child (id int primary key, parent int references parent "
      "deferrable initially deferred)");
  for (int i = 0; i < 50; ++i) {
    const QueryOutcome outcome = fixture.client.Query("insert into child values ($1, 99)", i);
    ASSERT_EQ(CodeAndSqlstate(outcome), "FAILED_PRECONDITION 23503") << outcome;
    EXPECT_EQ(outcome.sql.table(), "child");
    EXPECT_EQ(outcome.sql.constraint(), "child_parent_fkey");
  }
  const QueryOutcome returning =
      fixture.client.Query("insert into child values (1000, 99) returning id");
  EXPECT_EQ(CodeAndSqlstate(returning), "FAILED_PRECONDITION 23503") << returning;
  EXPECT_EQ(fixture.Psql("select count(*) from child"), "0");
}

TEST(CommitTest, AUniqueConstraintThatFailsAtCommitIsNeverASuccess) {
  PostgresSidecar fixture;
  fixture.Psql(
      "create table t (id int unique deferrable initially deferred); insert into t values (1)");
  EXPECT_EQ(CodeAndSqlstate(fixture.client.Query("insert into t values (1)")),
            "ALREADY_EXISTS 23505");
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "1");
  EXPECT_TRUE(fixture.client.Query("insert into t values (2)").ok());
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "2");
}

TEST(CommitTest, AnAcknowledgedWriteIsThereForEveryoneAtOnce) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (id int)");
  for (int i = 1; i <= 100; ++i) {
    const QueryOutcome outcome = fixture.client.Query("insert into t values ($1)", i);
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(outcome.result().rows_affected(), 1);
    EXPECT_EQ(outcome.response.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
    ASSERT_EQ(fixture.Psql("select max(id) from t"), std::to_string(i));
  }
}

TEST(DeadlineTest, ADeadlineStopsTheStatementInTheDatabaseAndKeepsTheConnection) {
  // Without a health check, which would take the connection's place.
  PostgresSidecar fixture(
      {"--max-connections=1", "--min-connections=1", "--health-check-interval=5min"});
  const std::string before = fixture.client.Query("select pg_backend_pid()").Scalar();
  for (int i = 0; i < 5; ++i) {
    const QueryOutcome outcome =
        fixture.client.Run(MakeQuery("select pg_sleep(20)"), milliseconds(300));
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << outcome;
    EXPECT_LT(outcome.took, 400ms + kScheduling);
    EXPECT_TRUE(Eventually(
        1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  }
  EXPECT_EQ(fixture.client.Query("select pg_backend_pid()").Scalar(), before);
}

TEST(DeadlineTest, ACancelStopsTheStatementInTheDatabaseAndKeepsTheConnection) {
  // Without a health check, which would take the connection's place.
  PostgresSidecar fixture(
      {"--max-connections=1", "--min-connections=1", "--health-check-interval=5min"});
  const std::string before = fixture.client.Query("select pg_backend_pid()").Scalar();
  for (int i = 0; i < 5; ++i) {
    const auto call = fixture.client.Start(MakeQuery("select pg_sleep(20)"));
    ASSERT_TRUE(Eventually(
        5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
    call->Cancel();
    EXPECT_EQ(call->Wait().status.error_code(), grpc::StatusCode::CANCELLED) << call->Wait();
    EXPECT_TRUE(Eventually(
        1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  }
  EXPECT_EQ(fixture.client.Query("select pg_backend_pid()").Scalar(), before);
}

TEST(DeadlineTest, ACancelledWaiterDoesNotDisturbTheOthers) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1", "--wait-timeout=10s"});
  const auto holder = fixture.client.Start(MakeQuery("select pg_sleep(1)"));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  std::vector<std::unique_ptr<PendingQuery>> waiters;
  for (int i = 0; i < 10; ++i)
    waiters.push_back(fixture.client.Start(MakeQuery("select $1::int", i)));
  std::this_thread::sleep_for(100ms);
  for (size_t i = 0; i < waiters.size(); i += 2) waiters[i]->Cancel();
  EXPECT_TRUE(holder->Wait().ok()) << holder->Wait();
  for (size_t i = 0; i < waiters.size(); ++i) {
    const QueryOutcome& outcome = waiters[i]->Wait();
    if (i % 2 == 0) {
      EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::CANCELLED) << outcome;
    } else {
      EXPECT_EQ(outcome.Scalar(), std::to_string(i));
    }
  }
}

TEST(DeadlineTest, TheQueryTimeoutEndsACallThatHasALaterDeadline) {
  PostgresSidecar fixture({"--query-timeout=300ms"});
  const QueryOutcome outcome = fixture.client.Query("select pg_sleep(20)");
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << outcome;
  EXPECT_LT(outcome.took, 400ms + kScheduling);
}

TEST(DeadlineTest, TheClientsDeathFreesTheConnection) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1"});
  const pid_t victim = fork();
  if (victim == 0) {
    // Only exec may follow in a process that has threads.
    const std::string socket = fixture.sidecar.address();
    execl("/proc/self/exe", "integration_test", "--hang-on", socket.c_str(), nullptr);
    _exit(127);
  }
  const bool started = Eventually(
      10s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; });
  kill(victim, SIGKILL);
  waitpid(victim, nullptr, 0);
  ASSERT_TRUE(started);
  EXPECT_TRUE(Eventually(
      1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  EXPECT_EQ(fixture.client.Query("select 1").Scalar(), "1");
}

TEST(SessionStateTest, StatementsThatActOnTheSessionAreRefusedAndLeaveNothing) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1"});
  const char* statements[] = {
      "set work_mem = '1MB'",
      "set session statement_timeout = 0",
      "set local work_mem = '1MB'",
      "reset all",
      "set role postgres",
      "set time zone 'Asia/Tokyo'",
      "begin",
      "start transaction",
      "BEGIN ISOLATION LEVEL SERIALIZABLE",
      "/* hidden */ begin",
      "commit",
      "rollback",
      "savepoint s",
      "listen channel",
      "unlisten *",
      "prepare p as select 1",
      "execute p",
      "deallocate all",
      "declare c cursor with hold for select 1",
      "fetch all from c",
      "close all",
      "discard all",
      "create temp table t (id int)",
      "create temporary table t as select 1",
      "select 1 as id into temp t",
      "create table pg_temp.t (id int)",
      "create temp view v as select 1",
      "create temp sequence s",
      "select pg_advisory_lock(1)",
      "select pg_try_advisory_lock(1)",
      "select pg_catalog.pg_advisory_lock_shared(1)",
      "select * from pg_advisory_lock(1) x",
      "select 1 where pg_try_advisory_lock(1)",
      "with l as (select pg_advisory_lock(1)) select 1 from l",
      "select set_config('work_mem', '1MB', false)",
      "select setseed(0.5)",
      "lock table pg_class in access share mode",
  };
  const std::string settings =
      "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings";
  const std::string before = fixture.client.Query(settings).Scalar();
  for (const char* statement : statements) {
    SCOPED_TRACE(statement);
    const QueryOutcome outcome = fixture.client.Query(statement);
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << outcome;
    EXPECT_EQ(outcome.reason, "SESSION_REQUIRED");
    const std::string& message = outcome.status.error_message();
    EXPECT_TRUE(message.find("; use ") != std::string::npos ||
                message.find("; run it in a session") != std::string::npos)
        << "no remedy in: " << message;
  }
  EXPECT_EQ(fixture.client.Query(settings).Scalar(), before);
  EXPECT_EQ(
      fixture.client.Query("select count(*) from pg_locks where locktype = 'advisory'").Scalar(),
      "0");
  EXPECT_EQ(
      fixture.client.Query("select count(*) from pg_class where relpersistence = 't'").Scalar(),
      "0");
  EXPECT_EQ(
      fixture.client.Query("select count(*) from pg_prepared_statements where name = 'p'").Scalar(),
      "0");
  EXPECT_EQ(fixture.client.Query("select count(*) from pg_listening_channels()").Scalar(), "0");
}

TEST(SessionStateTest, WhatAFunctionDoesToTheSessionIsGoneForTheNextCaller) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1"});
  fixture.Psql(R"(
    create function changes_session() returns int language plpgsql as $$ begin
      perform set_config('work_mem', '123MB', false);
      perform set_config('my.secret', 'of one caller', false);
      perform pg_advisory_lock(42);
      create temp table mine as select 1 as id;
      return pg_backend_pid();
    end $$)");
  const std::string work_mem = fixture.client.Query("show work_mem").Scalar();
  for (int i = 0; i < 3; ++i) {
    const QueryOutcome changed = fixture.client.Query("select changes_session()");
    ASSERT_TRUE(changed.ok()) << changed;
    EXPECT_EQ(fixture.client.Query("show work_mem").Scalar(), work_mem);
    const std::string secret =
        fixture.client.Query("select coalesce(current_setting('my.secret', true), '')").Scalar();
    EXPECT_EQ(secret, "");
    EXPECT_EQ(fixture.Psql("select count(*) from pg_locks where locktype = 'advisory'"), "0");
    EXPECT_EQ(CodeAndSqlstate(fixture.client.Query("select * from mine")), "NOT_FOUND 42P01");
  }
  // So is what a DO block does.
  ASSERT_TRUE(fixture.client.Query("do $$ begin set work_mem = '99MB'; end $$").ok());
  EXPECT_EQ(fixture.client.Query("show work_mem").Scalar(), work_mem);
}

TEST(SessionStateTest, StatementsThatOnlyLookLikeSessionStateAreServed) {
  PostgresSidecar fixture;
  EXPECT_EQ(fixture.client.Query("select 'begin; set x'").Scalar(), "begin; set x");
  EXPECT_EQ(fixture.client.Query("select set_config('work_mem', '5MB', true)").Scalar(), "5MB");
  EXPECT_EQ(fixture.client.Query("select 1 as \"begin\" -- set").Scalar(), "1");
  EXPECT_TRUE(fixture.client.Query("notify channel, 'payload'").ok());
  EXPECT_TRUE(fixture.client.Query("create table begin_set (id int)").ok());
  EXPECT_TRUE(fixture.client.Query("update begin_set set id = 1").ok());
  EXPECT_EQ(fixture.client.Query("show work_mem").Scalar(), fixture.Psql("show work_mem"));
}

TEST(SchemaChangeTest, NoCallerNoticesThatATableChangesUnderIt) {
  PostgresSidecar fixture({"--max-connections=8", "--min-connections=8"});
  fixture.Psql("create table t (id int primary key, label text); insert into t values (1, 'one')");
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      QueryClient client(fixture.sidecar.NewChannel());
      while (!stop) {
        const QueryOutcome outcome = client.Query("select * from t where id = $1", 1);
        if (!outcome.ok() || outcome.result().row_count() != 1 ||
            outcome.result().columns_size() < 2 || outcome.Cell(0, 1) != "one") {
          if (++wrong < 5) ADD_FAILURE() << outcome;
        }
        ++answered;
      }
    });
  }
  const auto end = Clock::now() + 5s;
  int changes = 0;
  while (Clock::now() < end) {
    fixture.Psql("alter table t add column extra" + std::to_string(changes) + " int default 7");
    std::this_thread::sleep_for(30ms);
    fixture.Psql("alter table t drop column extra" + std::to_string(changes));
    fixture.Psql("alter table t alter column label type varchar(100)");
    fixture.Psql("alter table t alter column label type text");
    fixture.Psql(
        "begin; drop table t; create table t (id int primary key, label text); "
        "insert into t values (1, 'one'); commit");
    ++changes;
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  std::cout << "[ figures  ] " << answered << " calls during " << changes * 5 << " schema changes, "
            << wrong << " wrong\n";
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(changes, 3);
  EXPECT_GT(answered, 100);
}

TEST(SchemaChangeTest, AParameterThatChangesItsTypeIsServedOnTheSameConnection) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1"});
  fixture.Psql("create table t (id int, label text); insert into t values (1, 'one')");
  EXPECT_EQ(fixture.client.Query("select label from t where id = $1", 1).Scalar(), "one");
  fixture.Psql("alter table t alter column id type text");
  EXPECT_EQ(fixture.client.Query("select label from t where id = $1", "1").Scalar(), "one");
  fixture.Psql(
      "drop table t; create table t (id uuid, label int); "
      "insert into t values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 5)");
  EXPECT_EQ(fixture.client
                .Query("select label from t where id = $1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
                .Scalar(),
            "5");
}

TEST(QueryOptionsTest, MaxRowsKeepsTheFirstRowsAndSaysThatThereWereMore) {
  PostgresSidecar fixture;
  v1::QueryRequest request = MakeQuery("select generate_series(1, 100)");
  request.set_max_rows(10);
  const QueryOutcome cut = fixture.client.Run(request);
  ASSERT_TRUE(cut.ok()) << cut;
  EXPECT_EQ(cut.result().row_count(), 10u);
  EXPECT_TRUE(cut.result().truncated());
  EXPECT_EQ(cut.Cell(9, 0), "10");
  request.set_max_rows(100);
  const QueryOutcome whole = fixture.client.Run(request);
  EXPECT_EQ(whole.result().row_count(), 100u);
  EXPECT_FALSE(whole.result().truncated());
}

TEST(QueryOptionsTest, TheConfiguredRowLimitRefusesALargerResult) {
  PostgresSidecar fixture({"--result-rows-max=10"});
  const QueryOutcome outcome = fixture.client.Query("select generate_series(1, 11)");
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << outcome;
  EXPECT_NE(outcome.status.error_message().find("QueryStream"), std::string::npos) << outcome;
  EXPECT_TRUE(fixture.client.Query("select generate_series(1, 10)").ok());
}

TEST(QueryOptionsTest, ReadOnlyIsEnforced) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (id int)");
  v1::QueryRequest request = MakeQuery("insert into t values (1)");
  request.set_read_only(true);
  const QueryOutcome refused = fixture.client.Run(request);
  EXPECT_EQ(CodeAndSqlstate(refused), "FAILED_PRECONDITION 25006") << refused;
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "0");
  request.set_sql("select 5");
  EXPECT_EQ(fixture.client.Run(request).Scalar(), "5");
  EXPECT_TRUE(fixture.client.Query("insert into t values (1)").ok());
}

TEST(QueryOptionsTest, TimingsAreToldOnRequestAndFitIntoTheCall) {
  PostgresSidecar fixture;
  v1::QueryRequest request = MakeQuery("select pg_sleep(0.2)");
  EXPECT_FALSE(fixture.client.Run(request).response.has_timing());
  request.set_want_timing(true);
  const QueryOutcome outcome = fixture.client.Run(request);
  ASSERT_TRUE(outcome.ok()) << outcome;
  const v1::Timing& timing = outcome.response.timing();
  EXPECT_GE(timing.execute_nanos(), 200'000'000u);
  EXPECT_LE(timing.queue_nanos() + timing.execute_nanos() + timing.encode_nanos(),
            static_cast<uint64_t>(outcome.took.count()));
}

TEST(QueryOptionsTest, NoticesComeWithTheAnswer) {
  PostgresSidecar fixture;
  const QueryOutcome outcome =
      fixture.client.Query("do $$ begin raise notice 'first %', 1; raise warning 'second'; end $$");
  ASSERT_TRUE(outcome.ok()) << outcome;
  ASSERT_EQ(outcome.response.notices_size(), 2);
  EXPECT_EQ(outcome.response.notices(0).severity(), "NOTICE");
  EXPECT_EQ(outcome.response.notices(0).message(), "first 1");
  EXPECT_EQ(outcome.response.notices(1).severity(), "WARNING");
}

TEST(QueryOptionsTest, AnUnknownPoolIsNotFound) {
  PostgresSidecar fixture;
  v1::QueryRequest request = MakeQuery("select 1");
  request.set_pool("no such pool");
  EXPECT_EQ(fixture.client.Run(request).status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(QueryOptionsTest, AUnixSocketServesTheSame) {
  PostgresSidecar fixture({}, /*unix_socket=*/true);
  EXPECT_EQ(fixture.client.Query("select $1::int + 1", 41).Scalar(), "42");
}

TEST(QueryOptionsTest, APasswordOverTcpServesTheSame) {
  PostgresServer& server = PostgresServer::Shared();
  SidecarProcess sidecar({.database_url = server.TcpUrl(), .flags = {}, .environment = {}});
  EXPECT_EQ(QueryClient(sidecar.NewChannel()).Query("select current_user").Scalar(), "app");
  EXPECT_EQ(sidecar.Log().find("correct"), std::string::npos) << "the password is in the log";
}

}  // namespace
}  // namespace dbsidecar::integration
