// Scripts on PostgreSQL: texts with any number of statements, outside pipeline mode.
#include <fmt/format.h>

#include <string>

#include "tests/contract/database.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TransactionStatus;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PostgresScript : public PostgresTest {
 protected:
  PostgresScript() { Psql("create table t (id int primary key)"); }

  struct Options {
    bool separate = false;
    SessionUse session = {};
    pool::ResultLimits limits = {};
    pool::CallSettings settings = {};
    pool::Duration time = seconds(30);
  };
  static Outcome Run(RunningPool& pool, const std::string& sql, const Options& options) {
    TestCall call(sql);
    call.statement.form = pool::StatementForm::kScript;
    call.statement.separate_transactions = options.separate;
    call.statement.limits = options.limits;
    call.session = options.session;
    call.statement.settings = options.settings;
    call.deadline = pool::Clock::now() + options.time;
    pool.Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  static Outcome Run(RunningPool& pool, const std::string& sql) { return Run(pool, sql, {}); }
  static std::string Tags(const Outcome& outcome) {
    if (outcome.error) return ErrorText(outcome);
    std::string tags;
    for (const pool::Result& result : outcome.results) tags += result.command_tag + ";";
    return tags;
  }
  static SessionUse Use(SessionUse::Kind kind, std::string_view token = "") {
    SessionUse use;
    use.kind = kind;
    use.token = token;
    return use;
  }
  std::string Count() const { return Psql("select count(*) from t"); }
};

TEST_F(PostgresScript, AnErrorUndoesAllAndSaysWhere) {
  const auto pool = NewPool(1);
  const Outcome outcome = Run(*pool, "insert into t values (1); -- \u00e4\nselect 1; selec 2");
  EXPECT_EQ(SqlState(outcome), "42601");
  const Outcome failed =
      Run(*pool, "insert into t values (1); select '\u00e4'; select * from no_table");
  EXPECT_EQ(SqlState(failed), "42P01");
  ASSERT_TRUE(failed.error->place);
  EXPECT_EQ(failed.error->place->part, "statement");
  EXPECT_EQ(failed.error->place->index, 2u);
  EXPECT_EQ(failed.error->sql.position, 53);
  EXPECT_EQ(Count(), "0");
  const Outcome late = Run(*pool, "insert into t values (1); insert into t values (2), (2)");
  EXPECT_EQ(SqlState(late), "23505");
  EXPECT_EQ(late.error->place->index, 1u);
  EXPECT_EQ(late.error->sql.constraint, "t_pkey");
  EXPECT_EQ(Count(), "0");
}

TEST_F(PostgresScript, SeparateTransactionsStopAtTheFirstErrorAndKeepWhatWasBefore) {
  const auto pool = NewPool(1);
  Options separate;
  separate.separate = true;
  EXPECT_EQ(Tags(Run(*pool,
                     "insert into t values (1); vacuum t; create index concurrently i on t "
                     "(id); analyze t",
                     separate)),
            "INSERT 0 1;VACUUM;CREATE INDEX;ANALYZE;");
  const Outcome failed =
      Run(*pool,
          "insert into t values (2); select '\u00e4'; select no_column; insert into t values (3)",
          separate);
  EXPECT_EQ(SqlState(failed), "42703");
  EXPECT_EQ(failed.error->place->index, 2u);
  EXPECT_EQ(failed.error->sql.position, 46);
  EXPECT_EQ(Psql("select string_agg(id::text, ',') from t"), "1,2");
  EXPECT_EQ(SqlState(Run(*pool, "vacuum t; select 1")), "25001");
  EXPECT_EQ(Tags(Run(*pool, "", separate)), "");
}

TEST_F(PostgresScript, WhatItSetsIsNotSeenByTheNext) {
  const auto pool = NewPool(1);
  EXPECT_EQ(Tags(Run(*pool,
                     "set application_name = 'left behind'; create temp table left_behind ();"
                     "select pg_advisory_lock(5); listen x; prepare p as select 1")),
            "SET;CREATE TABLE;SELECT 1;LISTEN;PREPARE;");
  EXPECT_NE(pool->Text("select current_setting('application_name')"), "left behind");
  EXPECT_EQ(pool->Text("select count(*) from pg_class where relname = 'left_behind'"), "0");
  EXPECT_EQ(pool->Text("select count(*) from pg_locks where locktype = 'advisory'"), "0");
}

