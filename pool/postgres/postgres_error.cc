#include "pool/postgres/postgres_error.h"

#include <cstdlib>
#include <string_view>

namespace dbsidecar::pool {
namespace {

std::string Field(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? std::string() : std::string(text);
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

std::string OneLine(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) {
    text.replace(at, 1, "; ");
  }
  return text;
}

SqlError SqlErrorOf(const PGresult* result) {
  SqlError error;
  error.sqlstate = Field(result, PG_DIAG_SQLSTATE);
  error.severity = Field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  error.message = Field(result, PG_DIAG_MESSAGE_PRIMARY);
  error.detail = Field(result, PG_DIAG_MESSAGE_DETAIL);
  error.hint = Field(result, PG_DIAG_MESSAGE_HINT);
  error.position = std::atoi(Field(result, PG_DIAG_STATEMENT_POSITION).c_str());
  error.schema = Field(result, PG_DIAG_SCHEMA_NAME);
  error.table = Field(result, PG_DIAG_TABLE_NAME);
  error.column = Field(result, PG_DIAG_COLUMN_NAME);
  error.datatype = Field(result, PG_DIAG_DATATYPE_NAME);
  error.constraint = Field(result, PG_DIAG_CONSTRAINT_NAME);
  error.where = Field(result, PG_DIAG_CONTEXT);
  return error;
}

Error DatabaseError(const PGresult* result) {
  Error error{.kind = ErrorKind::kDatabase, .message = {}, .sql = SqlErrorOf(result)};
  error.message =
      error.sql.message.empty() ? OneLine(PQresultErrorMessage(result)) : error.sql.message;
  return error;
}

ConnectError ConnectErrorOf(const PGconn* conn) {
  ConnectError failure;
  failure.error.kind = ErrorKind::kNoConnection;
  failure.error.message = OneLine(PQerrorMessage(conn));
  // libpq keeps no SQLSTATE of a refused connect, only the text; with several hosts there are
  // several. These two classes have fixed English wordings at FATAL unless lc_messages differs,
  // and then the error is merely retried.
  const std::string_view text = failure.error.message;
  if (Contains(text, "authentication failed") || Contains(text, "no password supplied") ||
      Contains(text, "no pg_hba.conf entry") ||
      (Contains(text, "role \"") && Contains(text, "does not exist"))) {
    failure.error.sql.sqlstate = "28000";
    failure.permanent = true;
  } else if (Contains(text, "database \"") && Contains(text, "does not exist")) {
    failure.error.sql.sqlstate = "3D000";
    failure.permanent = true;
  } else if (Contains(text, "too many connections") || Contains(text, "too many clients") ||
             Contains(text, "remaining connection slots")) {
    failure.error.sql.sqlstate = "53300";
  }
  failure.error.sql.message = failure.error.sql.sqlstate.empty() ? "" : failure.error.message;
  return failure;
}

bool IsStalePlan(const PGresult* result) {
  const std::string sqlstate = Field(result, PG_DIAG_SQLSTATE);
  const bool result_type_changed =
      sqlstate == "0A000" && Field(result, PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery";
  return sqlstate == "26000" || result_type_changed;
}

// A parameter's type was fixed when the statement was prepared; the columns may have changed since,
// and then the same text may well be right.
bool MayBeStalePlan(const PGresult* result) {
  const std::string sqlstate = Field(result, PG_DIAG_SQLSTATE);
  return sqlstate == "42883" || sqlstate == "42804";
}

bool IsFromServer(const PGresult* error) {
  return PQresultErrorField(error, PG_DIAG_SQLSTATE) != nullptr;
}

bool IsFatal(const PGresult* result) {
  const std::string severity = Field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  return severity == "FATAL" || severity == "PANIC";
}

}  // namespace dbsidecar::pool
