#include "server/event_stream.h"

#include <utility>

namespace dbsidecar::server {

EventStream::EventStream(RpcContext& rpc, grpc::ServerCompletionQueue& queue, Rpc which)
    : writer_(&context_), rpc_(rpc), queue_(queue), record_(rpc.rpcs(), which) {
  context_.AsyncNotifyWhenDone(over_.Tag());
}

EventStream::~EventStream() {
  if (accepted_already_) rpc_.StreamClosed();
}

bool EventStream::Append(grpc::Slice event) {
  const std::lock_guard lock(mutex_);
  if (gone_ || end_.has_value()) return false;
  events_.push_back(std::move(event));
  waiting_.store(events_.size(), std::memory_order_relaxed);
  return !writing_;
}

void EventStream::Write() {
  size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!WriteNext()) return;
    left = events_.size();
  }
  Taken(left);
}

size_t EventStream::Discard() {
  const std::lock_guard lock(mutex_);
  const size_t discarded = events_.size();
  events_.clear();
  waiting_.store(0, std::memory_order_relaxed);
  return discarded;
}

void EventStream::Finish(grpc::Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (end_.has_value()) return;
    record_.End(static_cast<Code>(status.error_code()));
    end_ = std::move(status);
  }
  Write();
}

bool EventStream::WriteNext() {
  if (writing_ || finishing_ || gone_) return false;
  if (!events_.empty()) {
    const grpc::ByteBuffer bytes(&events_.front(), 1);
    events_.pop_front();
    waiting_.store(events_.size(), std::memory_order_relaxed);
    writing_ = true;
    Hold();
    writer_.Write(bytes, written_.Tag());
    return true;
  }
  if (end_.has_value()) {
    finishing_ = true;
    Hold();
    writer_.Finish(*end_, finished_.Tag());
  }
  return false;
}

void EventStream::OnAccepted(bool ok) {
  if (!ok) {  // The server shuts down; no stream came.
    delete this;
    return;
  }
  record_.Begin();
  accepted_already_ = true;
  rpc_.StreamOpened();
  AcceptAnother();
  // The client may leave, and the end of that be seen, before this returns on another thread.
  Hold();
  Begin(request_);
  Release();
}

void EventStream::OnWritten(bool ok) {
  bool taken = false;
  size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    gone_ = gone_ || !ok;
    if (gone_) events_.clear();
    taken = WriteNext();
    left = events_.size();
  }
  if (taken) Taken(left);
  Release();
}

void EventStream::OnOver(bool /*ok*/) {
  record_.End(Code::kCancelled);  // Unless it was ended before.
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    events_.clear();
    waiting_.store(0, std::memory_order_relaxed);
  }
  Ended();
  Release();
}

void EventStream::OnFinished(bool /*ok*/) { Release(); }

}  // namespace dbsidecar::server
