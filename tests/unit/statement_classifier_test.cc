// What the classifier must see in a statement, and what it must not see in one.
#include "pool/postgres/statement_classifier.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dbsidecar::pool {
namespace {

// Some names as a server would report them.
Catalog SomeCatalog() {
  constexpr NamedCode kHarmless = NamedCode::kHarmless;
  constexpr NamedCode kVolatile = NamedCode::kVolatile;
  constexpr NamedCode kSuspect = NamedCode::kSuspect;
  return {.functions = {{"count", kHarmless},
                        {"now", kHarmless},
                        {"nextval", kVolatile},
                        {"random", kVolatile},
                        {"pg_notify", kVolatile},
                        {"generate_series", kHarmless},
                        {"query_to_xml", kVolatile},
                        {"set_config", kVolatile},
                        {"suspect_function", kSuspect},
                        {"harmless_function", kHarmless},
                        {"current_setting", kHarmless},
                        {"pg_advisory_xact_lock", kVolatile},
                        {"pg_create_physical_replication_slot", kVolatile},
                        {"pg_create_logical_replication_slot", kVolatile},
                        {"set_limit", kVolatile}},
          .relations = {{"t", kHarmless},
                        {"u", kHarmless},
                        {"s", kHarmless},
                        {"some_view", kVolatile},
                        {"suspect_table", kSuspect},
                        {"pg_settings", kVolatile}},
          .operators = {{"=", kHarmless},
                        {"+", kHarmless},
                        {">", kHarmless},
                        {"~~", kHarmless},
                        {"?|?", kVolatile},
                        {"@@@", kSuspect}}};
}

class StatementClassifierTest : public testing::Test {
 protected:
  StatementClassifierTest() { classifier_.SetCatalog(SomeCatalog()); }

  const StatementTraits& Classify(const std::string& sql) {
    last_ = classifier_.Classify(sql);
    return *last_;
  }

  void ExpectRefused(const std::vector<std::string>& texts, ErrorKind kind) {
    for (const std::string& sql : texts) {
      const StatementTraits& traits = Classify(sql);
      EXPECT_TRUE(traits.refusal.has_value()) << sql;
      if (!traits.refusal) continue;
      EXPECT_EQ(traits.refusal->kind, kind) << sql;
      EXPECT_FALSE(traits.refusal->message.empty()) << sql;
      EXPECT_EQ(traits.refusal->sql.sqlstate, "") << sql;
      EXPECT_FALSE(traits.refusal->outcome_unknown) << sql;
    }
  }

  void ExpectAccepted(const std::vector<std::string>& texts) {
    for (const std::string& sql : texts) {
      const StatementTraits& traits = Classify(sql);
      EXPECT_FALSE(traits.refusal.has_value()) << sql << ": " << traits.refusal->message;
    }
  }

