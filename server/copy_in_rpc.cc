#include "server/copy_in_rpc.h"

#include <grpcpp/support/async_stream.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "dbsidecar/v1/copy.pb.h"
#include "pool/call.h"
#include "server/byte_buffer.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/raw_message.h"
#include "server/result_encoder.h"
#include "server/trace_metadata.h"

namespace dbsidecar::server {
namespace {

// How many calls wait to be accepted on a queue.
constexpr int kAcceptors = 4;
// Messages that wait for the database, before the client is no longer read.
constexpr size_t kWaitingMax = 2;

pool::Error Invalid(std::string why) {
  return pool::OwnError(pool::ErrorKind::kInvalidArgument, std::move(why));
}

// One CopyIn from acceptance to the last event about it; deletes itself. Its steps run on its
// queue's thread, the pool asks for data on the loop's.
//
// The end of the client's side and its death look alike to a reader, but only the first may commit.
// So the reply's metadata are sent before the end is believed: to one that is gone they cannot be.
class CopyInCall final : public pool::Call, public pool::CopySource, public pool::PartSink {
 public:
  CopyInCall(RpcContext& context, grpc::ServerCompletionQueue& queue)
      : rpc_(context), queue_(queue), stream_(&context_), record_(context.rpcs(), Rpc::kCopyIn) {
    context_.AsyncNotifyWhenDone(ended_.Tag());
    rpc_.service().RequestCopyIn(&context_, &stream_, &queue_, &queue_, accepted_.Tag());
  }

  // --- The pool's side: loop thread. ---

  Next TakeNext(std::string& data) override {
    const std::lock_guard lock(mutex_);
    if (!waiting_.empty()) {
      data = std::move(waiting_.front());
      waiting_.pop_front();
      ReadMore();
      return Next::kData;
    }
    if (aborted_) {
      data = std::move(abort_reason_);
      return Next::kAbort;
    }
    if (at_end_) return Next::kEnd;
    starved_ = true;
    return Next::kNothing;
  }

  // The copy has begun.
  bool Take(pool::Part /*part*/) override { return true; }

  void Answer(pool::Outcome outcome) override {
    const std::lock_guard lock(mutex_);
    if (violation_) {
      FinishWith(*violation_);
    } else if (outcome.error) {
      FinishWith(*outcome.error);
    } else {
      auto message = std::make_unique<WireWriter>();
      EncodeCopyResult(outcome, start_.want_timing(), v1::CopyInResponse::kResultFieldNumber,
                       *message);
      finishing_ = true;
      record_.End(Code::kOk);
      stream_.Finish(ToByteBuffer(std::move(message)), grpc::Status::OK, finished_.Tag());
    }
  }

  void Done() override { Release(); }

 private:
  // --- Steps. ---

  void OnAccepted(bool ok) {
    if (!ok) {  // The server shuts down; no call came.
      delete this;
      return;
    }
    record_.Begin();
    new CopyInCall(rpc_, queue_);
    rpc_.CallOpened();
    const std::lock_guard lock(mutex_);
    ReadMore();
  }

  void OnRead(bool ok) {
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
      if (finishing_) {
        // What still comes is not wanted.
      } else if (ok) {
        Receive();
      } else {
        OnLastRead();
      }
      ReadMore();
      more = TakeStarved();
    }
    if (more) rpc_.pools().Resume(id);
    if (std::exchange(submit_, false)) rpc_.Submit({this});
    Release();
  }

  // The client is still there, so its end of the stream was meant.
  void OnEndProven(bool ok) {
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      at_end_ = ok;
      more = ok && TakeStarved();
    }
    if (more) rpc_.pools().Resume(id);
    Release();
  }

  // The caller has its answer, or has left.
  void OnEnded(bool /*ok*/) {
    bool cancel = false;
    {
      const std::lock_guard lock(mutex_);
      cancel = submitted_ && context_.IsCancelled();
      if (!submitted_ && !finishing_) FinishWith(Invalid("the client left"));
    }
    if (cancel) rpc_.pools().Cancel(id);
    Release();
  }

  void OnFinished(bool /*ok*/) {
    rpc_.CallsClosed(1);
    Release();
  }

  // --- REQUIRES: mutex_ is held. ---

  void ReadMore() {
    const bool wanted = !last_read_ && !aborted_ && !finishing_;
    if (reading_ || !wanted || waiting_.size() >= kWaitingMax) return;
    reading_ = true;
    Hold();
    stream_.Read(&bytes_, read_.Tag());
  }

