// What concurrent transactions see of each other, at each isolation level: as chapter 13.2 of
// PostgreSQL's manual says, and on SQLite as its "Isolation in SQLite" says. Each of two sessions
// is a client of the sidecar.
#include <filesystem>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using Level = v1::IsolationLevel;

// A transaction of one client.
class Transaction {
 public:
  Transaction(QueryClient& client, Level level, bool read_only = false) : client_(client) {
    v1::BeginOptions& begin = *opening_.mutable_begin();
    begin.set_isolation(level);
    begin.set_read_only(read_only);
  }

  QueryOutcome Run(const std::string& sql, milliseconds timeout = QueryClient::kTimeout) {
    QueryOutcome outcome = client_.Run(Request(sql), timeout);
    Note(outcome);
    return outcome;
  }
  std::string Read(const std::string& sql) { return Run(sql).Scalar(); }
  // "" or the SQLSTATE.
  std::string Write(const std::string& sql) { return Run(sql).sql.sqlstate(); }
  std::unique_ptr<PendingQuery> Start(const std::string& sql) {
    return client_.Start(Request(sql));
  }
  std::string Commit() {
    v1::EndSessionRequest request;
    request.set_session(token_);
    request.set_end(v1::SESSION_END_COMMIT);
    v1::EndSessionResponse response;
    grpc::ClientContext context;
    QueryOutcome outcome;
    outcome.status = client_.stub().EndSession(&context, request, &response);
    UnpackDetails(outcome);
    return outcome.ok()                     ? ""
           : outcome.sql.sqlstate().empty() ? outcome.reason
                                            : outcome.sql.sqlstate();
  }

 private:
  v1::QueryRequest Request(const std::string& sql) const {
    v1::QueryRequest request = MakeQuery(sql);
    if (token_.empty()) {
      *request.mutable_session() = opening_;
    } else {
      request.mutable_session()->set_session(token_);
    }
    return request;
  }
  void Note(const QueryOutcome& outcome) {
    if (token_.empty()) token_ = outcome.response.session();
  }

  QueryClient& client_;
  v1::SessionControl opening_;
  std::string token_;
};

// What a level allows, by the manual's table 13.1.
struct Allowed {
  Level level;
  bool nonrepeatable_read;
  bool phantom_read;
  bool serialization_anomaly;
};

std::ostream& operator<<(std::ostream& out, const Allowed& allowed) {
  return out << v1::IsolationLevel_Name(allowed.level);
}

class AnomalyTest : public testing::TestWithParam<Allowed> {
 protected:
  AnomalyTest() {
    fixture_.Psql(
        "create table account (id int primary key, balance int);"
        "insert into account values (1, 100), (2, 100)");
  }
  std::string Balance(int id) {
    return fixture_.Psql("select balance from account where id = " + std::to_string(id));
  }

  PostgresSidecar fixture_{{"--max-connections=4"}};
  QueryClient other_{fixture_.sidecar.NewChannel()};
};

constexpr const char* kFirst = "select balance from account where id = 1";
constexpr const char* kCount = "select count(*) from account where balance >= 100";

TEST_P(AnomalyTest, NobodyReadsWhatIsNotCommitted) {
  Transaction writer(other_, GetParam().level);
  EXPECT_EQ(writer.Write("update account set balance = 0 where id = 1"), "");
  Transaction reader(fixture_.client, GetParam().level);
  EXPECT_EQ(reader.Read(kFirst), "100");
  EXPECT_EQ(fixture_.client.Query(kFirst).Scalar(), "100") << "nor does anybody outside";
  EXPECT_EQ(writer.Commit(), "");
}

TEST_P(AnomalyTest, ARowReadTwiceChangesOnlyWhereTheLevelAllowsIt) {
  Transaction reader(fixture_.client, GetParam().level);
  EXPECT_EQ(reader.Read(kFirst), "100");
  EXPECT_TRUE(other_.Query("update account set balance = 50 where id = 1").ok());
  EXPECT_EQ(reader.Read(kFirst), GetParam().nonrepeatable_read ? "50" : "100");
  EXPECT_EQ(reader.Commit(), "");
}

