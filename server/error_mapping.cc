#include "server/error_mapping.h"

#include <algorithm>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "server/utf8.h"

namespace dbsidecar::server {
namespace {

struct Row {
  std::string_view sqlstate;  // A whole SQLSTATE, or the first characters of a class.
  Code code;
  bool retry = false;
  std::string_view reason = "SQL_ERROR";
};

// The first row that fits decides, so exceptions stand before their class. Classes are those of
// PostgreSQL's manual, appendix A.
constexpr Row kRows[] = {
    {"08P01", Code::kInternal},
    {"08007", Code::kUnknown, false, "OUTCOME_UNKNOWN"},
    {"40003", Code::kUnknown, false, "OUTCOME_UNKNOWN"},
    {"08", Code::kUnavailable, true},
    {"57P0", Code::kUnavailable, true},
    {"40001", Code::kAborted, true},
    {"40P01", Code::kAborted, true},
    {"55P03", Code::kAborted, true},
    {"25P03", Code::kAborted, true},
    {"40", Code::kAborted, true},
    {"23505", Code::kAlreadyExists},
    {"23P01", Code::kAlreadyExists},
    {"42P04", Code::kAlreadyExists},
    {"42P06", Code::kAlreadyExists},
    {"42P07", Code::kAlreadyExists},
    {"42710", Code::kAlreadyExists},
    {"42701", Code::kAlreadyExists},
    {"23", Code::kFailedPrecondition},
    {"44000", Code::kFailedPrecondition},
    {"21", Code::kFailedPrecondition},
    {"24", Code::kFailedPrecondition},
    {"25", Code::kFailedPrecondition},
    {"2B", Code::kFailedPrecondition},
    {"2D", Code::kFailedPrecondition},
    {"34", Code::kFailedPrecondition},
    {"3B", Code::kFailedPrecondition},
    {"55", Code::kFailedPrecondition},
    {"P0001", Code::kFailedPrecondition},
    {"22003", Code::kOutOfRange},
    {"22008", Code::kOutOfRange},
    {"22015", Code::kOutOfRange},
    {"42P01", Code::kNotFound},
    {"42703", Code::kNotFound},
    {"42883", Code::kNotFound},
    {"42704", Code::kNotFound},
    {"3D000", Code::kNotFound},
    {"3F000", Code::kNotFound},
    {"P0002", Code::kNotFound},
    {"42501", Code::kPermissionDenied},
    {"28", Code::kFailedPrecondition, false, "DATABASE_AUTH_FAILED"},
    {"22", Code::kInvalidArgument},
    {"42", Code::kInvalidArgument},
    {"26", Code::kInvalidArgument},
    {"54", Code::kInvalidArgument},
    {"53", Code::kResourceExhausted},
    {"57014", Code::kDeadlineExceeded},
    {"0A", Code::kUnimplemented},
    {"XX001", Code::kDataLoss},
    {"XX002", Code::kDataLoss},
};
constexpr MappedError kOtherSqlstate = {.code = Code::kInternal, .reason = "SQL_ERROR"};

constexpr size_t kStatusBytesMax = 7 * 1024;
constexpr int64_t kRetryDelayMillis = 50;

MappedError Map(Code code, std::string_view reason, bool retry = false) {
  return {.code = code, .reason = reason, .retry = retry};
}

// Makes `text` fit the wire: a string field that is not UTF-8 cannot be parsed by the receiver, and
// databases in other encodings, and systems in other locales, report errors that are not. Cuts at
// a character's boundary.
void Fit(std::string& text, size_t bytes_max) {
  if (!IsValidUtf8(text)) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  }
  if (text.size() <= bytes_max) return;
  size_t end = bytes_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  text += "...";
}

v1::SqlError ToSqlError(const pool::Error& error, size_t field_max) {
  v1::SqlError sql;
  const auto set = [field_max](std::string* field, std::string text) {
    Fit(text, field_max);
    *field = std::move(text);
  };
  set(sql.mutable_sqlstate(), error.sql.sqlstate);
  set(sql.mutable_severity(), error.sql.severity);
  set(sql.mutable_message(), error.sql.message);
  set(sql.mutable_detail(), error.sql.detail);
  set(sql.mutable_hint(), error.sql.hint);
  sql.set_position(error.sql.position);
  set(sql.mutable_schema(), error.sql.schema);
  set(sql.mutable_table(), error.sql.table);
  set(sql.mutable_column(), error.sql.column);
  set(sql.mutable_datatype(), error.sql.datatype);
  set(sql.mutable_constraint(), error.sql.constraint);
  set(sql.mutable_where(), error.sql.where);
  sql.set_outcome_unknown(error.outcome_unknown);
  sql.set_sqlite_extended_code(error.sql.sqlite_extended_code);
  return sql;
}

void AddPlace(const pool::Error& error, google::protobuf::Map<std::string, std::string>& metadata) {
  if (error.place) metadata[std::string(error.place->part)] = std::to_string(error.place->index);
}

google::rpc::Status Compose(const pool::Error& error, const MappedError& mapped, size_t field_max) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(mapped.code));
  std::string message = error.message;
  Fit(message, field_max);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(mapped.reason));
  info.set_domain("dbsidecar");
  if (!error.sql.sqlstate.empty()) (*info.mutable_metadata())["sqlstate"] = error.sql.sqlstate;
  if (error.outcome_unknown) (*info.mutable_metadata())["outcome_unknown"] = "true";
  AddPlace(error, *info.mutable_metadata());
  status.add_details()->PackFrom(info);
  if (mapped.retry) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(kRetryDelayMillis * 1'000'000);
    status.add_details()->PackFrom(retry);
  }
  if (!error.sql.sqlstate.empty() || error.outcome_unknown) {
    status.add_details()->PackFrom(ToSqlError(error, field_max));
  }
  return status;
}

}  // namespace

