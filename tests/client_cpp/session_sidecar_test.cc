// Transactions and sessions of the client against the real binary, on both databases.
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <thread>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/support/child_process.h"
#include "tests/support/postgres_server.h"
#include "tests/support/sidecar_process.h"

namespace dbsidecar::client_test {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)
using test_support::PostgresServer;
using test_support::SidecarOptions;
using test_support::SidecarProcess;

enum class Database { kPostgres, kSqlite };

SidecarOptions OptionsFor(Database database) {
  SidecarOptions options;
  if (database == Database::kPostgres) {
    PostgresServer& server = PostgresServer::Shared();
    const std::string name = server.CreateDatabase("sessions");
    // Transfers that meet deadlock; by default each would be waited for for a second.
    server.Psql("alter database " + name + " set deadlock_timeout = '20ms'");
    options.database_url = server.Url(name);
    options.flags = {"--max-connections=8", "--wait-timeout=20s"};
  } else {
    options.database_url = "sqlite:" + test_support::MakeTemporaryFolder("sessions") + "/test.db";
  }
  options.unix_socket = true;
  return options;
}

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

class SessionSidecarTest : public ::testing::TestWithParam<Database> {
 protected:
  void SetUp() override {
    client.Query("create table accounts (id int primary key, balance bigint not null)");
    client.Query("insert into accounts values (1, 100), (2, 0)");
  }
  int64_t Balance(int id) {
    return client.Query("select balance from accounts where id = $1", id).One().Get<int64_t>(0);
  }

  SidecarProcess sidecar{OptionsFor(GetParam())};
  Client client{sidecar.address()};
};

TEST_P(SessionSidecarTest, ACommittedTransactionStays) {
  Transaction tx = client.Begin();
  tx.Query("update accounts set balance = balance - 30 where id = 1");
  tx.Query("update accounts set balance = balance + 30 where id = 2");
  EXPECT_EQ(tx.Query("select balance from accounts where id = 2").One().Get<int>(0), 30);
  tx.Commit();
  EXPECT_EQ(Balance(1), 70);
  EXPECT_EQ(Balance(2), 30);
}

TEST_P(SessionSidecarTest, TheCommitRidesWithTheLastStatement) {
  Transaction tx = client.Begin();
  tx.Query("update accounts set balance = balance - 30 where id = 1");
  EXPECT_EQ(
      tx.CommitWith("update accounts set balance = balance + $1 where id = 2", 30).rows_affected(),
      1);
  EXPECT_EQ(Balance(1), 70);
  EXPECT_THROW(tx.Query("select 1"), Error);
}

TEST_P(SessionSidecarTest, OneStatementIsATransactionOfItsOwn) {
  client.Begin().CommitWith("update accounts set balance = 5 where id = 1");
  EXPECT_EQ(Balance(1), 5);
}

TEST_P(SessionSidecarTest, ARolledBackTransactionLeavesNothing) {
  Transaction tx = client.Begin();
  tx.Query("update accounts set balance = 0");
  tx.Rollback();
  EXPECT_EQ(Balance(1), 100);
}

TEST_P(SessionSidecarTest, AnAbandonedTransactionLeavesNothingAndGivesItsConnectionBack) {
  // More than there are connections.
  for (int i = 0; i < 30; ++i) {
    Transaction tx = client.Begin();
    tx.Query("update accounts set balance = balance + 1 where id = 1");
  }
  EXPECT_EQ(Balance(1), 100);
}

TEST_P(SessionSidecarTest, AFailedStatementLeavesAFailedTransactionThatRollsBack) {
  {
    Transaction tx = client.Begin();
    tx.Query("update accounts set balance = 1 where id = 1");
    EXPECT_THROW(tx.Query("insert into accounts values (1, 1)"), UniqueViolation);
    EXPECT_THROW(tx.Query("select 1"), TransactionFailed);
    EXPECT_THROW(tx.Commit(), Error);
  }
  EXPECT_EQ(Balance(1), 100);
}

