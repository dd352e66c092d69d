// What PostgreSQL's statements take and return, without running them.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"

namespace dbsidecar::contract {
namespace {

using pool::Description;
using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using pool::TypeInfo;
using testing::ElementsAre;
using testing::HasSubstr;

class PostgresDescribe : public PostgresTest {
 protected:
  PostgresDescribe() {
    Psql(
        "create type mood as enum ('sad', 'it''s \"ok\"', 'happy');"
        "create domain age as int check (value > 0);"
        "create type pair as (a int, b mood);"
        "create type span as range (subtype = float8);"
        "create table t (id int primary key, v varchar(7), m mood, ms mood[], a age, p pair, "
        "s span);"
        "create view looks as select * from t;"
        "create function writes() returns int language sql as 'insert into t values (1) returning "
        "id'");
  }

  std::unique_ptr<RunningPool> NewDescribePool() {
    auto pool = NewPool(1);
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }
  static Outcome Describe(RunningPool& pool, const std::string& sql, Description& into,
                          std::vector<uint32_t> types = {}, const SessionUse& use = {},
                          const pool::CallSettings& settings = {}) {
    TestCall call(sql);
    call.description = &into;
    call.session = use;
    call.statement.settings = settings;
    for (const uint32_t type : types) call.statement.parameters.emplace_back().type_oid = type;
    pool.Submit(call);
    call.AwaitDone();
    return call.Await();
  }
  static Description Described(RunningPool& pool, const std::string& sql) {
    Description description;
    const Outcome outcome = Describe(pool, sql, description);
    EXPECT_FALSE(outcome.error) << sql << ": " << ErrorText(outcome);
    return description;
  }
};

TEST_F(PostgresDescribe, TellsParametersAndColumnsWithoutRunning) {
  const auto pool = NewDescribePool();
  const Description insert =
      Described(*pool, "insert into t (id, v) values ($1, $2) returning v, id + 1 as next");
  EXPECT_THAT(insert.parameter_types, ElementsAre(23, 1043));
  ASSERT_EQ(insert.columns.size(), 2u);
  EXPECT_EQ(insert.columns[0].name, "v");
  EXPECT_EQ(insert.columns[0].type_oid, 1043u);
  EXPECT_EQ(insert.columns[0].type_modifier, 11);
  EXPECT_EQ(insert.columns[0].column_number, 2u);
  EXPECT_NE(insert.columns[0].table_oid, 0u);
  EXPECT_EQ(insert.columns[1].name, "next");
  EXPECT_EQ(insert.columns[1].table_oid, 0u);
  EXPECT_TRUE(insert.types.empty());
  EXPECT_TRUE(Described(*pool, "delete from t").columns.empty());
  EXPECT_EQ(pool->Text("select count(*) from t"), "0");
}

TEST_F(PostgresDescribe, ParametersCanBeNamedByTheirTypes) {
  const auto pool = NewDescribePool();
  Description description;
  ASSERT_FALSE(Describe(*pool, "select $1, $2, $3::int", description, {0, 1184}).error);
  EXPECT_THAT(description.parameter_types, ElementsAre(25, 1184, 23));
  EXPECT_EQ(description.columns[1].type_oid, 1184u);
}

TEST_F(PostgresDescribe, TypesThatAreNotBuiltInAreTold) {
  const auto pool = NewDescribePool();
  // Of a column that is a domain PostgreSQL tells the type underneath.
  const Description described =
      Described(*pool, "select ms, a, p, s, v from t where m = $1 and a = $2::age");
  ASSERT_EQ(described.parameter_types.size(), 2u);
  EXPECT_EQ(described.columns[1].type_oid, 23u);
  std::vector<std::string> names;
  for (const TypeInfo& type : described.types) names.push_back(type.name);
  ASSERT_THAT(names, testing::UnorderedElementsAre("mood", "_mood", "age", "pair", "span"));
  const auto named = [&](const std::string& name) -> const TypeInfo& {
    for (const TypeInfo& type : described.types) {
      if (type.name == name) return type;
    }
    return described.types.front();
  };
  const TypeInfo& mood = named("mood");
  EXPECT_EQ(mood.oid, described.parameter_types[0]);
  EXPECT_EQ(mood.schema, "public");
  EXPECT_EQ(mood.kind, TypeInfo::Kind::kEnum);
  EXPECT_THAT(mood.labels, ElementsAre("sad", "it's \"ok\"", "happy"));
  EXPECT_EQ(named("_mood").kind, TypeInfo::Kind::kArray);
  EXPECT_EQ(named("_mood").base_oid, mood.oid);
  EXPECT_EQ(named("age").kind, TypeInfo::Kind::kDomain);
  EXPECT_EQ(named("age").base_oid, 23u);
  EXPECT_EQ(named("span").kind, TypeInfo::Kind::kRange);
  EXPECT_EQ(named("span").base_oid, 701u);
  const TypeInfo& pair = named("pair");
  EXPECT_EQ(pair.kind, TypeInfo::Kind::kComposite);
  ASSERT_EQ(pair.attributes.size(), 2u);
  EXPECT_EQ(pair.attributes[0].name, "a");
  EXPECT_EQ(pair.attributes[0].type_oid, 23u);
  EXPECT_EQ(pair.attributes[1].type_oid, mood.oid);
  EXPECT_EQ(pair.attributes[1].column_number, 2u);
  // They agree with the database's own word.
  EXPECT_EQ(pool->Text("select format_type(" + std::to_string(pair.oid) + ", null)"), "pair");
}

TEST_F(PostgresDescribe, TheVerdictIsThatOfTheClassifier) {
  const auto pool = NewDescribePool();
  const auto reads = [&](const std::string& sql) { return Described(*pool, sql).only_reads; };
  EXPECT_TRUE(reads("select v from t where id = $1"));
  EXPECT_TRUE(reads("select count(*), now() from t"));
  EXPECT_FALSE(reads("insert into t values (1)"));
  EXPECT_FALSE(reads("with x as (delete from t returning id) select * from x"));
  EXPECT_FALSE(reads("select id from t for update"));
  EXPECT_FALSE(reads("select random()"));
  EXPECT_FALSE(reads("select id from looks"));
  const auto reason = [&](const std::string& sql) { return Described(*pool, sql).verdict_reason; };
  EXPECT_THAT(reason("select writes()"), HasSubstr("writes"));
  EXPECT_THAT(reason("select random()"), HasSubstr("the function random is volatile"));
  EXPECT_THAT(reason("select id from t for update"), HasSubstr("locks"));
  EXPECT_THAT(reason("update t set id = 1"), HasSubstr("it writes"));
  EXPECT_THAT(reason("vacuum t"), HasSubstr("not a SELECT"));
  EXPECT_THAT(reason("select v from t"), HasSubstr("nothing that it names can write"));
}

TEST_F(PostgresDescribe, TellsWhatAStatementNeeds) {
  const auto pool = NewDescribePool();
  EXPECT_TRUE(Described(*pool, "set timezone = 'UTC'").needs_session);
  EXPECT_TRUE(Described(*pool, "create temp table x (id int)").needs_session);
  EXPECT_FALSE(Described(*pool, "create table x (id int)").needs_session);
  for (const char* sql :
       {"vacuum t", "create database x", "drop database x", "create index concurrently i on t (v)",
        "drop index concurrently t_pkey", "reindex table concurrently t", "cluster",
        "alter system set work_mem = '4MB'", "reindex schema public"}) {
    EXPECT_TRUE(Described(*pool, sql).needs_own_connection) << sql;
  }
  for (const char* sql : {"analyze t", "create index i on t (v)", "reindex table t", "select 1",
                          "cluster t using t_pkey"}) {
    EXPECT_FALSE(Described(*pool, sql).needs_own_connection) << sql;
  }
  const std::string fingerprint = Described(*pool, "select v from t where id = 1").fingerprint;
  EXPECT_NE(fingerprint, "");
  EXPECT_EQ(Described(*pool, "SELECT v\nFROM t WHERE id=2").fingerprint, fingerprint);
  EXPECT_NE(Described(*pool, "select id from t where id = 1").fingerprint, fingerprint);
}

TEST_F(PostgresDescribe, AWrongStatementIsItsErrorAndLeavesNothing) {
  const auto pool = NewDescribePool();
  Description description;
  const Outcome outcome = Describe(*pool, "select nothing from t", description);
  EXPECT_EQ(SqlState(outcome), "42703");
  EXPECT_EQ(outcome.error->sql.position, 8);
  EXPECT_EQ(KindOf(Describe(*pool, "select 1; select 2", description)),
            ErrorKind::kInvalidArgument);
  EXPECT_EQ(pool->Text("select 'next'"), "next");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresDescribe, LooksFromASessionAndHarmsNoTransaction) {
  const auto pool = NewDescribePool();
  TestCall begin("create temp table mine (x mood)");
  begin.session.kind = SessionUse::Kind::kBegin;
  pool->Submit(begin);
  begin.AwaitDone();
  const std::string token = begin.Await().session;
  SessionUse in;
  in.kind = SessionUse::Kind::kContinue;
  in.token = token;
  Description description;
  EXPECT_EQ(SqlState(Describe(*pool, "select nothing from mine", description, {}, in)), "42703");
  const Outcome outcome = Describe(*pool, "select x from mine", description, {}, in);
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.session, token);
  EXPECT_EQ(outcome.transaction_status, pool::TransactionStatus::kInTransaction);
  ASSERT_EQ(description.types.size(), 1u);
  EXPECT_EQ(description.types[0].name, "mood");
  TestCall more("select count(*) from mine");
  more.session = in;
  more.session.commit = true;
  pool->Submit(more);
  EXPECT_EQ(more.AwaitText(), "0");
  more.AwaitDone();
}

TEST_F(PostgresDescribe, SettingsApply) {
  Psql("create schema other; create table other.o (x mood)");
  const auto pool = NewDescribePool();
  Description description;
  EXPECT_EQ(SqlState(Describe(*pool, "select x from o", description)), "42P01");
  const Outcome outcome =
      Describe(*pool, "select x from o", description, {}, {}, {.search_path = "other, public"});
  EXPECT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(SqlState(Describe(*pool, "select x from o", description)), "42P01");
}

}  // namespace
}  // namespace dbsidecar::contract
