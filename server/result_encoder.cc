#include "server/result_encoder.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "server/error_mapping.h"
#include "server/utf8.h"

namespace dbsidecar::server {
namespace {

using pool::CellKind;
using pool::RowBuffer;

int64_t ParseInteger(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// PostgreSQL writes the shortest text that reads back as the same number.
double ParseDouble(std::string_view text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c - 'A' + 10;
}

// bytea in PostgreSQL's hex form: \x0123. (bytea_output is hex unless a session changed it.)
std::string ParseBytea(std::string_view text) {
  if (!text.starts_with("\\x")) return std::string(text);
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (size_t i = 2; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(HexDigit(text[i]) << 4 | HexDigit(text[i + 1])));
  }
  return bytes;
}

// The one array that holds all cells of a column; nothing when their kinds differ, or when a text
// is not UTF-8.
std::optional<WireKind> CommonKind(const RowBuffer& rows, size_t column, uint32_t type_oid,
                                   bool typed_by_oid) {
  if (typed_by_oid && WireKindOf(type_oid) != WireKind::kText) return WireKindOf(type_oid);
  std::optional<WireKind> common;
  for (size_t row = 0; row < rows.row_count(); ++row) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    WireKind kind = WireKind::kText;
    switch (cell.kind) {
      case CellKind::kNull:
        continue;
      case CellKind::kInteger:
        kind = WireKind::kInteger;
        break;
      case CellKind::kDouble:
        kind = WireKind::kDouble;
        break;
      case CellKind::kText:
        if (!IsValidUtf8(rows.bytes(cell))) return std::nullopt;
        break;
      case CellKind::kBlob:
        kind = WireKind::kBytes;
        break;
    }
    if (common && *common != kind) return std::nullopt;
    common = kind;
  }
  return common.value_or(WireKind::kText);
}

int64_t IntegerOf(const RowBuffer& rows, const RowBuffer::Cell& cell) {
  return cell.kind == CellKind::kInteger ? cell.integer : ParseInteger(rows.bytes(cell));
}

double DoubleOf(const RowBuffer& rows, const RowBuffer::Cell& cell) {
  return cell.kind == CellKind::kDouble ? cell.real : ParseDouble(rows.bytes(cell));
}

std::string BytesOf(const RowBuffer& rows, const RowBuffer::Cell& cell, uint32_t type_oid) {
  const std::string_view bytes = rows.bytes(cell);
  const bool bytea_text = cell.kind == CellKind::kText && WireKindOf(type_oid) == WireKind::kBytes;
  return bytea_text ? ParseBytea(bytes) : std::string(bytes);
}

void EncodeValue(const RowBuffer& rows, const RowBuffer::Cell& cell, WireKind kind,
                 uint32_t type_oid, v1::Value& value) {
  if (cell.kind == CellKind::kNull) return;
  switch (kind) {
    case WireKind::kInteger:
      value.set_int_value(IntegerOf(rows, cell));
      break;
    case WireKind::kDouble:
      value.set_double_value(DoubleOf(rows, cell));
      break;
    case WireKind::kBool:
      value.set_bool_value(rows.bytes(cell) == "t");
      break;
    case WireKind::kText:
      value.set_string_value(std::string(rows.bytes(cell)));
      break;
    case WireKind::kBytes:
      value.set_bytes_value(BytesOf(rows, cell, type_oid));
      break;
  }
}

WireKind KindOfCell(const RowBuffer& rows, const RowBuffer::Cell& cell, uint32_t type_oid,
                    bool typed_by_oid) {
  switch (cell.kind) {
    case CellKind::kInteger:
      return WireKind::kInteger;
    case CellKind::kDouble:
      return WireKind::kDouble;
    case CellKind::kBlob:
      return WireKind::kBytes;
    case CellKind::kNull:
    case CellKind::kText:
      break;
  }
  if (typed_by_oid && WireKindOf(type_oid) != WireKind::kText) return WireKindOf(type_oid);
  return cell.kind == CellKind::kNull || IsValidUtf8(rows.bytes(cell)) ? WireKind::kText
                                                                       : WireKind::kBytes;
}

void EncodeMixed(const RowBuffer& rows, size_t column, v1::Column& into) {
  for (size_t row = 0; row < rows.row_count(); ++row) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    EncodeValue(rows, cell, KindOfCell(rows, cell, 0, false), 0, *into.add_mixed());
  }
}

void AddCell(const RowBuffer& rows, const RowBuffer::Cell& cell, WireKind kind, uint32_t type_oid,
             v1::Column& into) {
  const bool null = cell.kind == CellKind::kNull;
  switch (kind) {
    case WireKind::kInteger:
      into.add_ints(null ? 0 : IntegerOf(rows, cell));
      break;
    case WireKind::kDouble:
      into.add_doubles(null ? 0 : DoubleOf(rows, cell));
      break;
    case WireKind::kBool:
      into.add_bools(!null && rows.bytes(cell) == "t");
      break;
    case WireKind::kText: {
      const std::string_view text = null ? std::string_view() : rows.bytes(cell);
      into.add_strings(text.data(), text.size());
      break;
    }
    case WireKind::kBytes:
      *into.add_blobs() = null ? std::string() : BytesOf(rows, cell, type_oid);
      break;
  }
}

