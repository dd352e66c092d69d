#include "dbsidecar/params.h"

#include <limits>

#include "clients/cpp/src/failures.h"
#include "clients/cpp/src/utf8.h"
#include "clients/cpp/src/wire.h"
#include "dbsidecar/v1/query.pb.h"

namespace dbsidecar {
namespace {

using internal::AppendBytesField;
using internal::AppendDoubleField;
using internal::AppendLength;
using internal::AppendVarintField;

constexpr int kParams = v1::QueryRequest::kParamsFieldNumber;

size_t OidSize(uint32_t oid) {
  return oid == 0 ? 0 : internal::VarintFieldSize(v1::Value::kTypeOidFieldNumber, oid);
}

void AppendOid(std::string& out, uint32_t oid) {
  if (oid != 0) AppendVarintField(out, v1::Value::kTypeOidFieldNumber, oid);
}

void AppendVarintValue(std::string& out, int field, uint64_t value, uint32_t oid) {
  AppendLength(out, kParams, internal::VarintFieldSize(field, value) + OidSize(oid));
  AppendVarintField(out, field, value);
  AppendOid(out, oid);
}

void AppendBytesValue(std::string& out, int field, std::string_view bytes, uint32_t oid) {
  AppendLength(out, kParams, internal::BytesFieldSize(field, bytes.size()) + OidSize(oid));
  AppendBytesField(out, field, bytes);
  AppendOid(out, oid);
}

}  // namespace

void Params::AddBool(bool value, uint32_t oid) {
  ++count_;
  AppendVarintValue(encoded_, v1::Value::kBoolValueFieldNumber, value ? 1 : 0, oid);
}

void Params::AddInteger(int64_t value, uint32_t oid) {
  ++count_;
  AppendVarintValue(encoded_, v1::Value::kIntValueFieldNumber, internal::ZigZag(value), oid);
}

void Params::AddUnsigned(uint64_t value, uint32_t oid) {
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    Throw(internal::MakeFailure(StatusCode::kOutOfRange, "INVALID_REQUEST",
                                "parameter $" + std::to_string(count_ + 1) + " is " +
                                    std::to_string(value) +
                                    ", above 2^63-1; send it as text with a cast to numeric"));
  }
  AddInteger(static_cast<int64_t>(value), oid);
}

void Params::AddDouble(double value, uint32_t oid) {
  ++count_;
  constexpr int kField = v1::Value::kDoubleValueFieldNumber;
  AppendLength(encoded_, kParams, 1 + sizeof value + OidSize(oid));
  AppendDoubleField(encoded_, kField, value);
  AppendOid(encoded_, oid);
}

void Params::AddText(std::string_view text, uint32_t oid) {
  if (!internal::IsValidUtf8(text)) {
    Throw(internal::Invalid("parameter $" + std::to_string(count_ + 1) +
                            " is text but not valid UTF-8; send it as bytes"));
  }
  ++count_;
  AppendBytesValue(encoded_, v1::Value::kStringValueFieldNumber, text, oid);
}

void Params::AddBytes(std::span<const std::byte> bytes, uint32_t oid) {
  ++count_;
  AppendBytesValue(encoded_, v1::Value::kBytesValueFieldNumber,
                   {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, oid);
}

void Params::AddNull(uint32_t oid) {
  ++count_;
  AppendLength(encoded_, kParams, OidSize(oid));
  AppendOid(encoded_, oid);
}

}  // namespace dbsidecar
