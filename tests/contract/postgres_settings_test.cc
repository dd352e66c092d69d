// Settings for one call on PostgreSQL: what they reach, and that nobody else ever sees them.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"
#include "tests/support/postgres_server.h"

namespace dbsidecar::contract {
namespace {

using pool::CallSettings;
using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kAll[] =
    "select concat_ws('|', current_user, current_setting('search_path'), "
    "current_setting('TimeZone'), current_setting('application_name'), "
    "current_setting('statement_timeout'), current_setting('lock_timeout'))";

class PostgresSettings : public PostgresTest {
 protected:
  PostgresSettings() {
    Psql(
        "create schema one; create schema two;"
        "create table one.t as select 'one'::text as x; create table two.t as select 2 as x;"
        "do $$ begin create role contract_reader; exception when duplicate_object then end $$;"
        "grant usage on schema one, two to contract_reader;"
        "grant select on one.t to contract_reader");
  }

  // One connection, so that whoever comes next sees what is left on it.
  std::unique_ptr<RunningPool> NewPoolOfOne() {
    auto pool = NewPool(1);
    EXPECT_TRUE(pool->AwaitWarm());
    before_ = pool->Text(kAll);
    pid_ = pool->Text("select pg_backend_pid()");
    return pool;
  }
  // On the very connection on which the others were.
  void ExpectNothingIsLeft(RunningPool& pool) {
    EXPECT_EQ(pool.Text(kAll), before_);
    EXPECT_EQ(pool.Text("select pg_backend_pid()"), pid_);
  }

  static Outcome Run(RunningPool& pool, const std::string& sql, const CallSettings& settings,
                     const SessionUse& use = {}) {
    TestCall call(sql);
    call.statement.settings = settings;
    call.session = use;
    pool.Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  static SessionUse Use(SessionUse::Kind kind, const std::string& token = "") {
    SessionUse use;
    use.kind = kind;
    use.token = token;
    return use;
  }
  static CallSettings Everything() {
    return {.role = "contract_reader",
            .search_path = "two, one",
            .time_zone = "Asia/Tokyo",
            .application_name = "a call's",
            .statement_timeout = milliseconds(1500),
            .lock_timeout = milliseconds(700)};
  }
  static constexpr char kEverything[] = "contract_reader|two, one|Asia/Tokyo|a call's|1500ms|700ms";

  std::string before_;
  std::string pid_;
};

TEST_F(PostgresSettings, AreThoseOfTheirCallAlone) {
  const auto pool = NewPoolOfOne();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Rows(Run(*pool, kAll, Everything())), kEverything);
    ExpectNothingIsLeft(*pool);
  }
}

TEST_F(PostgresSettings, EndWithAStatementThatFails) {
  const auto pool = NewPoolOfOne();
  EXPECT_EQ(SqlState(Run(*pool, "select 1 / 0", Everything())), "22012");
  ExpectNothingIsLeft(*pool);
  EXPECT_EQ(SqlState(Run(*pool, "select nothing", Everything())), "42703");
  ExpectNothingIsLeft(*pool);
  EXPECT_EQ(SqlState(Run(*pool, "insert into two.t values (3)", Everything())), "42501");
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, EndWithAStatementThatIsCancelled) {
  const auto pool = NewPoolOfOne();
  TestCall call("select pg_sleep(60)");
  call.statement.settings = Everything();
  pool->Start(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(60)"));
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  call.AwaitDone();
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, EndWithAStatementWhoseDeadlinePasses) {
  const auto pool = NewPoolOfOne();
  TestCall call("select pg_sleep(60)");
  call.statement.settings = Everything();
  call.deadline = pool::Clock::now() + milliseconds(100);
  pool->Submit(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kDeadline);
  call.AwaitDone();
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, ThatAreWrongFailTheirCallWithoutRunningIt) {
  const auto pool = NewPoolOfOne();
  const std::string insert = "insert into two.t values (3)";
  const Outcome role = Run(*pool, insert, {.role = "nobody_by_this_name"});
  EXPECT_EQ(SqlState(role), "22023");
  EXPECT_EQ(role.error->sql.position, 0);
  EXPECT_EQ(SqlState(Run(*pool, insert, {.time_zone = "Mars/Olympus"})), "22023");
  EXPECT_EQ(SqlState(Run(*pool, insert, {.search_path = "one,,two"})), "22023");
  const std::string_view nul("a\0b", 3);
  EXPECT_EQ(KindOf(Run(*pool, insert, {.role = nul})), ErrorKind::kInvalidArgument);
  EXPECT_EQ(pool->Text("select count(*) from two.t"), "1");
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, ARoleThatTheUserMayNotHaveIsRefused) {
  // Not the superuser, but `app`.
  config_.url = test_support::PostgresServer::Shared().TcpUrl(database_);
  const auto pool = NewPoolOfOne();
  EXPECT_EQ(SqlState(Run(*pool, "select 1", {.role = "contract_reader"})), "42501");
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, AreTakenAsValuesWhateverIsInThem) {
  const auto pool = NewPoolOfOne();
  const CallSettings settings{.application_name = "'); drop table one.t; --"};
  EXPECT_EQ(Rows(Run(*pool, "select current_setting('application_name')", settings)),
            "'); drop table one.t; --");
  EXPECT_EQ(pool->Text("select count(*) from one.t"), "1");
}

TEST_F(PostgresSettings, APreparedStatementIsNotRunUnderOtherSettings) {
  const auto pool = NewPoolOfOne();
  // A constant's value is found when a statement is prepared.
  const std::string sql = "select x, '2020-01-01 00:00'::timestamptz at time zone 'UTC' from t";
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Rows(Run(*pool, sql, {.search_path = "one", .time_zone = "Asia/Tokyo"})),
              "one,2019-12-31 15:00:00");
    EXPECT_EQ(Rows(Run(*pool, sql, {.search_path = "two", .time_zone = "UTC"})),
              "2,2020-01-01 00:00:00");
    EXPECT_EQ(SqlState(pool->Run(sql)), "42P01");
  }
  // Under each of them it is prepared once.
  EXPECT_EQ(pool->Text("select count(*) from pg_prepared_statements where statement like "
                       "'select x, %'"),
            "2");
}

