#include "pool/sqlite/sqlite_location.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>

namespace dbsidecar::pool {
namespace {

constexpr std::string_view kMemoryPath = ":memory:";

bool ParseHex(std::string_view digits, uint32_t& value) {
  const char* end = digits.data() + digits.size();
  return std::from_chars(digits.data(), end, value, 16).ptr == end;
}

std::string DecodePercents(std::string_view text) {
  std::string decoded;
  uint32_t code = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && ParseHex(text.substr(i + 1, 2), code)) {
      decoded.push_back(static_cast<char>(code));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

// "file:a", "file:/a", "file:///a" and "file://localhost/a" name a file alike.
std::string_view PathOfUri(std::string_view uri) {
  uri = uri.substr(0, uri.find_first_of("?#"));
  uri.remove_prefix(std::string_view("file:").size());
  if (!uri.starts_with("//")) return uri;
  uri.remove_prefix(2);
  const size_t slash = uri.find('/');
  return slash == std::string_view::npos ? std::string_view() : uri.substr(slash);
}

std::map<std::string, std::string> OptionsOfUri(std::string_view uri) {
  std::map<std::string, std::string> options;
  const size_t mark = uri.find('?');
  if (mark == std::string_view::npos) return options;
  const std::string_view query = uri.substr(mark + 1);
  std::string_view rest = query.substr(0, query.find('#'));
  while (!rest.empty()) {
    const std::string_view option = rest.substr(0, rest.find('&'));
    const size_t equals = std::min(option.find('='), option.size());
    options[DecodePercents(option.substr(0, equals))] =
        DecodePercents(option.substr(std::min(equals + 1, option.size())));
    rest.remove_prefix(std::min(option.size() + 1, rest.size()));
  }
  return options;
}

bool IsOn(const std::string& value) {
  return value == "1" || value == "true" || value == "yes" || value == "on";
}

}  // namespace

SqliteLocation SqliteLocation::Parse(std::string_view text) {
  if (text == kMemoryPath) return {.kind = Kind::kMemory, .target = "", .path = ":memory:"};
  if (!text.starts_with("file:")) {
    return {.kind = Kind::kFile, .target = std::string(text), .path = std::string(text)};
  }
  const std::string path = DecodePercents(PathOfUri(text));
  std::map<std::string, std::string> options = OptionsOfUri(text);
  if (path == kMemoryPath || options["mode"] == "memory" || options["vfs"] == "memdb") {
    return {.kind = Kind::kMemory, .target = "", .path = ":memory:"};
  }
  const bool read_only = options["mode"] == "ro" || IsOn(options["immutable"]);
  return {.kind = read_only ? Kind::kReadOnlyFile : Kind::kFile,
          .target = std::string(text),
          .path = path};
}

}  // namespace dbsidecar::pool