TEST_P(SessionSidecarTest, ASavepointSavesATransaction) {
  Transaction tx = client.Begin();
  tx.Query("update accounts set balance = 1 where id = 1");
  tx.Query("savepoint before");
  EXPECT_THROW(tx.Query("insert into accounts values (1, 1)"), UniqueViolation);
  tx.Query("rollback to before");
  tx.Commit();
  EXPECT_EQ(Balance(1), 1);
}

TEST_P(SessionSidecarTest, WhenTheFirstStatementFailsNoTransactionIsOpen) {
  Transaction tx = client.Begin();
  EXPECT_THROW(tx.Query("insert into accounts values (1, 1)"), UniqueViolation);
  EXPECT_THROW(tx.Query("select 1"), Error);
  EXPECT_THROW(tx.Commit(), Error);
  tx.Rollback();
}

TEST_P(SessionSidecarTest, AsynchronousStatementsRunInOrder) {
  Transaction tx = client.Begin();
  std::vector<std::future<Result>> results;
  for (int i = 0; i < 20; ++i) {
    results.push_back(tx.QueryAsync("update accounts set balance = balance * 2 + 1 where id = 2"));
  }
  std::future<Result> committed = tx.CommitAsync();
  for (std::future<Result>& result : results) result.get();
  committed.get();
  EXPECT_EQ(Balance(2), (1 << 20) - 1);
}

TEST_P(SessionSidecarTest, AReadOnlyTransactionRefusesWrites) {
  Transaction tx = client.Begin({.read_only = true});
  EXPECT_EQ(tx.Query("select balance from accounts where id = 1").One().Get<int>(0), 100);
  EXPECT_THROW(tx.Query("update accounts set balance = 0"), ReadOnlyViolation);
}

