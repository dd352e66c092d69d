#include "server/cli/parameters.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

#include "server/text.h"
#include "server/utf8.h"

namespace dbsidecar::server::cli {
namespace {

template <typename Number>
bool ParseWhole(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end;
}

bool IsUsualInteger(std::string_view word, std::int64_t& number) {
  return ParseWhole(word, number) && std::to_string(number) == word;
}

// Digits, a point, digits: few enough that a double gives back each of them.
bool IsUsualDecimal(std::string_view word) {
  constexpr std::size_t kExactDigits = 15;
  ConsumePrefix(word, "-");
  const std::size_t point = word.find('.');
  if (point == std::string_view::npos) return false;
  const std::string_view whole = word.substr(0, point);
  const std::string_view fraction = word.substr(point + 1);
  return !whole.empty() && !fraction.empty() && std::ranges::all_of(whole, IsDigit) &&
         std::ranges::all_of(fraction, IsDigit) && (whole == "0" || whole.front() != '0') &&
         whole.size() + fraction.size() <= kExactDigits;
}

absl::StatusOr<v1::Value> Text(std::string_view text) {
  if (!IsValidUtf8(text)) {
    return absl::InvalidArgumentError(
        "a parameter is not valid UTF-8; write raw bytes as --param 'bytes:\\x00ff'");
  }
  v1::Value value;
  value.set_string_value(std::string(text));
  return value;
}

absl::StatusOr<v1::Value> Integer(std::string_view text) {
  std::int64_t number = 0;
  if (!ParseWhole(text, number)) {
    return absl::InvalidArgumentError("is not a whole number of 64 bits; write int:5");
  }
  v1::Value value;
  value.set_int_value(number);
  return value;
}

absl::StatusOr<v1::Value> Float(std::string_view text) {
  double number = 0;
  if (!ParseWhole(text, number)) {
    return absl::InvalidArgumentError("is not a number; write float:1.5, float:nan or float:-inf");
  }
  v1::Value value;
  value.set_double_value(number);
  return value;
}

absl::StatusOr<v1::Value> Boolean(std::string_view text) {
  if (text != "true" && text != "false") {
    return absl::InvalidArgumentError("is not a truth value; write bool:true or bool:false");
  }
  v1::Value value;
  value.set_bool_value(text == "true");
  return value;
}

absl::StatusOr<v1::Value> Bytes(std::string_view text) {
  const auto bad = absl::InvalidArgumentError(
      "is not a list of bytes; write bytes:\\x and two hexadecimal digits for each byte");
  if (!ConsumePrefix(text, "\\x") || text.size() % 2 != 0) return bad;
  v1::Value value;
  std::string& bytes = *value.mutable_bytes_value();
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    const auto [rest, error] = std::from_chars(&text[i], &text[i] + 2, byte, 16);
    if (error != std::errc() || rest != &text[i] + 2) return bad;
    bytes.push_back(static_cast<char>(byte));
  }
  return value;
}

absl::StatusOr<v1::Value> Null(std::string_view text) {
  if (!text.empty()) return absl::InvalidArgumentError("has a value; write null: alone");
  return v1::Value();
}

}  // namespace

absl::StatusOr<v1::Value> ParameterFromWord(std::string_view word) {
  std::int64_t number = 0;
  if (IsUsualInteger(word, number)) return Integer(word);
  if (IsUsualDecimal(word)) return Float(word);
  return Text(word);
}

absl::StatusOr<v1::Value> ParameterFromTypedWord(std::string_view word) {
  const std::size_t colon = word.find(':');
  const std::string_view type = word.substr(0, colon);
  const std::string_view value =
      colon == std::string_view::npos ? std::string_view() : word.substr(colon + 1);
  if (type == "null") return Null(value);
  if (colon != std::string_view::npos) {
    if (type == "int") return Integer(value);
    if (type == "float") return Float(value);
    if (type == "text") return Text(value);
    if (type == "bool") return Boolean(value);
    if (type == "bytes") return Bytes(value);
  }
  return absl::InvalidArgumentError(
      "names no type; write TYPE:VALUE with int, float, text, bool, bytes or null as TYPE");
}

}  // namespace dbsidecar::server::cli