void EncodeColumn(const RowBuffer& rows, size_t column, uint32_t type_oid, bool typed_by_oid,
                  v1::Column& into) {
  const std::optional<WireKind> kind = CommonKind(rows, column, type_oid, typed_by_oid);
  size_t nulls = 0;
  for (size_t row = 0; row < rows.row_count(); ++row) {
    if (rows.at(row, column).kind != CellKind::kNull) continue;
    into.add_nulls(static_cast<uint32_t>(row));
    ++nulls;
  }
  if (nulls == rows.row_count()) return;  // All NULL: no array at all.
  if (!kind) {
    EncodeMixed(rows, column, into);
    return;
  }
  for (size_t row = 0; row < rows.row_count(); ++row) {
    AddCell(rows, rows.at(row, column), *kind, type_oid, into);
  }
}

// SQLite's numbers have no text of their own: PostgreSQL's form is given to them.
std::string TextOf(const RowBuffer& rows, const RowBuffer::Cell& cell) {
  char buffer[32];
  switch (cell.kind) {
    case CellKind::kNull:
      return "";
    case CellKind::kInteger:
      return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), cell.integer).ptr};
    case CellKind::kDouble:
      if (std::isinf(cell.real)) return cell.real > 0 ? "Infinity" : "-Infinity";
      return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), cell.real).ptr};
    case CellKind::kText:
      return std::string(rows.bytes(cell));
    case CellKind::kBlob: {
      static constexpr char kDigits[] = "0123456789abcdef";
      std::string text = "\\x";
      for (const char c : rows.bytes(cell)) {
        text += kDigits[static_cast<unsigned char>(c) >> 4];
        text += kDigits[static_cast<unsigned char>(c) & 15];
      }
      return text;
    }
  }
  return "";
}

void EncodeTextColumn(const RowBuffer& rows, size_t column, v1::Column& into) {
  bool utf8 = true;
  for (size_t row = 0; row < rows.row_count() && utf8; ++row) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    utf8 = cell.kind != CellKind::kText || IsValidUtf8(rows.bytes(cell));
  }
  for (size_t row = 0; row < rows.row_count(); ++row) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    if (cell.kind == CellKind::kNull) into.add_nulls(static_cast<uint32_t>(row));
    if (utf8) {
      into.add_strings(TextOf(rows, cell));
    } else {
      into.add_blobs(TextOf(rows, cell));
    }
  }
  // All NULL: no array at all.
  if (static_cast<size_t>(into.nulls_size()) == rows.row_count()) {
    into.clear_strings();
    into.clear_blobs();
  }
}

void EncodeRows(const pool::Result& result, bool typed_by_oid, v1::ResultSet& set) {
  for (size_t row = 0; row < result.rows.row_count(); ++row) {
    v1::Row& into = *set.add_rows();
    for (size_t column = 0; column < result.columns.size(); ++column) {
      const RowBuffer::Cell& cell = result.rows.at(row, column);
      const uint32_t type_oid = result.columns[column].type_oid;
      EncodeValue(result.rows, cell, KindOfCell(result.rows, cell, type_oid, typed_by_oid),
                  type_oid, *into.add_values());
    }
  }
}

void EncodeColumnInfo(const pool::ColumnInfo& from, v1::ColumnInfo& into) {
  if (IsValidUtf8(from.name)) into.set_name(from.name);
  into.set_type_oid(from.type_oid);
  into.set_type_modifier(from.type_modifier);
  into.set_table_oid(from.table_oid);
  into.set_column_number(from.column_number);
  if (IsValidUtf8(from.declared_type)) into.set_declared_type(from.declared_type);
}

uint64_t Nanos(pool::Duration duration) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

v1::TransactionStatus WireStatus(pool::TransactionStatus status) {
  switch (status) {
    case pool::TransactionStatus::kIdle:
      return v1::TRANSACTION_STATUS_IDLE;
    case pool::TransactionStatus::kInTransaction:
      return v1::TRANSACTION_STATUS_IN_TRANSACTION;
    case pool::TransactionStatus::kFailed:
      return v1::TRANSACTION_STATUS_FAILED;
  }
  return v1::TRANSACTION_STATUS_UNSPECIFIED;
}

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

void EncodeResult(const pool::Result& result, v1::ResultFormat format, v1::ResultSet& set) {
  for (const pool::ColumnInfo& column : result.columns) {
    EncodeColumnInfo(column, *set.add_columns());
  }
  set.set_row_count(static_cast<uint32_t>(result.rows.row_count()));
  const bool typed_by_oid = !result.typed_cells;
  if (format == v1::RESULT_FORMAT_ROWS) {
    EncodeRows(result, typed_by_oid, set);
  } else {
    for (size_t column = 0; column < result.columns.size(); ++column) {
      if (format == v1::RESULT_FORMAT_TEXT_COLUMNS) {
        EncodeTextColumn(result.rows, column, *set.add_data());
      } else {
        EncodeColumn(result.rows, column, result.columns[column].type_oid, typed_by_oid,
                     *set.add_data());
      }
    }
  }
  set.set_rows_affected(result.rows_affected);
  set.set_command_tag(result.command_tag);
  set.set_last_insert_id(result.last_insert_id);
  set.set_truncated(result.truncated);
}

