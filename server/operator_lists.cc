#include "server/operator_lists.h"

#include <chrono>

#include "server/process_figures.h"

namespace dbsidecar::server {
namespace {

using std::chrono::system_clock;

constexpr size_t kTextMax = 2048;

system_clock::time_point Ago(pool::Duration age) {
  return system_clock::now() - std::chrono::duration_cast<system_clock::duration>(age);
}

v1::StatementState StateOf(pool::RunningStatement::State state) {
  switch (state) {
    case pool::RunningStatement::State::kWaiting:
      return v1::STATEMENT_STATE_WAITING;
    case pool::RunningStatement::State::kRunning:
      return v1::STATEMENT_STATE_RUNNING;
    case pool::RunningStatement::State::kCancelling:
      return v1::STATEMENT_STATE_CANCELLING;
  }
  return v1::STATEMENT_STATE_UNSPECIFIED;
}

}  // namespace

pool::ListFilter FilterOf(pool::Duration age_min, uint32_t count_max) {
  constexpr uint32_t kDefault = 100;
  return {.age_min = age_min, .count_max = count_max == 0 ? kDefault : count_max};
}

void FillStatement(const pool::RunningStatement& statement, v1::RunningStatement& into) {
  into.set_pool(statement.pool);
  into.set_id(statement.id);
  into.set_state(StateOf(statement.state));
  SetTimestamp(Ago(statement.age), *into.mutable_arrival_time());
  SetDuration(statement.waited, *into.mutable_waited());
  if (statement.ran) SetDuration(*statement.ran, *into.mutable_ran());
  if (!statement.caller.empty()) (*into.mutable_tags())["caller"] = statement.caller;
  into.set_session_id(statement.session);
  into.set_lane(statement.lane);
  into.set_server_pid(statement.server_pid);
  into.set_rpc(std::string(statement.rpc));
}

void FillSession(const pool::OpenSession& session, v1::OpenSession& into) {
  into.set_pool(session.pool);
  into.set_id(session.id);
  into.set_kind(session.pinned ? v1::SESSION_KIND_PINNED : v1::SESSION_KIND_TRANSACTION);
  SetTimestamp(Ago(session.age), *into.mutable_begin_time());
  if (session.idle) SetDuration(*session.idle, *into.mutable_idle());
  into.set_statements(session.statements);
  if (!session.caller.empty()) (*into.mutable_tags())["caller"] = session.caller;
  into.set_client_name(session.client_name);
  into.set_server_pid(session.server_pid);
  into.set_failed(session.failed);
}

std::string ShownText(const std::string& text) {
  if (text.size() <= kTextMax) return text;
  size_t end = kTextMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace dbsidecar::server
