#include "pool/result.h"

namespace dbsidecar::pool {

void RowBuffer::AddInteger(int64_t value) {
  Cell& cell = cells_.emplace_back();
  cell.kind = CellKind::kInteger;
  cell.integer = value;
  fixed_bytes_ += sizeof(value);
}

void RowBuffer::AddDouble(double value) {
  Cell& cell = cells_.emplace_back();
  cell.kind = CellKind::kDouble;
  cell.real = value;
  fixed_bytes_ += sizeof(value);
}

void RowBuffer::AddBytes(CellKind kind, std::string_view bytes) {
  Cell& cell = cells_.emplace_back();
  cell.kind = kind;
  cell.size = static_cast<uint32_t>(bytes.size());
  cell.offset = arena_.size();
  arena_.insert(arena_.end(), bytes.begin(), bytes.end());
}

}  // namespace dbsidecar::pool