template <typename Response>
void EncodeNotices(const std::vector<pool::Notice>& notices, Response& response) {
  for (const pool::Notice& notice : notices) {
    v1::Notice& into = *response.add_notices();
    into.set_severity(notice.severity);
    into.set_sqlstate(notice.sqlstate);
    if (IsValidUtf8(notice.message)) into.set_message(notice.message);
  }
}

void EncodeTiming(const pool::Outcome& outcome, pool::Instant began, v1::Timing& timing) {
  timing.set_queue_nanos(Nanos(outcome.timing.queue));
  timing.set_connect_nanos(Nanos(outcome.timing.connect));
  timing.set_execute_nanos(Nanos(outcome.timing.execute));
  timing.set_encode_nanos(Nanos(pool::Clock::now() - began));
}

v1::TypeKind WireTypeKind(pool::TypeInfo::Kind kind) {
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

template <typename Response>
void EncodeWhole(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                 Response& response) {
  const pool::Instant began = pool::Clock::now();
  EncodeResult(outcome.result, format, *response.mutable_result());
  response.set_session(outcome.session);
  response.set_transaction_status(WireStatus(outcome.transaction_status));
  EncodeNotices(outcome.notices, response);
  if (want_timing) EncodeTiming(outcome, began, *response.mutable_timing());
}

}  // namespace

WireKind WireKindOf(uint32_t type_oid) {
  switch (type_oid) {
    case 16:  // bool
      return WireKind::kBool;
    case 20:  // int8
    case 21:  // int2
    case 23:  // int4
    case 26:  // oid
      return WireKind::kInteger;
    case 700:  // float4
    case 701:  // float8
      return WireKind::kDouble;
    case 17:  // bytea
      return WireKind::kBytes;
  }
  return WireKind::kText;
}

void EncodeOutcome(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                   v1::QueryResponse& response) {
  EncodeWhole(outcome, format, want_timing, response);
}

void EncodeMany(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                v1::ExecuteManyResponse& response) {
  EncodeWhole(outcome, format, want_timing, response);
  response.mutable_rows_affected_by_row()->Assign(outcome.rows_affected_by_row.begin(),
                                                  outcome.rows_affected_by_row.end());
}

void EncodeBatch(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                 v1::BatchResponse& response) {
  const pool::Instant began = pool::Clock::now();
  for (const pool::StepResult& step : outcome.steps) {
    v1::StepResult& into = *response.add_results();
    into.set_outcome(WireOutcome(step.outcome));
    if (step.outcome == pool::StepOutcome::kOk) {
      EncodeResult(step.result, format, *into.mutable_result());
    }
    if (step.error) FillError(*step.error, *into.mutable_error());
    EncodeNotices(step.notices, into);
  }
  response.set_session(outcome.session);
  response.set_transaction_status(WireStatus(outcome.transaction_status));
  if (want_timing) EncodeTiming(outcome, began, *response.mutable_timing());
}

void EncodeDescription(const pool::Description& description, v1::DescribeResponse& response) {
  response.mutable_param_type_oids()->Assign(description.parameter_types.begin(),
                                             description.parameter_types.end());
  for (const pool::ColumnInfo& column : description.columns) {
    EncodeColumnInfo(column, *response.add_columns());
  }
  response.set_read_only(description.only_reads ? v1::READ_ONLY_VERDICT_READ_ONLY
                                                : v1::READ_ONLY_VERDICT_MAY_WRITE);
  if (IsValidUtf8(description.verdict_reason)) {
    response.set_verdict_reason(description.verdict_reason);
  }
  response.set_needs_session(description.needs_session);
  response.set_needs_own_connection(description.needs_own_connection);
  response.set_fingerprint(description.fingerprint);
  for (const pool::TypeInfo& type : description.types) {
    v1::TypeInfo& into = *response.add_types();
    into.set_oid(type.oid);
    if (IsValidUtf8(type.schema)) into.set_schema(type.schema);
    if (IsValidUtf8(type.name)) into.set_name(type.name);
    into.set_kind(WireTypeKind(type.kind));
    into.set_base_oid(type.base_oid);
    for (const std::string& label : type.labels) {
      if (IsValidUtf8(label)) into.add_labels(label);
    }
    for (const pool::ColumnInfo& attribute : type.attributes) {
      EncodeColumnInfo(attribute, *into.add_attributes());
    }
  }
}

void EncodeEnd(const pool::Outcome& outcome, bool want_timing, v1::EndSessionResponse& response) {
  const pool::Instant began = pool::Clock::now();
  response.set_command_tag(outcome.end_tag);
  EncodeNotices(outcome.notices, response);
  if (want_timing) EncodeTiming(outcome, began, *response.mutable_timing());
}

}  // namespace dbsidecar::server
