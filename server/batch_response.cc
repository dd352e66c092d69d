#include "server/batch_response.h"

#include "server/error_mapping.h"
#include "server/result_encoder.h"
#include "server/utf8.h"
#include "server/wire_writer.h"

namespace dbsidecar::server {
namespace {

v1::StepOutcome WireOutcome(pool::StepOutcome outcome) {
  switch (outcome) {
    case pool::StepOutcome::kOk:
      return v1::STEP_OUTCOME_OK;
    case pool::StepOutcome::kFailed:
      return v1::STEP_OUTCOME_FAILED;
    case pool::StepOutcome::kSkipped:
      return v1::STEP_OUTCOME_SKIPPED;
  }
  return v1::STEP_OUTCOME_UNSPECIFIED;
}

v1::TypeKind WireKindOf(pool::TypeInfo::Kind kind) {
  using Kind = pool::TypeInfo::Kind;
  switch (kind) {
    case Kind::kUnknown:
      return v1::TYPE_KIND_UNSPECIFIED;
    case Kind::kBase:
      return v1::TYPE_KIND_BASE;
    case Kind::kArray:
      return v1::TYPE_KIND_ARRAY;
    case Kind::kEnum:
      return v1::TYPE_KIND_ENUM;
    case Kind::kDomain:
      return v1::TYPE_KIND_DOMAIN;
    case Kind::kComposite:
      return v1::TYPE_KIND_COMPOSITE;
    case Kind::kRange:
      return v1::TYPE_KIND_RANGE;
    case Kind::kMultirange:
      return v1::TYPE_KIND_MULTIRANGE;
    case Kind::kPseudo:
      return v1::TYPE_KIND_PSEUDO;
  }
  return v1::TYPE_KIND_UNSPECIFIED;
}

template <typename Message>
void Parse(const WireWriter& from, Message& into) {
  into.ParseFromArray(from.bytes().data(), static_cast<int>(from.size()));
}

void FillNotices(const std::vector<pool::Notice>& notices, v1::StepResult& into) {
  for (const pool::Notice& from : notices) {
    v1::Notice& notice = *into.add_notices();
    notice.set_severity(from.severity);
    notice.set_sqlstate(from.sqlstate);
    if (IsValidUtf8(from.message)) notice.set_message(from.message);
  }
}

void FillColumn(const pool::ColumnInfo& from, v1::ColumnInfo& into) {
  if (IsValidUtf8(from.name)) into.set_name(from.name);
  into.set_type_oid(from.type_oid);
  into.set_type_modifier(from.type_modifier);
  into.set_table_oid(from.table_oid);
  into.set_column_number(from.column_number);
  if (IsValidUtf8(from.declared_type)) into.set_declared_type(from.declared_type);
}

void FillType(const pool::TypeInfo& from, v1::TypeInfo& into) {
  into.set_oid(from.oid);
  if (IsValidUtf8(from.schema)) into.set_schema(from.schema);
  if (IsValidUtf8(from.name)) into.set_name(from.name);
  into.set_kind(WireKindOf(from.kind));
  into.set_base_oid(from.base_oid);
  for (const std::string& label : from.labels) {
    // Its place among the others counts.
    into.add_labels(IsValidUtf8(label) ? label : "");
  }
  for (const pool::ColumnInfo& attribute : from.attributes) {
    FillColumn(attribute, *into.add_attributes());
  }
}

}  // namespace

void FillBatch(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
               v1::BatchResponse& response) {
  WireWriter writer;
  for (const pool::StepResult& step : outcome.steps) {
    v1::StepResult& into = *response.add_results();
    into.set_outcome(WireOutcome(step.outcome));
    if (step.outcome == pool::StepOutcome::kOk) {
      writer.Clear();
      EncodeResult(step.result, format, writer);
      Parse(writer, *into.mutable_result());
    }
    if (step.error) FillError(*step.error, *into.mutable_error());
    FillNotices(step.notices, into);
  }
  // What a batch as a whole has in common with a statement.
  writer.Clear();
  EncodeOutcome(outcome, format, want_timing, writer);
  v1::QueryResponse whole;
  Parse(writer, whole);
  response.set_session(whole.session());
  response.set_transaction_status(whole.transaction_status());
  if (want_timing) *response.mutable_timing() = whole.timing();
}

// Its fields have the numbers that they have in QueryResponse.
void FillMany(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
              v1::ExecuteManyResponse& response) {
  WireWriter writer;
  EncodeOutcome(outcome, format, want_timing, writer);
  Parse(writer, response);
  response.mutable_rows_affected_by_row()->Assign(outcome.rows_affected_by_row.begin(),
                                                  outcome.rows_affected_by_row.end());
}

void FillDescription(const pool::Description& description, v1::DescribeResponse& response) {
  response.mutable_param_type_oids()->Assign(description.parameter_types.begin(),
                                             description.parameter_types.end());
  for (const pool::ColumnInfo& column : description.columns) {
    FillColumn(column, *response.add_columns());
  }
  response.set_read_only(description.only_reads ? v1::READ_ONLY_VERDICT_READ_ONLY
                                                : v1::READ_ONLY_VERDICT_MAY_WRITE);
  if (IsValidUtf8(description.verdict_reason)) {
    response.set_verdict_reason(description.verdict_reason);
  }
  response.set_needs_session(description.needs_session);
  response.set_needs_own_connection(description.needs_own_connection);
  response.set_fingerprint(description.fingerprint);
  for (const pool::TypeInfo& type : description.types) FillType(type, *response.add_types());
}

}  // namespace dbsidecar::server
