// A text field that is not valid UTF-8 makes a whole frame unreadable, so it is refused here.
#pragma once

#include <string_view>

namespace dbsidecar::internal {

// As RFC 3629 has it: overlong forms, surrogates and what is above U+10FFFF are not valid.
bool IsValidUtf8(std::string_view text);

}  // namespace dbsidecar::internal
