// Messages as JSON for people and scripts: what the HTTP routes answer.
//
// Unlike Protobuf's own JSON: names as in the .proto files, every scalar field present, enums as
// their plain words ("healthy"), numbers as numbers, a Duration `x` as `x_seconds`, a Timestamp as
// RFC 3339 in UTC. Message fields that are unset are absent; what is not a number is null.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>

namespace dbsidecar::server {

// In UTC, to the millisecond.
std::string Rfc3339(const google::protobuf::Timestamp& timestamp);

// Indented by two spaces, with a newline at the end.
std::string ToJson(const google::protobuf::Message& message);
// On one line, without a newline: for machines, and for many numbers.
std::string ToCompactJson(const google::protobuf::Message& message);

}  // namespace dbsidecar::server
