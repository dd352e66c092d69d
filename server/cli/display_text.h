// Text for a terminal: what cannot be shown, or would steer the terminal, is escaped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dbsidecar::server::cli {

enum class LineBreaks { kEscape, kKeep };

// `\n` and `\t` for these two, `\x1b` for other control characters and for bytes that are not
// UTF-8,
// `\u202e` for control characters beyond ASCII and those that reverse the direction of text.
std::string Displayable(std::string_view text, LineBreaks line_breaks = LineBreaks::kEscape);

// The columns of a terminal that `displayable` takes: 2 for wide characters, 0 for combining ones.
std::size_t DisplayWidth(std::string_view displayable);

// PostgreSQL's form of raw bytes: `\x00ff`.
std::string HexOfBytes(std::string_view bytes);

}  // namespace dbsidecar::server::cli