TEST_P(AnomalyTest, NewRowsAppearOnlyWhereTheLevelAllowsIt) {
  Transaction reader(fixture_.client, GetParam().level);
  EXPECT_EQ(reader.Read(kCount), "2");
  EXPECT_TRUE(other_.Query("insert into account values (3, 100)").ok());
  EXPECT_EQ(reader.Read(kCount), GetParam().phantom_read ? "3" : "2");
  EXPECT_EQ(reader.Commit(), "");
}

// Both read, then both write what they have computed from it.
TEST_P(AnomalyTest, AnUpdateIsLostOnlyWhereRowsMayChange) {
  Transaction one(fixture_.client, GetParam().level);
  Transaction two(other_, GetParam().level);
  EXPECT_EQ(one.Read(kFirst), "100");
  EXPECT_EQ(two.Read(kFirst), "100");
  EXPECT_EQ(one.Write("update account set balance = 110 where id = 1"), "");
  EXPECT_EQ(one.Commit(), "");
  const QueryOutcome second = two.Run("update account set balance = 120 where id = 1");
  if (GetParam().nonrepeatable_read) {
    EXPECT_TRUE(second.ok()) << second;
    EXPECT_EQ(two.Commit(), "");
    EXPECT_EQ(Balance(1), "120") << "the first is lost";
  } else {
    EXPECT_EQ(CodeAndSqlstate(second), "ABORTED 40001");
    EXPECT_EQ(second.sql.message(), "could not serialize access due to concurrent update");
    EXPECT_TRUE(second.retry_delay) << "the whole transaction may be run again";
    EXPECT_EQ(two.Commit(), "TRANSACTION_FAILED");
    EXPECT_EQ(Balance(1), "110");
  }
}

// An update that waits for another's commit sees its row anew, or fails.
TEST_P(AnomalyTest, AnUpdateInTheDatabaseIsNeverLost) {
  Transaction one(fixture_.client, GetParam().level);
  Transaction two(other_, GetParam().level);
  EXPECT_EQ(two.Read("select 1 from account"), "1");  // Its snapshot.
  EXPECT_EQ(one.Write("update account set balance = balance + 10 where id = 1"), "");
  const auto waiting = two.Start("update account set balance = balance + 20 where id = 1");
  ASSERT_TRUE(Eventually(5s, [&] {
    return fixture_.Psql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") ==
           "1";
  }));
  EXPECT_EQ(one.Commit(), "");
  if (GetParam().nonrepeatable_read) {
    EXPECT_TRUE(waiting->Wait().ok()) << waiting->Wait();
    EXPECT_EQ(two.Commit(), "");
    EXPECT_EQ(Balance(1), "130");
  } else {
    EXPECT_EQ(CodeAndSqlstate(waiting->Wait()), "ABORTED 40001");
    EXPECT_EQ(Balance(1), "110");
  }
}

// Each takes money from its own account, because the sum of both allows it.
TEST_P(AnomalyTest, WritesAreSkewedOnlyWhereTheLevelAllowsIt) {
  constexpr const char* kSum = "select sum(balance) from account";
  Transaction one(fixture_.client, GetParam().level);
  Transaction two(other_, GetParam().level);
  EXPECT_EQ(one.Read(kSum), "200");
  EXPECT_EQ(two.Read(kSum), "200");
  EXPECT_EQ(one.Write("update account set balance = balance - 200 where id = 1"), "");
  std::string trouble = two.Write("update account set balance = balance - 200 where id = 2");
  EXPECT_EQ(one.Commit(), "");
  if (trouble.empty()) trouble = two.Commit();
  EXPECT_EQ(trouble, GetParam().serialization_anomaly ? "" : "40001");
  EXPECT_EQ(fixture_.Psql(kSum), GetParam().serialization_anomaly ? "-200" : "0");
}

TEST_P(AnomalyTest, AReadOnlyTransactionWritesNothing) {
  Transaction reader(fixture_.client, GetParam().level, true);
  EXPECT_EQ(reader.Read(kFirst), "100");
  EXPECT_EQ(reader.Write("update account set balance = 0"), "25006");
}

