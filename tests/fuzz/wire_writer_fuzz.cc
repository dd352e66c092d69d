// What WireWriter writes is what Protobuf writes, for any fields in any nesting; and a writer that
// was cleared writes like a new one.
#include <google/protobuf/unknown_field_set.h>

#include <bit>
#include <string>

#include "dbsidecar/v1/value.pb.h"
#include "server/wire_writer.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using dbsidecar::server::WireWriter;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

// Last first. What has no counterpart in the writer is taken out of `fields`.
void Write(const UnknownFieldSet& fields, WireWriter& out) {
  for (int i = fields.field_count() - 1; i >= 0; --i) {
    const UnknownField& field = fields.field(i);
    switch (field.type()) {
      case UnknownField::TYPE_VARINT:
        out.Element(field.number(), uint64_t{field.varint()});
        break;
      case UnknownField::TYPE_FIXED64:
        out.Element(field.number(), std::bit_cast<double>(field.fixed64()));
        break;
      case UnknownField::TYPE_LENGTH_DELIMITED: {
        UnknownFieldSet inner;
        const std::string& bytes = field.length_delimited();
        // A message is written as one where its bytes have one form only.
        if (inner.ParseFromString(bytes) && inner.field_count() > 0) {
          std::string again;
          inner.SerializeToString(&again);
          if (again == bytes) {
            const size_t end = out.End();
            Write(inner, out);
            out.Begin(field.number(), end);
            break;
          }
        }
        out.Element(field.number(), std::string_view(bytes));
        break;
      }
      case UnknownField::TYPE_FIXED32:
      case UnknownField::TYPE_GROUP:
        break;
    }
  }
}

void RemoveWhatHasNoCounterpart(UnknownFieldSet& fields) {
  UnknownFieldSet kept;
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.type() != UnknownField::TYPE_FIXED32 && field.type() != UnknownField::TYPE_GROUP) {
      kept.AddField(field);
    }
  }
  fields.Swap(&kept);
}

// One that has these two types only cannot tell a group inside from a message: leave those.
bool HasGroups(const UnknownFieldSet& fields) {
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.type() == UnknownField::TYPE_FIXED32 || field.type() == UnknownField::TYPE_GROUP) {
      return true;
    }
    UnknownFieldSet inner;
    if (field.type() == UnknownField::TYPE_LENGTH_DELIMITED &&
        inner.ParseFromString(field.length_delimited()) && HasGroups(inner)) {
      return true;
    }
  }
  return false;
}

// Packed fields and those with defaults, against the message class.
void WriteColumn(const dbsidecar::v1::Column& column, WireWriter& out) {
  using dbsidecar::v1::Column;
  for (int i = column.strings_size() - 1; i >= 0; --i) {
    out.Element(Column::kStringsFieldNumber, std::string_view(column.strings(i)));
  }
  size_t end = out.End();
  for (int i = column.doubles_size() - 1; i >= 0; --i) out.PackedDouble(column.doubles(i));
  if (out.End() != end) out.Begin(Column::kDoublesFieldNumber, end);
  end = out.End();
  for (int i = column.ints_size() - 1; i >= 0; --i) {
    out.PackedVarint(WireWriter::ZigZag(column.ints(i)));
  }
  if (out.End() != end) out.Begin(Column::kIntsFieldNumber, end);
}

void WriteInfo(const dbsidecar::v1::ColumnInfo& info, WireWriter& out) {
  using dbsidecar::v1::ColumnInfo;
  out.Text(ColumnInfo::kDeclaredTypeFieldNumber, info.declared_type());
  out.Varint(ColumnInfo::kColumnNumberFieldNumber, info.column_number());
  out.Varint(ColumnInfo::kTableOidFieldNumber, info.table_oid());
  out.Int(ColumnInfo::kTypeModifierFieldNumber, info.type_modifier());
  out.Varint(ColumnInfo::kTypeOidFieldNumber, info.type_oid());
  out.Text(ColumnInfo::kNameFieldNumber, info.name());
}

template <typename Message, typename WriteFields>
void CompareFields(Message message, const WriteFields& write, WireWriter& out) {
  message.DiscardUnknownFields();
  out.Clear();
  write(message, out);
  FUZZ_REQUIRE(out.bytes() == message.SerializeAsString(), message.ShortDebugString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // From a buffer of no size, which has to grow at every step, to one that never grows.
  WireWriter out(size_t{data[0]} * 4);
  const std::string bytes(dbsidecar::fuzz::TextOf(data + 1, size - 1));

  UnknownFieldSet fields;
  if (fields.ParseFromString(bytes)) {
    RemoveWhatHasNoCounterpart(fields);
    if (!HasGroups(fields)) {
      std::string expected;
      fields.SerializeToString(&expected);
      Write(fields, out);
      FUZZ_REQUIRE(out.bytes() == expected, "another encoding");
      FUZZ_REQUIRE(out.size() == expected.size(), "");
    }
  }
  dbsidecar::v1::Column column;
  if (column.ParseFromString(bytes)) {
    column.clear_nulls();
    column.clear_bools();
    column.clear_blobs();
    column.clear_mixed();
    CompareFields(column, WriteColumn, out);
  }
  dbsidecar::v1::ColumnInfo info;
  if (info.ParseFromString(bytes)) CompareFields(info, WriteInfo, out);
  return 0;
}
