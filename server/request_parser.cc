#include "server/request_parser.h"

#include <fmt/format.h>

namespace dbsidecar::server {
namespace {

pool::Value ToValue(const v1::Value& from) {
  pool::Value value;
  value.type_oid = from.type_oid();
  switch (from.kind_case()) {
    case v1::Value::kBoolValue:
      value.kind = pool::Value::Kind::kBool;
      value.boolean = from.bool_value();
      break;
    case v1::Value::kIntValue:
      value.kind = pool::Value::Kind::kInteger;
      value.integer = from.int_value();
      break;
    case v1::Value::kDoubleValue:
      value.kind = pool::Value::Kind::kDouble;
      value.real = from.double_value();
      break;
    case v1::Value::kStringValue:
      value.kind = pool::Value::Kind::kText;
      value.text = from.string_value();
      break;
    case v1::Value::kBytesValue:
      value.kind = pool::Value::Kind::kBytes;
      value.text = from.bytes_value();
      break;
    case v1::Value::KIND_NOT_SET:
      break;
  }
  return value;
}

bool UsesSession(const v1::SessionControl& session) {
  return session.target_case() != v1::SessionControl::TARGET_NOT_SET || session.commit() ||
         session.auto_pin();
}

}  // namespace

pool::Statement ToStatement(const v1::QueryRequest& request, const RequestLimits& limits) {
  pool::Statement statement;
  statement.sql = request.sql();
  statement.parameters.reserve(static_cast<size_t>(request.params_size()));
  for (const v1::Value& value : request.params()) statement.parameters.push_back(ToValue(value));
  statement.limits.rows_max = request.max_rows() != 0 ? request.max_rows() : limits.result_rows_max;
  statement.limits.truncate = request.max_rows() != 0;
  statement.limits.bytes_max = limits.result_bytes_max;
  statement.read_only = request.read_only();
  statement.idempotent = request.idempotent();
  return statement;
}

std::optional<pool::Error> CheckRequest(const v1::QueryRequest& request,
                                        const RequestLimits& limits) {
  if (request.sql().empty()) {
    return pool::OwnError(pool::ErrorKind::kInvalidArgument, "the statement is empty; set `sql`");
  }
  if (!request.pool().empty() && request.pool() != "default") {
    return pool::OwnError(
        pool::ErrorKind::kPoolNotFound,
        fmt::format("there is no pool \"{}\"; leave `pool` empty", request.pool()));
  }
  if (UsesSession(request.session())) {
    return pool::OwnError(
        pool::ErrorKind::kUnsupported,
        "sessions and transactions are not served by this version; leave `session` "
        "unset");
  }
  if (request.has_settings()) {
    return pool::OwnError(
        pool::ErrorKind::kUnsupported,
        "settings for one call are not served by this version; leave `settings` unset");
  }
  if (static_cast<size_t>(request.params_size()) > limits.parameters_max) {
    return pool::OwnError(pool::ErrorKind::kInvalidArgument,
                          fmt::format("{} parameters are over the limit of {} (params-max)",
                                      request.params_size(), limits.parameters_max));
  }
  if (!v1::ResultFormat_IsValid(request.format())) {
    return pool::OwnError(
        pool::ErrorKind::kInvalidArgument,
        fmt::format("unknown result format {}", static_cast<int>(request.format())));
  }
  return std::nullopt;
}

}  // namespace dbsidecar::server
