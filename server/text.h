// Small operations on text that std::string_view lacks. (Abseil's are not used here: where it was
// built for an older C++, its string_view is a type of its own.)
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbsidecar::server {

// The pieces, text or whole numbers, one after the other.
template <typename... Pieces>
std::string Concat(const Pieces&... pieces) {
  const auto append = [](std::string& text, const auto& piece) {
    using Piece = std::remove_cvref_t<decltype(piece)>;
    static_assert(!std::same_as<Piece, char> && !std::same_as<Piece, bool>, "ambiguous");
    if constexpr (std::integral<Piece>) {
      text += std::to_string(piece);
    } else {
      text += std::string_view(piece);
    }
  };
  std::string text;
  (append(text, pieces), ...);
  return text;
}

// N separators make N + 1 parts, empty ones included. The parts borrow from `text`.
std::vector<std::string_view> Split(std::string_view text, char separator);

std::string Join(const std::vector<std::string>& parts, std::string_view separator);

// Every occurrence of a pair's first becomes its second, in one pass from the left: what is put in
// is not looked at again. Where several match, the longest counts. An empty first never matches.
using Replacements = std::vector<std::pair<std::string, std::string>>;
std::string ReplaceAll(std::string_view text, const Replacements& replacements);

// Of ASCII only, whatever the locale.
std::string ToLower(std::string_view text);
std::string_view Trim(std::string_view text);
bool IsDigit(char c);
bool IsLetter(char c);

// Removes `prefix` from the front of `text`; false when it is not there.
bool ConsumePrefix(std::string_view& text, std::string_view prefix);

}  // namespace dbsidecar::server
