#include "dbsidecar/result.h"

#include <algorithm>
#include <cmath>

#include "clients/cpp/src/failures.h"
#include "dbsidecar/v1/query.pb.h"

namespace dbsidecar {
namespace {

const v1::QueryResponse& EmptyResponse() {
  static const v1::QueryResponse kEmpty;
  return kEmpty;
}

[[noreturn]] void FailConversion(std::string message) {
  Throw(internal::MakeFailure(StatusCode::kInvalidArgument, "CONVERSION", std::move(message)));
}

std::string Describe(const v1::ResultSet& set, size_t column) {
  std::string text = "column " + std::to_string(column);
  if (column < static_cast<size_t>(set.columns_size())) {
    const v1::ColumnInfo& info = set.columns(static_cast<int>(column));
    text += " (\"" + info.name() + "\", type OID " + std::to_string(info.type_oid()) + ")";
  }
  return text;
}

std::string_view KindName(const Cell& cell) {
  static constexpr std::string_view kNames[] = {"NULL",     "a truth value", "an integer",
                                                "a double", "text",          "bytes"};
  static_assert(std::size(kNames) == std::variant_size_v<Cell>);
  return kNames[cell.index()];
}

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Cell FromValue(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kBoolValue:
      return value.bool_value();
    case v1::Value::kIntValue:
      return static_cast<int64_t>(value.int_value());
    case v1::Value::kDoubleValue:
      return value.double_value();
    case v1::Value::kStringValue:
      return std::string_view(value.string_value());
    case v1::Value::kBytesValue:
      return AsBytes(value.bytes_value());
    case v1::Value::KIND_NOT_SET:
      break;
  }
  return std::monostate{};
}

bool IsNullAt(const v1::Column& column, size_t row) {
  return !column.nulls().empty() &&
         std::binary_search(column.nulls().begin(), column.nulls().end(), row);
}

// A reader goes by the array that is filled (value.proto).
Cell FromColumn(const v1::Column& column, size_t row) {
  const int at = static_cast<int>(row);
  if (IsNullAt(column, row)) return std::monostate{};
  if (at < column.ints_size()) return static_cast<int64_t>(column.ints(at));
  if (at < column.strings_size()) return std::string_view(column.strings(at));
  if (at < column.doubles_size()) return column.doubles(at);
  if (at < column.bools_size()) return column.bools(at);
  if (at < column.blobs_size()) return AsBytes(column.blobs(at));
  if (at < column.mixed_size()) return FromValue(column.mixed(at));
  return std::monostate{};
}

void RequireColumn(const v1::ResultSet& set, size_t column) {
  if (column >= static_cast<size_t>(set.columns_size())) {
    FailConversion("there is no column " + std::to_string(column) + ": the result has " +
                   std::to_string(set.columns_size()));
  }
}

const v1::Column* ColumnData(const v1::ResultSet& set, size_t column) {
  RequireColumn(set, column);
  if (column >= static_cast<size_t>(set.data_size())) return nullptr;
  return &set.data(static_cast<int>(column));
}

// Neither NULLs only nor of this kind.
bool IsOfOtherKind(const v1::Column& column) {
  return column.ints_size() + column.doubles_size() + column.bools_size() + column.strings_size() +
             column.blobs_size() + column.mixed_size() !=
         0;
}

}  // namespace

// --- Row. ---

size_t Row::size() const { return static_cast<size_t>(set_->columns_size()); }

Cell Row::At(size_t column) const {
  const v1::Column* data = ColumnData(*set_, column);
  return data == nullptr ? Cell() : FromColumn(*data, row_);
}

size_t Row::ColumnNumber(std::string_view name) const {
  for (int i = 0; i < set_->columns_size(); ++i) {
    if (set_->columns(i).name() == name) return static_cast<size_t>(i);
  }
  FailConversion("there is no column \"" + std::string(name) + "\"");
}

void Row::RequireColumns(size_t count) const {
  if (count != size()) {
    FailConversion(std::to_string(count) + " columns were asked for, the result has " +
                   std::to_string(size()));
  }
}

bool Row::ToBool(const Cell& cell, size_t column) const {
  if (const bool* truth = std::get_if<bool>(&cell)) return *truth;
  const int64_t* integer = std::get_if<int64_t>(&cell);  // SQLite's truth values.
  if (integer == nullptr || (*integer != 0 && *integer != 1)) Fail(cell, column, "a truth value");
  return *integer == 1;
}

int64_t Row::ToInteger(const Cell& cell, size_t column) const {
  const int64_t* integer = std::get_if<int64_t>(&cell);
  if (integer == nullptr) Fail(cell, column, "an integer");
  return *integer;
}

