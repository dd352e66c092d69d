// Nothing of a session is seen by whoever gets its connection next: a thousand sessions that leave
// behind all that PostgreSQL keeps for a session, and end in every way there is, while others look.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

constexpr int kSessions = 1000;
constexpr int kCallers = 8;
constexpr int kLookers = 3;

// Each leaves something behind; $ stands for a number.
constexpr auto kDirt = std::to_array<const char*>({
    "set work_mem = '1MB'",
    "set search_path = leaked",
    "set time zone 'Asia/Tokyo'",
    "set statement_timeout = '1234ms'",
    "set default_transaction_isolation = 'serializable'",
    "set application_name = 'leaked'",
    "set role leaker",
    "set session authorization leaker",
    "select set_config('leaked.by_function', '$', false)",
    "do $$ begin perform set_config('leaked.by_block', '1', false); end $$",
    "select leak()",
    "create temporary table leaked_$ (i int)",
    "create temporary view leaked_view_$ as select 1",
    "create function pg_temp.leaked_$() returns int language sql as 'select 1'",
    "create temporary sequence leaked_seq_$",
    "select nextval('counter')",
    "select pg_advisory_lock_shared($)",
    "select pg_try_advisory_lock($)",
    "prepare leaked_$ as select 1",
    "listen leaked_$",
    "declare leaked_$ cursor with hold for select 1",
    "discard all",
    "select 1 / 0",
});

// What a session is not to find, by name; empty = clean.
constexpr const char* kLook = R"(
select concat_ws(' ',
  (select 'settings ' || string_agg(name, ',') from pg_settings
     where source = 'session' and name <> 'transaction_read_only'),
  (select 'temporary ' || string_agg(relname, ',') from pg_class
     where relnamespace = pg_my_temp_schema()),
  (select 'functions ' || string_agg(proname, ',') from pg_proc
     where pronamespace = pg_my_temp_schema()),
  (select 'prepared ' || string_agg(name, ',') from pg_prepared_statements
     where name not like 'dbsidecar%'),
  (select 'cursors ' || string_agg(name, ',') from pg_cursors where name <> ''),
  (select 'channels ' || string_agg(c, ',') from pg_listening_channels() c),
  (select 'locks ' || count(*) from pg_locks
     where locktype = 'advisory' and pid = pg_backend_pid() having count(*) > 0),
  case when current_user <> 'postgres' or session_user <> 'postgres'
     then 'user ' || current_user || ' ' || session_user end,
  'by_function ' || nullif(current_setting('leaked.by_function', true), ''),
  'by_block ' || nullif(current_setting('leaked.by_block', true), ''),
  'by_routine ' || nullif(current_setting('leaked.by_routine', true), '')))";

void MakeRoomForDirt(PostgresSidecar& fixture) {
  fixture.Psql(
      "create schema leaked; create sequence counter;"
      "do $$ begin create role leaker; exception when duplicate_object then null; end $$;"
      "grant all on sequence counter to leaker;"
      "create function leak() returns void language sql as"
      " $$ select set_config('leaked.by_routine', '1', false) $$");
}

bool AllSessionsEnd(QueryClient& client) {
  return Eventually(5s, [&] {
    v1::MetricsResponse metrics;
    grpc::ClientContext context;
    client.stub().Metrics(&context, {}, &metrics);
    return metrics.pools_size() == 1 && metrics.pools(0).sessions() == 0 &&
           metrics.pools(0).resetting() == 0;
  });
}

class LeakTest : public testing::Test {
 protected:
  LeakTest() { MakeRoomForDirt(fixture_); }

  std::string Look(QueryClient& client) { return client.Query(kLook).Scalar(); }

  PostgresSidecar fixture_{{"--max-connections=6", "--session-idle-timeout=300ms"}};
};

// One who makes sessions dirty.
class Dirtier {
 public:
  Dirtier(const PostgresSidecar& fixture, int number)
      : client_(fixture.sidecar.NewChannel()), random_(static_cast<unsigned>(number)) {}

