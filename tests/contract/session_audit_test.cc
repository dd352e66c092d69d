// PoolOptions::session_audit: what a session leaves on its connection is named, and cleared.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/contract/database.h"
#include "tests/contract/sessions.h"

namespace dbsidecar::contract {
namespace {

using pool::Outcome;
using pool::PoolOptions;
using pool::SessionAudit;
using pool::SessionUse;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

PoolOptions AuditOptions() {
  PoolOptions options = SessionOptions(1);
  options.session_audit = true;
  return options;
}

// Runs them in one pinned session, which is released afterwards, and waits until the connection can
// be lent again.
void RunPinned(RunningPool& pool, const std::vector<std::string>& texts) {
  const std::string token = Open(pool, "select 1", Pin());
  for (const std::string& text : texts) {
    const Outcome outcome = RunIn(pool, text, In(token));
    EXPECT_FALSE(outcome.error) << text << ": " << ErrorText(outcome);
  }
  const Outcome end = RunEnd(pool, token, SessionUse::End::kRelease);
  EXPECT_FALSE(end.error) << ErrorText(end);
  EXPECT_EQ(pool.Text("select 1"), "1");
}

class SessionAuditContract : public DatabaseTest {
 protected:
  std::unique_ptr<RunningPool> NewAuditedPool() {
    auto pool = NewPool(AuditOptions());
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }
};
INSTANTIATE_TEST_SUITE_P(, SessionAuditContract,
                         testing::Values(Database::kSqliteFile, Database::kSqliteMemory,
                                         Database::kPostgres),
                         NameOf);

TEST_P(SessionAuditContract, SessionsThatLeaveNothingAreNotMentioned) {
  const auto pool = NewAuditedPool();
  pool->Must("create table t (id int primary key)");
  const std::string token = Open(*pool, "insert into t values (1)", Begin());
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kCommit).error);
  const std::string undone = Open(*pool, "insert into t values (2)", Begin());
  EXPECT_FALSE(RunEnd(*pool, undone, SessionUse::End::kRollback).error);
  RunPinned(*pool, {"select count(*) from t"});
  EXPECT_EQ(pool->Text("select count(*) from t"), "1");
  EXPECT_THAT(pool->Audits(), IsEmpty());
}

TEST_P(SessionAuditContract, ATemporaryTableIsNamedAndGone) {
  const auto pool = NewAuditedPool();
  const std::string caller = "reports";
  const std::string token = [&] {
    TestCall call("select 1");
    call.session = Pin();
    call.caller = caller;
    pool->Submit(call);
    return call.Await().session;
  }();
  EXPECT_FALSE(RunIn(*pool, "create temporary table mine (a int)", In(token)).error);
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRelease).error);
  EXPECT_NE(pool->Run("select * from mine").error, std::nullopt);
  const std::vector<SessionAudit> audits = pool->Audits();
  ASSERT_EQ(audits.size(), 1u);
  EXPECT_EQ(audits[0].caller, "reports");
  EXPECT_NE(audits[0].fingerprint, "");
  EXPECT_FALSE(audits[0].taken_for_clean);
  EXPECT_THAT(audits[0].left, ElementsAre("temporary table mine"));
  EXPECT_THAT(audits[0].survived, IsEmpty());
}

class SqliteSessionAudit : public SessionAuditContract {};
INSTANTIATE_TEST_SUITE_P(, SqliteSessionAudit, testing::Values(Database::kSqliteFile), NameOf);

TEST_P(SqliteSessionAudit, EverythingIsNamedWithoutItsValue) {
  const auto pool = NewAuditedPool();
  RunPinned(*pool, {"pragma recursive_triggers = on", "pragma cache_size = 77",
                    "create temporary table mine (a)", "create index temp.mine_a on mine (a)",
                    "create temporary view seen as select 1"});
  const std::vector<SessionAudit> audits = pool->Audits();
  ASSERT_EQ(audits.size(), 1u);
  EXPECT_THAT(audits[0].left,
              UnorderedElementsAre("setting RECURSIVE_TRIGGERS", "setting CACHE_SIZE",
                                   "setting CACHE_SPILL",  // It follows the other.
                                   "temporary table mine", "temporary index mine_a",
                                   "temporary view seen"));
}

class PostgresSessionAudit : public PostgresTest {
 protected:
  std::unique_ptr<RunningPool> NewAuditedPool() {
    auto pool = NewPool(AuditOptions());
    EXPECT_TRUE(pool->AwaitWarm());
    return pool;
  }
};

TEST_F(PostgresSessionAudit, EverythingIsNamedWithoutItsValue) {
  const auto pool = NewAuditedPool();
  RunPinned(*pool, {"set work_mem = '7MB'", "create temporary sequence mine_s",
                    "create temporary view mine_v as select 1",
                    "create function pg_temp.mine_f() returns int language sql as 'select 1'",
                    "create type pg_temp.mine_t as enum ('a')", "prepare mine_p as select 1",
                    "declare mine_c cursor with hold for select 1", "listen mine_l",
                    "select pg_advisory_lock(4294967297)", "select pg_advisory_lock_shared(7, -8)",
                    "set search_path = pg_temp", "set role pg_monitor"});
  const std::vector<SessionAudit> audits = pool->Audits();
  ASSERT_EQ(audits.size(), 1u);
  EXPECT_THAT(audits[0].left,
              UnorderedElementsAre(
                  "setting work_mem", "setting search_path", "temporary sequence mine_s",
                  "temporary view mine_v", "temporary function mine_f", "temporary type mine_t",
                  "prepared statement mine_p", "cursor mine_c", "channel mine_l",
                  "advisory lock 4294967297", "advisory lock 7, -8", "role pg_monitor"));
  EXPECT_THAT(audits[0].survived, IsEmpty());
}

TEST_F(PostgresSessionAudit, AFailedTransactionHasNothingToName) {
  const auto pool = NewAuditedPool();
  const std::string token = Open(*pool, "set local work_mem = '7MB'", Begin());
  EXPECT_TRUE(RunIn(*pool, "select 1 / 0", In(token)).error.has_value());
  EXPECT_FALSE(RunEnd(*pool, token, SessionUse::End::kRollback).error);
  EXPECT_EQ(pool->Text("select 1"), "1");
  EXPECT_THAT(pool->Audits(), IsEmpty());
}

// What no reset clears.
TEST_F(PostgresSessionAudit, AConnectionOnWhichSomethingSurvivesIsClosed) {
  const auto pool = NewAuditedPool();
  const std::string before = pool->Text("select pg_backend_pid()");
  RunPinned(*pool, {"select pg_create_physical_replication_slot('mine', false, true)"});
  EXPECT_NE(pool->Text("select pg_backend_pid()"), before);
  const std::vector<SessionAudit> audits = pool->Audits();
  ASSERT_EQ(audits.size(), 1u);
  EXPECT_THAT(audits[0].left, IsEmpty());
  EXPECT_THAT(audits[0].survived, ElementsAre("temporary replication slot mine"));
}

}  // namespace
}  // namespace dbsidecar::contract
