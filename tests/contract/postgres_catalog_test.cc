// What the catalogue of a real server says of code that a statement's text does not show, and that
// nothing such code does to the session is there for the next call.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pool/postgres/control_connection.h"
#include "tests/contract/database.h"

namespace dbsidecar::contract {
namespace {

using pool::NamedCode;

class PostgresCatalog : public PostgresTest {
 protected:
  pool::Catalog Ask() const {
    const pool::ControlReport report = pool::AskServer(config_.url);
    EXPECT_EQ(report.error, "");
    return report.catalog;
  }

  static void Expect(const pool::Catalog::Names& names, const std::vector<std::string>& wanted,
                     pool::NamedCode code) {
    for (const std::string& name : wanted) {
      const auto found = names.find(name);
      ASSERT_NE(found, names.end()) << name;
      EXPECT_EQ(found->second, code) << name;
    }
  }

  // Functions that change the session, and objects of every kind that run them.
  void CreateSpoilers() const {
    Psql(R"sql(
      create function spoil() returns int language plpgsql as $$ begin
        perform set_config('my.secret', 'of one caller', false);
        perform pg_advisory_lock(42);
        return 1;
      end $$;
      create function spoil_stable(int) returns int stable language sql as 'select spoil()';
      create function spoil_row() returns trigger language plpgsql as $$ begin
        perform spoil();
        if tg_op = 'DELETE' then return old; end if;
        return new;
      end $$;
      create function spoil_add(int, int) returns int language sql as 'select spoil()';
      create function spoil_compare(int, int) returns bool language sql as 'select spoil() = 1';
      create operator @@@@ (leftarg = int, rightarg = int, function = spoil_compare);
      create aggregate spoil_sum(int) (sfunc = spoil_add, stype = int, initcond = '0');
      create table with_trigger (id int);
      create trigger t before insert on with_trigger for each row execute function spoil_row();
      create view on_function as select spoil() as id;
      create view on_view as select * from on_function;
      create view on_builtin as select set_config('my.secret', 'of one caller', false) as id;
      create view on_operator as select 1 @@@@ 2 as id;
      create table with_default (id int, extra int default spoil());
      create table with_check (id int check (spoil_stable(id) = 1));
      create table with_rule (id int);
      create rule r as on insert to with_rule do also select spoil();
      create table with_policy (id int);
      create policy p on with_policy using (spoil() = 1);
      create table parent (id int primary key);
      create table child (id int references parent on delete cascade);
      create trigger t before delete on child for each row execute function spoil_row();
      insert into parent values (1);
      insert into child values (1);
      create table partitioned (id int) partition by range (id);
      create table partition_1 partition of partitioned for values from (0) to (10);
      create trigger t before insert on partition_1 for each row execute function spoil_row())sql");
  }
};

TEST_F(PostgresCatalog, WhateverRunsCodeOfUsersIsSuspect) {
  CreateSpoilers();
  const pool::Catalog catalog = Ask();
  Expect(catalog.functions,
         {"spoil", "spoil_stable", "spoil_row", "spoil_add", "spoil_compare", "spoil_sum"},
         NamedCode::kSuspect);
  Expect(catalog.operators, {"@@@@"}, NamedCode::kSuspect);
  Expect(
      catalog.relations,
      {"with_trigger", "on_function", "on_view", "on_builtin", "on_operator", "with_default",
       "with_check", "with_rule", "with_policy", "child", "parent", "partition_1", "partitioned"},
      NamedCode::kSuspect);
  EXPECT_FALSE(catalog.suspect_everywhere);
}

TEST_F(PostgresCatalog, AnOrdinarySchemaIsNot) {
  Psql(R"sql(
    create extension pg_trgm;
    create type mood as enum ('sad', 'happy');
    create domain positive as int check (value > 0);
    create function slug(text) returns text immutable language sql as 'select lower($1)';
    create sequence numbers;
    create table plain (id serial primary key, at timestamptz default now(), feeling mood,
                        amount positive, name text check (length(name) < 100),
                        place text generated always as (slug('x')) stored);
    create index on plain (slug(name));
    create index on plain using gin (name gin_trgm_ops);
    create table item (id bigint generated always as identity, plain int references plain,
                       words tsvector);
    create trigger t before insert or update on item for each row
      execute function tsvector_update_trigger(words, 'pg_catalog.english', name);
    create view v as select plain.*, count(*) from plain join item on item.plain = plain.id
      group by plain.id;
    create materialized view m as select * from v;
    create table guarded (id int);
    alter table guarded enable row level security;
    create table many (id int) partition by hash (id);
    create table many_0 partition of many for values with (modulus 1, remainder 0))sql");
  const pool::Catalog catalog = Ask();
  Expect(catalog.functions,
         {"slug", "now", "count", "lower", "similarity", "jsonb_agg", "generate_series"},
         NamedCode::kHarmless);
  Expect(
      catalog.functions,
      {"nextval", "set_config", "pg_sleep", "gen_random_uuid", "random", "pg_advisory_xact_lock"},
      NamedCode::kVolatile);
  Expect(catalog.operators, {"=", "+", "~~", "->>", "@>", "||", "%"}, NamedCode::kHarmless);
  Expect(catalog.relations, {"numbers", "plain", "item", "m", "many", "many_0", "pg_class"},
         NamedCode::kHarmless);
  Expect(catalog.relations, {"v", "guarded", "pg_settings", "pg_stat_activity", "tables"},
         NamedCode::kVolatile);
  EXPECT_FALSE(catalog.suspect_everywhere);
}

TEST_F(PostgresCatalog, CodeThatNoNameShowsMakesEverythingSuspect) {
  const char* definitions[] = {
      "create domain d as int check (spoil_stable(value) = 1)",
      "create domain d as int check (set_config('my.secret', 'x', false) = 'x')",
      "create type pair as (a int, b int);"
      "create function pair_of(int) returns pair language sql as 'select row($1, spoil())::pair';"
      "create cast (int as pair) with function pair_of(int) as implicit",
      "create function note() returns event_trigger language plpgsql as "
      "$$ begin perform spoil(); end $$;"
      "create event trigger e on ddl_command_end execute function note()",
  };
  CreateSpoilers();
  for (const char* definition : definitions) {
    SCOPED_TRACE(definition);
    Psql(definition);
    EXPECT_TRUE(Ask().suspect_everywhere);
    Psql(
        "drop event trigger if exists e; drop domain if exists d; drop type if exists pair "
        "cascade");
    EXPECT_FALSE(Ask().suspect_everywhere);
  }
}

TEST_F(PostgresCatalog, WhatHiddenCodeDoesToTheSessionIsGoneForTheNextCall) {
  CreateSpoilers();
  const auto pool = NewPool(1);
  const char* statements[] = {
      "insert into with_trigger values (1)",
      "with with_trigger as (select 1) insert into with_trigger select * from with_trigger",
      "select * from on_function",
      "select * from on_view",
      "select * from on_builtin",
      "select * from on_operator",
      "insert into with_default (id) values (1)",
      "insert into with_check values (1)",
      "insert into with_rule values (1)",
      "delete from parent where id = 1",
      "insert into partitioned values (1)",
      "select spoil_stable(1)",
      "select 1 @@@@ 2",
      "select spoil_sum(1)",
      "select spoil() from (values (1)) v",
  };
  for (const char* statement : statements) {
    for (int round = 0; round < 3; ++round) {
      SCOPED_TRACE(statement);
      pool->Must(statement);
      EXPECT_EQ(pool->Text("select coalesce(current_setting('my.secret', true), '')"), "");
      EXPECT_EQ(Psql("select count(*) from pg_locks where locktype = 'advisory'"), "0");
    }
  }
}

TEST_F(PostgresCatalog, ADefinitionThatComesThroughThePoolIsHeededAtOnce) {
  CreateSpoilers();
  const auto pool = NewPool(2);
  pool->Must("create table later (id int)");
  pool->Must("insert into later values (1)");
  for (int round = 0; round < 3; ++round) {
    pool->Must("create trigger t before insert on later for each row execute function spoil_row()");
    pool->Must("insert into later values (1)");
    EXPECT_EQ(pool->Text("select coalesce(current_setting('my.secret', true), '')"), "");
    pool->Must("drop trigger t on later");
  }
}

}  // namespace
}  // namespace dbsidecar::contract
