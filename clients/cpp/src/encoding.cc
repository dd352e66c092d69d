#include "clients/cpp/src/encoding.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/failures.h"
#include "clients/cpp/src/utf8.h"
#include "clients/cpp/src/wire.h"
#include "dbsidecar/v1/pipeline.pb.h"

namespace dbsidecar::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Tags = std::map<std::string, std::string>;

constexpr int kQuery = v1::Call::kQueryFieldNumber;

void AppendTags(const Tags& tags, std::string& body) {
  // A map entry is a message with the key as field 1 and the value as field 2.
  for (const auto& [key, value] : tags) {
    AppendLength(body, v1::QueryRequest::kTagsFieldNumber,
                 BytesFieldSize(1, key.size()) + BytesFieldSize(2, value.size()));
    AppendBytesField(body, 1, key);
    AppendBytesField(body, 2, value);
  }
}

bool AreValid(const Tags& tags) {
  return std::all_of(tags.begin(), tags.end(), [](const auto& tag) {
    return IsValidUtf8(tag.first) && IsValidUtf8(tag.second);
  });
}

bool IsValid(const CallSettings& settings) {
  return IsValidUtf8(settings.role) && IsValidUtf8(settings.search_path) &&
         IsValidUtf8(settings.time_zone) && IsValidUtf8(settings.application_name);
}

google::protobuf::Duration ToDuration(milliseconds from) {
  google::protobuf::Duration duration;
  duration.set_seconds(from / std::chrono::seconds(1));
  duration.set_nanos(static_cast<int32_t>(nanoseconds(from % std::chrono::seconds(1)).count()));
  return duration;
}

void AppendSettings(const CallSettings& from, std::string& body) {
  v1::CallSettings settings;
  settings.set_role(from.role);
  settings.set_search_path(from.search_path);
  settings.set_time_zone(from.time_zone);
  settings.set_application_name(from.application_name);
  if (from.statement_timeout.has_value()) {
    *settings.mutable_statement_timeout() = ToDuration(*from.statement_timeout);
  }
  if (from.lock_timeout.has_value()) {
    *settings.mutable_lock_timeout() = ToDuration(*from.lock_timeout);
  }
  AppendBytesField(body, v1::QueryRequest::kSettingsFieldNumber, settings.SerializeAsString());
}

void AppendFlag(std::string& out, int field, bool flag) {
  if (flag) AppendVarintField(out, field, 1);
}

v1::IsolationLevel ToWire(Isolation isolation) {
  switch (isolation) {
    case Isolation::kReadCommitted:
      return v1::ISOLATION_LEVEL_READ_COMMITTED;
    case Isolation::kRepeatableRead:
      return v1::ISOLATION_LEVEL_REPEATABLE_READ;
    case Isolation::kSerializable:
      return v1::ISOLATION_LEVEL_SERIALIZABLE;
    case Isolation::kDefault:
      break;
  }
  return v1::ISOLATION_LEVEL_UNSPECIFIED;
}

std::string OpeningRequest(const std::string& pool, const std::optional<CallSettings>& settings) {
  if (!IsValidUtf8(pool) || (settings.has_value() && !IsValid(*settings))) {
    Throw(Invalid("a pool's name or a setting is not valid UTF-8"));
  }
  std::string request;
  if (!pool.empty()) AppendBytesField(request, v1::QueryRequest::kPoolFieldNumber, pool);
  if (settings.has_value()) AppendSettings(*settings, request);
  return request;
}

size_t ControlSize(const Call& call) {
  const SessionState& session = *call.session;
  const size_t target =
      call.opens ? session.opening.size()
                 : BytesFieldSize(v1::SessionControl::kSessionFieldNumber, session.token.size());
  return target + (call.commit ? VarintFieldSize(v1::SessionControl::kCommitFieldNumber, 1) : 0);
}

size_t QuerySize(const Call& call) {
  if (call.session == nullptr) return call.body.size();
  return call.body.size() + (call.opens ? call.session->request.size() : 0) +
         BytesFieldSize(v1::QueryRequest::kSessionFieldNumber, ControlSize(call));
}

void AppendQuery(const Call& call, std::string& frame) {
  frame.append(call.body);
  if (call.session == nullptr) return;
  const SessionState& session = *call.session;
  if (call.opens) frame.append(session.request);
  AppendLength(frame, v1::QueryRequest::kSessionFieldNumber, ControlSize(call));
  if (call.opens) {
    frame.append(session.opening);
  } else {
    AppendBytesField(frame, v1::SessionControl::kSessionFieldNumber, session.token);
  }
  AppendFlag(frame, v1::SessionControl::kCommitFieldNumber, call.commit);
}

size_t EndSize(const Call& call) {
  return BytesFieldSize(v1::EndSessionRequest::kSessionFieldNumber, call.session->token.size()) +
         VarintFieldSize(v1::EndSessionRequest::kEndFieldNumber, call.end);
}

void AppendEnd(const Call& call, std::string& frame) {
  AppendBytesField(frame, v1::EndSessionRequest::kSessionFieldNumber, call.session->token);
  AppendVarintField(frame, v1::EndSessionRequest::kEndFieldNumber, call.end);
}

}  // namespace

