// What the fuzzers share. Each is one file with one function: it takes any bytes, and aborts when
// something that must hold for them does not. libFuzzer calls it in ./dev fuzz, and
// seeded_driver.cc in every other build.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace dbsidecar::fuzz {

[[noreturn]] inline void Fail(const char* what, std::string_view why, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n%.*s\n", file, line, what,
               static_cast<int>(std::min<size_t>(why.size(), 4000)), why.data());
  std::abort();
}

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {size == 0 ? "" : reinterpret_cast<const char*>(data), size};
}

// Takes an input apart. When nothing is left, numbers are 0 and texts are empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(TextOf(data, size)) {}

  bool empty() const { return rest_.empty(); }

  template <typename Number>
  Number Take() {
    Number number{};
    const size_t size = std::min(sizeof(number), rest_.size());
    if (size > 0) std::memcpy(&number, rest_.data(), size);
    rest_.remove_prefix(size);
    return number;
  }
  // From 0 to `max`.
  uint8_t TakeUpTo(uint8_t max) { return static_cast<uint8_t>(Take<uint8_t>() % (max + 1)); }
  // Up to the next zero byte, which is dropped.
  std::string TakeText() {
    std::string text(rest_.substr(0, rest_.find('\0')));
    rest_.remove_prefix(std::min(text.size() + 1, rest_.size()));
    return text;
  }
  // So many bytes as its first one says, zeros too.
  std::string TakeBytes() {
    const size_t wanted = Take<uint8_t>();
    const size_t size = std::min(wanted, rest_.size());
    std::string bytes(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return bytes;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace dbsidecar::fuzz

// `why` is shown: what an input led to.
#define FUZZ_REQUIRE(condition, why) \
  ((condition) ? void() : ::dbsidecar::fuzz::Fail(#condition, why, __FILE__, __LINE__))