TEST_F(PostgresSettings, StayForTheTransactionThatTheyBegin) {
  const auto pool = NewPoolOfOne();
  const Outcome begun = Run(*pool, kAll, Everything(), Use(SessionUse::Kind::kBegin));
  EXPECT_EQ(Rows(begun), kEverything);
  EXPECT_EQ(Rows(Run(*pool, kAll, {}, Use(SessionUse::Kind::kContinue, begun.session))),
            kEverything);
  SessionUse end = Use(SessionUse::Kind::kEnd, begun.session);
  EXPECT_FALSE(Run(*pool, "", {}, end).error);
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, OfACallInATransactionEndWithTheTransaction) {
  const auto pool = NewPoolOfOne();
  const Outcome begun = Run(*pool, "select x from one.t", {}, Use(SessionUse::Kind::kBegin));
  const SessionUse in = Use(SessionUse::Kind::kContinue, begun.session);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Rows(Run(*pool, "select x from t", {.search_path = "one"}, in)), "one");
    EXPECT_EQ(Rows(Run(*pool, "select x from t", {.search_path = "two"}, in)), "2");
  }
  SessionUse last = in;
  last.commit = true;
  EXPECT_EQ(Rows(Run(*pool, "select x from t", {}, last)), "2");
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, StayForThePinnedSessionThatTheyOpen) {
  const auto pool = NewPoolOfOne();
  const Outcome pinned = Run(*pool, kAll, Everything(), Use(SessionUse::Kind::kPin));
  EXPECT_EQ(Rows(pinned), kEverything);
  const SessionUse in = Use(SessionUse::Kind::kContinue, pinned.session);
  EXPECT_EQ(Rows(Run(*pool, kAll, {}, in)), kEverything);
  // Outside a transaction those of one call are gone after it.
  EXPECT_EQ(Rows(Run(*pool, "show application_name", {.application_name = "other"}, in)), "other");
  EXPECT_EQ(Rows(Run(*pool, kAll, {}, in)), kEverything);
  SessionUse end = Use(SessionUse::Kind::kEnd, pinned.session);
  end.end = SessionUse::End::kRelease;
  EXPECT_FALSE(Run(*pool, "", {}, end).error);
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, OfAPinThatFailsAreGone) {
  const auto pool = NewPoolOfOne();
  EXPECT_EQ(SqlState(Run(*pool, "select 1 / 0", Everything(), Use(SessionUse::Kind::kPin))),
            "22012");
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, ComeAfterABeginThatIsSentAsSql) {
  const auto pool = NewPoolOfOne();
  SessionUse use;
  use.auto_pin = true;
  // Refused by the database after any query in the same transaction.
  const Outcome begun =
      Run(*pool, "begin isolation level serializable", {.search_path = "two"}, use);
  ASSERT_FALSE(begun.error) << ErrorText(begun);
  EXPECT_EQ(begun.transaction_status, TransactionStatus::kInTransaction);
  const SessionUse in = Use(SessionUse::Kind::kContinue, begun.session);
  EXPECT_EQ(Rows(Run(*pool, "select x, current_setting('transaction_isolation') from t", {}, in)),
            "2,serializable");
  EXPECT_FALSE(Run(*pool, "rollback", {}, in).error);
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, AreRefusedForWhatMayCommitByItself) {
  Psql("create procedure p() language plpgsql as $$ begin commit; end $$");
  const auto pool = NewPoolOfOne();
  for (const char* sql : {"vacuum one.t", "call p()", "do $$ begin commit; end $$",
                          "create index concurrently i on one.t (x)"}) {
    EXPECT_EQ(KindOf(Run(*pool, sql, {.role = "contract_reader"})), ErrorKind::kInvalidArgument)
        << sql;
  }
}

