// UTF-8 as RFC 3629 has it: overlong forms, surrogates and what is above U+10FFFF are not valid.
#pragma once

#include <cstddef>
#include <string_view>

namespace dbsidecar::server {

struct Utf8Character {
  char32_t code_point = 0;
  std::size_t bytes = 0;  // 0 = not valid.
};

// The character at the front of `text`. REQUIRES: `text` is not empty.
Utf8Character FirstCharacter(std::string_view text);

bool IsValidUtf8(std::string_view text);

}  // namespace dbsidecar::server
