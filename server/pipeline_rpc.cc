#include "server/pipeline_rpc.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/call.h"
#include "server/arena_message.h"
#include "server/deadline.h"
#include "server/error_mapping.h"
#include "server/result_encoder.h"
#include "server/trace_metadata.h"

namespace dbsidecar::server {
namespace {

// How many streams wait to be accepted on a queue.
constexpr int kAcceptors = 4;
// Calls of one stream that are unanswered, and bytes of replies that are unwritten, before it is no
// longer read: flow control instead of errors.
constexpr size_t kCallsMax = 1024;
constexpr size_t kUnwrittenBytesMax = 4 * 1024 * 1024;
// A thread keeps the memory of its last reply, unless that was larger.
constexpr size_t kReusedMax = 64 * 1024;

class PipelineStream;

// The memory of one frame: its calls live in it until the last of them is done.
class Frame;

class PipelineCall final : public pool::Call {
 public:
  PipelineCall(PipelineStream& stream, Frame& frame, const v1::Call& request)
      : stream_(stream), frame_(frame), request_(request) {}

  void Answer(pool::Outcome outcome) override;
  void Done() override;

  const v1::Call& request() const { return request_; }
  // Of an answer that is too large to be encoded on the loop's thread.
  void EncodeOn(pool::EventLoop& encoder, pool::Outcome outcome);

 private:
  void Encode();

  PipelineStream& stream_;
  Frame& frame_;
  const v1::Call& request_;
  pool::Outcome outcome_;
};

class Frame {
 public:
  // `calls` of them refer to it, and whoever made it.
  void Hold() { holders_.fetch_add(1, std::memory_order_relaxed); }
  void Release() {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

  v1::PipelineRequest& request() { return *request_; }
  PipelineCall& NewCall(PipelineStream& stream, const v1::Call& request) {
    return calls_.emplace_back(stream, *this, request);
  }

 private:
  ArenaMessage<v1::PipelineRequest> request_;
  std::deque<PipelineCall> calls_;
  std::atomic<int> holders_{1};
};

pool::Error Invalid(std::string why) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why));
}

// Replies one after another, as the bytes of a PipelineResponse.
class ReplyBuffer {
 public:
  // `reply`: the fields of a Reply.
  void Add(std::string_view reply) {
    google::protobuf::io::StringOutputStream stream(&bytes_);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.WriteTag(v1::PipelineResponse::kRepliesFieldNumber << 3 | 2);
    out.WriteVarint32(static_cast<uint32_t>(reply.size()));
    out.WriteRaw(reply.data(), static_cast<int>(reply.size()));
    ++replies_;
  }
  bool empty() const { return replies_ == 0; }
  size_t replies() const { return replies_; }
  size_t size() const { return bytes_.size(); }

  grpc::ByteBuffer Take() {
    auto* bytes = new std::string(std::move(bytes_));
    bytes_.clear();
    replies_ = 0;
    const grpc::Slice slice(
        bytes->data(), bytes->size(), [](void* owner) { delete static_cast<std::string*>(owner); },
        bytes);
    return grpc::ByteBuffer(&slice, 1);
  }

 private:
  std::string bytes_;
  size_t replies_ = 0;
};

// One stream from acceptance to the last event about it; deletes itself. Its steps run on its
// queue's thread, its calls are answered on the loop's or the encoder's.
class PipelineStream final : public pool::TurnEndHandler {
 public:
  PipelineStream(RpcContext& rpc, grpc::ServerCompletionQueue& queue)
      : rpc_(rpc), queue_(queue), stream_(&context_), record_(rpc.rpcs(), Rpc::kPipeline) {
    context_.AsyncNotifyWhenDone(ended_.Tag());
    rpc_.service().RequestPipeline(&context_, &stream_, &queue_, &queue_, accepted_.Tag());
  }

  // Loop thread.
  void Answered(PipelineCall& call, pool::Outcome outcome) {
    if (outcome.result.rows.data_bytes() > kEncodeOnLoopMax) {
      call.EncodeOn(rpc_.encoder(), std::move(outcome));
      return;
    }
    const bool first = Reply(call.request(), std::move(outcome));
    if (!first) return;
    Hold();
    rpc_.pools().AtTurnEnd(*this);
  }

  void OnTurnEnd() override {
    Flush();
    Release();
  }

  // Any thread. True: nothing else waits to be written, and nobody is going to write it.
  bool Reply(const v1::Call& call, pool::Outcome outcome) {
    // Reused, with its memory.
    thread_local WireWriter reply;
    if (reply.size() > kReusedMax) reply = WireWriter();
    reply.Clear();
    EncodeReply(call, outcome, reply);
    const std::lock_guard lock(mutex_);
    in_flight_.erase(call.id());
    const bool first = replies_.empty() && !writing_;
    replies_.Add(reply.bytes());
    return first;
  }

  void Flush() {
    const std::lock_guard lock(mutex_);
    WriteMore();
  }