TEST_F(PostgresScript, SettingsHoldForOneScriptAlone) {
  Psql("create role other; create schema apart; create table apart.t (own int)");
  Psql("grant usage on schema apart to other");
  const auto pool = NewPool(1);
  Options options;
  options.settings = {.role = "other", .search_path = "apart", .time_zone = "Asia/Tokyo"};
  for (const bool separate : {false, true}) {
    options.separate = separate;
    const Outcome outcome =
        Run(*pool, "select current_user; select current_setting('TimeZone'); select 't'::regclass",
            options);
    ASSERT_EQ(outcome.results.size(), 3u) << ErrorText(outcome);
    EXPECT_EQ(CellText(outcome.results[0], 0, 0), "other");
    EXPECT_EQ(CellText(outcome.results[1], 0, 0), "Asia/Tokyo");
    EXPECT_EQ(pool->Text("select current_user <> 'other'"), "t");
    EXPECT_EQ(pool->Text("select current_setting('TimeZone') <> 'Asia/Tokyo'"), "t");
    EXPECT_EQ(pool->Text("select count(*) from t where id = 0"), "0") << "the other table t";
  }
  options.separate = false;
  options.settings = {.time_zone = "Asia/Tokyo"};
  options.session = Use(SessionUse::Kind::kBegin);
  const std::string token = Run(*pool, "select 1", options).session;
  ASSERT_EQ(token.size(), 32u);
  options.settings = {};
  options.session = Use(SessionUse::Kind::kContinue, token);
  EXPECT_EQ(CellText(Run(*pool, "select current_setting('TimeZone')", options).results[0], 0, 0),
            "Asia/Tokyo");
  options.settings = {.time_zone = "No/Where"};
  EXPECT_EQ(SqlState(Run(*pool, "select 1", options)), "22023");
}

TEST_F(PostgresScript, ItsTimeIsLimitedAndItCanBeCancelled) {
  const auto pool = NewPool(1);
  Options options;
  options.time = milliseconds(200);
  const Outcome late = Run(*pool, "insert into t values (1); select pg_sleep(30)", options);
  EXPECT_EQ(KindOf(late), ErrorKind::kDeadline);
  EXPECT_FALSE(late.error->outcome_unknown) << late.error->message;
  EXPECT_EQ(Count(), "0");
  TestCall call("insert into t values (1); select pg_sleep(30)");
  call.statement.form = pool::StatementForm::kScript;
  pool->Start(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(30)"));
  pool->Cancel(call);
  EXPECT_EQ(KindOf(call.Await()), ErrorKind::kCancelled);
  EXPECT_EQ(pool->Text("select 7"), "7");
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
  // With transactions of its own it may have had an effect.
  EXPECT_TRUE(Run(*pool, "begin; insert into t values (1); commit; select pg_sleep(30)", options)
                  .error->outcome_unknown);
}

TEST_F(PostgresScript, CopyIsRefusedAlsoWhereTheTextIsTooLongToBeUnderstood) {
  const auto pool = NewPool(1);
  EXPECT_EQ(KindOf(Run(*pool, "select 1; copy t from stdin")), ErrorKind::kUnsupported);
  const std::string remark = "/*" + std::string(200'000, 'x') + "*/";
  const Outcome in = Run(*pool, remark + "insert into t values (9); copy t from stdin");
  EXPECT_EQ(KindOf(in), ErrorKind::kUnsupported) << ErrorText(in);
  EXPECT_EQ(Count(), "0");
  EXPECT_TRUE(Run(*pool, remark + "copy t to stdout").error);
  EXPECT_EQ(Tags(Run(*pool, remark + "insert into t values (1); select 1")),
            "INSERT 0 1;SELECT 1;");
}

TEST_F(PostgresScript, ALostConnectionLeavesAnHonestAnswer) {
  const auto pool = NewPool(1);
  TestCall call("insert into t values (1); select pg_sleep(30)");
  call.statement.form = pool::StatementForm::kScript;
  pool->Start(call);
  ASSERT_TRUE(AwaitRunning("pg_sleep(30)"));
  TerminateAll();
  EXPECT_TRUE(call.Await().error);
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(pool->Text("select 7"), "7");
}

TEST_F(PostgresScript, NoticesComeWithTheAnswer) {
  const auto pool = NewPool(1);
  const Outcome outcome =
      Run(*pool, "do $$ begin raise notice 'one'; end $$; drop table if exists no_table");
  ASSERT_EQ(outcome.notices.size(), 2u);
  EXPECT_EQ(outcome.notices[0].message, "one");
}

TEST_F(PostgresScript, ManyScriptsAndStatementsTakeTurnsOnOneConnection) {
  const auto pool = NewPool(1);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Tags(Run(*pool, fmt::format("insert into t values ({}); select 1", i))),
              "INSERT 0 1;SELECT 1;");
    EXPECT_EQ(pool->Text("select count(*) from t where id >= $1::int", {Integer(0)}),
              std::to_string(i + 1));
  }
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

}  // namespace
}  // namespace dbsidecar::contract