TEST_F(PostgresSettings, TheStatementTimeoutCanOnlyBeLowered) {
  config_.statement_timeout = milliseconds(400);
  const auto pool = NewPoolOfOne();
  const std::string sql = "select current_setting('statement_timeout')";
  EXPECT_EQ(Rows(Run(*pool, sql, {.statement_timeout = seconds(90)})), "400ms");
  EXPECT_EQ(Rows(Run(*pool, sql, {.statement_timeout = milliseconds(50)})), "50ms");
  EXPECT_EQ(Rows(Run(*pool, sql, {.statement_timeout = std::chrono::microseconds(1)})), "1ms");
  const auto before = pool::Clock::now();
  const Outcome stopped =
      Run(*pool, "select pg_sleep(20)", {.statement_timeout = milliseconds(50)});
  EXPECT_EQ(SqlState(stopped), "57014");
  EXPECT_EQ(KindOf(stopped), ErrorKind::kDatabase);
  EXPECT_LT(pool::Clock::now() - before, milliseconds(300));
  EXPECT_EQ(pool->Text(sql), "400ms");
}

TEST_F(PostgresSettings, TheStatementTimeoutHoldsWhereNoneIsConfigured) {
  config_.statement_timeout = pool::Duration::zero();
  const auto pool = NewPoolOfOne();
  EXPECT_EQ(SqlState(Run(*pool, "select pg_sleep(20)", {.statement_timeout = milliseconds(50)})),
            "57014");
  ExpectNothingIsLeft(*pool);
}

TEST_F(PostgresSettings, TheLockTimeoutEndsAWaitForALock) {
  const auto pool = NewPool(2);
  SessionUse begin = Use(SessionUse::Kind::kBegin);
  const Outcome holder = Run(*pool, "lock table one.t", {}, begin);
  ASSERT_FALSE(holder.error) << ErrorText(holder);
  EXPECT_EQ(SqlState(Run(*pool, "select x from one.t", {.lock_timeout = milliseconds(50)})),
            "55P03");
}

TEST_F(PostgresSettings, AReadWithSettingsSharesItsTransactionWithNoOther) {
  const auto pool = NewPoolOfOne();
  std::vector<std::unique_ptr<TestCall>> calls;
  std::vector<TestCall*> together;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(std::make_unique<TestCall>("select current_setting('TimeZone')"));
    calls.back()->statement.read_only = true;
    if (i % 2 == 1) calls.back()->statement.settings.time_zone = "Asia/Tokyo";
    together.push_back(calls.back().get());
  }
  const std::string plain = pool->Text("select current_setting('TimeZone')");
  for (int round = 0; round < 3; ++round) {
    for (auto& call : calls) {
      auto again = std::make_unique<TestCall>("select current_setting('TimeZone')");
      again->statement.read_only = true;
      again->statement.settings = call->statement.settings;
      if (round > 0) call = std::move(again);
    }
    together.clear();
    for (auto& call : calls) together.push_back(call.get());
    pool->SubmitTogether(together);
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(calls[i]->AwaitText(), i % 2 == 1 ? "Asia/Tokyo" : plain);
      calls[i]->AwaitDone();
    }
  }
}

}  // namespace
}  // namespace dbsidecar::contract
