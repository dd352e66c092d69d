// What needs no server. libpq lets nobody but itself fill in an error's fields, so these are tested
// against a real server: tests/contract/postgres_error_test.cc.
#include "pool/postgres/postgres_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace dbsidecar::pool {
namespace {

using testing::HasSubstr;
using testing::Not;

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

Connection Connect(const std::string& conninfo) {
  Connection conn(PQconnectdb(conninfo.c_str()), &PQfinish);
  EXPECT_EQ(PQstatus(conn.get()), CONNECTION_BAD) << conninfo;
  return conn;
}

Result Failure(PGconn* conn) { return {PQmakeEmptyPGresult(conn, PGRES_FATAL_ERROR), &PQclear}; }

TEST(PostgresErrorTest, AnErrorWithoutFieldsHasEmptyOnes) {
  const Result result = Failure(nullptr);
  const SqlError error = SqlErrorOf(result.get());
  for (const std::string& field :
       {error.sqlstate, error.severity, error.message, error.detail, error.hint, error.schema,
        error.table, error.column, error.datatype, error.constraint, error.where}) {
    EXPECT_EQ(field, "");
  }
  EXPECT_EQ(error.position, 0);
  EXPECT_EQ(error.sqlite_extended_code, 0);
  EXPECT_FALSE(IsFatal(result.get()));
  EXPECT_FALSE(IsStalePlan(result.get()));
}

TEST(PostgresErrorTest, AnErrorThatLibpqMadeItselfHasItsWordsInOneLine) {
  const Connection conn = Connect("host=/nowhere,/elsewhere");
  const Error error = DatabaseError(Failure(conn.get()).get());
  EXPECT_EQ(error.kind, ErrorKind::kDatabase);
  EXPECT_EQ(error.sql.sqlstate, "");
  EXPECT_FALSE(error.outcome_unknown);
  EXPECT_THAT(error.message, HasSubstr("/elsewhere"));
  EXPECT_THAT(error.message, Not(HasSubstr("\n")));
}

TEST(PostgresErrorTest, AServerThatIsNotThereMayComeUpLater) {
  const Connection conn = Connect("host=/nowhere");
  const ConnectError failure = ConnectErrorOf(conn.get());
  EXPECT_FALSE(failure.permanent);
  EXPECT_EQ(failure.error.kind, ErrorKind::kNoConnection);
  EXPECT_EQ(failure.error.sql.sqlstate, "");
  EXPECT_EQ(failure.error.sql.message, "") << "the database did not speak";
  EXPECT_THAT(failure.error.message, HasSubstr("/nowhere"));
}

TEST(PostgresErrorTest, WhatIsSaidOfSeveralHostsIsOneLine) {
  const Connection conn = Connect("host=/nowhere,/elsewhere");
  ASSERT_THAT(PQerrorMessage(conn.get()), HasSubstr("\n"));
  const std::string message = ConnectErrorOf(conn.get()).error.message;
  EXPECT_THAT(message, HasSubstr("/nowhere"));
  EXPECT_THAT(message, HasSubstr("; "));
  EXPECT_THAT(message, HasSubstr("/elsewhere"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  EXPECT_FALSE(message.ends_with("; "));
}

}  // namespace
}  // namespace dbsidecar::pool
