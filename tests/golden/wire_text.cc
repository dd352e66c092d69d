#include "tests/golden/wire_text.h"

#include <fmt/format.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>

namespace dbsidecar::golden {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::TextFormat;
using google::protobuf::io::CodedInputStream;

constexpr size_t kBytesPerLine = 16;

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : " ", static_cast<unsigned char>(c));
  }
  return text;
}

// A field as it was found: its tag with the length, if it has one, and what follows.
struct WireField {
  const FieldDescriptor* descriptor = nullptr;
  std::string_view head;
  std::string_view content;
};

class Writer {
 public:
  void WriteMessage(const Message& prototype, std::string_view bytes) {
    CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                            static_cast<int>(bytes.size()));
    while (static_cast<size_t>(stream.CurrentPosition()) < bytes.size()) {
      WireField field;
      if (!Read(stream, prototype, bytes, field)) {
        ADD_FAILURE() << "not a field of " << prototype.GetTypeName() << ": " << Hex(bytes);
        return;
      }
      WriteField(prototype, bytes, field);
    }
  }

  const std::string& text() const { return text_; }

 private:
  static bool Read(CodedInputStream& stream, const Message& prototype, std::string_view bytes,
                   WireField& field) {
    const auto position = [&stream] { return static_cast<size_t>(stream.CurrentPosition()); };
    const size_t begin = position();
    const uint32_t tag = stream.ReadTag();
    field.descriptor = prototype.GetDescriptor()->FindFieldByNumber(static_cast<int>(tag >> 3));
    if (field.descriptor == nullptr) return false;
    size_t content = position();
    uint64_t number = 0;
    uint32_t length = 0;
    bool read = false;
    switch (tag & 7) {
      case 0:
        read = stream.ReadVarint64(&number);
        break;
      case 1:
        read = stream.Skip(8);
        break;
      case 2:
        read = stream.ReadVarint32(&length);
        content = position();
        read = read && stream.Skip(static_cast<int>(length));
        break;
      case 5:
        read = stream.Skip(4);
        break;
    }
    if (!read) return false;
    field.head = bytes.substr(begin, content - begin);
    field.content = bytes.substr(content, position() - content);
    return true;
  }

  // `parent` is the message that the field is in.
  void WriteField(const Message& parent_prototype, std::string_view parent,
                  const WireField& field) {
    if (field.descriptor->message_type() != nullptr && !field.descriptor->is_map()) {
      WriteNested(field, field.descriptor->name(), *field.descriptor->message_type());
    } else if (const Descriptor* packed = TypePackedIn(parent_prototype, parent, field)) {
      WriteNested(field, "value", *packed);
    } else {
      const std::string_view all(field.head.data(), field.head.size() + field.content.size());
      WriteLines(all, TextOf(parent_prototype, all));
    }
  }

  // What the value of an Any is; nullptr = the field is not such a value, or of a type unknown
  // here.
  static const Descriptor* TypePackedIn(const Message& parent_prototype, std::string_view parent,
                                        const WireField& field) {
    if (parent_prototype.GetTypeName() != "google.protobuf.Any") return nullptr;
    google::protobuf::Any any;
    if (field.descriptor->name() != "value" || !any.ParseFromString(std::string(parent))) {
      return nullptr;
    }
    const std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
    return DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  }

  void WriteNested(const WireField& field, const std::string& name, const Descriptor& type) {
    WriteLines(field.head, name + " {");
    ++depth_;
    WriteMessage(*MessageFactory::generated_factory()->GetPrototype(&type), field.content);
    --depth_;
    WriteLines("", "}");
  }

  // A field alone is a message, too.
  static std::string TextOf(const Message& prototype, std::string_view bytes) {
    const std::unique_ptr<Message> message(prototype.New());
    EXPECT_TRUE(message->ParseFromString(std::string(bytes))) << Hex(bytes);
    TextFormat::Printer printer;
    printer.SetSingleLineMode(true);
    printer.SetUseShortRepeatedPrimitives(true);
    printer.SetUseUtf8StringEscaping(true);
    std::string text;
    printer.PrintToString(*message, &text);
    while (text.ends_with(' ')) text.pop_back();
    return text;
  }

  // The text stands beside the first bytes.
  void WriteLines(std::string_view bytes, const std::string& text) {
    const std::string indented = std::string(2 * depth_, ' ') + text;
    text_ += fmt::format("{:<{}}  {}\n", Hex(bytes.substr(0, kBytesPerLine)), 3 * kBytesPerLine - 1,
                         indented);
    for (size_t at = kBytesPerLine; at < bytes.size(); at += kBytesPerLine) {
      text_ += Hex(bytes.substr(at, kBytesPerLine)) + "\n";
    }
  }

  size_t depth_ = 0;
  std::string text_;
};

}  // namespace

std::string WireText(const Message& prototype, std::string_view bytes) {
  Writer writer;
  writer.WriteMessage(prototype, bytes);
  return writer.text();
}

}  // namespace dbsidecar::golden
