// What a statement answered: rows with typed cells, counts, notices.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "dbsidecar/error.h"

namespace dbsidecar {

namespace v1 {
class EndSessionResponse;
class QueryResponse;
class ResultSet;
}  // namespace v1

// A cell as it travelled: NULL, or one of five kinds. Text and bytes point into the Result.
//
// PostgreSQL: boolean is bool; smallint, integer, bigint and oid are int64_t; real and double
// precision are double; bytea is bytes; every other type is text in PostgreSQL's form. SQLite: by
// the storage class of the cell. Text that is not valid UTF-8 comes as bytes.
using Cell = std::variant<std::monostate, bool, int64_t, double, std::string_view,
                          std::span<const std::byte>>;

struct ColumnInfo {
  std::string_view name;
  uint32_t type_oid = 0;   // pg_type.oid; SQLite: the nearest, 0 for an expression.
  int type_modifier = -1;  // pg_attribute.atttypmod; -1 = none.
  uint32_t table_oid = 0;
  uint32_t column_number = 0;
  std::string_view declared_type;  // SQLite only.
};

struct Notice {
  std::string severity;
  std::string sqlstate;
  std::string message;
};

// Where the time of a call went inside the sidecar.
struct Timing {
  std::chrono::nanoseconds queue{};  // `connect` included.
  std::chrono::nanoseconds connect{};
  std::chrono::nanoseconds execute{};
  std::chrono::nanoseconds encode{};
};

// A view of one row. Valid as long as the Result it came from, or a copy of that.
class Row {
 public:
  // The cell as a T:
  //
  //   bool                                        a truth value, or the integer 0 or 1
  //   any other integer                           an integer within T's range
  //   float, double                               a double, or an integer that T holds exactly
  //   std::string, std::string_view               text
  //   std::span<const std::byte>, vector of byte  bytes
  //   std::optional<T>                            nothing for NULL
  //   Cell                                        whatever it is
  //
  // string_view and span point into the Result: no copy. ConversionError: the cell is of another
  // kind, is NULL and T is no optional, is out of T's range, or there is no such column.
  template <typename T>
  T Get(size_t column) const {
    return Convert<T>(At(column), column);
  }
  // Of columns with the same name, the first. A scan over the names: in a hot loop, use numbers.
  template <typename T>
  T Get(std::string_view column) const {
    return Get<T>(ColumnNumber(column));
  }
  // All columns: `auto [id, name] = row.As<int64_t, std::string>();`. ConversionError when their
  // number differs.
  template <typename... Ts>
  std::tuple<Ts...> As() const {
    RequireColumns(sizeof...(Ts));
    return AsTuple<Ts...>(std::index_sequence_for<Ts...>{});
  }

  bool IsNull(size_t column) const { return At(column).index() == 0; }
  bool IsNull(std::string_view column) const { return IsNull(ColumnNumber(column)); }
  Cell At(size_t column) const;
  size_t size() const;  // Columns.
  size_t number() const { return row_; }

 private:
  friend class Result;
  friend class RowIterator;
  Row(const v1::ResultSet* set, size_t row) : set_(set), row_(row) {}

  template <typename T>
  struct IsOptional : std::false_type {};
  template <typename T>
  struct IsOptional<std::optional<T>> : std::true_type {};

  template <typename T>
  T Convert(const Cell& cell, size_t column) const {
    if constexpr (std::same_as<T, Cell>) {
      return cell;
    } else if constexpr (IsOptional<T>::value) {
      if (cell.index() == 0) return std::nullopt;
      return Convert<typename T::value_type>(cell, column);
    } else if constexpr (std::same_as<T, bool>) {
      return ToBool(cell, column);
    } else if constexpr (std::integral<T>) {
      const int64_t integer = ToInteger(cell, column);
      if (!std::in_range<T>(integer)) FailRange(column, integer);
      return static_cast<T>(integer);
    } else if constexpr (std::floating_point<T>) {
      constexpr int64_t kExact = int64_t{1} << std::min(std::numeric_limits<T>::digits, 62);
      return static_cast<T>(ToDouble(cell, column, kExact));
    } else if constexpr (std::same_as<T, std::string_view> || std::same_as<T, std::string>) {
      return T(ToText(cell, column));
    } else if constexpr (std::same_as<T, std::span<const std::byte>>) {
      return ToBytes(cell, column);
    } else {
      static_assert(std::same_as<T, std::vector<std::byte>>, "a cell cannot be read as this type");
      const std::span<const std::byte> bytes = ToBytes(cell, column);
      return T(bytes.begin(), bytes.end());
    }
  }
  template <typename... Ts, size_t... kColumns>
  std::tuple<Ts...> AsTuple(std::index_sequence<kColumns...>) const {
    return {Get<Ts>(kColumns)...};
  }

