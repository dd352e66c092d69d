// Bad configuration and bad requests: each a clear error, and the sidecar goes on.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using test_support::FailedStart;
using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

AssertionResult Contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return AssertionSuccess();
  return AssertionFailure() << "no \"" << part << "\" in:\n" << text;
}

std::string FreeAddress() { return "127.0.0.1:" + std::to_string(test_support::FreePort()); }

// A start that should fail for the reason tested, not for its address.
FailedStart Serve(std::vector<std::string> flags,
                  const std::map<std::string, std::string>& environment = {}) {
  flags.insert(flags.begin(), "serve");
  flags.push_back("--listen=" + FreeAddress());
  return SidecarProcess::Run(flags, environment);
}

TEST(BadStartTest, AnUnknownFlagIsNamed) {
  const FailedStart start = Serve({"--max-conections=5"});
  EXPECT_EQ(start.exit_code, 2);
  EXPECT_TRUE(Contains(start.output, "max-conections"));
}

TEST(BadStartTest, ABadUrlIsRefused) {
  for (const char* url : {"oracle://host/db", "postgresql://[", "not a url",
                          "postgresql://host/db?no_such_option=1"}) {
    SCOPED_TRACE(url);
    const FailedStart start = Serve({}, {{"DATABASE_URL", url}});
    EXPECT_EQ(start.exit_code, 2) << start.output;
    EXPECT_TRUE(Contains(start.output, "DATABASE_URL") || Contains(start.output, "database"))
        << start.output;
  }
}

TEST(BadStartTest, EveryProblemIsListedAtOnce) {
  const FailedStart start =
      Serve({"--max-connections=0", "--wait-timeout=soon", "--profile=producton"});
  EXPECT_EQ(start.exit_code, 2);
  EXPECT_TRUE(Contains(start.output, "max-connections"));
  EXPECT_TRUE(Contains(start.output, "wait-timeout"));
  EXPECT_TRUE(Contains(start.output, "producton"));
}

TEST(BadStartTest, AWrongPasswordEndsTheStartWithTheDatabasesWords) {
  const auto begin = Clock::now();
  const FailedStart start =
      Serve({}, {{"DATABASE_URL", PostgresServer::Shared().TcpUrl("postgres", "wr0ng-pa55")}});
  EXPECT_EQ(start.exit_code, 1);
  EXPECT_TRUE(Contains(start.output, "password authentication failed"));
  EXPECT_EQ(start.output.find("wr0ng-pa55"), std::string::npos) << start.output;
  EXPECT_LT(Clock::now() - begin, 10s);
}

TEST(BadStartTest, AMissingDatabaseEndsTheStartWithTheDatabasesWords) {
  const auto begin = Clock::now();
  const FailedStart start =
      Serve({}, {{"DATABASE_URL", PostgresServer::Shared().Url("no_such_database")}});
  EXPECT_EQ(start.exit_code, 1);
  EXPECT_TRUE(Contains(start.output, "no_such_database"));
  EXPECT_TRUE(Contains(start.output, "does not exist"));
  EXPECT_LT(Clock::now() - begin, 10s);
}

TEST(BadStartTest, ADatabaseThatIsNotThereEndsTheStartAtTheStartTimeout) {
  const auto begin = Clock::now();
  const FailedStart start =
      Serve({"--start-timeout=1s"}, {{"DATABASE_URL", "postgresql://app@" + FreeAddress() + "/x"}});
  EXPECT_EQ(start.exit_code, 1);
  EXPECT_TRUE(Contains(start.output, "onnection refused"));
  EXPECT_GE(Clock::now() - begin, 1s);
  EXPECT_LT(Clock::now() - begin, 3s + kScheduling);
}

