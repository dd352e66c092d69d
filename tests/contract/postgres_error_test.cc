// pool/postgres/postgres_error against the errors of a real server, over a plain libpq connection.
#include "pool/postgres/postgres_error.h"

#include <libpq-fe.h>

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "tests/contract/database.h"
#include "tests/support/postgres_server.h"

namespace dbsidecar::contract {
namespace {

using pool::ConnectError;
using pool::ErrorKind;
using pool::SqlError;
using test_support::PostgresServer;
using testing::HasSubstr;
using testing::Not;

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

class PostgresError : public PostgresTest {
 protected:
  PostgresError() { EXPECT_EQ(PQstatus(conn_.get()), CONNECTION_OK); }

  Result Run(const std::string& sql) { return {PQexec(conn_.get(), sql.c_str()), &PQclear}; }
  void Must(const std::string& sql) {
    const Result result = Run(sql);
    ASSERT_NE(PQresultStatus(result.get()), PGRES_FATAL_ERROR)
        << PQresultErrorMessage(result.get());
  }
  Result RunPrepared(const std::string& name) {
    return {PQexecPrepared(conn_.get(), name.c_str(), 0, nullptr, nullptr, nullptr, 0), &PQclear};
  }
  SqlError ErrorOf(const std::string& sql) { return pool::SqlErrorOf(Run(sql).get()); }

  static ConnectError ConnectErrorTo(const std::string& conninfo) {
    const std::unique_ptr<PGconn, decltype(&PQfinish)> conn(PQconnectdb(conninfo.c_str()),
                                                            &PQfinish);
    EXPECT_EQ(PQstatus(conn.get()), CONNECTION_BAD) << conninfo;
    return pool::ConnectErrorOf(conn.get());
  }

