#include "server/request_parser.h"

#include <fmt/format.h>

namespace dbsidecar::server {
namespace {

pool::BeginOptions ToBegin(const v1::BeginOptions& from) {
  using Isolation = pool::BeginOptions::Isolation;
  pool::BeginOptions begin;
  switch (from.isolation()) {
    case v1::ISOLATION_LEVEL_READ_COMMITTED:
      begin.isolation = Isolation::kReadCommitted;
      break;
    case v1::ISOLATION_LEVEL_REPEATABLE_READ:
      begin.isolation = Isolation::kRepeatableRead;
      break;
    case v1::ISOLATION_LEVEL_SERIALIZABLE:
      begin.isolation = Isolation::kSerializable;
      break;
    case v1::ISOLATION_LEVEL_UNSPECIFIED:
    case v1::IsolationLevel_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::IsolationLevel_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  begin.read_only = from.read_only();
  begin.deferrable = from.deferrable();
  return begin;
}

pool::Error Invalid(std::string why) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why));
}

std::string_view TagOf(const char* name,
                       const google::protobuf::Map<std::string, std::string>& tags) {
  const auto tag = tags.find(name);
  return tag == tags.end() ? std::string_view() : std::string_view(tag->second);
}

}  // namespace

pool::Duration ToDuration(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

bool IsTimeLimit(const google::protobuf::Duration& duration) {
  constexpr int64_t kSecondsMax = 10LL * 365 * 24 * 3600;
  return duration.seconds() >= 0 && duration.nanos() >= 0 && duration.seconds() <= kSecondsMax;
}

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

pool::CallSettings ToSettings(const v1::CallSettings& from) {
  return {.role = from.role(),
          .search_path = from.search_path(),
          .time_zone = from.time_zone(),
          .application_name = from.application_name(),
          .statement_timeout = ToDuration(from.statement_timeout()),
          .lock_timeout = ToDuration(from.lock_timeout())};
}

pool::ResultLimits ToLimits(uint32_t max_rows, const RequestLimits& limits) {
  return {.rows_max = max_rows != 0 ? max_rows : limits.result_rows_max,
          .truncate = max_rows != 0,
          .bytes_max = limits.result_bytes_max};
}

pool::Statement ToStatement(const v1::QueryRequest& request, const RequestLimits& limits) {
  pool::Statement statement;
  statement.sql = request.sql();
  statement.parameters.reserve(static_cast<size_t>(request.params_size()));
  for (const v1::Value& value : request.params()) statement.parameters.push_back(ToValue(value));
  statement.limits = ToLimits(request.max_rows(), limits);
  statement.read_only = request.read_only();
  statement.idempotent = request.idempotent();
  if (request.has_settings()) statement.settings = ToSettings(request.settings());
  return statement;
}

pool::Statement ToStatement(const v1::ScriptRequest& request, const RequestLimits& limits) {
  pool::Statement statement;
  statement.form = pool::StatementForm::kScript;
  statement.separate_transactions = request.separate_transactions();
  if (request.has_settings()) statement.settings = ToSettings(request.settings());
  statement.sql = request.sql();
  statement.limits.rows_max = request.max_rows() != 0 ? request.max_rows() : limits.result_rows_max;
  statement.limits.truncate = request.max_rows() != 0;
  statement.limits.bytes_max = limits.result_bytes_max;
  return statement;
}

pool::Statement ToStatement(const v1::CopyStart& start, pool::StatementForm form) {
  pool::Statement statement;
  statement.form = form;
  statement.sql = start.sql();
  if (start.has_settings()) statement.settings = ToSettings(start.settings());
  return statement;
}

std::string_view CallerOf(const google::protobuf::Map<std::string, std::string>& tags) {
  return TagOf("caller", tags);
}

std::string_view RouteOf(const google::protobuf::Map<std::string, std::string>& tags) {
  return TagOf("route", tags);
}

pool::TraceContext TraceOf(const google::protobuf::Map<std::string, std::string>& tags,
                           pool::TraceContext otherwise) {
  const auto tag = tags.find("traceparent");
  if (tag == tags.end()) return otherwise;
  const auto own = pool::TraceContext::Parse(tag->second);
  return own.present() ? own : otherwise;
}

pool::SessionUse ToSessionUse(const v1::SessionControl& control, uint64_t owner) {
  pool::SessionUse use;
  use.commit = control.commit();
  use.auto_pin = control.auto_pin();
  use.owner = owner;
  use.client_id = control.client_id();
  switch (control.target_case()) {
    case v1::SessionControl::kSession:
      use.kind = pool::SessionUse::Kind::kContinue;
      use.token = control.session();
      break;
    case v1::SessionControl::kBegin:
      use.kind = pool::SessionUse::Kind::kBegin;
      use.begin = ToBegin(control.begin());
      use.idle_timeout = ToDuration(control.begin().idle_timeout());
      use.transaction_timeout = ToDuration(control.begin().transaction_timeout());
      break;
    case v1::SessionControl::kPin:
      use.kind = pool::SessionUse::Kind::kPin;
      use.idle_timeout = ToDuration(control.pin().idle_timeout());
      break;
    case v1::SessionControl::TARGET_NOT_SET:
      use.commit = false;  // What runs in autocommit is committed anyway.
      break;
  }
  return use;
}

pool::SessionUse ToSessionUse(const v1::EndSessionRequest& request) {
  pool::SessionUse use;
  use.kind = pool::SessionUse::Kind::kEnd;
  use.token = request.session();
  switch (request.end()) {
    case v1::SESSION_END_COMMIT:
      use.end = pool::SessionUse::End::kCommit;
      break;
    case v1::SESSION_END_RELEASE:
      use.end = pool::SessionUse::End::kRelease;
      break;
    case v1::SESSION_END_ROLLBACK:
    case v1::SESSION_END_UNSPECIFIED:
    case v1::SessionEnd_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::SessionEnd_INT_MAX_SENTINEL_DO_NOT_USE_:
      use.end = pool::SessionUse::End::kRollback;
      break;
  }
  return use;
}

std::optional<pool::Error> CheckEndSession(const v1::EndSessionRequest& request) {
  if (request.session().empty()) return Invalid("`session` is empty; send the session's token");
  if (request.end() == v1::SESSION_END_UNSPECIFIED || !v1::SessionEnd_IsValid(request.end())) {
    return Invalid("`end` must be SESSION_END_COMMIT, SESSION_END_ROLLBACK or SESSION_END_RELEASE");
  }
  return std::nullopt;
}

std::optional<pool::Error> CheckSession(const v1::SessionControl& session) {
  if (session.has_session() && session.session().empty()) {
    return Invalid("`session` is empty; send the token of an earlier reply, or leave it unset");
  }
  if (session.has_pin() && session.commit()) {
    return Invalid("`pin` keeps a connection and `commit` gives it back; set one of the two");
  }
  if (!v1::IsolationLevel_IsValid(session.begin().isolation())) {
    return Invalid(
        fmt::format("unknown isolation level {}", static_cast<int>(session.begin().isolation())));
  }
  if (!IsTimeLimit(session.begin().idle_timeout()) ||
      !IsTimeLimit(session.begin().transaction_timeout()) ||
      !IsTimeLimit(session.pin().idle_timeout())) {
    return Invalid("a session's time limits must be between 0 and 10 years");
  }
  return std::nullopt;
}

std::optional<pool::Error> CheckSettings(const v1::CallSettings& settings) {
  if (!IsTimeLimit(settings.statement_timeout()) || !IsTimeLimit(settings.lock_timeout())) {
    return Invalid("the time limits of `settings` must be between 0 and 10 years");
  }
  return std::nullopt;
}

std::optional<pool::Error> CheckFormat(v1::ResultFormat format) {
  if (v1::ResultFormat_IsValid(format)) return std::nullopt;
  return Invalid(fmt::format("unknown result format {}", static_cast<int>(format)));
}

std::optional<pool::Error> CheckCopy(const v1::CopyStart& start) {
  if (start.sql().empty()) return Invalid("there is no statement; set `start.sql`");
  return CheckPlace(start);
}

std::optional<pool::Error> CheckScript(const v1::ScriptRequest& request) {
  if (std::optional<pool::Error> trouble = CheckCommon(request)) return trouble;
  if (request.separate_transactions() && request.session().has_begin()) {
    return Invalid(
        "`separate_transactions` is not possible inside a transaction, and `begin` "
        "opens one; set one of the two");
  }
  return std::nullopt;
}

std::optional<pool::Error> CheckRequest(const v1::QueryRequest& request,
                                        const RequestLimits& limits) {
  if (request.sql().empty()) return Invalid("the statement is empty; set `sql`");
  if (std::optional<pool::Error> trouble = CheckCommon(request)) return trouble;
  if (static_cast<size_t>(request.params_size()) > limits.parameters_max) {
    return Invalid(fmt::format("{} parameters are over the limit of {} (params-max)",
                               request.params_size(), limits.parameters_max));
  }
  return std::nullopt;
}

}  // namespace dbsidecar::server