MappedError MapSqlstate(std::string_view sqlstate) {
  for (const Row& row : kRows) {
    if (sqlstate.starts_with(row.sqlstate)) return Map(row.code, row.reason, row.retry);
  }
  return kOtherSqlstate;
}

MappedError MapError(const pool::Error& error) {
  if (error.outcome_unknown && error.kind != pool::ErrorKind::kDeadline &&
      error.kind != pool::ErrorKind::kCancelled) {
    return Map(Code::kUnknown, "OUTCOME_UNKNOWN");
  }
  switch (error.kind) {
    case pool::ErrorKind::kDatabase:
      return MapSqlstate(error.sql.sqlstate);
    case pool::ErrorKind::kNoConnection:
      return Map(Code::kUnavailable, "NO_CONNECTION", true);
    case pool::ErrorKind::kConnectRejected:
      return error.sql.sqlstate == "3D000" ? Map(Code::kNotFound, "SQL_ERROR")
                                           : Map(Code::kFailedPrecondition, "DATABASE_AUTH_FAILED");
    case pool::ErrorKind::kConnectionLost:
      // Not unknown, hence of a read-only statement, or in a transaction that is undone.
      return Map(Code::kUnavailable, "CONNECTION_LOST", true);
    case pool::ErrorKind::kWaitTimeout:
      return Map(Code::kDeadlineExceeded, "WAIT_TIMEOUT");
    case pool::ErrorKind::kQueueFull:
      return Map(Code::kResourceExhausted, "QUEUE_FULL", true);
    case pool::ErrorKind::kDeadline:
      return Map(Code::kDeadlineExceeded, error.outcome_unknown ? "OUTCOME_UNKNOWN" : "DEADLINE");
    case pool::ErrorKind::kCancelled:
      return Map(Code::kCancelled, error.outcome_unknown ? "OUTCOME_UNKNOWN" : "CANCELLED");
    case pool::ErrorKind::kDraining:
      return Map(Code::kUnavailable, "DRAINING", true);
    case pool::ErrorKind::kPaused:
      return Map(Code::kUnavailable, "PAUSED", true);
    case pool::ErrorKind::kResultTooLarge:
      return Map(Code::kResourceExhausted, "RESULT_TOO_LARGE");
    case pool::ErrorKind::kNeedsSession:
      return Map(Code::kFailedPrecondition, "SESSION_REQUIRED");
    case pool::ErrorKind::kInvalidArgument:
      return Map(Code::kInvalidArgument, "INVALID_REQUEST");
    case pool::ErrorKind::kPoolNotFound:
      return Map(Code::kNotFound, "POOL_NOT_FOUND");
    case pool::ErrorKind::kSeriesNotFound:
      return Map(Code::kNotFound, "SERIES_NOT_FOUND");
    case pool::ErrorKind::kHistoryOff:
      return Map(Code::kFailedPrecondition, "HISTORY_OFF");
    case pool::ErrorKind::kStatementNotFound:
      return Map(Code::kNotFound, "STATEMENT_NOT_FOUND");
    case pool::ErrorKind::kSessionNotFound:
      return Map(Code::kNotFound, "SESSION_NOT_FOUND");
    case pool::ErrorKind::kSessionBusy:
      return Map(Code::kFailedPrecondition, "SESSION_BUSY");
    case pool::ErrorKind::kTransactionOpen:
      return Map(Code::kFailedPrecondition, "TRANSACTION_OPEN");
    case pool::ErrorKind::kTransactionFailed:
      return Map(Code::kFailedPrecondition, "TRANSACTION_FAILED");
    case pool::ErrorKind::kClientNotFound:
      return Map(Code::kNotFound, "CLIENT_NOT_FOUND");
    case pool::ErrorKind::kSubscriberDropped:
      return Map(Code::kResourceExhausted, "SUBSCRIBER_DROPPED");
    case pool::ErrorKind::kUnsupported:
      return Map(Code::kUnimplemented, "UNSUPPORTED");
  }
  return kOtherSqlstate;
}

google::rpc::Status ToRpcStatus(const pool::Error& error) {
  const MappedError mapped = MapError(error);
  size_t field_max = 2048;
  google::rpc::Status status = Compose(error, mapped, field_max);
  while (status.ByteSizeLong() > kStatusBytesMax && field_max > 64) {
    field_max /= 2;
    status = Compose(error, mapped, field_max);
  }
  return status;
}

void FillError(const pool::Error& error, v1::Error& into) {
  constexpr size_t kFieldMax = 2048;
  const MappedError mapped = MapError(error);
  into.set_code(static_cast<int>(mapped.code));
  *into.mutable_message() = error.message;
  Fit(*into.mutable_message(), kFieldMax);
  into.set_reason(std::string(mapped.reason));
  if (mapped.retry) into.mutable_retry_delay()->set_nanos(kRetryDelayMillis * 1'000'000);
  if (!error.sql.sqlstate.empty() || error.outcome_unknown) {
    *into.mutable_sql() = ToSqlError(error, kFieldMax);
  }
  AddPlace(error, *into.mutable_metadata());
}

}  // namespace dbsidecar::server