  // Ends as it comes: by the caller, by time, by a broken stream, or by the server.
  void DirtyASession() {
    v1::QueryRequest opening = Dirt();
    if (Random(2) == 0) {
      opening.mutable_session()->mutable_pin();
    } else {
      opening.mutable_session()->mutable_begin();
    }
    const int end = Random(6);
    if (end == 0) return DirtyOnAStream(opening);
    const QueryOutcome opened = client_.Run(opening);
    const std::string token = opened.response.session();
    if (token.empty()) return;
    ++sessions;
    for (int i = Random(4); i > 0; --i) {
      v1::QueryRequest more = Dirt();
      more.mutable_session()->set_session(token);
      client_.Run(more);
    }
    switch (end) {
      case 1:
        return;  // Its time runs out.
      case 2:
        Kill(token);
        return;
      case 3:
        End(token, v1::SESSION_END_COMMIT);
        return;
      case 4:
        End(token, v1::SESSION_END_ROLLBACK);
        return;
      default:
        if (!End(token, v1::SESSION_END_RELEASE)) End(token, v1::SESSION_END_ROLLBACK);
    }
  }

  int sessions = 0;

 private:
  int Random(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  v1::QueryRequest Dirt() {
    std::string sql = kDirt[static_cast<size_t>(Random(kDirt.size()))];
    if (!sql.starts_with("do ")) {
      const size_t at = sql.find('$');
      if (at != std::string::npos) sql.replace(at, 1, std::to_string(Random(1000)));
    }
    return MakeQuery(sql);
  }

  void DirtyOnAStream(const v1::QueryRequest& opening) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    const auto stream = client_.stub().Pipeline(&context);
    v1::PipelineRequest frame;
    v1::Call& call = *frame.add_calls();
    call.set_id(1);
    *call.mutable_query() = opening;
    stream->Write(frame);
    v1::PipelineResponse reply;
    if (stream->Read(&reply) && !reply.replies(0).response().session().empty()) ++sessions;
    context.TryCancel();
    stream->Finish();
  }

  void Kill(const std::string& token) {
    v1::QueryRequest suicide = MakeQuery("select pg_terminate_backend(pg_backend_pid())");
    suicide.mutable_session()->set_session(token);
    client_.Run(suicide);
  }

  bool End(const std::string& token, v1::SessionEnd end) {
    v1::EndSessionRequest request;
    request.set_session(token);
    request.set_end(end);
    v1::EndSessionResponse response;
    grpc::ClientContext context;
    return client_.stub().EndSession(&context, request, &response).ok();
  }

  QueryClient client_;
  std::mt19937 random_;
};

TEST_F(LeakTest, TheLookFindsWhatEveryKindOfDirtLeavesInItsOwnSession) {
  for (const char* dirt : kDirt) {
    const std::string text = dirt;
    // These leave nothing that a look finds.
    if (text == "discard all" || text == "select 1 / 0" ||
        text.find("nextval") != std::string::npos) {
      continue;
    }
    std::string sql = text;
    const size_t at = sql.find('$');
    if (!text.starts_with("do ") && at != std::string::npos) sql.replace(at, 1, "7");
    v1::QueryRequest pin = MakeQuery(sql);
    pin.mutable_session()->mutable_pin();
    const QueryOutcome opened = fixture_.client.Run(pin);
    ASSERT_TRUE(opened.ok()) << sql << ": " << opened;
    v1::QueryRequest look = MakeQuery(kLook);
    look.mutable_session()->set_session(opened.response.session());
    EXPECT_NE(fixture_.client.Run(look).Scalar(), "") << sql;
    v1::EndSessionRequest end;
    end.set_session(opened.response.session());
    end.set_end(v1::SESSION_END_RELEASE);
    v1::EndSessionResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(fixture_.client.stub().EndSession(&context, end, &response).ok());
    EXPECT_EQ(Look(fixture_.client), "") << sql;
  }
}

