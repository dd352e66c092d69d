// Requests from any bytes: what the checks let through becomes a statement that says the same, and
// what they refuse is refused with a reason.
#include <google/protobuf/util/message_differencer.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "dbsidecar/v1/pipeline.pb.h"
#include "server/batch_request.h"
#include "server/request_parser.h"
#include "server/utf8.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::server;

constexpr RequestLimits kLimits{
    .result_rows_max = 1000, .result_bytes_max = 1 << 20, .parameters_max = 16};

bool IsServed(const std::optional<pool::Error>& trouble) {
  if (!trouble) return true;
  const bool blames_the_request = trouble->kind == pool::ErrorKind::kInvalidArgument ||
                                  trouble->kind == pool::ErrorKind::kPoolNotFound ||
                                  trouble->kind == pool::ErrorKind::kUnsupported;
  FUZZ_REQUIRE(blames_the_request, trouble->message);
  FUZZ_REQUIRE(trouble->message.size() > 10, trouble->message);
  FUZZ_REQUIRE(!trouble->outcome_unknown, trouble->message);
  // It goes out as a text field of an Error.
  FUZZ_REQUIRE(IsValidUtf8(trouble->message), trouble->message);
  return false;
}

// Back from the pool's terms.
v1::Value Back(const pool::Value& value) {
  v1::Value back;
  back.set_type_oid(value.type_oid);
  switch (value.kind) {
    case pool::Value::Kind::kNull:
      break;
    case pool::Value::Kind::kBool:
      back.set_bool_value(value.boolean);
      break;
    case pool::Value::Kind::kInteger:
      back.set_int_value(value.integer);
      break;
    case pool::Value::Kind::kDouble:
      back.set_double_value(value.real);
      break;
    case pool::Value::Kind::kText:
      back.set_string_value(std::string(value.text));
      break;
    case pool::Value::Kind::kBytes:
      back.set_bytes_value(std::string(value.text));
      break;
  }
  return back;
}

void RequireSame(v1::Value from, const pool::Value& to) {
  from.DiscardUnknownFields();
  FUZZ_REQUIRE(Back(to).SerializeAsString() == from.SerializeAsString(), from.ShortDebugString());
}

void RequireLimited(const pool::Duration duration) {
  FUZZ_REQUIRE(duration >= pool::Duration::zero(), "");
  FUZZ_REQUIRE(duration <= std::chrono::hours(24 * 366 * 10 + 1), "");
}

template <typename Request>
void CheckWhole(const Request& request) {
  const pool::SessionUse use = ToSessionUse(request.session(), 7);
  FUZZ_REQUIRE(use.owner == 7, "");
  FUZZ_REQUIRE(use.kind != pool::SessionUse::Kind::kContinue || !use.token.empty(), "");
  FUZZ_REQUIRE(use.token == request.session().session(), "");
  FUZZ_REQUIRE(use.kind != pool::SessionUse::Kind::kPin || !use.commit, "");
  RequireLimited(use.idle_timeout);
  RequireLimited(use.transaction_timeout);
  const pool::CallSettings settings = ToSettings(request.settings());
  FUZZ_REQUIRE(settings.role == request.settings().role(), "");
  RequireLimited(settings.statement_timeout);
  RequireLimited(settings.lock_timeout);
}

void RequireLimits(const pool::ResultLimits& limits, uint32_t max_rows) {
  FUZZ_REQUIRE(limits.rows_max == (max_rows != 0 ? max_rows : kLimits.result_rows_max), "");
  FUZZ_REQUIRE(limits.truncate == (max_rows != 0), "");
}

void RunQuery(const v1::QueryRequest& request) {
  if (!IsServed(CheckRequest(request, kLimits))) return;
  CheckWhole(request);
  const pool::Statement statement = ToStatement(request, kLimits);
  FUZZ_REQUIRE(statement.sql == request.sql() && !statement.sql.empty(), request.sql());
  FUZZ_REQUIRE(statement.parameters.size() == static_cast<size_t>(request.params_size()), "");
  FUZZ_REQUIRE(statement.parameters.size() <= kLimits.parameters_max, "");
  for (int i = 0; i < request.params_size(); ++i) {
    RequireSame(request.params(i), statement.parameters[static_cast<size_t>(i)]);
  }
  RequireLimits(statement.limits, request.max_rows());
  FUZZ_REQUIRE(statement.read_only == request.read_only(), "");
  FUZZ_REQUIRE(statement.idempotent == request.idempotent(), "");
  const auto tag = request.tags().find("caller");
  FUZZ_REQUIRE(CallerOf(request.tags()) == (tag == request.tags().end() ? "" : tag->second), "");
}

void RunEndSession(const v1::EndSessionRequest& request) {
  if (!IsServed(CheckEndSession(request))) return;
  const pool::SessionUse use = ToSessionUse(request);
  FUZZ_REQUIRE(use.kind == pool::SessionUse::Kind::kEnd && use.token == request.session(), "");
  FUZZ_REQUIRE(!use.token.empty(), "");
}

void RunPipeline(const v1::PipelineRequest& frame) {
  for (const v1::Call& call : frame.calls()) {
    if (call.has_query()) RunQuery(call.query());
    if (call.has_end_session()) RunEndSession(call.end_session());
    if (IsTimeLimit(call.timeout())) RequireLimited(ToDuration(call.timeout()));
  }
}