  std::unique_ptr<PGconn, decltype(&PQfinish)> conn_{PQconnectdb(config_.url.c_str()), &PQfinish};
};

// Nor one from the home of whoever runs the test.
std::string WithoutPassword(std::string url) {
  const size_t colon = url.find(':', url.find("app"));
  url.erase(colon, url.find('@') - colon);
  return url + "?passfile=/nowhere";
}

TEST_F(PostgresError, EveryFieldOfAReportArrives) {
  const SqlError error = ErrorOf(
      "do $$ begin raise exception using errcode = 'ZX123', message = 'primary', "
      "detail = 'details', hint = 'a hint', schema = 'a schema', table = 'a table', "
      "column = 'a column', datatype = 'a type', constraint = 'a constraint'; end $$");
  EXPECT_EQ(error.sqlstate, "ZX123");
  EXPECT_EQ(error.severity, "ERROR");
  EXPECT_EQ(error.message, "primary");
  EXPECT_EQ(error.detail, "details");
  EXPECT_EQ(error.hint, "a hint");
  EXPECT_EQ(error.schema, "a schema");
  EXPECT_EQ(error.table, "a table");
  EXPECT_EQ(error.column, "a column");
  EXPECT_EQ(error.datatype, "a type");
  EXPECT_EQ(error.constraint, "a constraint");
  EXPECT_THAT(error.where, HasSubstr("PL/pgSQL function inline_code_block line 1"));
  EXPECT_EQ(error.position, 0);
}

TEST_F(PostgresError, ThePositionIsInCharactersFromOne) {
  EXPECT_EQ(ErrorOf("selec 1").position, 1);
  EXPECT_EQ(ErrorOf("select '\xe2\x82\xac', nothing").position, 13) << "in bytes it is 15";
}

TEST_F(PostgresError, TheMessageIsTheDatabasesOwnWithoutSeverityAndDetails) {
  Must("create table fruit (name text primary key)");
  Must("insert into fruit values ('pear')");
  const Result result = Run("insert into fruit values ('pear')");
  const pool::Error error = pool::DatabaseError(result.get());
  EXPECT_EQ(error.kind, ErrorKind::kDatabase);
  EXPECT_EQ(error.message, "duplicate key value violates unique constraint \"fruit_pkey\"");
  EXPECT_EQ(error.sql.message, error.message);
  EXPECT_EQ(error.sql.sqlstate, "23505");
  EXPECT_EQ(error.sql.detail, "Key (name)=(pear) already exists.");
  EXPECT_EQ(error.sql.constraint, "fruit_pkey");
  EXPECT_FALSE(error.outcome_unknown);
}

TEST_F(PostgresError, OnlyWhatEndsTheConnectionIsFatal) {
  EXPECT_FALSE(pool::IsFatal(Run("selec 1").get()));
  ASSERT_EQ(PQsendQuery(conn_.get(), "select pg_terminate_backend(pg_backend_pid())"), 1);
  // The first result: PQexec would give the last, which is libpq's own about the broken connection.
  const Result farewell(PQgetResult(conn_.get()), &PQclear);
  EXPECT_EQ(pool::SqlErrorOf(farewell.get()).sqlstate, "57P01");
  EXPECT_TRUE(pool::IsFatal(farewell.get()));
}

TEST_F(PostgresError, APlanWhoseColumnsChangedIsStale) {
  Must("create table shape (a int)");
  Must("prepare wide as select * from shape");
  Must("alter table shape add b int");
  const Result result = RunPrepared("wide");
  EXPECT_EQ(pool::SqlErrorOf(result.get()).sqlstate, "0A000");
  EXPECT_TRUE(pool::IsStalePlan(result.get()));
}

TEST_F(PostgresError, AStatementThatIsNoLongerPreparedIsStale) {
  const Result result = RunPrepared("never_prepared");
  EXPECT_EQ(pool::SqlErrorOf(result.get()).sqlstate, "26000");
  EXPECT_TRUE(pool::IsStalePlan(result.get()));
}

TEST_F(PostgresError, AParameterWhoseColumnChangedItsTypeMayMakeThePlanStale) {
  for (const auto& [sql, sqlstate] :
       {std::pair("select 'a'::text - 1", "42883"), std::pair("select 1 where 2", "42804")}) {
    const Result result = Run(sql);
    EXPECT_EQ(pool::SqlErrorOf(result.get()).sqlstate, sqlstate);
    EXPECT_FALSE(pool::IsStalePlan(result.get())) << sql;
    EXPECT_TRUE(pool::MayBeStalePlan(result.get())) << sql;
  }
}

TEST_F(PostgresError, OtherErrorsDoNotMakeAPlanStale) {
  // The first has the SQLSTATE of a changed result, for another reason.
  for (const auto& [sql, sqlstate] :
       {std::pair("select count(*) from pg_class for update", "0A000"),
        std::pair("selec 1", "42601"), std::pair("select * from nowhere", "42P01"),
        std::pair("select nothing", "42703"), std::pair("select 1/0", "22012")}) {
    const Result result = Run(sql);
    EXPECT_EQ(pool::SqlErrorOf(result.get()).sqlstate, sqlstate);
    EXPECT_FALSE(pool::IsStalePlan(result.get())) << sql;
    EXPECT_FALSE(pool::MayBeStalePlan(result.get())) << sql;
  }
}

TEST_F(PostgresError, ARejectedCredentialIsPermanent) {
  const PostgresServer& server = PostgresServer::Shared();
  const std::string url = config_.url;
  for (const auto& [conninfo, words] :
       {std::pair(server.TcpUrl(database_, "wrong"), "password authentication failed"),
        std::pair(WithoutPassword(server.TcpUrl(database_)), "no password supplied"),
        std::pair(url + "&user=nobody", "role \"nobody\" does not exist"),
        std::pair(url + "&replication=true", "no pg_hba.conf entry")}) {
    const ConnectError failure = ConnectErrorTo(conninfo);
    EXPECT_THAT(failure.error.message, HasSubstr(words));
    EXPECT_TRUE(failure.permanent) << words;
    EXPECT_EQ(failure.error.sql.sqlstate, "28000") << words;
    EXPECT_EQ(failure.error.kind, ErrorKind::kNoConnection);
    EXPECT_THAT(failure.error.message, Not(HasSubstr("\n")));
  }
}

TEST_F(PostgresError, AMissingDatabaseIsPermanentAndNoMatterOfCredentials) {
  const ConnectError failure = ConnectErrorTo(config_.url + "&dbname=missing");
  EXPECT_TRUE(failure.permanent);
  EXPECT_EQ(failure.error.sql.sqlstate, "3D000");
  EXPECT_THAT(failure.error.sql.message, HasSubstr("database \"missing\" does not exist"));
}

TEST_F(PostgresError, AServerThatIsFullMayHaveRoomLater) {
  Must("create role crowded login connection limit 0");
  const ConnectError failure = ConnectErrorTo(config_.url + "&user=crowded");
  EXPECT_FALSE(failure.permanent);
  EXPECT_EQ(failure.error.sql.sqlstate, "53300");
  EXPECT_THAT(failure.error.message, HasSubstr("too many connections"));
  Must("drop role crowded");
}

}  // namespace
}  // namespace dbsidecar::contract