TEST_F(LeakTest, NobodyFindsWhatAThousandSessionsHaveLeft) {
  std::atomic<int> left = kSessions;
  std::atomic<int> sessions = 0;
  std::atomic<int> looks = 0;
  std::mutex mutex;
  std::set<std::string> found;
  std::vector<std::thread> threads;
  for (int i = 0; i < kCallers; ++i) {
    threads.emplace_back([&, i] {
      Dirtier dirtier(fixture_, i);
      while (left.fetch_sub(1) > 0) dirtier.DirtyASession();
      sessions += dirtier.sessions;
    });
  }
  for (int i = 0; i < kLookers; ++i) {
    threads.emplace_back([&, i] {
      QueryClient client(fixture_.sidecar.NewChannel());
      while (left > 0) {
        v1::QueryRequest look = MakeQuery(kLook);
        look.set_read_only(i == 0);  // Another way through the sidecar.
        const QueryOutcome outcome = client.Run(look);
        if (!outcome.ok()) continue;
        ++looks;
        if (outcome.Scalar().empty()) continue;
        const std::lock_guard lock(mutex);
        found.insert(outcome.Scalar());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Those whose time is not up yet.
  ASSERT_TRUE(AllSessionsEnd(fixture_.client));
  for (int i = 0; i < 50; ++i) {
    if (const std::string seen = Look(fixture_.client); !seen.empty()) found.insert(seen);
  }
  for (const std::string& seen : found) ADD_FAILURE() << "seen by others: " << seen;
  EXPECT_EQ(fixture_.Psql("select count(*) from pg_locks where locktype = 'advisory' and database ="
                          " (select oid from pg_database where datname = current_database())"),
            "0");
  fmt::print("{} sessions, {} looks\n", sessions.load(), looks.load());
  EXPECT_GT(sessions, kSessions / 2);
  EXPECT_GT(looks, 100);
}

// What a session was taken for by its statements is what it was.
TEST(LeakAuditTest, WhatSessionsLeaveIsNamedAndNoneLeavesWhatWasNotExpected) {
  PostgresSidecar fixture(
      {"--max-connections=4", "--session-idle-timeout=300ms", "--session-audit"});
  MakeRoomForDirt(fixture);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&fixture, i] {
      Dirtier dirtier(fixture, 1000 + i);
      for (int session = 0; session < 50; ++session) dirtier.DirtyASession();
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(AllSessionsEnd(fixture.client));
  const std::string log = fixture.sidecar.Log();
  for (const char* named : {"session.left_behind", "setting work_mem", "temporary table leaked_",
                            "advisory lock ", "prepared statement leaked_", "channel leaked_"}) {
    EXPECT_NE(log.find(named), std::string::npos) << named;
  }
  const size_t leak = log.find("session.leak");
  EXPECT_EQ(leak, std::string::npos) << log.substr(leak, 500);
}

// The same hunt on SQLite. What a session can change it changes on the connection that writes, so
// that is where others look, in sessions of their own.
constexpr auto kSqliteDirt = std::to_array<const char*>({
    "pragma foreign_keys = off",
    "pragma recursive_triggers = on",
    "pragma cache_size = 77",
    "pragma reverse_unordered_selects = on",
    "pragma ignore_check_constraints = on",
    "pragma query_only = on",
    "pragma case_sensitive_like = on",
    "create temporary table leaked (i)",
    "create temporary view leaked_view as select 1",
    "create temporary trigger leaked_trigger after insert on t begin delete from t; end",
    "insert into t values (1)",
    "savepoint leaked",
    "select * from nothing",
});

constexpr const char* kSqliteLook = R"(
select (select ifnull(group_concat(name), '') from sqlite_temp_schema) || ' ' ||
  (select foreign_keys from pragma_foreign_keys) || (select cache_size from pragma_cache_size) ||
  (select recursive_triggers from pragma_recursive_triggers) ||
  (select reverse_unordered_selects from pragma_reverse_unordered_selects) ||
  (select ignore_check_constraints from pragma_ignore_check_constraints) ||
  (select query_only from pragma_query_only) || ('a' like 'A') ||
  ' ' || (select count(*) from t))";

class SqliteLeakTest : public testing::Test {
 protected:
  SqliteLeakTest() { EXPECT_TRUE(client_.Query("create table t (i)").ok()); }

  // In a session of its own, which comes after whoever has the connection.
  std::string Look(QueryClient& client) {
    v1::QueryRequest look = MakeQuery(kSqliteLook);
    look.mutable_session()->mutable_pin();
    const QueryOutcome outcome = client.Run(look);
    End(client, outcome.response.session(), v1::SESSION_END_ROLLBACK);
    return outcome.Scalar();
  }
  static void End(QueryClient& client, const std::string& token, v1::SessionEnd end) {
    if (token.empty()) return;
    v1::EndSessionRequest request;
    request.set_session(token);
    request.set_end(end);
    v1::EndSessionResponse response;
    grpc::ClientContext context;
    client.stub().EndSession(&context, request, &response);
  }

  const std::string folder_ = test_support::MakeTemporaryFolder("leaks");
  SidecarProcess sidecar_{{.database_url = "sqlite:" + folder_ + "/leaks.db",
                           .flags = {"--session-idle-timeout=300ms", "--wait-timeout=20s"},
                           .environment = {}}};
  QueryClient client_{sidecar_.NewChannel()};
};

TEST_F(SqliteLeakTest, TheLookFindsDirtInItsOwnSession) {
  const std::string clean = Look(client_);
  int seen = 0;
  for (const char* dirt : kSqliteDirt) {
    v1::QueryRequest pin = MakeQuery(dirt);
    pin.mutable_session()->mutable_pin();
    const QueryOutcome opened = client_.Run(pin);
    if (!opened.ok()) continue;
    v1::QueryRequest look = MakeQuery(kSqliteLook);
    look.mutable_session()->set_session(opened.response.session());
    if (client_.Run(look).Scalar() != clean) ++seen;
    End(client_, opened.response.session(), v1::SESSION_END_ROLLBACK);
    client_.Query("delete from t");
    EXPECT_EQ(Look(client_), clean) << dirt;
  }
  // All but the savepoint and the statement that fails.
  EXPECT_EQ(seen, static_cast<int>(kSqliteDirt.size()) - 2);
}

TEST_F(SqliteLeakTest, NobodyFindsWhatSessionsHaveLeft) {
  const std::string clean = Look(client_);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      QueryClient client(sidecar_.NewChannel());
      std::mt19937 random(static_cast<unsigned>(i));
      for (int session = 0; session < 75; ++session) {
        v1::QueryRequest request = MakeQuery(kSqliteDirt[random() % kSqliteDirt.size()]);
        request.mutable_session()->mutable_pin();
        const std::string token = client.Run(request).response.session();
        for (unsigned more = random() % 4; !token.empty() && more > 0; --more) {
          request = MakeQuery(kSqliteDirt[random() % kSqliteDirt.size()]);
          request.mutable_session()->set_session(token);
          client.Run(request);
        }
        // One in ten is left to its idle limit.
        if (random() % 10 != 0) End(client, token, v1::SESSION_END_ROLLBACK);
      }
    });
  }
  std::set<std::string> found;
  for (int look = 0; look < 50; ++look) found.insert(Look(client_));
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(AllSessionsEnd(client_));
  found.insert(Look(client_));
  // Only rows, which are the database's, may have changed.
  for (const std::string& seen : found) {
    EXPECT_EQ(seen.substr(0, seen.rfind(' ')), clean.substr(0, clean.rfind(' '))) << seen;
  }
}

