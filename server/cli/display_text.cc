#include "server/cli/display_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <span>

#include "server/utf8.h"

namespace dbsidecar::server::cli {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

bool IsIn(std::span<const Range> ranges, char32_t character) {
  return std::ranges::any_of(ranges, [character](const Range& range) {
    return range.first <= character && character <= range.last;
  });
}

// Controls and line separators beyond ASCII, and the marks that reorder text.
constexpr std::array<Range, 5> kUnsafe{
    {{0x80, 0x9f}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}}};

// The blocks of combining marks and joiners in common use.
constexpr std::array<Range, 9> kWithoutWidth{{{0x300, 0x36f},
                                              {0x483, 0x489},
                                              {0x591, 0x5bd},
                                              {0x64b, 0x65f},
                                              {0x1ab0, 0x1aff},
                                              {0x200b, 0x200d},
                                              {0x20d0, 0x20ff},
                                              {0xfe00, 0xfe0f},
                                              {0xfe20, 0xfe2f}}};

// East Asian wide and fullwidth characters and emoji, by block.
constexpr std::array<Range, 10> kWide{{{0x1100, 0x115f},
                                       {0x2e80, 0x303e},
                                       {0x3041, 0xa4cf},
                                       {0xa960, 0xa97f},
                                       {0xac00, 0xd7a3},
                                       {0xf900, 0xfaff},
                                       {0xfe30, 0xfe6f},
                                       {0xff00, 0xff60},
                                       {0x1f300, 0x1f9ff},
                                       {0x20000, 0x3fffd}}};

void AppendDisplayable(std::string& out, std::string_view raw, char32_t character,
                       LineBreaks line_breaks) {
  if (character == '\n') {
    out += line_breaks == LineBreaks::kKeep ? "\n" : "\\n";
  } else if (character == '\t') {
    out += "\\t";
  } else if (character < 0x20 || character == 0x7f) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint32_t>(character));
  } else if (IsIn(kUnsafe, character)) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<std::uint32_t>(character));
  } else {
    out += raw;
  }
}

}  // namespace

std::string Displayable(std::string_view text, LineBreaks line_breaks) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character first = FirstCharacter(text);
    if (first.bytes == 0) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}",
                     static_cast<unsigned>(static_cast<unsigned char>(text.front())));
      text.remove_prefix(1);
    } else {
      AppendDisplayable(out, text.substr(0, first.bytes), first.code_point, line_breaks);
      text.remove_prefix(first.bytes);
    }
  }
  return out;
}

std::size_t DisplayWidth(std::string_view displayable) {
  std::size_t width = 0;
  while (!displayable.empty()) {
    const Utf8Character first = FirstCharacter(displayable);
    if (IsIn(kWide, first.code_point)) {
      width += 2;
    } else if (!IsIn(kWithoutWidth, first.code_point)) {
      width += 1;
    }
    displayable.remove_prefix(std::max<std::size_t>(first.bytes, 1));
  }
  return width;
}

std::string HexOfBytes(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "\\x";
  out.reserve(2 + 2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 0xf];
  }
  return out;
}

}  // namespace dbsidecar::server::cli
