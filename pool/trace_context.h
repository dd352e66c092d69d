// Where a call belongs in its caller's trace, by W3C Trace Context.
#pragma once

#include <string_view>

namespace dbsidecar::pool {

// A valid `traceparent`, borrowed from whoever owns the call; or none.
class TraceContext {
 public:
  TraceContext() = default;
  // None if the text is not valid: as the standard says, a malformed one is ignored. Of a version
  // that is newer than 00, the part that is as in 00 counts.
  static TraceContext Parse(std::string_view traceparent);

  bool present() const { return !text_.empty(); }
  // The caller records this trace.
  bool sampled() const;
  // REQUIRES: present().
  std::string_view trace_id() const { return text_.substr(3, 32); }
  // Of the span that made the call.
  std::string_view span_id() const { return text_.substr(36, 16); }
  // As in version 00.
  std::string_view text() const { return text_; }

 private:
  explicit TraceContext(std::string_view text) : text_(text) {}

  std::string_view text_;
};

}  // namespace dbsidecar::pool
