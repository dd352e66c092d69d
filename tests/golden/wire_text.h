// Messages as they are on the wire, for people: each field's bytes beside its text.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

namespace dbsidecar::golden {

// `bytes` as a message of `prototype`'s type: a line for each field, in the order of the bytes,
// with the bytes in hexadecimal on the left and protobuf's text format on the right. Fields of
// fields are indented; so is what an Any of a gRPC status holds. Bytes that are no such message are
// a failure of the test.
std::string WireText(const google::protobuf::Message& prototype, std::string_view bytes);

}  // namespace dbsidecar::golden
