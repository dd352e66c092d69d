#include "server/wire_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace dbsidecar::server {
namespace {

enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2 };

uint64_t TagOf(int field, WireType type) { return static_cast<uint64_t>(field) << 3 | type; }

// Seven bits to a byte.
size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}

}  // namespace

WireWriter::WireWriter(size_t expected_bytes)
    : capacity_(expected_bytes), buffer_(new char[expected_bytes]) {}

void WireWriter::PackedVarint(uint64_t value) {
  char* at = Claim(VarintSize(value));
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
  *at = static_cast<char>(value);
}

void WireWriter::PackedDouble(double value) {
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(Claim(sizeof(value)), &value, sizeof(value));
}

void WireWriter::Element(int field, uint64_t value) {
  PackedVarint(value);
  PackedVarint(TagOf(field, kVarint));
}

void WireWriter::Element(int field, double value) {
  PackedDouble(value);
  PackedVarint(TagOf(field, kFixed64));
}

void WireWriter::Element(int field, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(Claim(bytes.size()), bytes.data(), bytes.size());
  PackedVarint(bytes.size());
  PackedVarint(TagOf(field, kLengthDelimited));
}

void WireWriter::Begin(int field, size_t end) {
  PackedVarint(size_ - end);
  PackedVarint(TagOf(field, kLengthDelimited));
}

void WireWriter::Grow(size_t bytes) {
  const size_t capacity = std::max(2 * capacity_, size_ + bytes);
  std::unique_ptr<char[]> buffer(new char[capacity]);
  std::memcpy(buffer.get() + capacity - size_, buffer_.get() + capacity_ - size_, size_);
  buffer_ = std::move(buffer);
  capacity_ = capacity;
}

}  // namespace dbsidecar::server
