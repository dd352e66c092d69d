#include "pool/trace_context.h"

#include <algorithm>
#include <cstddef>

namespace dbsidecar::pool {
namespace {

constexpr std::string_view kForm = "vv-tttttttttttttttttttttttttttttttt-ssssssssssssssss-ff";

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool HasTheForm(std::string_view text) {
  for (size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == '-' ? text[i] != '-' : !IsLowerHex(text[i])) return false;
  }
  return true;
}

bool IsZero(std::string_view id) { return id.find_first_not_of('0') == std::string_view::npos; }

// A digit's value.
unsigned Hex(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); }

}  // namespace

TraceContext TraceContext::Parse(std::string_view traceparent) {
  if (traceparent.size() < kForm.size() || !HasTheForm(traceparent)) return {};
  const std::string_view version = traceparent.substr(0, 2);
  if (version == "ff") return {};
  if (traceparent.size() > kForm.size()) {
    const bool may_be_longer = version != "00" && traceparent[kForm.size()] == '-';
    if (!may_be_longer) return {};
  }
  const TraceContext context(traceparent.substr(0, kForm.size()));
  if (IsZero(context.trace_id()) || IsZero(context.span_id())) return {};
  return context;
}

bool TraceContext::sampled() const { return present() && (Hex(text_.back()) & 1) != 0; }

}  // namespace dbsidecar::pool
