// Protobuf's wire format, written by hand where a message object would cost more than its content:
// parameters and frames (protobuf.dev, "Encoding"). Field numbers come from the generated classes.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace dbsidecar::internal {

inline void AppendVarint(std::string& out, uint64_t value) {
  char bytes[10];
  size_t size = 0;
  while (value >= 0x80) {
    bytes[size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes[size++] = static_cast<char>(value);
  out.append(bytes, size);
}

constexpr size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}

constexpr uint32_t VarintTag(int field) { return static_cast<uint32_t>(field) << 3; }
constexpr uint32_t Fixed64Tag(int field) { return static_cast<uint32_t>(field) << 3 | 1; }
constexpr uint32_t LengthTag(int field) { return static_cast<uint32_t>(field) << 3 | 2; }

constexpr uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}

inline void AppendVarintField(std::string& out, int field, uint64_t value) {
  AppendVarint(out, VarintTag(field));
  AppendVarint(out, value);
}

inline size_t VarintFieldSize(int field, uint64_t value) {
  return VarintSize(VarintTag(field)) + VarintSize(value);
}

inline void AppendLength(std::string& out, int field, size_t size) {
  AppendVarint(out, LengthTag(field));
  AppendVarint(out, size);
}

inline void AppendBytesField(std::string& out, int field, std::string_view bytes) {
  AppendLength(out, field, bytes.size());
  out.append(bytes);
}

inline size_t BytesFieldSize(int field, size_t size) {
  return VarintSize(LengthTag(field)) + VarintSize(size) + size;
}

inline void AppendDoubleField(std::string& out, int field, double value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  AppendVarint(out, Fixed64Tag(field));
  out.append(bytes, sizeof bytes);
}

}  // namespace dbsidecar::internal