// Who holds a connection for long is named: first in the log, then to whoever comes back.
TEST(LeakReportTest, ASessionThatIsHeldForLongIsNamedAndThenRolledBack) {
  PostgresSidecar fixture({"--session-warn-after=200ms", "--session-idle-timeout=600ms"});
  v1::QueryRequest begin = MakeQuery("select 4711 as secret");
  begin.mutable_session()->mutable_begin();
  (*begin.mutable_tags())["caller"] = "billing";
  const std::string token = fixture.client.Run(begin).response.session();
  ASSERT_FALSE(token.empty());
  const auto log_has = [&](const std::string& text) {
    return fixture.sidecar.Log().find(text) != std::string::npos;
  };
  EXPECT_TRUE(Eventually(2s, [&] { return log_has("session.held caller=billing"); }));
  EXPECT_FALSE(log_has("session.revoked"));
  EXPECT_TRUE(Eventually(2s, [&] { return log_has("session.revoked caller=billing"); }));
  EXPECT_TRUE(log_has("transaction=in_transaction"));
  EXPECT_TRUE(log_has("reason=idle_timeout"));
  EXPECT_FALSE(log_has("fingerprint=\"\""));
  EXPECT_FALSE(log_has("4711")) << "no SQL in the log";
  EXPECT_FALSE(log_has(token)) << "nor what gives access";
  v1::QueryRequest next = MakeQuery("select 1");
  next.mutable_session()->set_session(token);
  const QueryOutcome late = fixture.client.Run(next);
  EXPECT_EQ(late.reason, "SESSION_NOT_FOUND");
  EXPECT_NE(late.status.error_message().find("rolled back: no call came for 0.6 s"),
            std::string::npos)
      << late;
}

}  // namespace
}  // namespace dbsidecar::integration
