// The error table of the design, written down a second time: by hand, from its words.
#include "server/error_mapping.h"

#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "server/utf8.h"

namespace dbsidecar::server {
namespace {

constexpr size_t kBytesMax = 7 * 1024;

struct Row {
  Code code;
  bool retry;
  std::string reason;
  std::vector<std::string> sqlstates;  // Each of the row's, or members of each of its classes.
};

const std::vector<Row>& Table() {
  static const std::vector<Row> rows = {
      {Code::kUnavailable,
       true,
       "SQL_ERROR",
       {"08000", "08001", "08003", "08004", "08006", "57P01", "57P02", "57P03", "57P04", "57P05"}},
      {Code::kUnknown, false, "OUTCOME_UNKNOWN", {"40003", "08007"}},
      {Code::kAborted, true, "SQL_ERROR", {"40001", "40P01", "55P03", "25P03"}},
      {Code::kAlreadyExists,
       false,
       "SQL_ERROR",
       {"23505", "23P01", "42P04", "42P06", "42P07", "42710", "42701"}},
      {Code::kFailedPrecondition, false, "SQL_ERROR", {"23000", "23001", "23502", "23503", "23514",
                                                       "44000", "21000", "24000", "25000", "25001",
                                                       "25006", "25P01", "25P02", "2B000", "2BP01",
                                                       "2D000", "34000", "3B000", "3B001", "55000",
                                                       "55006", "55P02", "55P04", "P0001"}},
      {Code::kOutOfRange, false, "SQL_ERROR", {"22003", "22008", "22015"}},
      {Code::kNotFound,
       false,
       "SQL_ERROR",
       {"42P01", "42703", "42883", "42704", "3D000", "3F000", "P0002"}},
      {Code::kPermissionDenied, false, "SQL_ERROR", {"42501"}},
      {Code::kFailedPrecondition, false, "DATABASE_AUTH_FAILED", {"28000", "28P01"}},
      {Code::kInvalidArgument,
       false,
       "SQL_ERROR",
       {"22000", "22001", "22012", "22021", "22023", "22P02", "42000", "42601", "42804", "42P18",
        "26000", "54000", "54001", "54023"}},
      {Code::kResourceExhausted, false, "SQL_ERROR", {"53000", "53100", "53200", "53300", "53400"}},
      {Code::kDeadlineExceeded, false, "SQL_ERROR", {"57014"}},
      {Code::kUnimplemented, false, "SQL_ERROR", {"0A000"}},
      {Code::kDataLoss, false, "SQL_ERROR", {"XX001", "XX002"}},
      {Code::kInternal,
       false,
       "SQL_ERROR",
       {"38000", "38001", "39000", "39P01", "58000", "58030", "58P01", "F0000", "F0001", "HV000",
        "HV00B", "XX000", "P0000", "P0003", "P0004", "08P01", "ZZZZZ"}},
  };
  return rows;
}

pool::Error DatabaseError(const std::string& sqlstate) {
  pool::Error error;
  error.message = "it failed";
  error.sql.sqlstate = sqlstate;
  error.sql.message = "it failed";
  return error;
}

// The detail of type `Message`, or nothing.
template <typename Message>
std::optional<Message> Detail(const google::rpc::Status& status, const std::string& type) {
  for (const google::protobuf::Any& any : status.details()) {
    if (any.type_url() != "type.googleapis.com/" + type) continue;
    Message message;
    EXPECT_TRUE(message.ParseFromString(any.value()));
    return message;
  }
  return std::nullopt;
}

std::optional<v1::SqlError> SqlErrorIn(const google::rpc::Status& status) {
  return Detail<v1::SqlError>(status, "dbsidecar.v1.SqlError");
}

google::rpc::ErrorInfo InfoIn(const google::rpc::Status& status) {
  return Detail<google::rpc::ErrorInfo>(status, "google.rpc.ErrorInfo")
      .value_or(google::rpc::ErrorInfo());
}

TEST(ErrorMappingTest, EveryRowOfTheTableIsMappedAsDesigned) {
  for (const Row& row : Table()) {
    for (const std::string& sqlstate : row.sqlstates) {
      const google::rpc::Status status = ToRpcStatus(DatabaseError(sqlstate));
      EXPECT_EQ(CodeName(static_cast<Code>(status.code())), CodeName(row.code)) << sqlstate;
      EXPECT_EQ(InfoIn(status).reason(), row.reason) << sqlstate;
      EXPECT_EQ(InfoIn(status).domain(), "dbsidecar") << sqlstate;
      EXPECT_EQ(InfoIn(status).metadata().at("sqlstate"), sqlstate);
      const auto retry = Detail<google::rpc::RetryInfo>(status, "google.rpc.RetryInfo");
      EXPECT_EQ(retry.has_value(), row.retry) << sqlstate;
      EXPECT_EQ(retry.value_or(google::rpc::RetryInfo()).retry_delay().nanos() > 0, row.retry)
          << sqlstate;
      ASSERT_TRUE(SqlErrorIn(status).has_value()) << sqlstate;
      EXPECT_EQ(SqlErrorIn(status)->sqlstate(), sqlstate);
    }
  }
}

TEST(ErrorMappingTest, EveryKindOfFailureHasItsCodeReasonAndRetryAdvice) {
  using Kind = pool::ErrorKind;
  struct Expectation {
    Kind kind;
    bool outcome_unknown;
    Code code;
    std::string reason;
    bool retry;
  };
  const std::vector<Expectation> expectations = {
      {Kind::kNoConnection, false, Code::kUnavailable, "NO_CONNECTION", true},
      {Kind::kConnectRejected, false, Code::kFailedPrecondition, "DATABASE_AUTH_FAILED", false},
      {Kind::kConnectionLost, false, Code::kUnavailable, "CONNECTION_LOST", true},
      {Kind::kConnectionLost, true, Code::kUnknown, "OUTCOME_UNKNOWN", false},
      {Kind::kDatabase, true, Code::kUnknown, "OUTCOME_UNKNOWN", false},
      {Kind::kWaitTimeout, false, Code::kDeadlineExceeded, "WAIT_TIMEOUT", false},
      {Kind::kQueueFull, false, Code::kResourceExhausted, "QUEUE_FULL", true},
      {Kind::kDeadline, false, Code::kDeadlineExceeded, "DEADLINE", false},
      {Kind::kDeadline, true, Code::kDeadlineExceeded, "OUTCOME_UNKNOWN", false},
      {Kind::kCancelled, false, Code::kCancelled, "CANCELLED", false},
      {Kind::kCancelled, true, Code::kCancelled, "OUTCOME_UNKNOWN", false},
      {Kind::kDraining, false, Code::kUnavailable, "DRAINING", true},
      {Kind::kResultTooLarge, false, Code::kResourceExhausted, "RESULT_TOO_LARGE", false},
      {Kind::kNeedsSession, false, Code::kFailedPrecondition, "SESSION_REQUIRED", false},
      {Kind::kInvalidArgument, false, Code::kInvalidArgument, "INVALID_REQUEST", false},
      {Kind::kSessionNotFound, false, Code::kNotFound, "SESSION_NOT_FOUND", false},
      {Kind::kSessionBusy, false, Code::kFailedPrecondition, "SESSION_BUSY", false},
      {Kind::kTransactionOpen, false, Code::kFailedPrecondition, "TRANSACTION_OPEN", false},
      {Kind::kTransactionFailed, false, Code::kFailedPrecondition, "TRANSACTION_FAILED", false},
      {Kind::kClientNotFound, false, Code::kNotFound, "CLIENT_NOT_FOUND", false},
      {Kind::kSubscriberDropped, false, Code::kResourceExhausted, "SUBSCRIBER_DROPPED", false},
      {Kind::kUnsupported, false, Code::kUnimplemented, "UNSUPPORTED", false},
  };
  for (const Expectation& expected : expectations) {
    pool::Error error;
    error.kind = expected.kind;
    error.message = "why";
    error.outcome_unknown = expected.outcome_unknown;
    const google::rpc::Status status = ToRpcStatus(error);
    EXPECT_EQ(status.code(), static_cast<int>(expected.code)) << expected.reason;
    EXPECT_EQ(status.message(), "why");
    EXPECT_EQ(InfoIn(status).reason(), expected.reason);
    EXPECT_EQ(Detail<google::rpc::RetryInfo>(status, "google.rpc.RetryInfo").has_value(),
              expected.retry)
        << expected.reason;
    EXPECT_EQ(InfoIn(status).metadata().contains("outcome_unknown"), expected.outcome_unknown);
    ASSERT_EQ(SqlErrorIn(status).has_value(), expected.outcome_unknown) << expected.reason;
    EXPECT_EQ(SqlErrorIn(status).value_or(v1::SqlError()).outcome_unknown(),
              expected.outcome_unknown);
  }
}

TEST(ErrorMappingTest, NothingButUnsentWorkIsUnavailableWhenItsOutcomeIsUnknown) {
  for (int kind = 0; kind <= static_cast<int>(pool::ErrorKind::kUnsupported); ++kind) {
    pool::Error error;
    error.kind = static_cast<pool::ErrorKind>(kind);
    error.outcome_unknown = true;
    EXPECT_NE(MapError(error).code, Code::kUnavailable) << kind;
    EXPECT_FALSE(MapError(error).retry) << kind;
  }
}

TEST(ErrorMappingTest, AMissingDatabaseIsNotAnAuthenticationFailure) {
  pool::Error error = DatabaseError("3D000");
  error.kind = pool::ErrorKind::kConnectRejected;
  EXPECT_EQ(MapError(error).code, Code::kNotFound);
}

pool::Error WithEveryField(const std::string& text) {
  pool::Error error;
  error.message = "message" + text;
  error.sql = {.sqlstate = "23514",
               .severity = "ERROR",
               .message = "primary" + text,
               .detail = "detail" + text,
               .hint = "hint" + text,
               .position = 17,
               .schema = "schema" + text,
               .table = "table" + text,
               .column = "column" + text,
               .datatype = "datatype" + text,
               .constraint = "constraint" + text,
               .where = "where" + text,
               .sqlite_extended_code = 275};
  return error;
}

TEST(ErrorMappingTest, NoFieldOfTheDatabasesReportIsLost) {
  const google::rpc::Status status = ToRpcStatus(WithEveryField(""));
  EXPECT_EQ(status.message(), "message");
  const v1::SqlError sql = SqlErrorIn(status).value();
  EXPECT_EQ(sql.sqlstate(), "23514");
  EXPECT_EQ(sql.severity(), "ERROR");
  EXPECT_EQ(sql.message(), "primary");
  EXPECT_EQ(sql.detail(), "detail");
  EXPECT_EQ(sql.hint(), "hint");
  EXPECT_EQ(sql.position(), 17);
  EXPECT_EQ(sql.schema(), "schema");
  EXPECT_EQ(sql.table(), "table");
  EXPECT_EQ(sql.column(), "column");
  EXPECT_EQ(sql.datatype(), "datatype");
  EXPECT_EQ(sql.constraint(), "constraint");
  EXPECT_EQ(sql.where(), "where");
  EXPECT_EQ(sql.sqlite_extended_code(), 275);
  EXPECT_FALSE(sql.outcome_unknown());
}

TEST(ErrorMappingTest, ALongReportIsCutToSevenKibibytesOfValidUtf8) {
  // Characters of one to four bytes, so that every cut falls inside some of them.
  for (const std::string character : {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    for (const size_t count : {100u, 1000u, 2049u, 100'000u}) {
      std::string text;
      for (size_t i = 0; i < count; ++i) text += character;
      const google::rpc::Status status = ToRpcStatus(WithEveryField(text));
      EXPECT_LE(status.ByteSizeLong(), kBytesMax) << character << " x " << count;
      const v1::SqlError sql = SqlErrorIn(status).value();
      for (const std::string& field : {status.message(), sql.message(), sql.detail(), sql.where(),
                                       sql.hint(), sql.constraint()}) {
        EXPECT_TRUE(IsValidUtf8(field)) << character << " x " << count;
        EXPECT_GT(field.size(), 32u);
      }
      EXPECT_TRUE(sql.detail().starts_with("detail" + character));
      EXPECT_EQ(sql.detail().ends_with("..."), sql.detail() != "detail" + text);
      EXPECT_EQ(InfoIn(status).reason(), "SQL_ERROR");
    }
  }
}

TEST(ErrorMappingTest, AFieldThatFitsIsNotCut) {
  pool::Error error = DatabaseError("22P02");
  error.sql.detail = std::string(2000, 'd');
  EXPECT_EQ(SqlErrorIn(ToRpcStatus(error))->detail(), error.sql.detail);
}

TEST(ErrorMappingTest, TextThatIsNotUtf8DoesNotReachTheWire) {
  pool::Error error = WithEveryField("\xff\xfe");
  const google::rpc::Status status = ToRpcStatus(error);
  EXPECT_TRUE(IsValidUtf8(status.message()));
  EXPECT_TRUE(IsValidUtf8(SqlErrorIn(status).value().detail()));
}

}  // namespace
}  // namespace dbsidecar::server
