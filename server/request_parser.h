// From requests to the pool's statement and its use of sessions.
#pragma once

#include <google/protobuf/map.h>

#include <optional>
#include <string>
#include <string_view>

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/copy.pb.h"
#include "dbsidecar/v1/query.pb.h"
#include "dbsidecar/v1/session.pb.h"
#include "pool/error.h"
#include "pool/session.h"
#include "pool/statement.h"
#include "pool/trace_context.h"

namespace dbsidecar::server {

struct RequestLimits {
  uint64_t result_rows_max = 0;   // For requests that set no max_rows; 0 = no limit.
  uint64_t result_bytes_max = 0;  // 0 = no limit.
  size_t parameters_max = 65535;
};

// Whether a time limit of a caller's makes sense: between 0 and 10 years.
bool IsTimeLimit(const google::protobuf::Duration& duration);
// REQUIRES: IsTimeLimit.
pool::Duration ToDuration(const google::protobuf::Duration& duration);

// Borrow text and bytes.
pool::Value ToValue(const v1::Value& value);
pool::CallSettings ToSettings(const v1::CallSettings& settings);
// Rows over `max_rows` are cut off; over the configured limit, which 0 stands for, it fails.
pool::ResultLimits ToLimits(uint32_t max_rows, const RequestLimits& limits);

// Borrows text and bytes from `request`.
pool::Statement ToStatement(const v1::QueryRequest& request, const RequestLimits& limits);

pool::Statement ToStatement(const v1::ScriptRequest& request, const RequestLimits& limits);
pool::Statement ToStatement(const v1::CopyStart& start, pool::StatementForm form);

// Who calls, and what for, by the tags `caller` and `route`; empty if they are not there. Borrow
// from `tags`.
std::string_view CallerOf(const google::protobuf::Map<std::string, std::string>& tags);
std::string_view RouteOf(const google::protobuf::Map<std::string, std::string>& tags);
// The call's own `traceparent` if it has a valid one, else that of the RPC. Borrowed.
pool::TraceContext TraceOf(const google::protobuf::Map<std::string, std::string>& tags,
                           pool::TraceContext otherwise);

// Borrow the token and the client's id. `owner`: with whose end a session that is opened ends, too;
// 0 = nobody's.
pool::SessionUse ToSessionUse(const v1::SessionControl& control, uint64_t owner);
pool::SessionUse ToSessionUse(const v1::EndSessionRequest& request);

// What in the request cannot be served, or nothing.
std::optional<pool::Error> CheckEndSession(const v1::EndSessionRequest& request);
std::optional<pool::Error> CheckCopy(const v1::CopyStart& start);
std::optional<pool::Error> CheckScript(const v1::ScriptRequest& request);
std::optional<pool::Error> CheckSession(const v1::SessionControl& session);
std::optional<pool::Error> CheckSettings(const v1::CallSettings& settings);
std::optional<pool::Error> CheckFormat(v1::ResultFormat format);
// The same of all that requests that run something have in common.
template <typename Request>
std::optional<pool::Error> CheckPlace(const Request& request) {
  if (auto trouble = CheckSession(request.session())) return trouble;
  return CheckSettings(request.settings());
}
// And of those that return rows.
template <typename Request>
std::optional<pool::Error> CheckCommon(const Request& request) {
  if (auto trouble = CheckPlace(request)) return trouble;
  return CheckFormat(request.format());
}
std::optional<pool::Error> CheckRequest(const v1::QueryRequest& request,
                                        const RequestLimits& limits);

}  // namespace dbsidecar::server
