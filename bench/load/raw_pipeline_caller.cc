#include <grpcpp/grpcpp.h>

#include <mutex>
#include <utility>
#include <vector>

#include "bench/load/caller.h"
#include "bench/load/wire.h"
#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::bench {
namespace {

// gRPC's tags are pointers; these are numbers in their clothes.
enum class Event : intptr_t { kStarted = 1, kWritten, kRead, kFinished };

void* TagOf(Event event) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<void*>(static_cast<intptr_t>(event));
}

class RawPipelineCaller final : public Caller {
 public:
  RawPipelineCaller(std::shared_ptr<grpc::Channel> channel, size_t slots)
      : stub_(v1::Sidecar::NewStub(std::move(channel))), slots_(slots) {}

  void Run() override {
    stream_ = stub_->AsyncPipeline(&context_, &queue_, TagOf(Event::kStarted));
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) On(static_cast<Event>(reinterpret_cast<intptr_t>(tag)), ok);
  }

  void Send(size_t slot, const Statement& statement) override {
    const std::lock_guard lock(mutex_);
    v1::Call& call = *next_frame_.add_calls();
    call.set_id(slot + 1);  // 0 is not an id.
    Encode(statement, slots_[slot].session, *call.mutable_query());
    slots_[slot].open = true;
    WriteIfIdle();
  }

  void Stop() override { context_.TryCancel(); }

 private:
  struct Slot {
    bool open = false;
    std::string session;  // The open transaction's token.
  };

  void On(Event event, bool ok) {
    switch (event) {
      case Event::kStarted:
        stream_->Read(&replies_, TagOf(Event::kRead));
        Unblock(busy_writing_);
        break;
      case Event::kWritten:
        if (ok) Unblock(busy_writing_);
        break;
      case Event::kRead:
        if (ok) {
          Dispatch();
        } else {
          stream_->Finish(&status_, TagOf(Event::kFinished));
        }
        break;
      case Event::kFinished:
        LoseOpenCalls();
        queue_.Shutdown();
        break;
    }
  }

  // Calls that answers give rise to leave together.
  void Dispatch() {
    {
      const std::lock_guard lock(mutex_);
      busy_reading_ = true;
      for (const v1::Reply& reply : replies_.replies()) {
        slots_[reply.id() - 1] = {.open = false, .session = reply.response().session()};
      }
    }
    for (const v1::Reply& reply : replies_.replies()) answered_(reply.id() - 1, OutcomeOf(reply));
    Unblock(busy_reading_);
    stream_->Read(&replies_, TagOf(Event::kRead));
  }

  static Outcome OutcomeOf(const v1::Reply& reply) {
    if (reply.has_response()) return {};
    const bool unimplemented = reply.error().code() == grpc::StatusCode::UNIMPLEMENTED;
    return {.verdict = unimplemented ? Verdict::kUnimplemented : Verdict::kFailed,
            .error = reply.error().message()};
  }

  void LoseOpenCalls() {
    for (size_t slot = 0; slot < slots_.size(); ++slot) {
      if (!slots_[slot].open) continue;
      slots_[slot].open = false;
      answered_(slot, {.verdict = status_.error_code() == grpc::StatusCode::UNIMPLEMENTED
                                      ? Verdict::kUnimplemented
                                      : Verdict::kLost,
                       .error = "the stream ended: " + status_.error_message()});
    }
  }

  void Unblock(bool& reason) {
    const std::lock_guard lock(mutex_);
    reason = false;
    WriteIfIdle();
  }

  // REQUIRES: mutex_.
  void WriteIfIdle() {
    if (busy_writing_ || busy_reading_ || next_frame_.calls_size() == 0) return;
    busy_writing_ = true;
    stream_->Write(next_frame_, TagOf(Event::kWritten));  // Serializes before it returns.
    next_frame_.Clear();
  }

  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::PipelineRequest, v1::PipelineResponse>> stream_;
  v1::PipelineResponse replies_;
  grpc::Status status_;

  std::mutex mutex_;
  v1::PipelineRequest next_frame_;
  std::vector<Slot> slots_;
  bool busy_writing_ = true;  // Until the stream has started.
  bool busy_reading_ = false;
};

}  // namespace

std::unique_ptr<Caller> MakeRawPipelineCaller(const std::string& address, size_t slots) {
  auto channel = Connect(address);
  return channel ? std::make_unique<RawPipelineCaller>(std::move(channel), slots) : nullptr;
}

}  // namespace dbsidecar::bench
