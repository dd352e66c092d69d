#include "server/result_encoder.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "server/utf8.h"

namespace dbsidecar::server {
namespace {

using pool::CellKind;
using pool::RowBuffer;
// Of a result's cells; a later part of a result does not have them itself.
using Columns = std::vector<pool::ColumnInfo>;

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
// Anything else stays as it is.
std::string ParseBytea(std::string_view text) {
  const bool hex = text.starts_with("\\x") && text.size() % 2 == 0 &&
                   std::all_of(text.begin() + 2, text.end(),
                               [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (!hex) return std::string(text);
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

bool BoolOf(const RowBuffer& rows, const RowBuffer::Cell& cell) { return rows.bytes(cell) == "t"; }

// --- From here on last first, as WireWriter wants it. ---

void EncodeValue(const RowBuffer& rows, const RowBuffer::Cell& cell, WireKind kind,
                 uint32_t type_oid, int field, WireWriter& out) {
  const size_t end = out.End();
  if (cell.kind != CellKind::kNull) {
    switch (kind) {
      case WireKind::kInteger:
        out.Element(v1::Value::kIntValueFieldNumber, WireWriter::ZigZag(IntegerOf(rows, cell)));
        break;
      case WireKind::kDouble:
        out.Element(v1::Value::kDoubleValueFieldNumber, DoubleOf(rows, cell));
        break;
      case WireKind::kBool:
        out.Element(v1::Value::kBoolValueFieldNumber, uint64_t{BoolOf(rows, cell)});
        break;
      case WireKind::kText:
        out.Element(v1::Value::kStringValueFieldNumber, rows.bytes(cell));
        break;
      case WireKind::kBytes:
        out.Element(v1::Value::kBytesValueFieldNumber, BytesOf(rows, cell, type_oid));
        break;
    }
  }
  out.Begin(field, end);
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

void EncodeMixed(const RowBuffer& rows, size_t column, WireWriter& out) {
  for (size_t row = rows.row_count(); row-- > 0;) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    EncodeValue(rows, cell, KindOfCell(rows, cell, 0, false), 0, v1::Column::kMixedFieldNumber,
                out);
  }
}

void EncodeCells(const RowBuffer& rows, size_t column, WireKind kind, uint32_t type_oid,
                 WireWriter& out) {
  const size_t end = out.End();
  for (size_t row = rows.row_count(); row-- > 0;) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    const bool null = cell.kind == CellKind::kNull;
    switch (kind) {
      case WireKind::kInteger:
        out.PackedVarint(null ? 0 : WireWriter::ZigZag(IntegerOf(rows, cell)));
        break;
      case WireKind::kDouble:
        out.PackedDouble(null ? 0 : DoubleOf(rows, cell));
        break;
      case WireKind::kBool:
        out.PackedVarint(!null && BoolOf(rows, cell));
        break;
      case WireKind::kText:
        out.Element(v1::Column::kStringsFieldNumber, null ? std::string_view() : rows.bytes(cell));
        break;
      case WireKind::kBytes:
        out.Element(v1::Column::kBlobsFieldNumber,
                    null ? std::string() : BytesOf(rows, cell, type_oid));
        break;
    }
  }
  switch (kind) {
    case WireKind::kInteger:
      out.Begin(v1::Column::kIntsFieldNumber, end);
      break;
    case WireKind::kDouble:
      out.Begin(v1::Column::kDoublesFieldNumber, end);
      break;
    case WireKind::kBool:
      out.Begin(v1::Column::kBoolsFieldNumber, end);
      break;
    case WireKind::kText:
    case WireKind::kBytes:
      break;
  }
}

// As PostgreSQL writes a double: the shortest digits that read back as the same number, in fixed
// notation for the same exponents as there (src/common/d2s.c). Only where those lie half-way
// between two doubles, which happens from 2^54 on, PostgreSQL takes more of them: it trusts no
// reader to round half to even.
std::string TextOfDouble(double value) {
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char buffer[64];
  char* const end = buffer + sizeof(buffer);
  const std::string_view scientific(
      buffer, static_cast<size_t>(
                  std::to_chars(buffer, end, value, std::chars_format::scientific).ptr - buffer));
  const size_t e = scientific.find('e');
  int exponent = 0;
  // from_chars takes no plus sign.
  const size_t digits = e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(buffer + digits, buffer + scientific.size(), exponent);
  if (exponent < -4 || exponent >= 15) return std::string(scientific);
  return {buffer, std::to_chars(buffer, end, value, std::chars_format::fixed).ptr};
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
      return TextOfDouble(cell.real);
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

void EncodeTexts(const RowBuffer& rows, size_t column, WireWriter& out) {
  bool utf8 = true;
  for (size_t row = 0; row < rows.row_count() && utf8; ++row) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    utf8 = cell.kind != CellKind::kText || IsValidUtf8(rows.bytes(cell));
  }
  const int field = utf8 ? v1::Column::kStringsFieldNumber : v1::Column::kBlobsFieldNumber;
  for (size_t row = rows.row_count(); row-- > 0;) {
    const RowBuffer::Cell& cell = rows.at(row, column);
    if (cell.kind == CellKind::kText) {
      out.Element(field, rows.bytes(cell));
    } else {
      out.Element(field, TextOf(rows, cell));
    }
  }
}

size_t NullsIn(const RowBuffer& rows, size_t column) {
  size_t nulls = 0;
  for (size_t row = 0; row < rows.row_count(); ++row) {
    if (rows.at(row, column).kind == CellKind::kNull) ++nulls;
  }
  return nulls;
}

void EncodeNulls(const RowBuffer& rows, size_t column, WireWriter& out) {
  const size_t end = out.End();
  for (size_t row = rows.row_count(); row-- > 0;) {
    if (rows.at(row, column).kind == CellKind::kNull) out.PackedVarint(row);
  }
  out.Begin(v1::Column::kNullsFieldNumber, end);
}

void EncodeColumn(const pool::Result& result, size_t column, uint32_t type_oid,
                  v1::ResultFormat format, WireWriter& out) {
  const size_t end = out.End();
  const RowBuffer& rows = result.rows;
  const size_t nulls = NullsIn(rows, column);
  if (nulls == rows.row_count()) {
    // All NULL: no array at all.
  } else if (format == v1::RESULT_FORMAT_TEXT_COLUMNS) {
    EncodeTexts(rows, column, out);
  } else {
    const std::optional<WireKind> kind = CommonKind(rows, column, type_oid, !result.typed_cells);
    if (kind) {
      EncodeCells(rows, column, *kind, type_oid, out);
    } else {
      EncodeMixed(rows, column, out);
    }
  }
  if (nulls > 0) EncodeNulls(rows, column, out);
  out.Begin(v1::ResultSet::kDataFieldNumber, end);
}

void EncodeRows(const pool::Result& result, const Columns& columns, WireWriter& out) {
  for (size_t row = result.rows.row_count(); row-- > 0;) {
    const size_t end = out.End();
    for (size_t column = columns.size(); column-- > 0;) {
      const RowBuffer::Cell& cell = result.rows.at(row, column);
      const uint32_t type_oid = columns[column].type_oid;
      EncodeValue(result.rows, cell, KindOfCell(result.rows, cell, type_oid, !result.typed_cells),
                  type_oid, v1::Row::kValuesFieldNumber, out);
    }
    out.Begin(v1::ResultSet::kRowsFieldNumber, end);
  }
}

// A name or message of the database's that is not UTF-8 cannot travel as text.
void EncodeName(int field, std::string_view name, WireWriter& out) {
  if (IsValidUtf8(name)) out.Text(field, name);
}

void EncodeColumnInfo(const pool::ColumnInfo& column, WireWriter& out) {
  const size_t end = out.End();
  EncodeName(v1::ColumnInfo::kDeclaredTypeFieldNumber, column.declared_type, out);
  out.Varint(v1::ColumnInfo::kColumnNumberFieldNumber, column.column_number);
  out.Varint(v1::ColumnInfo::kTableOidFieldNumber, column.table_oid);
  out.Int(v1::ColumnInfo::kTypeModifierFieldNumber, column.type_modifier);
  out.Varint(v1::ColumnInfo::kTypeOidFieldNumber, column.type_oid);
  EncodeName(v1::ColumnInfo::kNameFieldNumber, column.name, out);
  out.Begin(v1::ResultSet::kColumnsFieldNumber, end);
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

void EncodeNotices(const std::vector<pool::Notice>& notices, int field, WireWriter& out) {
  for (auto notice = notices.rbegin(); notice != notices.rend(); ++notice) {
    const size_t end = out.End();
    EncodeName(v1::Notice::kMessageFieldNumber, notice->message, out);
    out.Text(v1::Notice::kSqlstateFieldNumber, notice->sqlstate);
    out.Text(v1::Notice::kSeverityFieldNumber, notice->severity);
    out.Begin(field, end);
  }
}

void EncodeTiming(const pool::Timing& timing, pool::Instant began, int field, WireWriter& out) {
  const size_t end = out.End();
  out.Varint(v1::Timing::kEncodeNanosFieldNumber, Nanos(pool::Clock::now() - began));
  out.Varint(v1::Timing::kExecuteNanosFieldNumber, Nanos(timing.execute));
  out.Varint(v1::Timing::kConnectNanosFieldNumber, Nanos(timing.connect));
  out.Varint(v1::Timing::kQueueNanosFieldNumber, Nanos(timing.queue));
  out.Begin(field, end);
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

namespace {

void EncodeSet(const pool::Result& result, const Columns& columns, v1::ResultFormat format,
               WireWriter& out) {
  out.Varint(v1::ResultSet::kTruncatedFieldNumber, result.truncated);
  out.Int(v1::ResultSet::kLastInsertIdFieldNumber, result.last_insert_id);
  out.Text(v1::ResultSet::kCommandTagFieldNumber, result.command_tag);
  out.Int(v1::ResultSet::kRowsAffectedFieldNumber, result.rows_affected);
  if (format == v1::RESULT_FORMAT_ROWS) {
    EncodeRows(result, columns, out);
  } else {
    for (size_t i = columns.size(); i-- > 0;) {
      EncodeColumn(result, i, columns[i].type_oid, format, out);
    }
  }
  out.Varint(v1::ResultSet::kRowCountFieldNumber, result.rows.row_count());
  for (size_t i = result.columns.size(); i-- > 0;) EncodeColumnInfo(result.columns[i], out);
}

void EncodeAnswer(const pool::Outcome& outcome, const Columns& columns, v1::ResultFormat format,
                  bool want_timing, WireWriter& out) {
  const pool::Instant began = want_timing ? pool::Clock::now() : pool::Instant();
  EncodeNotices(outcome.notices, v1::QueryResponse::kNoticesFieldNumber, out);
  out.Varint(v1::QueryResponse::kTransactionStatusFieldNumber,
             WireStatus(outcome.transaction_status));
  out.Text(v1::QueryResponse::kSessionFieldNumber, outcome.session);
  const size_t end = out.End();
  EncodeSet(outcome.result, columns, format, out);
  out.Begin(v1::QueryResponse::kResultFieldNumber, end);
  // Not in its place among the others, because only now it is known.
  if (want_timing) {
    EncodeTiming(outcome.timing, began, v1::QueryResponse::kTimingFieldNumber, out);
  }
}

}  // namespace

void EncodeResult(const pool::Result& result, v1::ResultFormat format, WireWriter& out) {
  EncodeSet(result, result.columns, format, out);
}

void EncodeOutcome(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                   WireWriter& out) {
  EncodeAnswer(outcome, outcome.result.columns, format, want_timing, out);
}

void StreamEncoder::EncodePart(const pool::Part& part, WireWriter& out) {
  Learn(part.result.columns);
  EncodeNotices(part.notices, v1::QueryResponse::kNoticesFieldNumber, out);
  const size_t end = out.End();
  EncodeSet(part.result, columns_, format_, out);
  out.Begin(v1::QueryResponse::kResultFieldNumber, end);
}

void StreamEncoder::EncodeLast(const pool::Outcome& outcome, WireWriter& out) {
  Learn(outcome.result.columns);
  EncodeAnswer(outcome, columns_, format_, want_timing_, out);
}

void StreamEncoder::Learn(const Columns& columns) {
  if (!columns.empty()) columns_ = columns;
}

void EncodeScript(const pool::Outcome& outcome, v1::ResultFormat format, bool want_timing,
                  WireWriter& out) {
  const pool::Instant began = want_timing ? pool::Clock::now() : pool::Instant();
  EncodeNotices(outcome.notices, v1::ScriptResponse::kNoticesFieldNumber, out);
  out.Varint(v1::ScriptResponse::kTransactionStatusFieldNumber,
             WireStatus(outcome.transaction_status));
  out.Text(v1::ScriptResponse::kSessionFieldNumber, outcome.session);
  for (size_t i = outcome.results.size(); i-- > 0;) {
    const size_t end = out.End();
    EncodeResult(outcome.results[i], format, out);
    out.Begin(v1::ScriptResponse::kResultsFieldNumber, end);
  }
  if (want_timing) {
    EncodeTiming(outcome.timing, began, v1::ScriptResponse::kTimingFieldNumber, out);
  }
}

void EncodeCopyResult(const pool::Outcome& outcome, bool want_timing, int field, WireWriter& out) {
  const size_t end = out.End();
  EncodeNotices(outcome.notices, v1::CopyResult::kNoticesFieldNumber, out);
  if (want_timing) {
    EncodeTiming(outcome.timing, pool::Clock::now(), v1::CopyResult::kTimingFieldNumber, out);
  }
  out.Varint(v1::CopyResult::kTransactionStatusFieldNumber, WireStatus(outcome.transaction_status));
  out.Text(v1::CopyResult::kSessionFieldNumber, outcome.session);
  const std::string_view tag = outcome.result.command_tag;
  out.Text(v1::CopyResult::kCommandTagFieldNumber, tag);
  out.Varint(v1::CopyResult::kBytesFieldNumber, outcome.copy_bytes);
  if (tag.starts_with("COPY ")) {
    out.Int(v1::CopyResult::kRowsFieldNumber, ParseInteger(tag.substr(5)));
  }
  out.Begin(field, end);
}

void EncodeEnd(const pool::Outcome& outcome, bool want_timing, WireWriter& out) {
  const pool::Instant began = pool::Clock::now();
  if (want_timing) {
    EncodeTiming(outcome.timing, began, v1::EndSessionResponse::kTimingFieldNumber, out);
  }
  EncodeNotices(outcome.notices, v1::EndSessionResponse::kNoticesFieldNumber, out);
  out.Text(v1::EndSessionResponse::kCommandTagFieldNumber, outcome.end_tag);
}

}  // namespace dbsidecar::server
