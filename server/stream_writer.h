// Writes the messages of one server stream in order, one at a time, and ends it.
//
// It is the bound on a stream's memory: one message on its way into the network, and at most
// kWaitingMax that wait for it, encoded or about to be. Whoever produces them has to stop when it
// is full, and is told when it is so no more.
//
// Threads: any.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_stream.h>

#include <deque>
#include <mutex>
#include <optional>

#include "server/completion_queues.h"

namespace dbsidecar::server {

class StreamWriter {
 public:
  using Stream = grpc::ServerAsyncWriter<grpc::ByteBuffer>;

  static constexpr size_t kWaitingMax = 2;

  // Told on any thread.
  class Owner {
   public:
    virtual ~Owner() = default;
    // The writer was full and is so no more.
    virtual void OnRoom() = 0;
    // Nothing is written any more; comes once.
    virtual void OnFinished() = 0;
    // It must live from each Hold to its Release.
    virtual void Hold() = 0;
    virtual void Release() = 0;
  };

  // Both are borrowed.
  StreamWriter(Stream& stream, Owner& owner) : stream_(stream), owner_(owner) {}

  // A message is being made. True = there is room for another after it.
  bool Announce();
  // Nothing is being made, so a message that is made now need not wait for another.
  bool MakesNothing();
  // It is made. REQUIRES: it was announced; those announced before were put before.
  void Put(grpc::ByteBuffer bytes);
  // What was put, or was announced, is written first.
  void End(grpc::Status status);
  // The reader has gone: what waits is dropped.
  void Break();

 private:
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  // REQUIRES: mutex_ is held.
  void WriteMore();

  Stream& stream_;
  Owner& owner_;
  std::mutex mutex_;      // Guards all below.
  size_t announced_ = 0;  // Not put yet.
  std::deque<grpc::ByteBuffer> waiting_;
  std::optional<grpc::Status> end_;
  bool writing_ = false;
  bool full_ = false;
  bool broken_ = false;
  bool finishing_ = false;

  StepOf<StreamWriter> written_{*this, &StreamWriter::OnWritten};
  StepOf<StreamWriter> finished_{*this, &StreamWriter::OnFinished};
};

}  // namespace dbsidecar::server