  void Hold() { holders_.fetch_add(1, std::memory_order_relaxed); }
  void Release() {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

 private:
  // --- Steps. ---

  void OnAccepted(bool ok) {
    if (!ok) {  // The server shuts down; no stream came.
      delete this;
      return;
    }
    record_.Begin();
    trace_ = TraceOf(context_);
    new PipelineStream(rpc_, queue_);
    const std::lock_guard lock(mutex_);
    Proceed();
  }

  void OnRead(bool ok) {
    if (ok) Receive();
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
      half_closed_ = half_closed_ || !ok;
      WriteMore();
      Proceed();
    }
    Release();
  }

  void OnWritten(bool ok) {
    {
      const std::lock_guard lock(mutex_);
      rpc_.CallsClosed(writing_);
      writing_ = 0;
      // Nobody reads any more; what is still to come is dropped.
      broken_ = broken_ || !ok;
      WriteMore();
      Proceed();
    }
    Release();
  }

  // The stream is over, or the client has left.
  void OnEnded(bool /*ok*/) {
    // One that left looks like one that has sent all until here.
    record_.End(context_.IsCancelled() ? Code::kCancelled : Code::kOk);
    std::vector<pool::CallId> left;
    {
      const std::lock_guard lock(mutex_);
      broken_ = true;
      for (const auto& [id, call] : in_flight_) left.push_back(call);
      WriteMore();
    }
    for (const pool::CallId call : left) rpc_.pools().Cancel(call);
    rpc_.pools().EndSessionsOf(id_);
    Release();
  }

  void OnFinished(bool /*ok*/) { Release(); }

  // --- REQUIRES: mutex_ is held. ---

  // Reads on when there is room, and ends the stream when nothing is left to do.
  void Proceed() {
    const bool room = in_flight_.size() < kCallsMax && replies_.size() < kUnwrittenBytesMax;
    if (!reading_ && !half_closed_ && room) {
      reading_ = true;
      Hold();
      stream_.Read(&request_bytes_, read_.Tag());
    }
    const bool answered = in_flight_.empty() && replies_.empty() && writing_ == 0;
    if (half_closed_ && answered && !finished_already_) {
      finished_already_ = true;
      Hold();
      stream_.Finish(grpc::Status::OK, finished_.Tag());
    }
  }

  void WriteMore() {
    if (writing_ != 0 || replies_.empty()) return;
    if (broken_) {
      rpc_.CallsClosed(replies_.replies());
      replies_ = {};
      Proceed();
      return;
    }
    writing_ = replies_.replies();
    Hold();
    stream_.Write(replies_.Take(), written_.Tag());
  }

  // --- Frames. ---

  void Receive() {
    auto* frame = new Frame;
    grpc::ProtoBufferReader reader(&request_bytes_);
    if (!reader.status().ok() || !frame->request().ParseFromZeroCopyStream(&reader)) {
      frame->Release();
      Fail(
          "a frame is not a PipelineRequest: it is not Protobuf, or one of its text fields is not "
          "valid UTF-8 (send such data as bytes_value)");
      return;
    }
    const pool::Instant stream_deadline = DeadlineOf(context_);
    std::vector<pool::Call*> calls;
    std::vector<pool::CallId> cancels;
    for (const v1::Call& request : frame->request().calls()) {
      if (request.cancel_id() != 0 && !request.has_query() && !request.has_end_session()) {
        const std::lock_guard lock(mutex_);
        const auto it = in_flight_.find(request.cancel_id());
        if (it != in_flight_.end()) cancels.push_back(it->second);
        continue;
      }
      rpc_.CallOpened();
      if (std::optional<pool::Error> refusal = Check(request)) {
        pool::Outcome outcome;
        outcome.error = std::move(refusal);
        Refuse(request, std::move(outcome));
        continue;
      }
      calls.push_back(&NewCall(*frame, request, stream_deadline));
    }
    // Cancels come after the calls of their own frame.
    if (!calls.empty()) rpc_.Submit(std::move(calls));
    for (const pool::CallId call : cancels) rpc_.pools().Cancel(call);
    frame->Release();
  }

  PipelineCall& NewCall(Frame& frame, const v1::Call& request, pool::Instant stream_deadline) {
    PipelineCall& call = frame.NewCall(*this, request);
    frame.Hold();
    Hold();
    call.id = rpc_.pools().NextCallId();
    call.flow_controlled = true;
    if (request.has_end_session()) {
      call.session = ToSessionUse(request.end_session());
    } else {
      call.statement = ToStatement(request.query(), rpc_.limits());
      call.session = ToSessionUse(request.query().session(), id_);
      call.pool_name = request.query().pool();
    }
    call.deadline = stream_deadline;
    if (request.has_timeout()) {
      const pool::Duration timeout = ToDuration(request.timeout());
      call.deadline = std::min(call.deadline, pool::Clock::now() + timeout);
    }
    call.caller = CallerOf(request.query().tags());
    call.route = RouteOf(request.query().tags());
    call.rpc = RpcName(Rpc::kPipeline);
    call.trace = TraceOf(request.query().tags(), trace_);
    const std::lock_guard lock(mutex_);
    in_flight_[request.id()] = call.id;
    return call;
  }

