// Parameters as libpq gets them read back as the values that they came from.
#include <bit>
#include <charconv>
#include <cmath>
#include <deque>
#include <string>

#include "pool/postgres/parameters.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using Kind = pool::Value::Kind;

pool::Value TakeValue(fuzz::Input& input, std::deque<std::string>& texts) {
  pool::Value value;
  value.kind = static_cast<Kind>(input.TakeUpTo(5));
  value.type_oid = input.TakeUpTo(3) == 0 ? input.Take<uint32_t>() : 0;
  switch (value.kind) {
    case Kind::kNull:
      break;
    case Kind::kBool:
      value.boolean = input.TakeUpTo(1) == 1;
      break;
    case Kind::kInteger:
      value.integer = input.Take<int64_t>();
      break;
    case Kind::kDouble:
      value.real = input.Take<double>();
      break;
    case Kind::kText:
      value.text = texts.emplace_back(input.TakeText());
      break;
    case Kind::kBytes:
      // Also bytes that are nowhere.
      if (input.TakeUpTo(3) != 0) value.text = texts.emplace_back(input.TakeBytes());
      break;
  }
  return value;
}

// PostgreSQL's float8in takes what strtod takes.
void RequireDouble(double expected, const std::string& text) {
  if (std::isnan(expected)) {
    FUZZ_REQUIRE(text == "NaN", text);
    return;
  }
  char* end = nullptr;
  const double read = std::strtod(text.c_str(), &end);
  FUZZ_REQUIRE(end == text.c_str() + text.size(), text);
  FUZZ_REQUIRE(std::bit_cast<uint64_t>(read) == std::bit_cast<uint64_t>(expected), text);
}

void Compare(const pool::Value& value, const pool::Parameters& parameters, int i) {
  const char* const sent = parameters.values()[i];
  if (value.kind == Kind::kNull) {
    FUZZ_REQUIRE(sent == nullptr, "");
    return;
  }
  FUZZ_REQUIRE(sent != nullptr, "NULL in place of a value");
  const std::string text(sent, static_cast<size_t>(parameters.lengths()[i]));
  const bool binary = parameters.formats()[i] == 1;
  FUZZ_REQUIRE(binary == (value.kind == Kind::kBytes), text);
  // libpq takes texts up to their zero byte, whatever their length.
  if (!binary) FUZZ_REQUIRE(text == sent, text);
  constexpr uint32_t kByteaOid = 17;
  const uint32_t type = binary && value.type_oid == 0 ? kByteaOid : value.type_oid;
  FUZZ_REQUIRE(parameters.types()[i] == type, text);
  switch (value.kind) {
    case Kind::kNull:
      break;
    case Kind::kBool:
      FUZZ_REQUIRE(text == (value.boolean ? "t" : "f"), text);
      break;
    case Kind::kInteger: {
      int64_t read = 0;
      const auto result = std::from_chars(text.data(), text.data() + text.size(), read);
      FUZZ_REQUIRE(result.ptr == text.data() + text.size() && read == value.integer, text);
      break;
    }
    case Kind::kDouble:
      RequireDouble(value.real, text);
      break;
    case Kind::kText:
    case Kind::kBytes:
      FUZZ_REQUIRE(text == value.text, text);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  std::deque<std::string> texts;
  pool::Statement statement;
  const std::string sql = input.TakeText();
  statement.sql = sql;
  while (!input.empty()) statement.parameters.push_back(TakeValue(input, texts));
  const pool::Parameters parameters(statement);
  FUZZ_REQUIRE(parameters.count() == static_cast<int>(statement.parameters.size()), "");
  for (int i = 0; i < parameters.count(); ++i) {
    Compare(statement.parameters[static_cast<size_t>(i)], parameters, i);
  }
  // The text and the types make the key, and nothing else does.
  pool::Statement other = statement;
  FUZZ_REQUIRE(pool::PreparedKey(other) == pool::PreparedKey(statement), sql);
  if (!other.parameters.empty()) {
    other.parameters.back() = {};
    other.parameters.back().type_oid = parameters.types()[parameters.count() - 1] + 1;
    FUZZ_REQUIRE(pool::PreparedKey(other) != pool::PreparedKey(statement), sql);
    other.parameters.pop_back();
    FUZZ_REQUIRE(pool::PreparedKey(other) != pool::PreparedKey(statement), sql);
  }
  return 0;
}
