#include "tests/integration/canary_call.h"

#include <sstream>
#include <string_view>

#include "tests/support/query_client.h"

namespace dbsidecar::integration {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using test_support::MakeQuery;
using test_support::QueryOutcome;

// What makes a kind of call. Its column's name is its own.
struct Kind {
  CanaryKind kind;
  unsigned weight;
  const char* sql;  // $1 is the id.
  const char* column;
  const char* sqlstate;           // Of the error that it has to bring; "" = it has to succeed.
  bool names_id = false;          // That error's texts contain the id.
  bool always_read_only = false;  // Otherwise reads are so by chance.
};

constexpr Kind kKinds[] = {
    {CanaryKind::kInteger, 20, "select $1::int8 as mine", "mine", ""},
    {CanaryKind::kText, 20, "select $1::text as mine_text", "mine_text", ""},
    {CanaryKind::kLarge, 1, "select $1::text as mine_large, repeat($1::text, $2::int4)",
     "mine_large", ""},
    {CanaryKind::kPoint, 25,
     "select $1::int8 as mine_point, name from canary_point where key = $2::int8", "mine_point",
     ""},
    {CanaryKind::kDivision, 5, "select 1 / ($1::int8 - $1::int8) as mine_division", "mine_division",
     "22012"},
    {CanaryKind::kBadText, 5, "select ('canary ' || $1::text)::int4 as mine_bad", "mine_bad",
     "22P02", true},
    {CanaryKind::kSlow, 6, "select $1::int8 as mine_slow, pg_sleep($2::int4 / 1000.0)::text",
     "mine_slow", ""},
    {CanaryKind::kWrite, 10, "insert into canary_written (id) values ($1) returning id as mine_w",
     "mine_w", ""},
    {CanaryKind::kSlowWrite, 2,
     "insert into canary_written (id) select $1 from (select pg_sleep($2::int4 / 1000.0)) slept "
     "returning id as mine_slow_w",
     "mine_slow_w", ""},
    {CanaryKind::kFailedWrite, 2,
     "insert into canary_written (id) values ($1) returning id / (id - id) as mine_failed",
     "mine_failed", "22012"},
    {CanaryKind::kFailedCommit, 2,
     "insert into canary_written (id, parent) values ($1, $1) returning id as mine_commit",
     "mine_commit", "23503", true},
    {CanaryKind::kForbiddenWrite, 2,
     "insert into canary_written (id) values ($1) returning id as mine_forbidden", "mine_forbidden",
     "25006", false, true},
};

constexpr unsigned kWeights = 100;
constexpr bool TheWeightsAddUp() {
  unsigned sum = 0;
  for (const Kind& kind : kKinds) sum += kind.weight;
  return sum == kWeights;
}
static_assert(TheWeightsAddUp());

const Kind& KindOf(CanaryKind wanted) {
  for (const Kind& kind : kKinds) {
    if (kind.kind == wanted) return kind;
  }
  std::abort();
}

std::string Repeated(const std::string& text, int64_t times) {
  std::string repeated;
  for (int64_t i = 0; i < times; ++i) repeated += text;
  return repeated;
}

// What the second cell has to be.
std::string SecondOf(const CanaryCall& call) {
  if (call.kind == CanaryKind::kPoint) return "point " + std::to_string(call.point);
  if (call.kind == CanaryKind::kLarge) {
    return Repeated(std::to_string(call.id), call.request.params(1).int_value());
  }
  return "";
}

bool IsItsOwn(const CanaryCall& call, const CanaryAnswer& answer) {
  const Kind& kind = KindOf(call.kind);
  const std::string id = std::to_string(call.id);
  if (answer.code == 0) {
    return kind.sqlstate[0] == '\0' && answer.rows == 1 && answer.column == kind.column &&
           answer.first == id && answer.second == SecondOf(call);
  }
  return kind.sqlstate[0] != '\0' && answer.sqlstate == kind.sqlstate &&
         answer.reason == "SQL_ERROR" && !answer.outcome_unknown &&
         (!kind.names_id || answer.error.find(id) != std::string::npos);
}

// Nobody is told that time is up before it is. A client may give up a tenth before its deadline, so
// that the sidecar's answer, which knows more, comes first; and gRPC counts in milliseconds.
bool IsLateEnough(const CanaryCall& call, const CanaryAnswer& answer) {
  const milliseconds limit = answer.reason == "WAIT_TIMEOUT"
                                 ? kCanaryWaitTimeout
                                 : call.timeout.value_or(kCanaryQueryTimeout);
  return answer.took + milliseconds(2) >= limit * 9 / 10;
}

CanaryVerdict JudgeFailure(const CanaryCall& call, const CanaryAnswer& answer) {
  const std::string& reason = answer.reason;
  const bool unknown = reason == "OUTCOME_UNKNOWN";
  // Only a write's outcome can be unknown.
  const bool possible = !unknown || !call.request.read_only();
  if (unknown != answer.outcome_unknown || !possible) return CanaryVerdict::kWrong;
  switch (answer.code) {
    case grpc::StatusCode::CANCELLED:
      return call.cancel_after && (reason.empty() || reason == "CANCELLED" || unknown)
                 ? CanaryVerdict::kCancelled
                 : CanaryVerdict::kWrong;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return IsLateEnough(call, answer) &&
                     (reason.empty() || reason == "DEADLINE" || reason == "WAIT_TIMEOUT" || unknown)
                 ? CanaryVerdict::kExpired
                 : CanaryVerdict::kWrong;
    case grpc::StatusCode::UNAVAILABLE: {
      const bool said = answer.sqlstate.starts_with("57P") || answer.sqlstate.starts_with("08");
      return reason == "NO_CONNECTION" || reason == "CONNECTION_LOST" ||
                     (reason == "SQL_ERROR" && said)
                 ? CanaryVerdict::kCutOff
                 : CanaryVerdict::kWrong;
    }
    case grpc::StatusCode::UNKNOWN:
      return unknown ? CanaryVerdict::kUnknown : CanaryVerdict::kWrong;
    default:
      return CanaryVerdict::kWrong;
  }
}

}  // namespace

