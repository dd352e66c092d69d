#include "server/message_json.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cctype>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

using google::protobuf::Duration;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;
using Json = nlohmann::ordered_json;

Json ObjectOf(const Message& message);

// HEALTH_STATUS_HEALTHY of HealthStatus is "healthy".
std::string WordOf(const EnumValueDescriptor& value) {
  const std::string& type = value.type()->name();
  size_t prefix = 1;  // The underscore at its end.
  for (size_t i = 0; i < type.size(); ++i) {
    prefix += i > 0 && std::isupper(static_cast<unsigned char>(type[i])) ? 2 : 1;
  }
  std::string word = value.name().substr(std::min(prefix, value.name().size()));
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

Json NumberOf(double number) { return std::isfinite(number) ? Json(number) : Json(); }

Json ValueOf(const Message& message) {
  if (const auto* duration = dynamic_cast<const Duration*>(&message)) {
    return NumberOf(static_cast<double>(duration->seconds()) + duration->nanos() / 1e9);
  }
  if (const auto* timestamp = dynamic_cast<const Timestamp*>(&message)) return Rfc3339(*timestamp);
  return ObjectOf(message);
}

// Of an element when the field is repeated.
Json ValueOf(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& look = *message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return repeated ? look.GetRepeatedInt32(message, &field, index)
                      : look.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return repeated ? look.GetRepeatedInt64(message, &field, index)
                      : look.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return repeated ? look.GetRepeatedUInt32(message, &field, index)
                      : look.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return repeated ? look.GetRepeatedUInt64(message, &field, index)
                      : look.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberOf(repeated ? look.GetRepeatedDouble(message, &field, index)
                               : look.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return NumberOf(repeated ? look.GetRepeatedFloat(message, &field, index)
                               : look.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return repeated ? look.GetRepeatedBool(message, &field, index)
                      : look.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return WordOf(repeated ? *look.GetRepeatedEnum(message, &field, index)
                             : *look.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return repeated ? look.GetRepeatedString(message, &field, index)
                      : look.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ValueOf(repeated ? look.GetRepeatedMessage(message, &field, index)
                              : look.GetMessage(message, &field));
  }
  return {};
}

// Maps have no order of their own on the wire.
Json MapOf(const Message& message, const FieldDescriptor& field) {
  const Reflection& look = *message.GetReflection();
  const FieldDescriptor& value = *field.message_type()->map_value();
  std::map<std::string, Json> sorted;
  for (int i = 0; i < look.FieldSize(message, &field); ++i) {
    const Message& entry = look.GetRepeatedMessage(message, &field, i);
    const Json key = ValueOf(entry, *field.message_type()->map_key(), 0);
    sorted.emplace(key.is_string() ? key.get<std::string>() : key.dump(), ValueOf(entry, value, 0));
  }
  Json object = Json::object();
  for (auto& [key, entry] : sorted) object[key] = std::move(entry);
  return object;
}

Json ObjectOf(const Message& message) {
  const Reflection& look = *message.GetReflection();
  Json object = Json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    std::string name = field.name();
    if (field.is_map()) {
      object[name] = MapOf(message, field);
    } else if (field.is_repeated()) {
      Json array = Json::array();
      for (int j = 0; j < look.FieldSize(message, &field); ++j) {
        array.push_back(ValueOf(message, field, j));
      }
      object[name] = std::move(array);
    } else if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
               look.HasField(message, &field)) {
      const bool duration = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                            field.message_type() == Duration::descriptor();
      object[duration ? name + "_seconds" : name] = ValueOf(message, field, 0);
    }
  }
  return object;
}

}  // namespace

std::string Rfc3339(const Timestamp& timestamp) {
  const auto seconds = static_cast<std::time_t>(timestamp.seconds());
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     timestamp.nanos() / 1'000'000);
}

std::string ToJson(const Message& message) {
  // Text that is not UTF-8 cannot be in a string field of ours; JSON would refuse it otherwise.
  return ObjectOf(message).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ToCompactJson(const Message& message) {
  return ObjectOf(message).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace dbsidecar::server
