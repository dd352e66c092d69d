#include "server/text.h"

#include <cstddef>

namespace dbsidecar::server {
namespace {

const std::pair<std::string, std::string>* LongestMatch(std::string_view text,
                                                        const Replacements& replacements) {
  const std::pair<std::string, std::string>* longest = nullptr;
  for (const auto& replacement : replacements) {
    if (replacement.first.empty() || !text.starts_with(replacement.first)) continue;
    if (longest == nullptr || replacement.first.size() > longest->first.size()) {
      longest = &replacement;
    }
  }
  return longest;
}

}  // namespace

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t end = 0;
  while ((end = text.find(separator)) != std::string_view::npos) {
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  parts.push_back(text);
  return parts;
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) joined += separator;
    joined += parts[i];
  }
  return joined;
}

std::string ReplaceAll(std::string_view text, const Replacements& replacements) {
  std::string result;
  while (!text.empty()) {
    if (const auto* match = LongestMatch(text, replacements)) {
      result += match->second;
      text.remove_prefix(match->first.size());
    } else {
      result.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return result;
}

std::string ToLower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool ConsumePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace dbsidecar::server