bool CanaryCall::writes() const {
  return kind == CanaryKind::kWrite || kind == CanaryKind::kSlowWrite ||
         kind == CanaryKind::kFailedWrite || kind == CanaryKind::kFailedCommit ||
         kind == CanaryKind::kForbiddenWrite;
}

// Nothing of `canary_written` is unique, so that a write that ran twice is there twice.
std::string CanarySchema() {
  return "create table canary_point (key int8 primary key, name text not null);"
         "insert into canary_point select n, 'point ' || n from generate_series(0, " +
         std::to_string(kCanaryPoints - 1) +
         ") n; analyze canary_point;"
         "create table canary_parent (id int8 primary key);"
         "create table canary_written (id int8 not null, parent int8 references canary_parent "
         "deferrable initially deferred);"
         "grant all on all tables in schema public to app";
}

CanaryCall CanaryChooser::Next() {
  CanaryCall call;
  call.id = static_cast<int64_t>(random_() >> 1);
  size_t ticket = Below(kWeights);
  const Kind* kind = kKinds;
  while (ticket >= kind->weight) ticket -= (kind++)->weight;
  call.kind = kind->kind;
  call.point = static_cast<int64_t>(Below(kCanaryPoints));
  const int64_t pause = static_cast<int64_t>(Below(8));
  const int64_t repeats = static_cast<int64_t>(Below(5000));
  const bool word = Below(2) == 0;
  const milliseconds timeout(1 + Below(6));
  if (Below(100) < shares_.short_deadline) call.timeout = timeout;
  const microseconds cancel_after(Below(6000));
  if (Below(100) < shares_.cancelled) call.cancel_after = cancel_after;

  const bool text = call.kind == CanaryKind::kText || call.kind == CanaryKind::kLarge ||
                    call.kind == CanaryKind::kBadText;
  call.request =
      text ? MakeQuery(kind->sql, std::to_string(call.id)) : MakeQuery(kind->sql, call.id);
  if (call.kind == CanaryKind::kPoint) call.request.add_params()->set_int_value(call.point);
  if (call.kind == CanaryKind::kLarge) call.request.add_params()->set_int_value(repeats);
  if (call.kind == CanaryKind::kSlow || call.kind == CanaryKind::kSlowWrite) {
    call.request.add_params()->set_int_value(pause);
  }
  call.request.set_read_only(kind->always_read_only || (word && !call.writes()));
  return call;
}

CanaryAnswer AnswerOf(const v1::QueryResponse& response) {
  QueryOutcome outcome;
  outcome.response = response;
  CanaryAnswer answer;
  answer.rows = response.result().row_count();
  if (response.result().columns_size() == 0) return answer;
  answer.column = response.result().columns(0).name();
  answer.first = outcome.Cell(0, 0).value_or("<NULL>");
  if (response.result().columns_size() > 1) answer.second = outcome.Cell(0, 1).value_or("<NULL>");
  return answer;
}

CanaryAnswer AnswerOf(const v1::Error& error) {
  CanaryAnswer answer;
  answer.code = error.code();
  answer.reason = error.reason();
  answer.sqlstate = error.sql().sqlstate();
  answer.error = error.message() + " | " + error.sql().detail();
  answer.outcome_unknown = error.sql().outcome_unknown();
  return answer;
}

CanaryVerdict Judge(const CanaryCall& call, const CanaryAnswer& answer) {
  if (IsItsOwn(call, answer)) return CanaryVerdict::kMatched;
  return answer.code == 0 ? CanaryVerdict::kWrong : JudgeFailure(call, answer);
}

CanaryFate FateOf(const CanaryCall& call, const CanaryAnswer& answer) {
  if (KindOf(call.kind).sqlstate[0] != '\0') return CanaryFate::kNever;
  if (answer.code == 0) return CanaryFate::kOnce;
  const bool unknown = answer.outcome_unknown || answer.reason.empty();
  return unknown ? CanaryFate::kAtMostOnce : CanaryFate::kNever;
}

std::string Describe(const CanaryCall& call, const CanaryAnswer& answer) {
  std::ostringstream text;
  text << "call " << call.id << " (" << KindOf(call.kind).column
       << (call.request.read_only() ? ", read-only" : "");
  if (call.timeout) text << ", timeout " << call.timeout->count() << " ms";
  if (call.cancel_after) text << ", cancelled after " << call.cancel_after->count() << " us";
  text << ") was answered after " << std::chrono::duration<double, std::milli>(answer.took).count()
       << " ms: code " << answer.code << ", reason \"" << answer.reason << "\", SQLSTATE \""
       << answer.sqlstate << "\", " << (answer.outcome_unknown ? "outcome unknown, " : "") << '"'
       << answer.error << "\", rows " << answer.rows << ", column \"" << answer.column
       << "\", cells \"" << answer.first << "\", \"" << answer.second.substr(0, 100) << '"';
  return text.str();
}

}  // namespace dbsidecar::integration