  StatementClassifier classifier_;
  std::shared_ptr<const StatementTraits> last_;
};

TEST_F(StatementClassifierTest, RefusesEveryStatementThatActsOnTheSession) {
  ExpectRefused({"begin",
                 "START TRANSACTION READ ONLY",
                 "commit",
                 "END",
                 "rollback",
                 "ABORT",
                 "savepoint s",
                 "release s",
                 "rollback to s",
                 "prepare transaction 'x'",
                 "commit prepared 'x'",
                 "set search_path = a",
                 "SET LOCAL work_mem = '1MB'",
                 "set role x",
                 "set session authorization x",
                 "set transaction read only",
                 "set session characteristics as transaction isolation level serializable",
                 "set time zone 'UTC'",
                 "reset all",
                 "RESET work_mem",
                 "set constraints all deferred",
                 "prepare p as select 1",
                 "execute p",
                 "deallocate p",
                 "deallocate all",
                 "declare c cursor with hold for select 1",
                 "fetch all from c",
                 "move next in c",
                 "close c",
                 "listen x",
                 "unlisten *",
                 "discard all",
                 "DISCARD TEMP",
                 "lock table t",
                 "load 'auto_explain'",
                 "explain execute p",
                 "create table t as execute p"},
                ErrorKind::kNeedsSession);
}

TEST_F(StatementClassifierTest, RefusesTemporaryObjectsInEverySpelling) {
  ExpectRefused({"create temp table t (a int)",
                 "CREATE TEMPORARY TABLE t (a int)",
                 "create local temp table t (a int)",
                 "create global temporary table t (a int)",
                 "create temp table if not exists t (a int)",
                 "create temp table t as select 1",
                 "create temp table t (like u)",
                 "select 1 into temp t",
                 "select 1 into temporary table t",
                 "select 1 into pg_temp.t",
                 "create table pg_temp.t (a int)",
                 "create table pg_temp.t as select 1",
                 "create table \"pg_temp\".t (a int)",
                 "create table U&\"pg\\005ftemp\".t (a int)",
                 "create table PG_TEMP.t (a int)",
                 "create table pg_temp_3.t (a int)",
                 "create temp view v as select 1",
                 "create or replace temporary view v as select 1",
                 "create temp recursive view v (a) as select 1",
                 "create view pg_temp.v as select 1",
                 "create temp sequence s",
                 "create sequence pg_temp.s",
                 "insert into pg_temp.t values (1)",
                 "drop table pg_temp.t",
                 "select * from pg_temp.t",
                 "with x as (select * from pg_temp.t) "
                 "select * from x",
                 "explain analyze create temp table t as select 1",
                 "create schema s create temp table t (a int)"},
                ErrorKind::kNeedsSession);
}

TEST_F(StatementClassifierTest, RefusesFunctionsAndTypesInTheTemporarySchema) {
  ExpectRefused({"create function pg_temp.f() returns int language sql as 'select 1'",
                 "create procedure pg_temp.f() language sql as 'select 1'", "select pg_temp.f()",
                 "create type pg_temp.t as (a int)", "create type pg_temp.t as enum ('a')",
                 "create domain pg_temp.d as int",
                 "create aggregate pg_temp.a(int) (sfunc = int4pl, stype = int)",
                 "create operator pg_temp.@ (leftarg = int, rightarg = int, function = int4pl)",
                 "import foreign schema s from server x into pg_temp"},
                ErrorKind::kNeedsSession);
}

TEST_F(StatementClassifierTest, RefusesSetConfigUnlessItIsLocalBeyondDoubt) {
  ExpectRefused(
      {"select set_config('a.b', 'c', false)", "select set_config('a.b', 'c', 'f')",
       "select pg_catalog.set_config('a.b', 'c', false)", "select SET_CONFIG('a.b', 'c', false)",
       "select \"set_config\"('a.b', 'c', false)", "select U&\"set\\005fconfig\"('a', 'b', false)",
       "select set_config('a.b', 'c', $1)", "select set_config('a.b', 'c', not true)",
       "select set_config('a.b', 'c', null)", "select set_config('a.b', 'c', now() is null)",
       "select set_config(is_local => true, new_value => 'c', setting_name => 'a.b')",
       "select set_config(variadic array['a', 'b', 'c'])",
       "select * from set_config('a.b', 'c', false)", "values (set_config('a.b', 'c', false))",
       "insert into t values (set_config('a.b', 'c', false))",
       "select 1 order by set_config('a.b', 'c', false)",
       "select 1 limit length(set_config('a.b', 'c', false))",
       "select set_config('a', 'b', true), set_config('a', 'b', false)"},
      ErrorKind::kNeedsSession);
  ExpectAccepted({"select set_config('a.b', 'c', true)", "select set_config('a.b', 'c', 't')",
                  "select set_config('a.b', 'c', 't'::bool)",
                  "select pg_catalog.set_config('a.b', $1, true)"});
}

TEST_F(StatementClassifierTest, AnUpdateOfPgSettingsIsASet) {
  ExpectRefused({"update pg_settings set setting = '1' where name = 'work_mem'",
                 "update pg_catalog.pg_settings set setting = '1'",
                 "update PG_SETTINGS as s set setting = '1'",
                 "with x as (update pg_settings set setting = '1' returning 1) select * from x"},
                ErrorKind::kNeedsSession);
  ExpectAccepted({"select setting from pg_settings", "update app.pg_settings set setting = '1'"});
}

TEST_F(StatementClassifierTest, RefusesSessionLocksWhereverTheyHide) {
  ExpectRefused({"select pg_advisory_lock(1)",
                 "select pg_advisory_lock_shared(1)",
                 "select pg_try_advisory_lock(1, 2)",
                 "select pg_try_advisory_lock_shared(1)",
                 "select pg_advisory_unlock(1)",
                 "select pg_advisory_unlock_shared(1)",
                 "select pg_advisory_unlock_all()",
                 "select pg_catalog.pg_advisory_lock(1)",
                 "with l as (select pg_advisory_lock(1)) select * from l",
                 "select (select pg_advisory_lock(1))",
                 "select coalesce(pg_advisory_lock(1)::text, 'x')",
                 "select count(pg_try_advisory_lock(id)) from t",
                 "select 1 where pg_try_advisory_lock(1)",
                 "select * from t join u on pg_try_advisory_lock(t.id)",
                 "select case when pg_try_advisory_lock(1) then 1 end",
                 "delete from t using pg_advisory_lock(1)",
                 "update t set a = 1 returning pg_advisory_lock(1)",
                 "select * from t, lateral (select pg_advisory_lock(t.id)) l",
                 "select array[pg_advisory_lock(1)]",
                 "select 1 union select 2 from pg_advisory_lock(1)",
                 "explain analyze select pg_advisory_lock(1)",
                 "copy (select pg_advisory_lock(1)) to '/dev/null'"},
                ErrorKind::kNeedsSession);
  ExpectAccepted({"select pg_advisory_xact_lock(1)", "select 'pg_advisory_lock(1)'",
                  "select pg_advisory_lock from t", "select 1 /* pg_advisory_lock(1) */"});
}

TEST_F(StatementClassifierTest, RefusesReadingTheSessionsOwnValues) {
  ExpectRefused({"select lastval()", "select currval('s')", "insert into t values (currval('s'))",
                 "select setseed(0.5)", "select dblink_connect('x', 'y')"},
                ErrorKind::kNeedsSession);
  ExpectAccepted({"select nextval('s')"});
}

TEST_F(StatementClassifierTest, RefusesWhatADiscardDoesNotUndo) {
  ExpectRefused({"select pg_backup_start('x')", "select pg_start_backup('x', true, false)",
                 "select pg_replication_origin_session_setup('x')",
                 "select pg_create_physical_replication_slot('x', true, true)",
                 "select pg_create_logical_replication_slot('x', 'y', $1)",
                 "select pg_create_physical_replication_slot('x', temporary => true)"},
                ErrorKind::kNeedsSession);
  ExpectAccepted({"select pg_create_physical_replication_slot('x')",
                  "select pg_create_logical_replication_slot('x', 'pgoutput', false)"});
}

TEST_F(StatementClassifierTest, DefiningAFunctionDoesNotRunIt) {
  const std::vector<std::string> texts = {
      "create function f() returns int language sql set search_path = a as 'select 1'",
      "create function f(int) returns int language sql begin atomic select $1; end",
      "create function f() returns int language sql begin atomic select pg_advisory_lock(1); end",
      "alter function f() set search_path = a"};
  ExpectAccepted(texts);
  for (const std::string& sql : texts) EXPECT_EQ(Classify(sql).parameters, 0) << sql;
}

TEST_F(StatementClassifierTest, SettingsOfARoleOrTheServerAreNotTheSessions) {
  ExpectAccepted({"alter role x set work_mem = '1MB'", "alter database d set a.b = 'c'",
                  "alter system set work_mem = '1MB'", "show work_mem"});
}

TEST_F(StatementClassifierTest, CopyWithAClientNeedsAStream) {
  ExpectRefused({"copy t from stdin", "copy t to stdout", "COPY (select 1) TO STDOUT (FORMAT csv)",
                 "copy t (a, b) from stdin with binary"},
                ErrorKind::kUnsupported);
  ExpectAccepted({"copy t from '/tmp/x'", "copy t to '/tmp/x'", "copy t to program 'cat'"});
}

TEST_F(StatementClassifierTest, CountsParametersByTheirHighestNumber) {
  EXPECT_EQ(Classify("select 1").parameters, 0);
  EXPECT_EQ(Classify("select $1, $1").parameters, 1);
  EXPECT_EQ(Classify("with x as (select $3::int) select $1 from x").parameters, 3);
  EXPECT_EQ(Classify("insert into t values ($2, $1) returning $4").parameters, 4);
  EXPECT_EQ(Classify("select '$5', \"$6\" /* $7 */ from t -- $8").parameters, 0);
  EXPECT_EQ(Classify("select * from t limit $1 offset $2").parameters, 2);
  EXPECT_EQ(Classify("update t set a = $1 where b = any($2)").parameters, 2);
}

TEST_F(StatementClassifierTest, OnlyStatementsThatWriteNothingArePureReads) {
  for (const char* sql :
       {"select 1", "select count(*) from t", "values (1)", "table t", "show work_mem",
        "with x as (select 1) select * from x", "select 1 union all select 2",
        "select harmless_function()", "select nextval('s')"}) {
    EXPECT_TRUE(Classify(sql).pure_read) << sql;
  }
  for (const char* sql :
       {"insert into t values (1)", "update t set a = 1", "delete from t",
        "merge into t using u on t.a = u.a when matched then delete", "select 1 into t",
        "with x as (delete from t returning a) select * from x",
        "with x as (insert into t values (1) returning a) select * from x",
        "select * from t for update", "select * from (select * from t for share) s",
        "create table t (a int)", "explain analyze delete from t", "truncate t", "do 'begin end'",
        "call p()", "select suspect_function()", "select not_in_the_catalogue()",
        "select pg_notify('a', 'b')", "select query_to_xml('select 1', true, true, '')"}) {
    EXPECT_FALSE(Classify(sql).pure_read) << sql;
  }
}

TEST_F(StatementClassifierTest, WhatMayChangeTheSessionUnseenLeavesTraces) {
  for (const char* sql :
       {"do 'begin end'",
        "call p()",
        "select suspect_function()",
        "select app.suspect_function()",
        "select \"COUNT\"(1)",
        "select not_in_the_catalogue()",
        "insert into t values (suspect_function())",
        "select 1 where suspect_function()",
        "select t.suspect_function from t",
        "select query_to_xml('select set_config(''a.b'', ''c'', false)', true, true, '')",
        "select set_limit(0.9)",
        "insert into suspect_table values (1)",
        "select * from suspect_table",
        "select * from t where a in (select a from suspect_table)",
        "update t set a = 1 from suspect_table",
        "delete from app.suspect_table",
        "truncate t, suspect_table",
        "with t2 as (select 1) select * from t2, suspect_table",
        "with suspect_table as (select 1) insert into suspect_table select * from suspect_table",
        "with suspect_table as (select 1) select * from app.suspect_table",
        "select * from suspect_table, (with suspect_table as (select 1) select 1) x",
        "select * from not_in_the_catalogue",
        "select 1 @@@ 2",
        "select 1 operator(app.@@@) 2",
        "select 1 @@@ any (array[1])",
        "select 1 @@@ all (select 1)",
        "select a from t order by a using @@@",
        "select 1 <-> 2",
        "vacuum",
        "create table t2 (a int)",
        "select 1 as a into t2",
        "explain analyze create table t2 as select 1"}) {
    EXPECT_TRUE(Classify(sql).leaves_traces) << sql;
    EXPECT_FALSE(Classify(sql).refusal.has_value()) << sql;
  }
  for (const char* sql :
       {"select 1", "select count(*), now() from t", "select COUNT(*) from t",
        "insert into t values (1)", "insert into t select * from u", "select harmless_function()",
        "notify x", "select set_config('a', 'b', true)", "truncate t", "explain select * from t",
        "select 1 + 1 = 2", "select * from t where a between 1 and 2 or a like 'b'",
        "select * from t where a in (1, 2) and a is distinct from 3",
        "with c as (select 1), recursive_name as (select * from c) select * from recursive_name",
        "with recursive c as (select 1 union all select * from c) select * from c",
        "merge into t using u on t.a = u.a when matched then delete",
        "select t.a, u.count from t, u", "select a from t for update"}) {
    EXPECT_FALSE(Classify(sql).leaves_traces) << sql;
  }
}

TEST_F(StatementClassifierTest, ACodeThatRunsEverywhereMakesEveryStatementSuspect) {
  Catalog catalog = SomeCatalog();
  catalog.suspect_everywhere = true;
  classifier_.SetCatalog(catalog);
  EXPECT_TRUE(Classify("select 1").leaves_traces);
}

TEST_F(StatementClassifierTest, DefinitionsChangeTheCatalogue) {
  for (const char* sql :
       {"create table t2 (a int)", "alter table t add b int", "drop table t",
        "create trigger x after insert on t for each row execute function f()",
        "create or replace function f() returns int language sql as 'select 1'",
        "create rule r as on insert to t do also select 1", "create view v as select 1",
        "create policy p on t using (true)", "create cast (t as u) with function f(t)",
        "create extension x", "select 1 as a into t2", "create table t2 as select 1",
        "explain analyze create table t2 as select 1", "not sql at all"}) {
    EXPECT_TRUE(Classify(sql).changes_catalog) << sql;
  }
  for (const char* sql : {"select 1", "insert into t values (1)", "vacuum t", "analyze", "call p()",
                          "do 'begin end'", "create index i on t (a)", "grant select on t to x",
                          "comment on table t is 'x'", "notify x", "truncate t"}) {
    EXPECT_FALSE(Classify(sql).changes_catalog) << sql;
  }
}

TEST_F(StatementClassifierTest, WithoutACatalogueEveryNameIsSuspect) {
  StatementClassifier fresh;
  for (const char* sql : {"select now()", "select * from t", "select 1 + 1"}) {
    EXPECT_TRUE(fresh.Classify(sql)->leaves_traces) << sql;
  }
  EXPECT_TRUE(fresh.Classify("with t as (select 1) insert into t values (1)")->leaves_traces);
  EXPECT_FALSE(fresh.Classify("select 1")->leaves_traces);
  const uint64_t before = fresh.version();
  fresh.SetCatalog(SomeCatalog());
  EXPECT_GT(fresh.version(), before);
  EXPECT_FALSE(fresh.Classify("select now()")->leaves_traces) << "a stale verdict was kept";
  fresh.ForgetCatalog();
  EXPECT_TRUE(fresh.Classify("select now()")->leaves_traces) << "a stale verdict was kept";
}

TEST_F(StatementClassifierTest, WhatDoesNotParseIsLeftToTheDatabaseAndItsSessionIsNotTrusted) {
  const std::string long_text = "select 1 /* " + std::string(200 * 1024, 'x') + " */";
  for (const std::string& sql :
       {std::string("selec 1"), std::string("select 'open"), std::string("select $"),
        std::string("select '\xff'"), std::string("begin atomic"), long_text,
        "set work_mem = 1" + std::string(200 * 1024, ' ')}) {
    const StatementTraits traits = Classify(sql);
    EXPECT_FALSE(traits.refusal.has_value()) << sql.substr(0, 40);
    EXPECT_TRUE(traits.leaves_traces) << sql.substr(0, 40);
    EXPECT_FALSE(traits.pure_read) << sql.substr(0, 40);
    EXPECT_EQ(traits.parameters, -1) << sql.substr(0, 40);
  }
}

TEST_F(StatementClassifierTest, ALongVerdictIsNotMixedUpWithTheNext) {
  const std::string long_text = "select $1 /* " + std::string(200 * 1024, 'x') + " */";
  EXPECT_EQ(Classify(long_text).parameters, -1);
  EXPECT_EQ(Classify("select $1").parameters, 1);
  EXPECT_EQ(Classify(long_text).parameters, -1);
  EXPECT_EQ(Classify("select $1").parameters, 1);
}

TEST_F(StatementClassifierTest, ATextIsExactlyOneStatement) {
  ExpectRefused({"", " ", ";", ";;", "-- nothing", "/* nothing */", "/* a */ -- b"},
                ErrorKind::kInvalidArgument);
  ExpectRefused({"select 1; select 2", "select 1;; begin", "begin; select 1; commit"},
                ErrorKind::kInvalidArgument);
  ExpectAccepted({"select 1;", ";select 1", "select ';'", "select 1 -- ; select 2"});
}

TEST_F(StatementClassifierTest, ADeepTextIsClassifiedWithoutRecursionOfOurOwn) {
  std::string sql = "select ";
  for (int i = 0; i < 2000; ++i) sql += "1 + ";
  sql += "length(set_config('a', 'b', false))";
  ExpectRefused({sql}, ErrorKind::kNeedsSession);
}

TEST_F(StatementClassifierTest, APlainReadLocksNothingAndCallsNothingVolatile) {
  for (const char* sql :
       {"select * from t where id = $1", "select count(*), now() from t join u on t.id = u.id",
        "with c as (select 1 as x) select * from c", "values (1), (2)", "show work_mem",
        "select harmless_function(1) + 2", "select * from t where id = (select 1)"}) {
    EXPECT_TRUE(Classify(sql).plain_read) << sql;
  }
  for (const char* sql : {"insert into t values (1)",
                          "update t set id = 1",
                          "delete from t",
                          "select nextval('s')",
                          "select random()",
                          "select 1 from t where random() > 0.5",
                          "select * from t for update",
                          "select * from t for share",
                          "select * from t for key share",
                          "select * from some_view",
                          "with d as (delete from t returning *) select * from d",
                          "select 1 ?|? 2",
                          "select pg_advisory_xact_lock(1)",
                          "select pg_notify('a', 'b')",
                          "select suspect_function()",
                          "select * from suspect_table",
                          "select 1 @@@ 2",
                          "select (t).random from t",
                          "select t.nextval from t",
                          "select * from random()",
                          "select * from unknown_table",
                          "select unknown_function()",
                          "select set_config('work_mem', '1MB', true)",
                          "explain analyze select 1",
                          "explain select 1",
                          "table some_view",
                          "select * from t order by random()",
                          "select count(*) filter (where random() > 0) from t",
                          "this is no statement"}) {
    EXPECT_FALSE(Classify(sql).plain_read) << sql;
  }
}

TEST_F(StatementClassifierTest, AFieldThatMayBeAFunctionIsJudgedAsOne) {
  EXPECT_TRUE(Classify("select (t).suspect_function from t").leaves_traces);
  EXPECT_TRUE(Classify("select t.suspect_function from t").leaves_traces);
  EXPECT_TRUE(Classify("select (select t).suspect_function.id from t").leaves_traces);
  EXPECT_FALSE(Classify("select (t).id, (array[1, 2])[1] from t").leaves_traces);
}

TEST_F(StatementClassifierTest, NothingIsAPlainReadBeforeTheCatalogueIsKnown) {
  classifier_.ForgetCatalog();
  EXPECT_FALSE(Classify("select * from t").plain_read);
}

TEST_F(StatementClassifierTest, AStatementThatRanWithAnUnknownNameAsksForTheCatalogueOnce) {
  Classify("select * from t");
  EXPECT_FALSE(classifier_.TakeUnknown("select * from t"));
  Classify("select * from newcomer");
  EXPECT_TRUE(classifier_.TakeUnknown("select * from newcomer"));
  EXPECT_FALSE(classifier_.TakeUnknown("select * from newcomer"));
  // The catalogue did not know it either: asking again will not help.
  classifier_.SetCatalog(SomeCatalog());
  Classify("select 1 from newcomer");
  EXPECT_FALSE(classifier_.TakeUnknown("select 1 from newcomer"));
  Classify("select new_function(id) from newcomer");
  EXPECT_TRUE(classifier_.TakeUnknown("select new_function(id) from newcomer"));
}

TEST_F(StatementClassifierTest, SettingsThatSayWhatALiteralIsChangeTheMeaningOfOtherTexts) {
  for (const char* sql :
       {"set datestyle = dmy", "set local datestyle = dmy", "reset datestyle", "reset all",
        "set time zone 'UTC'", "set search_path = a", "set role r", "discard all",
        "select set_config('datestyle', 'dmy', true)", "do 'begin end'", "call p()", "execute p",
        "select unheard_of()", "nonsense"}) {
    EXPECT_TRUE(Classify(sql).changes_meaning) << sql;
  }
  for (const char* sql :
       {"select 1", "insert into t values (1)", "begin", "commit", "set statement_timeout = 1",
        "set local app.tenant = '7'", "set work_mem = '1MB'",
        "set transaction isolation level serializable", "prepare p as select 1", "listen l"}) {
    EXPECT_FALSE(Classify(sql).changes_meaning) << sql;
  }
}

TEST(WithoutConstantsTest, EachConstantIsAPlaceholder) {
  EXPECT_EQ(WithoutConstants("select a from t where b = 'secret' and c in (1, 2) limit 3"),
            "select a from t where b = $1 and c in ($2, $3) limit $4");
  EXPECT_EQ(WithoutConstants("select $1 + 7"), "select $1 + $2");
  EXPECT_EQ(WithoutConstants("insert into t values (E'a\\'b', $$c$$, B'01')"),
            "insert into t values ($1, $2, $3)");
}

TEST(WithoutConstantsTest, WhereOneMayBeLeftThereIsNoText) {
  for (const char* sql :
       {"comment on table t is 'secret'", "do $$ begin perform 'secret'; end $$",
        "do $x$ begin perform 1; end $x$", "set application_name = 'secret'",
        "copy t from 'secret'", "create function f() returns text as 'select 1' language sql",
        "select /* 'secret' */ 1", "select 'not finished", "selec 'secret'"}) {
    EXPECT_EQ(WithoutConstants(sql).find("secret"), std::string::npos) << sql;
    EXPECT_EQ(WithoutConstants(sql).find('\''), std::string::npos) << sql;
  }
  EXPECT_EQ(WithoutConstants("comment on table t is 'secret'"), "");
  EXPECT_EQ(WithoutConstants(std::string(200'000, ' ') + "select 1"), "");
}

}  // namespace
}  // namespace dbsidecar::pool
