#include "server/stream_writer.h"

#include <utility>

namespace dbsidecar::server {

bool StreamWriter::Announce() {
  const std::lock_guard lock(mutex_);
  ++announced_;
  full_ = !broken_ && announced_ + waiting_.size() >= kWaitingMax;
  return !full_;
}

bool StreamWriter::MakesNothing() {
  const std::lock_guard lock(mutex_);
  return announced_ == 0;
}

void StreamWriter::Put(grpc::ByteBuffer bytes) {
  const std::lock_guard lock(mutex_);
  --announced_;
  waiting_.push_back(std::move(bytes));
  WriteMore();
}

void StreamWriter::End(grpc::Status status) {
  const std::lock_guard lock(mutex_);
  end_ = std::move(status);
  WriteMore();
}

void StreamWriter::Break() {
  const std::lock_guard lock(mutex_);
  broken_ = true;
  WriteMore();
}

void StreamWriter::OnWritten(bool ok) {
  bool room = false;
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    broken_ = broken_ || !ok;
    WriteMore();
    room = full_ && announced_ + waiting_.size() < kWaitingMax;
    if (room) full_ = false;
  }
  if (room) owner_.OnRoom();
  owner_.Release();
}

void StreamWriter::OnFinished(bool /*ok*/) { owner_.OnFinished(); }

void StreamWriter::WriteMore() {
  if (broken_) waiting_.clear();
  if (writing_ || finishing_) return;
  const bool last = end_ && announced_ == 0 && waiting_.size() <= 1;
  if (last && (waiting_.empty() || end_->ok())) {
    finishing_ = true;
    if (waiting_.empty()) {
      stream_.Finish(*end_, finished_.Tag());
    } else {
      stream_.WriteAndFinish(waiting_.front(), grpc::WriteOptions(), *end_, finished_.Tag());
      waiting_.pop_front();
    }
  } else if (!waiting_.empty()) {
    writing_ = true;
    owner_.Hold();
    stream_.Write(waiting_.front(), written_.Tag());
    waiting_.pop_front();
  }
}

}  // namespace dbsidecar::server
