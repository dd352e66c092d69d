// What SQL comes back as, over every real database: rows, columns, parameters, limits and errors.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using std::chrono::milliseconds;
using testing::HasSubstr;

class SqlContract : public DatabaseTest {
 protected:
  void SetUp() override {
    pool_ = NewPool(2);
    ASSERT_TRUE(pool_->AwaitWarm());
    pool_->Must("create table item (id integer primary key, name text not null, price numeric)");
    pool_->Must("insert into item values (1, 'apple', 3), (2, 'pear', null), (3, '', 5)");
  }
  void TearDown() override { pool_.reset(); }

  std::unique_ptr<RunningPool> pool_;
};
INSTANTIATE_TEST_SUITE_P(, SqlContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

TEST_P(SqlContract, ASelectGivesItsRowsColumnsNullsAndEmptyStrings) {
  const Outcome outcome = pool_->Run("select id, name, price as cost from item order by id");
  EXPECT_EQ(Rows(outcome), "1,apple,3;2,pear,NULL;3,,5");
  ASSERT_EQ(outcome.result.columns.size(), 3u);
  EXPECT_EQ(outcome.result.columns[0].name, "id");
  EXPECT_EQ(outcome.result.columns[0].type_oid, 23u - (IsPostgres() ? 0u : 3u));  // int4; int8.
  EXPECT_EQ(outcome.result.columns[1].name, "name");
  EXPECT_EQ(outcome.result.columns[1].type_oid, 25u);  // text
  EXPECT_EQ(outcome.result.columns[2].name, "cost");
  EXPECT_EQ(outcome.result.command_tag, "SELECT 3");
  EXPECT_FALSE(outcome.result.truncated);
}

TEST_P(SqlContract, AnEmptyResultHasItsColumns) {
  const Outcome outcome = pool_->Run("select id, name from item where id = 99");
  EXPECT_EQ(Rows(outcome), "");
  EXPECT_EQ(outcome.result.columns.size(), 2u);
  EXPECT_EQ(outcome.result.command_tag, "SELECT 0");
}

TEST_P(SqlContract, InsertReturningGivesTheRowsAndTheCount) {
  const Outcome outcome =
      pool_->Run("insert into item values ($1, $2, $3), (11, 'fig', 2) returning id, name",
                 {Integer(10), Text("plum"), Null()});
  EXPECT_EQ(Rows(outcome), "10,plum;11,fig");
  EXPECT_EQ(outcome.result.rows_affected, 2);
  EXPECT_EQ(outcome.result.command_tag, "INSERT 0 2");
  EXPECT_EQ(pool_->Text("select count(*) from item where price is null"), "2");
}

TEST_P(SqlContract, UpdateAndDeleteSayHowManyRowsTheyTouched) {
  const Outcome updated = pool_->Run("update item set price = 9 where id <= $1", {Integer(2)});
  EXPECT_EQ(Rows(updated), "");
  EXPECT_EQ(updated.result.rows_affected, 2);
  EXPECT_EQ(updated.result.command_tag, "UPDATE 2");
  const Outcome deleted = pool_->Run("delete from item where price = 9");
  EXPECT_EQ(deleted.result.rows_affected, 2);
  EXPECT_EQ(deleted.result.command_tag, "DELETE 2");
  EXPECT_EQ(Rows(pool_->Run("select id from item")), "3");
}

TEST_P(SqlContract, DefinitionsTakeEffectForEveryConnection) {
  pool_->Must("create table other (id integer)");
  pool_->Must("create index other_id on other (id)");
  pool_->Must("insert into other values (1)");
  EXPECT_EQ(Rows(pool_->Run("select id from other")), "1");
  pool_->Must("drop table other");
  EXPECT_EQ(SqlState(pool_->Run("select id from other")), "42P01");
}

TEST_P(SqlContract, ParametersKeepTheirTypes) {
  pool_->Must(IsPostgres() ? "create table v (i bigint, d double precision, t text, b bytea)"
                           : "create table v (i bigint, d double precision, t text, b blob)");
  const std::string_view bytes("\0\x01\xff", 3);
  const Outcome inserted =
      pool_->Run("insert into v values ($1, $2, $3, $4)",
                 {Integer(9007199254740993), Real(0.1), Text("1 ' \" \xc3\xa4"), Bytes(bytes)});
  ASSERT_FALSE(inserted.error) << ErrorText(inserted);
  const Outcome read = pool_->Run("select i, d, t, b from v");
  ASSERT_EQ(read.result.rows.row_count(), 1u) << ErrorText(read);
  EXPECT_EQ(CellText(read.result, 0, 0), "9007199254740993");
  EXPECT_EQ(CellText(read.result, 0, 1), "0.1");
  EXPECT_EQ(CellText(read.result, 0, 2), "1 ' \" \xc3\xa4");
  EXPECT_EQ(CellText(read.result, 0, 3), IsPostgres() ? "\\x0001ff" : std::string(bytes));
  EXPECT_EQ(pool_->Text("select count(*) from v where i = $1 and t = $2",
                        {Integer(9007199254740993), Text("1 ' \" \xc3\xa4")}),
            "1");
}

TEST_P(SqlContract, ABooleanParameterIsTrueOrFalse) {
  const std::string sql = "select case when $1 then 'yes' else 'no' end";
  EXPECT_EQ(pool_->Text(sql, {Boolean(true)}), "yes");
  EXPECT_EQ(pool_->Text(sql, {Boolean(false)}), "no");
}

TEST_P(SqlContract, ASyntaxErrorHasItsStateAndPosition) {
  const Outcome outcome = pool_->Run("select id frm item where");
  EXPECT_EQ(KindOf(outcome), ErrorKind::kDatabase);
  EXPECT_EQ(SqlState(outcome), "42601");
  EXPECT_GT(outcome.error->sql.position, 0);
  EXPECT_EQ(pool_->Text("select 1"), "1");
}

TEST_P(SqlContract, AMissingTableAndAMissingColumnHaveTheirStates) {
  EXPECT_EQ(SqlState(pool_->Run("select * from nowhere")), "42P01");
  EXPECT_EQ(SqlState(pool_->Run("select colour from item")), "42703");
  EXPECT_EQ(KindOf(pool_->Run("select * from nowhere")), ErrorKind::kDatabase);
}

TEST_P(SqlContract, ConstraintViolationsHaveTheirStatesAndChangeNothing) {
  const Outcome unique = pool_->Run("insert into item values (4, 'x', 1), (1, 'twice', 1)");
  EXPECT_EQ(SqlState(unique), "23505") << ErrorText(unique);
  EXPECT_EQ(KindOf(unique), ErrorKind::kDatabase);
  const Outcome not_null = pool_->Run("insert into item values (5, null, 1)");
  EXPECT_EQ(SqlState(not_null), "23502") << ErrorText(not_null);
  EXPECT_EQ(not_null.error->sql.table, "item");
  EXPECT_EQ(not_null.error->sql.column, "name");
  EXPECT_EQ(pool_->Text("select count(*) from item"), "3");
}

TEST_P(SqlContract, RowsOverTheLimitAreDroppedWhenTruncationIsAskedFor) {
  const std::string sql = "select id from item order by id";
  const Outcome cut = pool_->RunLimited(sql, {.rows_max = 2, .truncate = true});
  EXPECT_EQ(Rows(cut), "1;2");
  EXPECT_TRUE(cut.result.truncated);
  const Outcome whole = pool_->RunLimited(sql, {.rows_max = 3, .truncate = true});
  EXPECT_EQ(Rows(whole), "1;2;3");
  EXPECT_FALSE(whole.result.truncated);
}

TEST_P(SqlContract, RowsOverTheLimitFailWithoutTruncation) {
  const std::string sql = "select id from item order by id";
  EXPECT_EQ(KindOf(pool_->RunLimited(sql, {.rows_max = 2})), ErrorKind::kResultTooLarge);
  EXPECT_EQ(Rows(pool_->RunLimited(sql, {.rows_max = 3})), "1;2;3");
}

TEST_P(SqlContract, BytesOverTheLimitFailAndTheConnectionServesTheNext) {
  const std::string sql = "select name from item";
  const std::string large = IsPostgres()
                                ? "select repeat('x', 100000) from generate_series(1, 500)"
                                : "with recursive n(i) as (select 1 union all select i + 1 "
                                  "from n where i < 500) select hex(zeroblob(50000)) from n";
  EXPECT_EQ(KindOf(pool_->RunLimited(large, {.bytes_max = 250000})), ErrorKind::kResultTooLarge);
  EXPECT_EQ(KindOf(pool_->RunLimited(sql, {.bytes_max = 8})), ErrorKind::kResultTooLarge);
  const Outcome within = pool_->RunLimited(sql, {.bytes_max = 1000});
  EXPECT_FALSE(within.error) << ErrorText(within);
  EXPECT_EQ(pool_->Text("select 1"), "1");
}

TEST_P(SqlContract, AnEndlessResultIsCutWithoutReadingItAll) {
  const std::string sql = IsPostgres() ? "select generate_series(1, 2000000000)"
                                       : "with recursive n(i) as (select 1 union all select i + 1 "
                                         "from n) select i from n";
  TestCall call(sql);
  call.statement.limits = {.rows_max = 5, .truncate = true};
  call.statement.read_only = true;
  pool_->Submit(call);
  EXPECT_EQ(Rows(call.Await()), "1;2;3;4;5");
  EXPECT_TRUE(call.Await().result.truncated);
  EXPECT_EQ(pool_->Text("select 1"), "1");
}

TEST_P(SqlContract, AReadOnlyCallThatWritesIsRefusedAndWritesNothing) {
  for (const char* sql :
       {"insert into item values (7, 'x', 1)", "update item set price = 1", "delete from item",
        "create table extra (id integer)", "drop table item"}) {
    EXPECT_EQ(SqlState(pool_->RunReadOnly(sql)), "25006") << sql;
  }
  EXPECT_EQ(Rows(pool_->RunReadOnly("select id, price from item order by id")), "1,3;2,NULL;3,5");
  // The next call on the same connection may write again.
  pool_->Must("update item set price = 4 where id = 1");
}

TEST_P(SqlContract, AnEmptyStatementIsInvalid) {
  for (const char* sql : {"", "  ", ";", "-- only a comment"}) {
    EXPECT_EQ(KindOf(pool_->Run(sql)), ErrorKind::kInvalidArgument) << "'" << sql << "'";
  }
}

TEST_P(SqlContract, TwoStatementsInOneAreInvalidAndNeitherRuns) {
  const Outcome outcome = pool_->Run("delete from item where id = 1; delete from item");
  EXPECT_EQ(KindOf(outcome), ErrorKind::kInvalidArgument) << ErrorText(outcome);
  EXPECT_EQ(pool_->Text("select count(*) from item"), "3");
  EXPECT_EQ(pool_->Text("select count(*) from item; -- the end"), "3");
}

TEST_P(SqlContract, TheWrongNumberOfParametersIsInvalid) {
  const std::string sql = "select name from item where id = $1 and name = $2";
  EXPECT_EQ(KindOf(pool_->Run(sql, {Integer(1)})), ErrorKind::kInvalidArgument);
  EXPECT_EQ(KindOf(pool_->Run(sql, {Integer(1), Text("apple"), Integer(1)})),
            ErrorKind::kInvalidArgument);
  EXPECT_EQ(KindOf(pool_->Run("select 1", {Integer(1)})), ErrorKind::kInvalidArgument);
  EXPECT_EQ(pool_->Text(sql, {Integer(1), Text("apple")}), "apple");
}

TEST_P(SqlContract, TransactionControlNeedsASessionAndLeavesNothingOpen) {
  const auto pool = NewPool(1);
  for (const char* sql : {"begin", "savepoint s", "commit", "rollback", "release savepoint s"}) {
    const Outcome outcome = pool->Run(sql);
    EXPECT_EQ(KindOf(outcome), ErrorKind::kNeedsSession) << sql << " " << ErrorText(outcome);
    EXPECT_EQ(pool->Text("select 1"), "1");
  }
  pool->Must("create table kept (id integer)");
  pool->Must("insert into kept values (1)");
  EXPECT_EQ(pool->Text("select count(*) from kept"), "1");
}

TEST_P(SqlContract, ATemporaryTableNeedsASession) {
  const auto pool = NewPool(1);
  const Outcome outcome = pool->Run("create temporary table scratch (id integer)");
  EXPECT_EQ(KindOf(outcome), ErrorKind::kNeedsSession) << ErrorText(outcome);
  EXPECT_EQ(SqlState(pool->Run("select * from scratch")), "42P01");
}

TEST_P(SqlContract, ADeferredConstraintThatFailsAtTheCommitIsAnError) {
  pool_->Must("create table parent (id integer primary key)");
  pool_->Must(
      "create table child (parent integer references parent (id) deferrable initially deferred)");
  const Outcome outcome = pool_->Run("insert into child values (42)");
  EXPECT_EQ(SqlState(outcome), "23503") << ErrorText(outcome);
  EXPECT_EQ(pool_->Text("select count(*) from child"), "0");
}

TEST_P(SqlContract, WritesOfManyCallersAtOnceAllTakeEffect) {
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back(std::make_unique<TestCall>("insert into item values ($1, 'many', 0)",
                                               std::vector<pool::Value>{Integer(100 + i)}));
    pool_->Submit(*calls.back());
  }
  for (auto& call : calls) EXPECT_FALSE(call->Await().error) << call->AwaitText();
  EXPECT_EQ(pool_->Text("select count(*) from item where name = 'many'"), "100");
}