TEST(BadStartTest, APortInUseIsNamed) {
  SidecarProcess first({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  const FailedStart second = SidecarProcess::Run({"serve", "--listen=" + first.address()},
                                                 {{"DATABASE_URL", "sqlite::memory:"}});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_TRUE(Contains(second.output, first.address()));
  EXPECT_TRUE(Contains(second.output, "in use"));
  EXPECT_EQ(QueryClient(first.NewChannel()).Query("select 1").Scalar(), "1");
}

TEST(BadStartTest, AUnixSocketInUseIsNamed) {
  SidecarProcess first(
      {.database_url = "sqlite::memory:", .flags = {}, .environment = {}, .unix_socket = true});
  const FailedStart second = SidecarProcess::Run({"serve", "--listen=" + first.address()},
                                                 {{"DATABASE_URL", "sqlite::memory:"}});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_TRUE(Contains(second.output, first.address()));
  EXPECT_EQ(QueryClient(first.NewChannel()).Query("select 1").Scalar(), "1");
}

TEST(BadStartTest, ASqliteFileThatIsNoDatabaseIsRefused) {
  const std::string folder = test_support::MakeTemporaryFolder("corrupt");
  std::ofstream(folder + "/x.db") << std::string(10000, 'x');
  const FailedStart corrupt = Serve({}, {{"DATABASE_URL", "sqlite:" + folder + "/x.db"}});
  EXPECT_EQ(corrupt.exit_code, 1);
  EXPECT_TRUE(Contains(corrupt.output, folder + "/x.db")) << "the file is not named";
  EXPECT_TRUE(Contains(corrupt.output, "is not an SQLite database"));
  const FailedStart missing = Serve({}, {{"DATABASE_URL", "sqlite:" + folder + "/no/such/x.db"}});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_TRUE(Contains(missing.output, "/no/such does not exist"));
  std::filesystem::remove_all(folder);
}

class BadRequestTest : public ::testing::Test {
 protected:
  // Every bad request must leave the sidecar answering, in the same process.
  void TearDown() override {
    EXPECT_EQ(fixture_.client.Query("select $1::int + 1", 1).Scalar(), "2");
    EXPECT_TRUE(fixture_.sidecar.Running()) << fixture_.sidecar.Log();
  }
  QueryClient& client() { return fixture_.client; }

  PostgresSidecar fixture_;
};

TEST_F(BadRequestTest, MalformedSqlHasItsPosition) {
  const QueryOutcome outcome = client().Query("select 1 frm t");
  EXPECT_EQ(CodeAndSqlstate(outcome), "INVALID_ARGUMENT 42601");
  EXPECT_EQ(outcome.sql.position(), 14) << outcome.sql.ShortDebugString();
  EXPECT_EQ(outcome.reason, "SQL_ERROR");
}

TEST_F(BadRequestTest, AWrongNumberOfParametersIsInvalid) {
  const QueryOutcome few = client().Query("select $1::int + $2::int", 1);
  EXPECT_EQ(few.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << few;
  const QueryOutcome many = client().Query("select $1::int", 1, 2, 3);
  EXPECT_EQ(many.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << many;
  const QueryOutcome unwanted = client().Query("select 1", 1);
  EXPECT_EQ(unwanted.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << unwanted;
  const QueryOutcome none = client().Query("select $1::int");
  EXPECT_EQ(none.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << none;
}

TEST_F(BadRequestTest, AParameterOfTheWrongTypeIsInvalid) {
  EXPECT_EQ(CodeAndSqlstate(client().Query("select $1::int", "seven")), "INVALID_ARGUMENT 22P02");
  EXPECT_EQ(CodeAndSqlstate(client().Query("select $1::int2", 70000)), "OUT_OF_RANGE 22003");
  EXPECT_EQ(CodeAndSqlstate(client().Query("select $1::uuid", "no")), "INVALID_ARGUMENT 22P02");
  const QueryOutcome bytes = client().Query("select $1::int", Bytes{"abc"});
  EXPECT_EQ(bytes.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << bytes;
}

TEST_F(BadRequestTest, AnEmptyStatementAndSeveralStatementsAreInvalid) {
  for (const char* sql : {"", "  ", ";", "-- only a comment", "select 1; select 2"}) {
    const QueryOutcome outcome = client().Query(sql);
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << "\"" << sql << "\": " << outcome;
  }
}

TEST_F(BadRequestTest, InvalidUtf8IsInvalid) {
  const std::string method = "/dbsidecar.v1.Sidecar/Query";
  v1::QueryRequest request = MakeQuery("select 'AAAA'");
  std::string bytes = request.SerializeAsString();
  bytes.replace(bytes.find("AAAA"), 4, "\xff\xfe\xc3\x28");
  const QueryOutcome in_sql = client().RunRaw(method, bytes);
  EXPECT_EQ(in_sql.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << in_sql;

  bytes = MakeQuery("select $1::text", "AAAA").SerializeAsString();
  bytes.replace(bytes.find("AAAA"), 4, "\xff\xfe\xc3\x28");
  const QueryOutcome in_parameter = client().RunRaw(method, bytes);
  EXPECT_EQ(in_parameter.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << in_parameter;
}

TEST_F(BadRequestTest, BytesThatAreNoRequestAreRefused) {
  for (const char* bytes : {"\xff\xff\xff\xff", "\x0a\x7fshort", "\x00"}) {
    const QueryOutcome outcome = client().RunRaw("/dbsidecar.v1.Sidecar/Query", bytes);
    EXPECT_TRUE(outcome.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
                outcome.status.error_code() == grpc::StatusCode::INTERNAL)
        << outcome;
  }
}

TEST_F(BadRequestTest, NulInTextIsInvalid) {
  const QueryOutcome in_sql = client().Query(std::string("select 'a\0b'", 12));
  EXPECT_EQ(in_sql.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << in_sql;
  const QueryOutcome in_parameter = client().Query("select $1::text", std::string("a\0b", 3));
  EXPECT_EQ(in_parameter.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << in_parameter;
}

TEST_F(BadRequestTest, ARequestOf64MebibytesIsTooLarge) {
  const QueryOutcome outcome =
      client().Query("select length($1)", std::string(64 * 1024 * 1024, 'x'));
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << outcome;
}

TEST_F(BadRequestTest, AResultOverTheLimitNamesTheRemedy) {
  for (const char* sql : {"select repeat('x', 10 * 1024 * 1024)",
                          "select repeat('x', 1000) from generate_series(1, 100000)",
                          "select repeat('x', 300 * 1024 * 1024)"}) {
    const QueryOutcome outcome = client().Query(sql);
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << outcome;
    EXPECT_EQ(outcome.reason, "RESULT_TOO_LARGE");
    EXPECT_TRUE(Contains(outcome.status.error_message(), "QueryStream"));
  }
}

std::string Numbered(int parameters, const std::string& cast) {
  std::string list;
  for (int i = 1; i <= parameters; ++i) {
    list += (i == 1 ? "$" : ",$") + std::to_string(i) + cast;
  }
  return list;
}

v1::QueryRequest WithParameters(const std::string& sql, int parameters) {
  v1::QueryRequest request = MakeQuery(sql);
  for (int i = 1; i <= parameters; ++i) request.add_params()->set_int_value(i);
  return request;
}

TEST_F(BadRequestTest, TenThousandParametersAreServedAndTooManyAreRefused) {
  const std::string sum = "select sum(n) from unnest(array[" + Numbered(10000, "::int8") + "]) n";
  EXPECT_EQ(client().Run(WithParameters(sum, 10000)).Scalar(), "50005000");
  const QueryOutcome one_short = client().Run(WithParameters(sum, 9999));
  EXPECT_EQ(one_short.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << one_short;
  const QueryOutcome far_too_many = client().Run(WithParameters("select 1", 70000));
  EXPECT_EQ(far_too_many.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << far_too_many;
  const QueryOutcome number = client().Run(WithParameters("select $99999::int", 1));
  EXPECT_FALSE(number.ok());
}

TEST_F(BadRequestTest, AStatementNestedTooDeepIsAnErrorAndNotACrash) {
  // ThreadSanitizer takes a minute for what else takes a moment.
  const std::vector<int> depths =
      kSanitized ? std::vector<int>{1000} : std::vector<int>{1000, 10000, 100000};
  for (const int depth : depths) {
    const std::string sql = "select " + std::string(static_cast<size_t>(depth), '(') + "1" +
                            std::string(static_cast<size_t>(depth), ')');
    const QueryOutcome outcome = client().Query(sql);
    EXPECT_TRUE(outcome.ok() || outcome.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
        << depth << ": " << outcome;
    std::string sum = "select 1";
    for (int i = 0; i < depth; ++i) sum += "+1";
    const QueryOutcome added = client().Query(sum);
    EXPECT_TRUE(added.ok() || added.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
        << depth << ": " << added;
    std::string nots = "select ";
    for (int i = 0; i < depth; ++i) nots += "not ";
    const QueryOutcome inverted = client().Query(nots + "true");
    EXPECT_TRUE(inverted.ok() || inverted.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
        << depth << ": " << inverted;
  }
}

TEST_F(BadRequestTest, WhatIsNotServedSaysSo) {
  EXPECT_EQ(client().RunRaw("/dbsidecar.v1.Sidecar/NoSuchMethod", "").status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  const QueryOutcome copy = client().Query("copy pg_class to stdout");
  EXPECT_EQ(copy.status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << copy;
}

}  // namespace
}  // namespace dbsidecar::integration
