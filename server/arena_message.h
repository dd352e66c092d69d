// A message with memory of its own, given back as a whole.
#pragma once

#include <google/protobuf/arena.h>

namespace dbsidecar::server {

template <typename Message>
class ArenaMessage {
 public:
  Message& operator*() { return message_; }
  const Message& operator*() const { return message_; }
  Message* operator->() { return &message_; }

 private:
#if defined(__SANITIZE_THREAD__)
  // Protobuf's headers lay maps out otherwise here than its library, which an arena makes visible.
  Message message_;
#else
  google::protobuf::Arena arena_;
  Message& message_ = *google::protobuf::Arena::CreateMessage<Message>(&arena_);
#endif
};

}  // namespace dbsidecar::server