  bool TakeStarved() {
    const bool more = !waiting_.empty() || aborted_ || at_end_;
    return more && std::exchange(starved_, false);
  }

  void OnLastRead() {
    last_read_ = true;
    if (!submitted_) {
      Refuse(Invalid("the stream ended before `start`"));
    } else {
      Hold();
      stream_.SendInitialMetadata(end_proven_.Tag());
    }
  }

  void Receive() {
    v1::CopyInRequest request;
    if (!ParseBytes(bytes_, request)) {
      Refuse(
          Invalid("a message is not a CopyInRequest: it is not Protobuf, or one of its text "
                  "fields is not valid UTF-8"));
      return;
    }
    switch (request.part_case()) {
      case v1::CopyInRequest::kStart:
        Start(std::move(*request.mutable_start()));
        break;
      case v1::CopyInRequest::kData:
        if (!submitted_) {
          Refuse(Invalid("`data` came before `start`"));
        } else if (!request.data().empty()) {
          waiting_.push_back(std::move(*request.mutable_data()));
        }
        break;
      case v1::CopyInRequest::kAbort:
        if (!submitted_) {
          Refuse(Invalid("`abort` came before `start`"));
        } else {
          Abort(std::move(*request.mutable_abort()));
        }
        break;
      case v1::CopyInRequest::PART_NOT_SET:
        Refuse(Invalid("a message has none of `start`, `data` and `abort`"));
        break;
    }
  }

  void Start(v1::CopyStart start) {
    if (submitted_) {
      Refuse(Invalid("`start` came for a second time; the copy is given up"));
      return;
    }
    if (std::optional<pool::Error> refusal = CheckCopy(start)) {
      Refuse(*refusal);
      return;
    }
    start_ = std::move(start);
    id = rpc_.pools().NextCallId();
    pool_name = start_.pool();
    statement = ToStatement(start_, pool::StatementForm::kCopyIn);
    session = ToSessionUse(start_.session(), 0);
    deadline = DeadlineOf(context_);
    caller = CallerOf(start_.tags());
    route = RouteOf(start_.tags());
    rpc = RpcName(Rpc::kCopyIn);
    trace = TraceOf(start_.tags(), TraceOf(context_));
    source = this;
    sink = this;
    Hold();
    submitted_ = true;
    submit_ = true;
  }

  // What waits is dropped: nothing is to stay behind.
  void Abort(std::string reason) {
    waiting_.clear();
    aborted_ = true;
    abort_reason_ = std::move(reason);
  }

  // The stream makes no sense; what has begun is undone before it is said.
  void Refuse(const pool::Error& error) {
    if (submitted_) {
      violation_ = error;
      Abort("");
    } else {
      FinishWith(error);
    }
  }

  void FinishWith(const pool::Error& error) {
    finishing_ = true;
    record_.End(MapError(error).code);
    KeepRetriesAway(context_, error);
    stream_.FinishWithError(ToGrpcStatus(error), finished_.Tag());
  }

  void Hold() { holders_.fetch_add(1, std::memory_order_relaxed); }
  void Release() {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

  RpcContext& rpc_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReader<grpc::ByteBuffer, grpc::ByteBuffer> stream_;
  RpcRecord record_;
  v1::CopyStart start_;
  bool submit_ = false;  // Once the step is over; queue's thread.

  std::mutex mutex_;        // Guards all below but holders_.
  grpc::ByteBuffer bytes_;  // Of the read under way.
  std::deque<std::string> waiting_;
  std::optional<pool::Error> violation_;
  std::string abort_reason_;
  bool submitted_ = false;
  bool reading_ = false;
  bool last_read_ = false;
  bool at_end_ = false;  // All has come.
  bool aborted_ = false;
  bool starved_ = false;  // The pool waits for Database::Resume.
  bool finishing_ = false;
  // OnEnded and OnFinished; the pool, once the call is submitted; each operation under way.
  std::atomic<int> holders_{2};

  StepOf<CopyInCall> accepted_{*this, &CopyInCall::OnAccepted};
  StepOf<CopyInCall> read_{*this, &CopyInCall::OnRead};
  StepOf<CopyInCall> end_proven_{*this, &CopyInCall::OnEndProven};
  StepOf<CopyInCall> ended_{*this, &CopyInCall::OnEnded};
  StepOf<CopyInCall> finished_{*this, &CopyInCall::OnFinished};
};

}  // namespace

void AcceptCopiesIn(RpcContext& rpc, CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [&](grpc::ServerCompletionQueue& queue) { new CopyInCall(rpc, queue); });
}

}  // namespace dbsidecar::server
