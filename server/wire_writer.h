// Writes a Protobuf message (Protocol Buffers manual, "Encoding") without building it first.
//
// From back to front: a message's length stands before its fields, and is known once they have been
// written. So the fields of a message, and the elements of a repeated one, are written last first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace dbsidecar::server {

class WireWriter {
 public:
  // How large the message will be, about; it grows as needed.
  explicit WireWriter(size_t expected_bytes = 512);

  // Fields. Those that hold their type's default are left out, as in every proto3 encoder.
  void Varint(int field, uint64_t value) {
    if (value != 0) Element(field, value);
  }
  void Int(int field, int64_t value) { Varint(field, static_cast<uint64_t>(value)); }
  void Text(int field, std::string_view text) {
    if (!text.empty()) Element(field, text);
  }
  // Elements of a repeated field, or of a oneof: there even with a default.
  void Element(int field, uint64_t value);
  void Element(int field, double value);
  void Element(int field, std::string_view bytes);
  static uint64_t ZigZag(int64_t value) {
    return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
  }

  // Elements of a packed field: they are written between these two, last first.
  // Also the fields of a message that is a field: `end` is what End() returned before the first.
  size_t End() const { return size_; }
  void Begin(int field, size_t end);
  void PackedVarint(uint64_t value);
  void PackedDouble(double value);

  size_t size() const { return size_; }
  std::string_view bytes() const { return {buffer_.get() + capacity_ - size_, size_}; }
  // Empty again, with its memory.
  void Clear() { size_ = 0; }

 private:
  // `bytes` more in front.
  char* Claim(size_t bytes) {
    if (capacity_ - size_ < bytes) Grow(bytes);
    size_ += bytes;
    return buffer_.get() + capacity_ - size_;
  }
  void Grow(size_t bytes);

  size_t capacity_;
  size_t size_ = 0;  // At the end of the buffer.
  std::unique_ptr<char[]> buffer_;
};

}  // namespace dbsidecar::server