double Row::ToDouble(const Cell& cell, size_t column, int64_t integer_max) const {
  if (const double* number = std::get_if<double>(&cell)) return *number;
  const int64_t* integer = std::get_if<int64_t>(&cell);
  if (integer == nullptr) Fail(cell, column, "a double");
  if (*integer > integer_max || *integer < -integer_max) FailRange(column, *integer);
  return static_cast<double>(*integer);
}

std::string_view Row::ToText(const Cell& cell, size_t column) const {
  const std::string_view* text = std::get_if<std::string_view>(&cell);
  if (text == nullptr) Fail(cell, column, "text");
  return *text;
}

std::span<const std::byte> Row::ToBytes(const Cell& cell, size_t column) const {
  const auto* bytes = std::get_if<std::span<const std::byte>>(&cell);
  if (bytes == nullptr) Fail(cell, column, "bytes");
  return *bytes;
}

void Row::Fail(const Cell& cell, size_t column, std::string_view wanted) const {
  std::string message = Describe(*set_, column) + " is " + std::string(KindName(cell)) +
                        " in row " + std::to_string(row_) + ", and was read as " +
                        std::string(wanted);
  if (cell.index() == 0) message += "; read it as std::optional";
  FailConversion(std::move(message));
}

void Row::FailRange(size_t column, int64_t integer) const {
  FailConversion(Describe(*set_, column) + " is " + std::to_string(integer) + " in row " +
                 std::to_string(row_) + ", which does not fit the type it was read as");
}

// --- Result. ---

Result::Result() : set_(&EmptyResponse().result()) {}

Result::Result(std::shared_ptr<const v1::QueryResponse> response)
    : response_(std::move(response)), set_(&response_->result()) {}

size_t Result::size() const { return set_->row_count(); }

Row Result::operator[](size_t row) const {
  if (row >= size()) {
    FailConversion("there is no row " + std::to_string(row) + ": the result has " +
                   std::to_string(size()));
  }
  return Row(set_, row);
}

Row Result::One() const {
  if (size() != 1) {
    FailConversion("one row was asked for, the result has " + std::to_string(size()));
  }
  return Row(set_, 0);
}

size_t Result::columns() const { return static_cast<size_t>(set_->columns_size()); }

ColumnInfo Result::column(size_t number) const {
  RequireColumn(*set_, number);
  const v1::ColumnInfo& info = set_->columns(static_cast<int>(number));
  return {.name = info.name(),
          .type_oid = info.type_oid(),
          .type_modifier = info.type_modifier(),
          .table_oid = info.table_oid(),
          .column_number = info.column_number(),
          .declared_type = info.declared_type()};
}

std::span<const int64_t> Result::Integers(size_t column) const {
  const v1::Column* data = ColumnData(*set_, column);
  if (data == nullptr) return {};
  if (data->ints().empty() && IsOfOtherKind(*data)) {
    FailConversion(Describe(*set_, column) + " does not hold integers");
  }
  return {data->ints().data(), static_cast<size_t>(data->ints_size())};
}

std::span<const double> Result::Doubles(size_t column) const {
  const v1::Column* data = ColumnData(*set_, column);
  if (data == nullptr) return {};
  if (data->doubles().empty() && IsOfOtherKind(*data)) {
    FailConversion(Describe(*set_, column) + " does not hold doubles");
  }
  return {data->doubles().data(), static_cast<size_t>(data->doubles_size())};
}

int64_t Result::rows_affected() const { return response_ == nullptr ? -1 : set_->rows_affected(); }

std::string_view Result::command_tag() const { return set_->command_tag(); }

int64_t Result::last_insert_id() const { return set_->last_insert_id(); }

bool Result::truncated() const { return set_->truncated(); }

std::vector<Notice> Result::notices() const {
  std::vector<Notice> notices;
  if (response_ == nullptr) return notices;
  for (const v1::Notice& notice : response_->notices()) {
    notices.push_back({notice.severity(), notice.sqlstate(), notice.message()});
  }
  return notices;
}

std::optional<Timing> Result::timing() const {
  if (response_ == nullptr || !response_->has_timing()) return std::nullopt;
  using std::chrono::nanoseconds;
  const v1::Timing& timing = response_->timing();
  return Timing{.queue = nanoseconds(timing.queue_nanos()),
                .connect = nanoseconds(timing.connect_nanos()),
                .execute = nanoseconds(timing.execute_nanos()),
                .encode = nanoseconds(timing.encode_nanos())};
}

}  // namespace dbsidecar