std::optional<Failure> EncodeStatement(const Statement& statement, const ClientOptions& client,
                                       std::string& body) {
  using Request = v1::QueryRequest;
  const CallOptions& options = statement.options;
  const std::string& pool = options.pool.empty() ? client.pool : options.pool;
  const Tags& tags = options.tags.empty() ? client.tags : options.tags;
  if (!IsValidUtf8(statement.sql)) return Invalid("the SQL text is not valid UTF-8");
  if (!IsValidUtf8(pool) || !AreValid(tags) ||
      (options.settings.has_value() && !IsValid(*options.settings))) {
    return Invalid("a pool's name, a tag or a setting is not valid UTF-8");
  }
  body.clear();
  AppendBytesField(body, Request::kSqlFieldNumber, statement.sql);
  body.append(statement.params.encoded());
  if (!pool.empty()) AppendBytesField(body, Request::kPoolFieldNumber, pool);
  if (options.max_rows != 0) {
    AppendVarintField(body, Request::kMaxRowsFieldNumber, options.max_rows);
  }
  AppendFlag(body, Request::kReadOnlyFieldNumber, options.read_only);
  AppendFlag(body, Request::kIdempotentFieldNumber, options.idempotent);
  AppendFlag(body, Request::kWantTimingFieldNumber, options.want_timing);
  AppendTags(tags, body);
  if (options.settings.has_value()) AppendSettings(*options.settings, body);
  if (body.size() > client.call_bytes_max) {
    return MakeFailure(StatusCode::kResourceExhausted, "REQUEST_TOO_LARGE",
                       "the call has " + std::to_string(body.size()) + " bytes, the limit is " +
                           std::to_string(client.call_bytes_max) + "; nothing was sent");
  }
  return std::nullopt;
}

std::shared_ptr<SessionState> NewTransaction(const TransactionOptions& options) {
  v1::BeginOptions begin;
  begin.set_isolation(ToWire(options.isolation));
  begin.set_read_only(options.read_only);
  begin.set_deferrable(options.deferrable);
  if (options.idle_timeout.has_value()) {
    *begin.mutable_idle_timeout() = ToDuration(*options.idle_timeout);
  }
  if (options.transaction_timeout.has_value()) {
    *begin.mutable_transaction_timeout() = ToDuration(*options.transaction_timeout);
  }
  std::string opening;
  AppendBytesField(opening, v1::SessionControl::kBeginFieldNumber, begin.SerializeAsString());
  return std::make_shared<SessionState>(
      SessionState{.transaction = true,
                   .opening = std::move(opening),
                   .request = OpeningRequest(options.pool, options.settings)});
}

std::shared_ptr<SessionState> NewSession(const SessionOptions& options) {
  v1::PinOptions pin;
  if (options.idle_timeout.has_value()) {
    *pin.mutable_idle_timeout() = ToDuration(*options.idle_timeout);
  }
  std::string opening;
  AppendBytesField(opening, v1::SessionControl::kPinFieldNumber, pin.SerializeAsString());
  return std::make_shared<SessionState>(
      SessionState{.transaction = false,
                   .opening = std::move(opening),
                   .request = OpeningRequest(options.pool, options.settings)});
}

size_t FrameBytes(const Call& call) {
  constexpr size_t kTagsAndLengths = 64;
  return kTagsAndLengths + (call.ends_session() ? EndSize(call) : QuerySize(call));
}

void AppendCall(const Call& call, Instant now, std::string& frame) {
  const nanoseconds timeout = SidecarTimeout(call.deadline - now);
  const auto seconds = static_cast<uint64_t>(timeout / std::chrono::seconds(1));
  const auto nanos = static_cast<uint64_t>((timeout % std::chrono::seconds(1)).count());
  const size_t timeout_size =
      VarintFieldSize(google::protobuf::Duration::kSecondsFieldNumber, seconds) +
      VarintFieldSize(google::protobuf::Duration::kNanosFieldNumber, nanos);
  const int field = call.ends_session() ? v1::Call::kEndSessionFieldNumber : kQuery;
  const size_t content_size = call.ends_session() ? EndSize(call) : QuerySize(call);
  AppendLength(frame, v1::PipelineRequest::kCallsFieldNumber,
               VarintFieldSize(v1::Call::kIdFieldNumber, call.id) +
                   BytesFieldSize(field, content_size) +
                   BytesFieldSize(v1::Call::kTimeoutFieldNumber, timeout_size));
  AppendVarintField(frame, v1::Call::kIdFieldNumber, call.id);
  AppendLength(frame, field, content_size);
  if (call.ends_session()) {
    AppendEnd(call, frame);
  } else {
    AppendQuery(call, frame);
  }
  AppendLength(frame, v1::Call::kTimeoutFieldNumber, timeout_size);
  AppendVarintField(frame, google::protobuf::Duration::kSecondsFieldNumber, seconds);
  AppendVarintField(frame, google::protobuf::Duration::kNanosFieldNumber, nanos);
}

void AppendCancel(uint64_t id, std::string& frame) {
  AppendLength(frame, v1::PipelineRequest::kCallsFieldNumber,
               VarintFieldSize(v1::Call::kCancelIdFieldNumber, id));
  AppendVarintField(frame, v1::Call::kCancelIdFieldNumber, id);
}

nanoseconds SidecarTimeout(nanoseconds remaining) {
  if (remaining <= nanoseconds(0)) return nanoseconds(0);
  return remaining - std::min<nanoseconds>(milliseconds(100), remaining / 10);
}

}  // namespace dbsidecar::internal