  std::optional<pool::Error> Check(const v1::Call& request) {
    if (request.id() == 0) return Invalid("a call's id must not be 0");
    if (request.has_query() == request.has_end_session() || request.cancel_id() != 0) {
      return Invalid("a call has one of `query`, `end_session` and `cancel_id`");
    }
    if (request.has_timeout() && !IsTimeLimit(request.timeout())) {
      return Invalid("`timeout` must be between 0 and 10 years");
    }
    {
      const std::lock_guard lock(mutex_);
      if (in_flight_.contains(request.id())) {
        return Invalid(fmt::format("the id {} is that of a call still in flight on this stream",
                                   request.id()));
      }
    }
    return request.has_end_session() ? CheckEndSession(request.end_session())
                                     : CheckRequest(request.query(), rpc_.limits());
  }

  // A refused call must not take the entry of an earlier one with the same id.
  void Refuse(const v1::Call& request, pool::Outcome outcome) {
    WireWriter reply;
    EncodeError(request.id(), *outcome.error, reply);
    const std::lock_guard lock(mutex_);
    replies_.Add(reply.bytes());
  }

  // The stream as a whole is of no use any more.
  void Fail(const std::string& why) {
    const google::rpc::Status status = ToRpcStatus(Invalid(why));
    const std::lock_guard lock(mutex_);
    broken_ = true;
    half_closed_ = true;
    if (finished_already_) return;
    finished_already_ = true;
    Hold();
    record_.End(static_cast<Code>(status.code()));
    stream_.Finish(grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(),
                                status.SerializeAsString()),
                   finished_.Tag());
  }

  void EncodeReply(const v1::Call& call, pool::Outcome& outcome, WireWriter& reply) const {
    if (!outcome.error.has_value()) {
      if (call.has_end_session()) {
        EncodeEnd(outcome, call.end_session().want_timing(), reply);
        reply.Begin(v1::Reply::kSessionEndedFieldNumber, 0);
      } else {
        EncodeResponse(call.query(), outcome, reply);
      }
    }
    if (outcome.error.has_value()) {
      EncodeError(call.id(), *outcome.error, reply);
    } else {
      reply.Varint(v1::Reply::kIdFieldNumber, call.id());
    }
  }

  void EncodeResponse(const v1::QueryRequest& query, pool::Outcome& outcome,
                      WireWriter& reply) const {
    EncodeOutcome(outcome, query.format(), query.want_timing(), reply);
    const uint64_t limit = rpc_.limits().result_bytes_max;
    if (limit != 0 && reply.size() > limit) {
      outcome.error = pool::ResultTooLarge(ToStatement(query, rpc_.limits()).limits,
                                           outcome.result.rows_affected >= 0);
      reply.Clear();
    } else {
      reply.Begin(v1::Reply::kResponseFieldNumber, 0);
    }
  }

  static void EncodeError(uint64_t id, const pool::Error& error, WireWriter& reply) {
    v1::Error message;
    FillError(error, message);
    reply.Element(v1::Reply::kErrorFieldNumber, message.SerializeAsString());
    reply.Varint(v1::Reply::kIdFieldNumber, id);
  }

  RpcContext& rpc_;
  const uint64_t id_ = rpc_.pools().NextCallId();  // Owns the sessions that are begun on it.
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_;
  grpc::ByteBuffer request_bytes_;  // Of the read under way.
  RpcRecord record_;
  pool::TraceContext trace_;  // Of calls that have none of their own.

  std::mutex mutex_;                                       // Guards all below but holders_.
  absl::flat_hash_map<uint64_t, pool::CallId> in_flight_;  // By the client's id.
  ReplyBuffer replies_;
  size_t writing_ = 0;  // Replies in the write under way.
  bool reading_ = false;
  bool half_closed_ = false;
  bool broken_ = false;
  bool finished_already_ = false;
  // OnEnded; each operation under way, each unanswered call, and a flush that is due.
  std::atomic<int> holders_{1};

  StepOf<PipelineStream> accepted_{*this, &PipelineStream::OnAccepted};
  StepOf<PipelineStream> read_{*this, &PipelineStream::OnRead};
  StepOf<PipelineStream> written_{*this, &PipelineStream::OnWritten};
  StepOf<PipelineStream> ended_{*this, &PipelineStream::OnEnded};
  StepOf<PipelineStream> finished_{*this, &PipelineStream::OnFinished};
};

void PipelineCall::Answer(pool::Outcome outcome) { stream_.Answered(*this, std::move(outcome)); }

void PipelineCall::Done() {
  PipelineStream& stream = stream_;
  frame_.Release();
  stream.Release();
}

void PipelineCall::EncodeOn(pool::EventLoop& encoder, pool::Outcome outcome) {
  outcome_ = std::move(outcome);
  frame_.Hold();
  stream_.Hold();
  encoder.Post([this] { Encode(); });
}

void PipelineCall::Encode() {
  stream_.Reply(request_, std::move(outcome_));
  stream_.Flush();
  PipelineStream& stream = stream_;
  frame_.Release();
  stream.Release();
}

}  // namespace

void AcceptPipelines(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new PipelineStream(rpc, queue); });
}

}  // namespace dbsidecar::server