  size_t ColumnNumber(std::string_view name) const;
  void RequireColumns(size_t count) const;
  bool ToBool(const Cell& cell, size_t column) const;
  int64_t ToInteger(const Cell& cell, size_t column) const;
  double ToDouble(const Cell& cell, size_t column, int64_t integer_max) const;
  std::string_view ToText(const Cell& cell, size_t column) const;
  std::span<const std::byte> ToBytes(const Cell& cell, size_t column) const;
  [[noreturn]] void Fail(const Cell& cell, size_t column, std::string_view wanted) const;
  [[noreturn]] void FailRange(size_t column, int64_t integer) const;

  const v1::ResultSet* set_;
  size_t row_;
};

class RowIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Row;
  using difference_type = std::ptrdiff_t;
  using pointer = const Row*;
  using reference = const Row&;

  const Row& operator*() const { return row_; }
  const Row* operator->() const { return &row_; }
  RowIterator& operator++() {
    ++row_.row_;
    return *this;
  }
  RowIterator operator++(int) {
    RowIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const RowIterator& other) const { return row_.row_ == other.row_.row_; }

 private:
  friend class Result;
  explicit RowIterator(Row row) : row_(row) {}
  Row row_;
};

// The whole result of one statement. Copies are cheap and share the memory, which is that of the
// frame it came in, with the results of other calls: copy cells out of what is kept for long.
// Reading from several threads is safe.
class Result {
 public:
  Result();  // No columns, no rows.

  size_t size() const;  // Rows.
  bool empty() const { return size() == 0; }
  // ConversionError: there is no such row.
  Row operator[](size_t row) const;
  RowIterator begin() const { return RowIterator(Row(set_, 0)); }
  RowIterator end() const { return RowIterator(Row(set_, size())); }
  // The only row. ConversionError: there are none or several.
  Row One() const;

  size_t columns() const;
  ColumnInfo column(size_t number) const;
  // A whole column without NULLs handled: `Integers(0)[row]`, 0 where NULL. ConversionError: the
  // column is of another kind. Empty for a column of NULLs only. For loops over many rows.
  std::span<const int64_t> Integers(size_t column) const;
  std::span<const double> Doubles(size_t column) const;

  // Rows inserted, updated, deleted or merged; -1 = the statement is not of that kind.
  int64_t rows_affected() const;
  // "SELECT 5", "INSERT 0 1"...
  std::string_view command_tag() const;
  // SQLite: the rowid inserted last, or 0. On both databases, RETURNING works.
  int64_t last_insert_id() const;
  // There were more rows than `max_rows` in the options allowed.
  bool truncated() const;
  std::vector<Notice> notices() const;
  // Nothing unless `want_timing` in the options asked for it.
  std::optional<Timing> timing() const;

 private:
  friend struct ResultAccess;
  explicit Result(std::shared_ptr<const v1::QueryResponse> response);

  std::shared_ptr<const v1::QueryResponse> response_;
  const v1::ResultSet* set_;
};

// What a callback gets: a result, or why there is none.
class Outcome {
 public:
  Outcome(Result result) : result_(std::move(result)) {}  // NOLINT(google-explicit-constructor)
  Outcome(Failure failure)                                // NOLINT(google-explicit-constructor)
      : failure_(std::make_unique<Failure>(std::move(failure))) {}

  bool ok() const { return failure_ == nullptr; }
  // Throws the failure, if there is one; see error.h.
  const Result& result() const& {
    ThrowIfFailed();
    return result_;
  }
  Result result() && {
    ThrowIfFailed();
    return std::move(result_);
  }
  // REQUIRES: !ok().
  const Failure& failure() const { return *failure_; }

 private:
  void ThrowIfFailed() const {
    if (failure_ != nullptr) Throw(*failure_);
  }

  Result result_;
  std::unique_ptr<Failure> failure_;
};

}  // namespace dbsidecar
