// The parameters of a statement: $1, $2, ... in order.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dbsidecar {

// A value with the OID of its PostgreSQL type (pg_type.oid), for statements whose context leaves
// the type open: `Typed{20, 42}` is an int8. A NULL with a type: `Typed{20, std::nullopt}`.
template <typename T>
struct Typed {
  uint32_t oid;
  T value;
};
template <typename T>
Typed(uint32_t, T) -> Typed<T>;
Typed(uint32_t, const char*)->Typed<std::string_view>;

// Copies every value at once, so nothing has to outlive the call. Which C++ type becomes what:
//
//   bool                                           a truth value
//   any other integer                              an integer; above 2^63-1: Error
//   float, double                                  a double
//   const char*, std::string, std::string_view     text, valid UTF-8, else Error; also for types
//                                                  without a kind of their own, in PostgreSQL's
//                                                  text form: numeric, timestamps, uuid, json,
//                                                  arrays...
//   std::span<const std::byte>, vector<std::byte>  bytes: bytea or BLOB
//   std::nullopt, nullptr                          NULL
//   std::optional<T>                               T, or NULL
//   Typed<T>                                       T with a type OID
class Params {
 public:
  Params() = default;
  template <typename... Values>
  requires(sizeof...(Values) > 0 &&
           !(std::same_as<Values, Params> || ...)) explicit Params(const Values&... values) {
    (Add(values), ...);
  }

  template <typename T>
  Params& Add(const T& value) {
    AddTyped(value, 0);
    return *this;
  }

  size_t size() const { return count_; }
  // As the field `params` of a QueryRequest on the wire.
  const std::string& encoded() const { return encoded_; }

 private:
  template <typename T>
  void AddTyped(const T& value, uint32_t oid) {
    if constexpr (std::same_as<T, bool>) {
      AddBool(value, oid);
    } else if constexpr (std::integral<T>) {
      static_assert(!IsCharacter<T>(), "is this a text or a number? Say which by its type");
      if constexpr (std::unsigned_integral<T>) {
        AddUnsigned(value, oid);
      } else {
        AddInteger(value, oid);
      }
    } else if constexpr (std::floating_point<T>) {
      static_assert(sizeof(T) <= sizeof(double), "a long double would lose digits");
      AddDouble(value, oid);
    } else if constexpr (std::same_as<T, std::nullopt_t> || std::same_as<T, std::nullptr_t>) {
      AddNull(oid);
    } else if constexpr (std::convertible_to<const T&, std::string_view>) {
      AddText(value, oid);
    } else if constexpr (std::convertible_to<const T&, std::span<const std::byte>>) {
      AddBytes(value, oid);
    } else {
      AddWrapped(value, oid);
    }
  }
  template <typename T>
  void AddWrapped(const std::optional<T>& value, uint32_t oid) {
    if (value.has_value()) {
      AddTyped(*value, oid);
    } else {
      AddNull(oid);
    }
  }
  template <typename T>
  void AddWrapped(const Typed<T>& value, uint32_t /*oid*/) {
    AddTyped(value.value, value.oid);
  }
  template <typename T>
  static constexpr bool IsCharacter() {
    return std::same_as<T, char> || std::same_as<T, wchar_t> || std::same_as<T, char8_t> ||
           std::same_as<T, char16_t> || std::same_as<T, char32_t>;
  }

  void AddBool(bool value, uint32_t oid);
  void AddInteger(int64_t value, uint32_t oid);
  void AddUnsigned(uint64_t value, uint32_t oid);
  void AddDouble(double value, uint32_t oid);
  void AddText(std::string_view text, uint32_t oid);
  void AddBytes(std::span<const std::byte> bytes, uint32_t oid);
  void AddNull(uint32_t oid);

  std::string encoded_;
  size_t count_ = 0;
};

}  // namespace dbsidecar