INSTANTIATE_TEST_SUITE_P(
    Levels, AnomalyTest,
    testing::Values(Allowed{v1::ISOLATION_LEVEL_UNSPECIFIED, true, true, true},
                    Allowed{v1::ISOLATION_LEVEL_READ_COMMITTED, true, true, true},
                    Allowed{v1::ISOLATION_LEVEL_REPEATABLE_READ, false, false, true},
                    Allowed{v1::ISOLATION_LEVEL_SERIALIZABLE, false, false, false}),
    testing::PrintToStringParamName());

// The text by which PostgreSQL tells a dependency from a conflict of rows.
TEST(SerializationTest, ADependencyIsToldByItsOwnWords) {
  PostgresSidecar fixture({"--max-connections=4"});
  QueryClient other(fixture.sidecar.NewChannel());
  fixture.Psql("create table t (class int, value int); insert into t values (1, 10), (2, 100)");
  Transaction one(fixture.client, v1::ISOLATION_LEVEL_SERIALIZABLE);
  Transaction two(other, v1::ISOLATION_LEVEL_SERIALIZABLE);
  EXPECT_EQ(one.Write("insert into t select 2, sum(value) from t where class = 1"), "");
  EXPECT_EQ(two.Write("insert into t select 1, sum(value) from t where class = 2"), "");
  EXPECT_EQ(one.Commit(), "");
  EXPECT_EQ(two.Commit(), "40001");
}

// One writer at a time, and readers who keep what they saw first: serializable.
TEST(SqliteAnomalyTest, ReadersKeepTheirSnapshotAndWritersTakeTurns) {
  const std::string folder = testing::TempDir() + "/anomaly";
  std::filesystem::create_directories(folder);
  const SidecarProcess sidecar({.database_url = "sqlite:" + folder + "/bank.db",
                                .flags = {"--max-connections=4"},
                                .environment = {}});
  QueryClient client(sidecar.NewChannel());
  QueryClient other(sidecar.NewChannel());
  EXPECT_TRUE(client.Query("create table account (id int primary key, balance int)").ok());
  EXPECT_TRUE(client.Query("insert into account values (1, 100), (2, 100)").ok());
  {
    Transaction reader(client, v1::ISOLATION_LEVEL_UNSPECIFIED, true);
    EXPECT_EQ(reader.Read(kFirst), "100");
    EXPECT_EQ(reader.Read(kCount), "2");
    Transaction writer(other, v1::ISOLATION_LEVEL_UNSPECIFIED);
    EXPECT_EQ(writer.Write("update account set balance = 50 where id = 1"), "");
    EXPECT_EQ(reader.Read(kFirst), "100") << "not committed";
    EXPECT_EQ(writer.Write("insert into account values (3, 100)"), "");
    EXPECT_EQ(writer.Commit(), "");
    EXPECT_EQ(reader.Read(kFirst), "100") << "no other row when read again";
    EXPECT_EQ(reader.Read(kCount), "2") << "no new rows";
    EXPECT_EQ(reader.Commit(), "");
    EXPECT_EQ(client.Query(kFirst).Scalar(), "50");
  }
  // A second writer begins when the first has ended, so it reads what that has written.
  Transaction one(client, v1::ISOLATION_LEVEL_UNSPECIFIED);
  EXPECT_EQ(one.Read(kFirst), "50");
  Transaction two(other, v1::ISOLATION_LEVEL_UNSPECIFIED);
  EXPECT_EQ(CodeAndSqlstate(two.Run(kFirst, 300ms)).substr(0, 17), "DEADLINE_EXCEEDED");
  EXPECT_EQ(one.Write("update account set balance = balance + 10 where id = 1"), "");
  EXPECT_EQ(one.Commit(), "");
  EXPECT_EQ(two.Read(kFirst), "60");
  EXPECT_EQ(two.Write("update account set balance = balance + 20 where id = 1"), "");
  EXPECT_EQ(two.Commit(), "");
  EXPECT_EQ(client.Query(kFirst).Scalar(), "80");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace dbsidecar::integration
