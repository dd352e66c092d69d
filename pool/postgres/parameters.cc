#include "pool/postgres/parameters.h"

#include <fmt/format.h>

#include <cmath>

namespace dbsidecar::pool {
namespace {

constexpr Oid kByteaOid = 17;
constexpr int kText = 0;
constexpr int kBinary = 1;

Oid TypeOf(const Value& value) {
  return value.kind == Value::Kind::kBytes && value.type_oid == 0 ? kByteaOid : value.type_oid;
}

std::string DoubleText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{}", value);  // The shortest text that reads back as the same number.
}

}  // namespace

Parameters::Parameters(const Statement& statement) {
  const size_t count = statement.parameters.size();
  types_.reserve(count);
  values_.reserve(count);
  lengths_.reserve(count);
  formats_.reserve(count);
  for (const Value& value : statement.parameters) Add(value);
}

void Parameters::Add(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      types_.push_back(value.type_oid);
      values_.push_back(nullptr);
      lengths_.push_back(0);
      formats_.push_back(kText);
      break;
    case Value::Kind::kBool:
      AddText(value.type_oid, value.boolean ? "t" : "f");
      break;
    case Value::Kind::kInteger:
      AddText(value.type_oid, fmt::format("{}", value.integer));
      break;
    case Value::Kind::kDouble:
      AddText(value.type_oid, DoubleText(value.real));
      break;
    case Value::Kind::kText:
      AddText(value.type_oid, std::string(value.text));
      break;
    case Value::Kind::kBytes:
      types_.push_back(TypeOf(value));
      // Not null even when empty: a null pointer is SQL's NULL.
      values_.push_back(value.text.data() == nullptr ? "" : value.text.data());
      lengths_.push_back(static_cast<int>(value.text.size()));
      formats_.push_back(kBinary);
      break;
  }
}

void Parameters::AddText(uint32_t type_oid, std::string text) {
  texts_.push_back(std::move(text));
  types_.push_back(type_oid);
  values_.push_back(texts_.back().c_str());
  lengths_.push_back(static_cast<int>(texts_.back().size()));
  formats_.push_back(kText);
}

std::string PreparedKey(const Statement& statement) {
  std::string key(statement.sql);
  key += '\0';
  for (const Value& value : statement.parameters) {
    const Oid type = TypeOf(value);
    key.append(reinterpret_cast<const char*>(&type), sizeof(type));
  }
  return key;
}

}  // namespace dbsidecar::pool