void RunBatch(const v1::BatchRequest& request) {
  if (!IsServed(CheckBatch(request, kLimits))) return;
  CheckWhole(request);
  const pool::Batch batch = ToBatch(request, kLimits);
  FUZZ_REQUIRE(batch.steps.size() == static_cast<size_t>(request.steps_size()), "");
  FUZZ_REQUIRE(!batch.steps.empty(), "");
  for (size_t i = 0; i < batch.steps.size(); ++i) {
    const v1::BatchStep& from = request.steps(static_cast<int>(i));
    const pool::BatchStep& step = batch.steps[i];
    FUZZ_REQUIRE(step.statement.sql == from.sql(), from.sql());
    FUZZ_REQUIRE(step.statement.read_only == request.read_only(), "");
    FUZZ_REQUIRE(step.may_fail == from.may_fail(), "");
    FUZZ_REQUIRE(step.conditions.size() == static_cast<size_t>(from.conditions_size()), "");
    // Or the pool would look at a step that is not over.
    for (const auto& condition : step.conditions) FUZZ_REQUIRE(condition.step < i, "");
    for (int j = 0; j < from.params_size(); ++j) {
      RequireSame(from.params(j), step.statement.parameters[static_cast<size_t>(j)]);
    }
    RequireLimits(step.statement.limits,
                  from.max_rows() != 0 ? from.max_rows() : request.max_rows());
  }
}

void RunExecuteMany(const v1::ExecuteManyRequest& request) {
  if (!IsServed(CheckExecuteMany(request, kLimits))) return;
  CheckWhole(request);
  FUZZ_REQUIRE(ToStatement(request, kLimits).sql == request.sql(), request.sql());
  const ColumnRows rows(request);
  FUZZ_REQUIRE(rows.size() == request.row_count(), "");
  std::vector<pool::Value> first;
  for (size_t row = 0; row < std::min<size_t>(rows.size(), 200); ++row) {
    std::vector<pool::Value> values;
    rows.Get(row, values);
    FUZZ_REQUIRE(values.size() == static_cast<size_t>(request.params_size()), "");
    if (row == 0) first = values;
    for (size_t i = 0; i < values.size(); ++i) {
      // In every row of the same types.
      FUZZ_REQUIRE(values[i].type_oid == first[i].type_oid, "");
      const v1::Column& column = request.params(static_cast<int>(i));
      const bool null =
          std::count(column.nulls().begin(), column.nulls().end(), static_cast<uint32_t>(row)) > 0;
      if (null) FUZZ_REQUIRE(values[i].kind == pool::Value::Kind::kNull, "");
      if (!null && column.strings_size() > 0) {
        FUZZ_REQUIRE(values[i].text == column.strings(static_cast<int>(row)), "");
      }
      if (!null && column.ints_size() > 0) {
        FUZZ_REQUIRE(values[i].integer == column.ints(static_cast<int>(row)), "");
      }
    }
  }
}

void RunScript(const v1::ScriptRequest& request) {
  if (!IsServed(CheckScript(request))) return;
  CheckWhole(request);
  const pool::Statement statement = ToStatement(request, kLimits);
  FUZZ_REQUIRE(statement.form == pool::StatementForm::kScript, "");
  FUZZ_REQUIRE(statement.sql == request.sql(), request.sql());
  RequireLimits(statement.limits, request.max_rows());
}

void RunCopy(const v1::CopyStart& start) {
  if (!IsServed(CheckCopy(start))) return;
  CheckWhole(start);
  FUZZ_REQUIRE(ToStatement(start, pool::StatementForm::kCopyIn).sql == start.sql(), start.sql());
}

void RunDescribe(const v1::DescribeRequest& request) {
  if (!IsServed(CheckDescribe(request, kLimits))) return;
  FUZZ_REQUIRE(ToStatement(request, kLimits).sql == request.sql(), request.sql());
}

// `run` sees what Protobuf takes for the message, and sees the same once it was encoded anew.
template <typename Message>
void Decode(const std::string& bytes, void (*run)(const Message&)) {
  Message message;
  if (!message.ParseFromString(bytes)) return;
  run(message);
  Message again;
  FUZZ_REQUIRE(again.ParseFromString(message.SerializeAsString()), message.ShortDebugString());
  run(again);
}

// Protobuf lets a text in if it is UTF-8: our own judgement must be the same.
void CompareUtf8(const std::string& text) {
  v1::Value value;
  value.set_bytes_value(text);
  std::string wire = value.SerializeAsString();
  wire[0] = static_cast<char>(v1::Value::kStringValueFieldNumber << 3 | 2);
  v1::Value as_text;
  FUZZ_REQUIRE(as_text.ParseFromString(wire) == IsValidUtf8(text), text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  google::protobuf::LogSilencer silent;
  const std::string bytes(fuzz::TextOf(data + 1, size - 1));
  switch (data[0] % 9) {
    case 0:
      Decode<v1::QueryRequest>(bytes, RunQuery);
      break;
    case 1:
      Decode<v1::PipelineRequest>(bytes, RunPipeline);
      break;
    case 2:
      Decode<v1::BatchRequest>(bytes, RunBatch);
      break;
    case 3:
      Decode<v1::ExecuteManyRequest>(bytes, RunExecuteMany);
      break;
    case 4:
      Decode<v1::ScriptRequest>(bytes, RunScript);
      break;
    case 5:
      Decode<v1::CopyStart>(bytes, RunCopy);
      break;
    case 6:
      Decode<v1::DescribeRequest>(bytes, RunDescribe);
      break;
    case 7:
      Decode<v1::EndSessionRequest>(bytes, RunEndSession);
      break;
    case 8:
      CompareUtf8(bytes);
      break;
  }
  return 0;
}
