// CHECK for programmers' errors: stays on in release builds, says what was expected, and aborts.
// Operating errors are an Error or a Status, never this.
#pragma once

namespace dbsidecar::pool {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace dbsidecar::pool

#define DBSIDECAR_CHECK(condition) \
  ((condition) ? void() : ::dbsidecar::pool::CheckFailed(#condition, __FILE__, __LINE__))
