// The live page: its files as they are served, put into the program when it is built.
#pragma once

#include <string_view>

namespace dbsidecar::server {

extern const std::string_view kPageHTML;
extern const std::string_view kPageCSS;
extern const std::string_view kPageJS;

// What the page may do: nothing but what it needs, of its own origin, and no script or style in its
// text.
inline constexpr std::string_view kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace dbsidecar::server