TEST_P(SessionSidecarTest, TransfersOfManyThreadsLoseNoMoney) {
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      const int from = t % 2 + 1;
      for (int i = 0; i < 20; ++i) {
        for (int attempt = 0; attempt < 100; ++attempt) {
          try {
            Transaction tx = client.Begin({.isolation = Isolation::kSerializable});
            tx.Query("select balance from accounts where id = $1", from);
            tx.Query("update accounts set balance = balance - 1 where id = $1", from);
            tx.CommitWith("update accounts set balance = balance + 1 where id = $1", 3 - from);
            ++done;
            break;
          } catch (const TransactionRollback&) {
            std::this_thread::sleep_for(1ms * (attempt % 7));
          } catch (const Error& error) {
            ADD_FAILURE() << error.reason() << ": " << error.what();
            return;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 120);
  EXPECT_EQ(Balance(1) + Balance(2), 100);
  EXPECT_EQ(Balance(1), 100);
}

TEST_P(SessionSidecarTest, WhenTheClientGoesItsTransactionIsRolledBack) {
  {
    Client other(sidecar.address());
    Transaction tx = other.Begin();
    tx.Query("update accounts set balance = 0 where id = 1");
    Transaction kept = std::move(tx);
    kept.Query("select 1");
  }
  // Nothing holds the row any more.
  client.Query({.timeout = 3s}, "update accounts set balance = balance + 1 where id = 1");
  EXPECT_EQ(Balance(1), 101);
}

INSTANTIATE_TEST_SUITE_P(On, SessionSidecarTest,
                         ::testing::Values(Database::kPostgres, Database::kSqlite),
                         [](const auto& database) {
                           return database.param == Database::kPostgres ? "Postgres" : "Sqlite";
                         });

// --- PostgreSQL alone. ---

struct OnPostgres {
  SidecarProcess sidecar{OptionsFor(Database::kPostgres)};
  Client client{sidecar.address()};
};

TEST(SessionPostgresTest, APinnedSessionKeepsWhatIsSetInItAndTheNextCallerSeesNothing) {
  OnPostgres on;
  Session session = on.client.Pin();
  session.Query("set application_name = 'pinned'");
  session.Query("create temp table scratch (id int)");
  session.Query("insert into scratch values (1)");
  EXPECT_EQ(session.Query("select count(*) from scratch").One().Get<int>(0), 1);
  EXPECT_EQ(session.Query("show application_name").One().Get<std::string>(0), "pinned");
  session.Release();
  EXPECT_THROW(session.Query("select 1"), Error);
  EXPECT_THROW(on.client.Query("select * from scratch"), UndefinedTable);
  EXPECT_NE(on.client.Query("select current_setting('application_name')").One().Get<std::string>(0),
            "pinned");
}

TEST(SessionPostgresTest, AReleaseWithAnOpenTransactionIsRefusedAndTheSessionGoesOn) {
  OnPostgres on;
  Session session = on.client.Pin();
  session.Query("begin");
  EXPECT_THROW(session.Release(), Error);
  session.Query("commit");
  session.Release();
}

TEST(SessionPostgresTest, TheIsolationIsTheOneAskedFor) {
  OnPostgres on;
  for (const auto& [isolation, name] : {std::pair(Isolation::kReadCommitted, "read committed"),
                                        std::pair(Isolation::kRepeatableRead, "repeatable read"),
                                        std::pair(Isolation::kSerializable, "serializable")}) {
    Transaction tx = on.client.Begin({.isolation = isolation});
    EXPECT_EQ(tx.Query("show transaction_isolation").One().Get<std::string>(0), name);
  }
}

TEST(SessionPostgresTest, AWriteSkewIsASerializationFailure) {
  OnPostgres on;
  on.client.Query("create table doctors (name text primary key, on_call bool)");
  on.client.Query("insert into doctors values ('a', true), ('b', true)");
  Transaction one = on.client.Begin({.isolation = Isolation::kSerializable});
  Transaction other = on.client.Begin({.isolation = Isolation::kSerializable});
  one.Query("select count(*) from doctors where on_call");
  other.Query("select count(*) from doctors where on_call");
  one.Query("update doctors set on_call = false where name = 'a'");
  other.Query("update doctors set on_call = false where name = 'b'");
  one.Commit();
  EXPECT_THROW(other.Commit(), SerializationFailure);
}

TEST(SessionPostgresTest, ADeferredConstraintFailsTheCommit) {
  OnPostgres on;
  on.client.Query("create table t (id int unique deferrable initially deferred)");
  Transaction tx = on.client.Begin();
  tx.Query("insert into t values (1)");
  EXPECT_THROW(tx.CommitWith("insert into t values (1)"), UniqueViolation);
  EXPECT_EQ(on.client.Query("select count(*) from t").One().Get<int>(0), 0);
}

TEST(SessionPostgresTest, AStatementCancelledInATransactionLeavesItFailed) {
  OnPostgres on;
  Transaction tx = on.client.Begin();
  tx.Query("select 1");
  std::stop_source stop;
  std::future<Result> slow = tx.QueryAsync({.stop = stop.get_token()}, "select pg_sleep(20)");
  std::this_thread::sleep_for(300ms);
  stop.request_stop();
  EXPECT_THROW(slow.get(), Cancelled);
  EXPECT_THROW(tx.Query("select 1"), Error);
  tx.Rollback();
}

TEST(SessionPostgresTest, WhenTheSidecarIsKilledTheTransactionIsLostAndTheClientSaysSo) {
  OnPostgres on;
  Transaction tx = on.client.Begin();
  tx.Query("select 1");
  on.sidecar.Signal(SIGKILL);
  ASSERT_TRUE(Eventually([&] { return !on.sidecar.Running(); }));
  EXPECT_THROW(tx.Query("select 1"), SessionLost);
  tx.Rollback();
}

}  // namespace
}  // namespace dbsidecar::client_test
