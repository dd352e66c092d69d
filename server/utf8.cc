#include "server/utf8.h"

#include <array>

namespace dbsidecar::server {
namespace {

unsigned char Byte(char c) { return static_cast<unsigned char>(c); }

}  // namespace

Utf8Character FirstCharacter(std::string_view text) {
  const unsigned char lead = Byte(text.front());
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  char32_t code_point = lead & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((Byte(text[i]) & 0xc0) != 0x80) return {};
    code_point = code_point << 6 | (Byte(text[i]) & 0x3fu);
  }
  constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (code_point < kSmallest[bytes] || surrogate || code_point > 0x10ffff) return {};
  return {code_point, bytes};
}

bool IsValidUtf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    // Every text of a result comes here, and most of it is ASCII.
    const bool ascii = Byte(text[at]) < 0x80;
    const std::size_t bytes = ascii ? 1 : FirstCharacter(text.substr(at)).bytes;
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

}  // namespace dbsidecar::server