TEST_P(SqlContract, NoCallerNoticesThatATableChangedBetweenRepetitionsOfAText) {
  const auto pool = NewPool(1);
  pool->Must("create table shape (a integer)");
  pool->Must("insert into shape values (1)");
  const std::string sql = "select * from shape";
  const auto repeat = [&](const std::string& expected) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(Rows(pool->Run(sql)), expected);
  };
  repeat("1");
  pool->Must("alter table shape add column b integer default 2");
  repeat("1,2");
  pool->Must("alter table shape drop column b");
  repeat("1");
  pool->Must("drop table shape");
  pool->Must("create table shape (a text)");
  pool->Must("insert into shape values ('text')");
  repeat("text");
}

#if defined(__SANITIZE_THREAD__)
constexpr int kNestingDepth = 1000;  // ThreadSanitizer itself fails at a depth of 65536 calls.
#else
constexpr int kNestingDepth = 60000;
#endif

TEST_P(SqlContract, ADeeplyNestedTextIsAnsweredAndBreaksNothing) {
  std::string sql = "select 1";
  for (int i = 0; i < kNestingDepth; ++i) sql += "+1";
  const Outcome outcome = pool_->Run(sql);
  // Either database may find it too deep, and must say so in its own words.
  if (outcome.error) {
    EXPECT_THAT(SqlState(outcome), testing::AnyOf("54001", "42601", "54000")) << ErrorText(outcome);
  } else {
    EXPECT_EQ(Rows(outcome), std::to_string(kNestingDepth + 1));
  }
  EXPECT_EQ(pool_->Text("select 1"), "1");
}

}  // namespace
}  // namespace dbsidecar::contract
